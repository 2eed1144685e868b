/** NanoClaw's old agent in our runner's place: the whole host, the real link and the compatibility runner, with a puppet for the agent. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadScenario } from "../contracts/replay/scenario.ts";
import { type PayloadAction, playPayload } from "../contracts/suites/scripted-payload.ts";
import { type CompatOptions, runCompat } from "../runner-image/compat/run-compat.ts";
import type { FakeClock } from "./adapters/memory/fake-clock.ts";
import type { MemoryPlatform } from "./adapters/memory/memory-channel.ts";
import { createMemoryRuntime, type MemoryRuntime } from "./adapters/memory/memory-sandbox-runtime.ts";
import { payloadModel } from "./adapters/model-payload/index.ts";
import { NOTICE_MARK } from "./domain/notice.ts";
import type { Host } from "./host-parts.ts";
import { settings, TestHost, until } from "./host-harness.ts";
import type { AnthropicCall } from "./ports/anthropic-api.ts";
import type { Store } from "./ports/store.ts";

const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
const SCENARIOS = join(import.meta.dirname, "../fixtures/golden/scenarios");
const LIMITS = { steps: 12, toolCalls: 4, toolOutputBytes: 4096, toolTimeoutMs: 1 };

let t: TestHost;
let home: string;
let clock: FakeClock;
let platform: MemoryPlatform;
let own: MemoryRuntime;
let compat: MemoryRuntime;
let ipcFolders: string[];
/** What the agent's processes got on standard input. */
let inputs: Record<string, unknown>[];
let calls: AnthropicCall[];
/** Before each answer of the agent's model. */
let answering: () => Promise<void>;
let store: Store;
let host: Host;

beforeEach(() => {
  t = new TestHost();
  ({ home, clock, platform } = t);
  [ipcFolders, inputs, calls] = [[], [], []];
  answering = async () => undefined;
});
afterEach(async () => {
  await t[Symbol.asyncDispose]();
  for (const folder of ipcFolders) rmSync(folder, { recursive: true, force: true });
});

/** The puppet in this process. */
function puppet(ipc: string): CompatOptions["startPayload"] {
  return (stdin, _start, modelUrl) => {
    inputs.push(JSON.parse(stdin) as Record<string, unknown>);
    const [stdout, stderr, killed] = [new PassThrough(), new PassThrough(), new AbortController()];
    const [out, err] = [stdout, stderr].map((stream) => (text: string) => void stream.write(text)) as [() => void, () => void];
    const exited = playPayload({ stdin, ipc, modelUrl, out, err, signal: killed.signal }).finally(() => {
      stdout.end();
      stderr.end();
    });
    return { stdout, stderr, exited, kill: () => killed.abort() };
  };
}

async function open({ groups, endsAt = clock.now() + DAY_MS }: { groups?: readonly string[]; endsAt?: number } = {}): Promise<void> {
  compat = createMemoryRuntime({
    clock,
    runner: async (stream, signal) => {
      const ipcPath = mkdtempSync(join(tmpdir(), "hermit-ipc-"));
      ipcFolders.push(ipcPath);
      const patience = { resultMs: 10, nothingMs: 20, heldMs: 60, leaveMs: 100 };
      await runCompat({ stream, signal, pid: 1, ipcPath, startPayload: puppet(ipcPath), patience });
      return 0;
    },
  });
  const turn = { ...settings(home).turn, limits: LIMITS, retry: { baseMs: 5 * SECOND_MS, maxRetries: 1, jitter: 0 } };
  host = t.open({
    over: { turn, maxMessageBytes: 100_000 },
    compatibility: {
      rules: { until: "2026-01-01", endsAt, groups },
      runtime: compat,
      workspaces: { prepare: () => ({ mounts: [], user: { uid: 1, gid: 1 } }) },
      model: payloadModel,
      anthropic: {
        async call(call) {
          calls.push(call);
          await answering();
          const answer = { content: [{ type: "text", text: `answer ${calls.length}` }] };
          return { status: 200, contentType: "application/json", body: ReadableStream.from([Buffer.from(JSON.stringify(answer))]) };
        },
      },
    },
  });
  ({ store, runtime: own } = t);
  await host.start();
}

const script = (...actions: readonly PayloadAction[]): string => `do: ${JSON.stringify(actions)}`;
const texts = () => t.texts;
/** Says it and waits until nothing is left to do. */
async function say(text: string, chat?: string): Promise<void> {
  platform.say(text, chat === undefined ? {} : { chat });
  await host.settled();
}
/** As `say`, for a turn that is tried again after a wait. */
async function sayAndRetry(text: string): Promise<void> {
  platform.say(text);
  let isSettled = false;
  void host.settled().then(() => (isSettled = true));
  await until(() => {
    if (host.status().groups.some(({ state }) => state === "backing-off")) clock.advance(SECOND_MS);
    return isSettled;
  });
}
const outcomes = () => store.runs().map(({ outcome }) => outcome);

describe("a turn of the old agent", () => {
  test("gets the message on standard input, and what comes between the markers is the reply", async () => {
    await open();
    await say("hello");
    expect(texts()).toEqual(["heard hello"]);
    const prompt = expect.stringMatching(/^<messages>\n<message sender="Ada" time="[^"]+">hello<\/message>\n<\/messages>$/);
    expect(inputs).toEqual([{ prompt, groupFolder: "main", chatJid: "memory:main", isMain: true }]);
    expect([own.started.length, compat.started.length, outcomes()]).toEqual([0, 1, ["done"]]);
  });

  test("names its conversation, and the next one is asked to go on with it", async () => {
    await open();
    await say(script({ reply: "one", session: "abc-1" }));
    await say(script({ reply: "two", session: "abc-2" }));
    await say("three");
    expect(inputs.map(({ sessionId }) => sessionId)).toEqual([undefined, "abc-1", "abc-2"]);
  });

  test("may say several things: all are sent in order, without what it keeps to itself", async () => {
    await open();
    await say(
      script({ reply: "one" }, { noise: "a log line\n" }, { reply: "<internal>hm</internal>" }, { reply: "<internal>so</internal>two" }),
    );
    expect(texts()).toEqual(["one", "two"]);
  });

  test("that says something while its model is still at work is heard at once, and waited for", async () => {
    await open();
    const working = Promise.withResolvers<void>();
    answering = () => working.promise;
    platform.say(script({ wonder: "what else?" }, { reply: "one" }, { await: join(home, "go") }, { reply: "two" }));
    await platform.replied(1);
    expect(outcomes()).toEqual([null]);
    writeFileSync(join(home, "go"), "");
    await platform.replied(2);
    working.resolve();
    await host.settled();
    expect([texts(), outcomes()]).toEqual([["one", "two"], ["done"]]);
  });

  test("that has nothing to say ends without a reply", async () => {
    await open();
    await say(script({ nothing: true }));
    await say(script({ exit: 0 }));
    expect([texts(), outcomes()]).toEqual([[], ["done", "done"]]);
  });

  test("is given what people say meanwhile through its folder, in the same sandbox", async () => {
    await open();
    const [busy, go] = [join(home, "busy"), join(home, "go")];
    platform.say(script({ make: busy }, { await: go }, { reply: "first" }));
    await until(() => existsSync(busy));
    platform.say("second");
    await until(() => store.waiting() === 1);
    writeFileSync(go, "");
    await host.settled();
    expect(texts()).toEqual(["first", "heard second"]);
    expect([compat.started.length, inputs.length]).toEqual([1, 1]);
  });

  test("that ended with its answer is begun again with what was said meanwhile, and goes on with its conversation", async () => {
    await open();
    const [busy, go] = [join(home, "busy"), join(home, "go")];
    platform.say(script({ make: busy }, { await: go }, { reply: "first", session: "abc" }, { exit: 0 }));
    await until(() => existsSync(busy));
    platform.say("second");
    await until(() => store.waiting() === 1);
    writeFileSync(go, "");
    await host.settled();
    expect(texts()).toEqual(["first", "heard second"]);
    expect(inputs.map(({ sessionId }) => sessionId)).toEqual([undefined, "abc"]);
    expect(compat.started.length).toBe(1);
  });

  test("that ends with an error is tried again, and its last words are the reason", async () => {
    await open();
    await sayAndRetry(script({ stderr: "out of luck" }, { exit: 3 }));
    expect(texts()).toEqual([`${NOTICE_MARK} I could not finish this: “The agent exited with code 3: out of luck”`]);
    expect(outcomes()).toEqual(["failed", "failed"]);
  });

  test("that says something and then fails has said it", async () => {
    await open();
    await say(script({ reply: "half of it" }, { error: "no luck" }));
    expect(texts()).toEqual(["half of it", `${NOTICE_MARK} I could not finish this: “no luck”`]);
  });

  test("that fails after it said something is not tried again, so nothing is said twice", async () => {
    await open();
    await say(script({ file: "messages/1.json", body: { type: "message", chatJid: "memory:main", text: "on it" } }, { error: "no luck" }));
    expect(texts()).toEqual(["on it", `${NOTICE_MARK} I could not finish this: “no luck”`]);
  });

  test("whose conversation is gone begins a new one, once", async () => {
    await open();
    await say(script({ reply: "one", session: "abc" }));
    const lost = script({ nothing: true, session: "abc" }, { error: "exited with code 1", session: "abc" });
    // The agent is told the same again, and without a conversation to lose it does something else.
    platform.say(lost);
    await until(() => inputs.length === 3);
    expect(inputs.map(({ sessionId }) => sessionId)).toEqual([undefined, "abc", undefined]);
    await host.stopTurns({ all: true });
    expect(store.runs().at(1)).toMatchObject({ outcome: "failed", error: "“exited with code 1”" });
  });

  test("of a task has its notice, is no part of the group's conversation, and its result is the task's", async () => {
    await open();
    await say(script({ reply: "hi", session: "abc" }));
    host.ask("main", "schedule_task", {
      prompt: script({ reply: "done", session: "task-1" }),
      schedule_type: "once",
      schedule_value: "2026-01-01T00:00:01",
    });
    clock.advance(SECOND_MS);
    await host.settled();
    expect(inputs[1]).toMatchObject({ isScheduledTask: true, prompt: expect.stringMatching(/^do: /) });
    expect(inputs[1]).not.toHaveProperty("sessionId");
    expect(texts()).toEqual(["hi", "done"]);
    expect(store.tasks()[0]).toMatchObject({ status: "completed", lastResult: "done" });
    await say("again");
    expect(inputs[2]).toMatchObject({ sessionId: "abc" });
  });
});

describe("files of the agent", () => {
  test("are done as recorded: sent while it works, before its answer (scenario ipc-message-during-run)", async () => {
    const { agents, expected } = loadScenario(SCENARIOS, "ipc-message-during-run");
    await open();
    const actions = agents[0]?.turns?.[0]?.flatMap((action): PayloadAction[] => {
      if ("ipc" in action) return [{ file: `${action.ipc.dir}/1.json`, body: { ...action.ipc.body, chatJid: "memory:main" } }];
      return "reply" in action ? [{ reply: action.reply }] : [];
    });
    await say(script(...(actions ?? [])));
    const sent = expected.flatMap((one) => (one.obs === "send" ? [one.text.replace(/^Andy: /, "")] : []));
    expect(texts()).toEqual(sent);
  });

  test("that are broken go to its folder of errors, others than .json stay, and the next is done (scenario ipc-malformed-files)", async () => {
    const { events, filesAfter } = loadScenario(SCENARIOS, "ipc-malformed-files");
    await open();
    const files = events.flatMap((event): PayloadAction[] => {
      if (event.op !== "ipc") return [];
      const body = event.body === null ? undefined : { ...event.body, chatJid: "memory:fam" };
      const file = `${event.dir}/${event.file ?? "zz.json"}`;
      return [event.raw === undefined ? { file, body } : { file, raw: event.raw }];
    });
    expect(files.length).toBe(7);
    await say(script(...files, { reply: "done" }), "fam");
    expect(texts()).toEqual(["still alive", "done"]);
    const [ipc = ""] = ipcFolders;
    const left = ["errors", "messages", "tasks"].flatMap((folder) => readdirSync(join(ipc, folder)).map((name) => `${folder}/${name}`));
    // What the old host kept beside the folders of all groups lies in the group's own.
    const recorded = filesAfter.map((path) => String(path).replace(/^data\/ipc\/(fam\/)?/, ""));
    expect(left.toSorted()).toEqual(recorded.toSorted());
  });

  test("put there before it says anything are done, as those from the old host's downtime were (scenario ipc-files-from-downtime)", async () => {
    const { events } = loadScenario(SCENARIOS, "ipc-files-from-downtime");
    await open();
    const files = events.flatMap((event): PayloadAction[] => {
      if (event.op !== "ipc" || event.body === null) return [];
      const { chatJid: _c, targetJid: _t, ...body } = event.body;
      const chat = event.dir === "messages" ? { chatJid: "memory:fam" } : { targetJid: "memory:fam" };
      return [{ file: `${event.dir}/1.json`, body: { ...body, ...chat } }];
    });
    await say(script(...files, { exit: 0 }), "fam");
    expect(texts()).toEqual(["written while down"]);
    expect(store.tasks()).toMatchObject([{ folder: "fam", prompt: "p", scheduleType: "once", status: "active", contextMode: "isolated" }]);
  });

  test("ask for what the group may ask for, whoever they say they are from", async () => {
    await open();
    await say("hello");
    await say(
      script(
        { file: "messages/1.json", body: { type: "message", chatJid: "memory:main", text: "to main", groupFolder: "main", isMain: true } },
        {
          file: "tasks/1.json",
          body: { type: "schedule_task", prompt: "p", schedule_type: "once", schedule_value: "2030-01-01", targetJid: "memory:main" },
        },
        { file: "tasks/2.json", body: { type: "register_group", jid: "x@g.us", name: "X", folder: "x", trigger: "@A", isMain: true } },
        { file: "messages/2.json", body: { type: "message", chatJid: "memory:fam", text: "to myself" } },
        { reply: "done" },
      ),
      "fam",
    );
    expect(texts()).toEqual(["heard hello", "to myself", "done"]);
    expect([store.tasks(), store.groups().length]).toEqual([[], 2]);
    await say(script({ file: "messages/1.json", body: { type: "message", chatJid: "memory:fam", text: "from main" } }, { exit: 0 }));
    expect(platform.replies.at(-1)).toMatchObject({ chat: "memory:fam", text: "from main" });
  });

  test("asked again by a run that was cut off are not done twice", async () => {
    await open();
    const busy = join(home, "busy");
    const wait = [{ make: busy }, { await: join(home, "go") }] as const;
    platform.say(
      script({ file: "messages/1.json", body: { type: "message", chatJid: "memory:main", text: "once" } }, ...wait, { reply: "done" }),
    );
    await until(() => texts().includes("once") && existsSync(busy));
    const closing = host.close();
    clock.advance(SECOND_MS);
    await closing;
    writeFileSync(join(home, "go"), "");
    await open();
    await host.settled();
    expect(texts()).toEqual(["once", "done"]);
    expect(outcomes()).toEqual(["interrupted", "done"]);
  });

  test("past the limit of a turn's steps are left, and the answer is sent all the same", async () => {
    await open();
    const files = Array.from({ length: LIMITS.steps + 2 }, (_, n): PayloadAction => {
      return { file: `messages/${n}.json`, body: { type: "message", chatJid: "memory:main", text: `n${n}` } };
    });
    await say(script(...files, { reply: "done" }));
    expect(texts()).toEqual(["n0", "n1", "n10", "n11", "done"]);
    expect(store.runs()).toMatchObject([{ outcome: "done", steps: LIMITS.steps }]);
  });
});

describe("what the agent may know", () => {
  test("lies in its snapshots: the group's own tasks, and for main everybody's and the groups there are", async () => {
    await open();
    for (const chat of ["main", "fam"]) {
      await say("hello", chat === "main" ? undefined : chat);
      host.ask(chat, "schedule_task", { prompt: `for ${chat}`, schedule_type: "interval", schedule_value: "60000" });
      clock.advance(1);
    }
    store.nameChats([{ chat: "old@g.us", name: "Old" }], clock.now());
    const shown = async (file: string, chat?: string): Promise<unknown> => {
      await say(script({ show: file }), chat);
      return JSON.parse(texts().at(-1) ?? "");
    };
    expect(await shown("current_tasks.json")).toMatchObject([{ groupFolder: "fam" }, { groupFolder: "main", prompt: "for main" }]);
    expect(await shown("current_tasks.json", "fam")).toMatchObject([{ groupFolder: "fam", schedule_type: "interval", status: "active" }]);
    const groups = [{ jid: "old@g.us", name: "Old", lastActivity: new Date(clock.now()).toISOString(), isRegistered: false }];
    expect(await shown("available_groups.json")).toMatchObject({ groups });
    expect(await shown("available_groups.json", "fam")).toMatchObject({ groups: [] });
  });
});

describe("the agent's model", () => {
  test("is asked through the host, with nothing of the agent's headers but what the service must know", async () => {
    await open();
    await say(script({ ask: "what now?" }));
    expect(texts()).toEqual(["answer 1"]);
    expect(calls).toEqual([
      {
        path: "/v1/messages",
        headers: { "anthropic-version": "2023-06-01" },
        body: { model: "claude-test", max_tokens: 100, messages: [{ role: "user", content: "what now?" }] },
      },
    ]);
  });

  test("may be asked as often as a turn may take steps and call tools, and is then refused in words", async () => {
    await open();
    const most = LIMITS.steps + LIMITS.toolCalls;
    await say(script({ ask: "again", times: most + 1 }));
    expect(calls.length).toBe(most);
    expect(texts().at(-1)).toBe(`403 This turn reached its limit of ${most} calls of a model.`);
  });
});

describe("it ends", () => {
  test("for the groups it was never meant for: their turns are our own runner's", async () => {
    await open({ groups: ["fam"] });
    await say("hello", "fam");
    await say("hello");
    expect(texts()).toEqual(["heard hello", expect.stringContaining("offline")]);
    expect([compat.started.length, own.started.length]).toEqual([1, 1]);
  });

  test("by itself after its last day: our own runner goes on, main is told once, and never again after a restart", async () => {
    await open();
    await say("hello");
    clock.advance(DAY_MS);
    await say("hello");
    await say("hello");
    const told = `${NOTICE_MARK} The compatibility runner ended with 2026-01-01, as it was set up to. My own runner answers from now on.`;
    expect(texts().filter((text) => text === told).length).toBe(1);
    expect([compat.started.length, own.started.length]).toEqual([1, 2]);
    const endsAt = clock.now();
    await host.close();
    await open({ endsAt });
    await host.settled();
    expect(texts().filter((text) => text === told).length).toBe(1);
  });

  test("a host that starts after the last day says so at once", async () => {
    await open();
    await say("hello");
    await host.close();
    clock.advance(DAY_MS);
    await open({ endsAt: clock.now() });
    await host.settled();
    expect(texts().at(-1)).toContain("The compatibility runner ended");
    expect(compat.started).toEqual([]);
  });
});
