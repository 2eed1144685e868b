/** A group's conversation as its people know it: what the assistant remembers, when it forgets, and that it says so. */
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isEarlier } from "../contracts/wire/model.ts";
import { MemoryTranscripts } from "./adapters/memory/memory-transcripts.ts";
import { createTranscripts } from "./adapters/transcripts-jsonl/index.ts";
import { ModelCallError, StoreError } from "./domain/errors.ts";
import { streamOfParts, wholeStepParts } from "./domain/model-step.ts";
import { freshSessionNotice, NOTICE_MARK } from "./domain/notice.ts";
import { ListeningModel, TestHost } from "./host-harness.ts";
import type { Model } from "./ports/model.ts";
import type { Transcripts } from "./ports/transcripts.ts";

let t: TestHost;
let model: ListeningModel;
beforeEach(() => {
  t = new TestHost();
  model = new ListeningModel();
});
afterEach(() => t[Symbol.asyncDispose]());

const start = (transcripts?: Transcripts) => t.open({ model, ...(transcripts === undefined ? {} : { transcripts }) }).start();
const restart = async () => {
  await t.host.close();
  await start();
};

const transcriptsOf = (folder: string) => join(t.home, "sessions", folder);
const transcript = (folder: string) => {
  const [name] = readdirSync(transcriptsOf(folder));
  return join(transcriptsOf(folder), name ?? "");
};
const notices = () => t.texts.filter((text) => text.startsWith(NOTICE_MARK));
/** As the old program left it. */
const inDatabase = (sql: string) => {
  const db = new Database(join(t.home, "store", "messages.db"));
  try {
    return db.prepare(sql).all();
  } catch {
    db.prepare(sql).run();
    return [];
  } finally {
    db.close();
  }
};
const sessionRows = () => inDatabase("SELECT group_folder, session_id FROM sessions");
const schedule = (contextMode: "group" | "isolated") => {
  t.store.createTask({
    id: "t",
    folder: "main",
    chat: "memory:main",
    prompt: "the task",
    scheduleType: "once",
    scheduleValue: "2026-01-01T00:00:00Z",
    contextMode,
    nextRun: new Date(t.clock.now() + 1000).toISOString(),
    lastRun: null,
    lastResult: null,
    status: "active",
    createdAt: new Date(t.clock.now()).toISOString(),
    timeZone: null,
    catchUp: "once",
    failures: 0,
  });
  t.store.runTaskNow("t", t.clock.now());
};

describe("a conversation", () => {
  test("goes on from turn to turn, and marks what is earlier", async () => {
    await start();
    await t.says("my cat is called Miau");
    await t.says("what is my cat called?");
    expect(model.heard).toEqual(["user: my cat is called Miau", "assistant: answer 1", "user: what is my cat called?"]);
    expect(model.prompts[1]?.map((message) => message.providerOptions !== undefined)).toEqual([false, true, true, false]);
  });

  test("goes on after a restart", async () => {
    await start();
    await t.says("one");
    await restart();
    await t.says("two");
    expect(model.heard).toEqual(["user: one", "assistant: answer 1", "user: two"]);
    expect(sessionRows()).toHaveLength(1);
  });

  test("is each group's own", async () => {
    await start();
    await t.says("main's secret");
    await t.says("hello", "other");
    expect(model.heard).toEqual(["user: hello"]);
    expect(readdirSync(join(t.home, "sessions")).toSorted()).toEqual(["main", "other"]);
  });

  test("gives a turn only as much of it as configured, the newest", async () => {
    await start();
    for (let n = 1; n <= 6; n++) await t.says(`${n} ${"x".repeat(3_000)}`);
    expect(model.heard.map((text) => text.slice(0, 8))).toEqual([
      ...["user: 3 ", "assistan", "user: 4 ", "assistan", "user: 5 ", "assistan"],
      "user: 6 ",
    ]);
  });

  test("holds what was answered of a turn whose transcript could not be written", async () => {
    const transcripts = new MemoryTranscripts();
    await start(transcripts);
    await t.says("one");
    const append = transcripts.append.bind(transcripts);
    transcripts.append = async () => Promise.reject(new Error("no space left on device"));
    await t.says("two");
    transcripts.append = append;
    await t.says("three");
    expect(model.heard).toEqual([...["user: one", "assistant: answer 1", "user: two", "assistant: answer 2"], "user: three"]);
    expect(t.warnings).toEqual(["a transcript could not be written; the next turn tries again"]);
    await t.says("four");
    expect(model.heard.filter((text) => text === "user: two")).toHaveLength(1);
  });

  test("is whole again from the journal where a full disk cut its transcript off in the very beginning", async () => {
    await start();
    await t.says("one");
    truncateSync(transcript("main"), 5);
    await t.says("two");
    expect(model.heard).toEqual(["user: one", "assistant: answer 1", "user: two"]);
    expect(notices()).toEqual([]);
  });

  test("has its transcript before it is the group's, so that a crash after its first answer does not look like a deletion", async () => {
    const transcripts = new MemoryTranscripts();
    const append = transcripts.append.bind(transcripts);
    transcripts.append = async (folder, session, turns) => {
      if (turns.length > 0) throw new Error("the power is gone");
      return append(folder, session, turns);
    };
    await start(transcripts);
    await t.says("one");
    transcripts.append = append;
    await t.says("two");
    expect(model.heard).toEqual(["user: one", "assistant: answer 1", "user: two"]);
    expect(notices()).toEqual([]);
  });

  test("is whole and in order whichever of its turns was not written down", async () => {
    const transcripts = new MemoryTranscripts();
    await start(transcripts);
    await t.says("one");
    const append = transcripts.append.bind(transcripts);
    let broken = true;
    transcripts.append = async (...args) => (broken ? Promise.reject(new Error("no space left on device")) : append(...args));
    await t.says("two");
    const settled = t.says("three");
    model.refuse = () => {
      broken = false;
      return undefined;
    };
    await settled;
    await t.says("four");
    expect(model.heard.filter((text) => text.startsWith("user"))).toEqual(["user: one", "user: two", "user: three", "user: four"]);
  });

  test("of another group under the same name stays that group's", async () => {
    await start();
    await t.says("main's secret");
    await t.says("hello", "other");
    const [{ session_id: id }] = inDatabase("SELECT session_id FROM sessions WHERE group_folder = 'main'") as [{ session_id: string }];
    inDatabase(`UPDATE sessions SET session_id = '${id}' WHERE group_folder = 'other'`);
    await createTranscripts(t.home).append("other", id, []);
    await t.says("what do you know?", "other");
    expect(model.heard).toEqual(["user: what do you know?"]);
  });

  test("goes on beside a turn whose journal cannot be read", async () => {
    await start();
    await t.says("one");
    await t.says("two");
    writeFileSync(transcript("main"), readFileSync(transcript("main"), "utf8").split("\n").slice(0, 2).join("\n").concat("\n"));
    inDatabase("UPDATE hermit_journal SET body = '{' WHERE turn_id = 2");
    await t.says("three");
    expect(model.heard).toEqual(["user: one", "assistant: answer 1", "user: three"]);
  });

  test("that cannot be read for now fails the turn in words and is not lost", async () => {
    const transcripts = new MemoryTranscripts();
    await start(transcripts);
    await t.says("one");
    const read = transcripts.read.bind(transcripts);
    transcripts.read = async () => Promise.reject(new StoreError("HOME_UNUSABLE", "The transcript cannot be used: EACCES."));
    await t.says("two");
    expect(notices()).toEqual([expect.stringContaining("EACCES")]);
    transcripts.read = read;
    await t.says("three");
    expect(model.heard[0]).toBe("user: one");
  });

  test("that never got an answer leaves no transcript behind", async () => {
    await start();
    model.refuse = () => new ModelCallError("MODEL_REFUSED", "no credit left");
    await t.says("one");
    await t.says("two");
    expect(readdirSync(transcriptsOf("main"))).toEqual([]);
  });

  test("holds what a turn did that ended at its step limit", async () => {
    const restless: Model = {
      id: "restless",
      stream: async (_options, signal) => {
        const call = { toolCallId: "c", toolName: "exec", input: { command: "look" } };
        const step = { deltas: [], toolCalls: [call] };
        return streamOfParts(wholeStepParts(step, { modelId: "restless", responseId: "r", inputTokens: 1 }), signal);
      },
    };
    await t.open({ model: restless }).start();
    await t.says("one");
    expect(t.texts).toEqual([expect.stringContaining("limit of 40 model steps")]);
    await restart();
    await t.says("go on");
    expect(model.heard).toEqual(["user: one", "user: go on"]);
    expect(model.prompts[0]?.filter(({ role }) => role === "tool")).toHaveLength(40);
  });

  test("does not hold a turn that came to nothing", async () => {
    await start();
    await t.says("one");
    model.refuse = () => new ModelCallError("MODEL_REFUSED", "no credit left");
    await t.says("poison");
    model.refuse = () => undefined;
    await t.says("three");
    expect(readFileSync(transcript("main"), "utf8")).not.toContain("poison\\");
    expect(model.heard.slice(0, 2)).toEqual(["user: one", "assistant: answer 1"]);
  });
});

describe("a task", () => {
  test("with the group's context goes on with the group's conversation, and the conversation with it", async () => {
    await start();
    await t.says("one");
    schedule("group");
    await restart();
    await t.host.settled();
    expect(model.heard).toEqual(["user: one", "assistant: answer 1", "user: the task"]);
    await t.says("two");
    expect(model.heard.slice(2)).toEqual(["user: the task", "assistant: answer 2", "user: two"]);
  });

  test("of its own starts fresh and leaves the conversation as it was", async () => {
    await start();
    await t.says("one");
    schedule("isolated");
    await restart();
    await t.host.settled();
    expect(model.heard).toEqual(["user: the task"]);
    await t.says("two");
    expect(model.heard).toEqual(["user: one", "assistant: answer 1", "user: two"]);
  });

  test("never begins a conversation (contract §5)", async () => {
    await start();
    t.store.registerGroup({ chat: "memory:main", name: "main", folder: "main", trigger: "@Andy", requiresTrigger: false }, t.clock.now());
    schedule("group");
    await restart();
    await t.host.settled();
    expect(model.heard).toEqual(["user: the task"]);
    expect(sessionRows()).toEqual([]);
  });
});

describe("a conversation that cannot be taken up", () => {
  const isFresh = async () => {
    await t.says("two");
    expect(model.heard).toEqual(["user: two"]);
    expect(notices()).toEqual([freshSessionNotice()]);
    await t.says("three");
    expect(model.heard).toEqual(["user: two", expect.stringContaining("answer"), "user: three"]);
    expect(notices()).toHaveLength(1);
  };

  test("because its transcript is damaged begins anew, says so once, and is kept aside", async () => {
    await start();
    await t.says("one");
    const path = transcript("main");
    writeFileSync(path, `${readFileSync(path, "utf8")}{half a line\n`);
    await isFresh();
    expect(readdirSync(transcriptsOf("main")).filter((name) => name.endsWith(".damaged"))).toHaveLength(1);
  });

  test("says so before its first answer, also where that is a message on the way", async () => {
    await start();
    await t.says("one");
    rmSync(transcript("main"));
    await t.host.close();
    await t.open().start();
    t.platform.say("say: first");
    t.platform.say("say: second");
    await t.host.settled();
    expect(t.texts.slice(1)).toEqual([freshSessionNotice(), "first", "second"]);
  });

  test("because its transcript was deleted begins anew: what a person deletes does not come back from the journal", async () => {
    await start();
    await t.says("one");
    rmSync(transcript("main"));
    await isFresh();
  });

  test("because an old home names a session nobody has begins anew", async () => {
    await start();
    await t.says("one");
    inDatabase("UPDATE sessions SET session_id = '../../../etc/passwd'");
    await isFresh();
  });

  const tooLong = (prompt: readonly unknown[]) =>
    prompt.length > 2 ? new ModelCallError("MODEL_INPUT_REFUSED", "the prompt is too long") : undefined;

  test("because the provider refuses it is asked again without it, at once", async () => {
    await start();
    await t.says("one");
    model.refuse = tooLong;
    await t.says("two");
    model.refuse = () => undefined;
    expect(model.heard).toEqual(["user: two"]);
    expect(t.texts).toEqual(["answer 1", freshSessionNotice(), "answer 3"]);
    await t.says("three");
    expect(model.heard).toEqual(["user: two", "assistant: answer 3", "user: three"]);
  });

  test("because there is no room for it beside what a tool has brought goes, and the turn goes on without doing anything twice", async () => {
    await start();
    await t.says("one");
    await t.host.close();
    const crowded: Model = {
      id: "crowded",
      stream: async ({ prompt }, signal) => {
        const last = prompt.at(-1);
        if (last?.role === "tool" && prompt.some(isEarlier)) throw new ModelCallError("MODEL_INPUT_REFUSED", "the prompt is too long");
        const call = { toolCallId: "c", toolName: "exec", input: { command: "count" } };
        const step = last?.role === "tool" ? { deltas: ["done"], toolCalls: [] } : { deltas: [], toolCalls: [call] };
        return streamOfParts(wholeStepParts(step, { modelId: "crowded", responseId: "r", inputTokens: 1 }), signal);
      },
    };
    await t.open({ model: crowded }).start();
    await t.says("two");
    expect(t.texts).toEqual(["answer 1", freshSessionNotice(), "done"]);
    expect(t.tools.calls).toEqual(["count"]);
  });

  test("is not given up where the provider refuses the new one as well", async () => {
    await start();
    await t.says("one");
    model.refuse = () => new ModelCallError("MODEL_INPUT_REFUSED", "the provider's form has changed");
    await t.says("two");
    expect(notices()).toEqual([expect.stringContaining("form has changed")]);
    model.refuse = () => undefined;
    await t.says("three");
    expect(model.heard[0]).toBe("user: one");
  });
});
