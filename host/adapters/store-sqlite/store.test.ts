import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { InboundMessage } from "../../domain/message.ts";
import { formatMessages } from "../../domain/prompt.ts";
import { startsTurn } from "../../domain/trigger.ts";
import type { BatchRules, Store } from "../../ports/store.ts";
import { openStore } from "./index.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const FIGURES = { firstTokenAt: null, steps: 1, toolCalls: 0, inputTokens: 2, outputTokens: 3 };
const rules = (over: Partial<BatchRules> = {}): BatchRules => ({
  now: NOW,
  maxMessages: 16,
  maxBytes: 1_000_000,
  starts: (group, texts) => startsTurn(group, texts, "Andy"),
  format: formatMessages,
  ...over,
});
const group = (folder: string, requiresTrigger = false) => ({
  chat: `chat:${folder}`,
  name: folder,
  folder,
  trigger: "@Andy",
  requiresTrigger,
});
const message = (folder: string, id: string, text = id): InboundMessage => ({
  id,
  chat: `chat:${folder}`,
  sender: "s",
  senderName: "Sam",
  text,
  timestamp: new Date(NOW).toISOString(),
  isFromMe: false,
});

let home: string;
let store: Store;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-store-"));
  store = openStore(home);
});
afterEach(() => {
  store.close();
  rmSync(home, { recursive: true, force: true });
});
const reopen = (): void => {
  store.close();
  store = openStore(home);
};
const accept = (folder: string, id: string, text?: string, replyVia: string | null = null) =>
  store.accept(message(folder, id, text), { now: NOW, replyVia, register: group(folder) });
const claim = (folder: string, over?: Partial<BatchRules>) => {
  const turn = store.claimTurn(folder, rules(over));
  if (turn === undefined) throw new Error("nothing to claim");
  return turn;
};

describe("inbox", () => {
  test("a message offered twice is stored once and answered once", () => {
    expect(accept("a", "m1")).toBe("new");
    expect(accept("a", "m1")).toBe("known");
    claim("a");
    expect(accept("a", "m1")).toBe("known");
    expect(store.waiting()).toBe(0);
  });

  test("the same id in two chats is two messages", () => {
    accept("a", "m1");
    accept("b", "m1");
    expect(store.waiting()).toBe(2);
    expect(store.waiting("b")).toBe(1);
  });

  test("a message of a chat nobody registered is ignored and leaves no row", () => {
    expect(store.accept(message("a", "m1"), { now: NOW, replyVia: null })).toBe("ignored");
    expect(store.waiting()).toBe(0);
    expect(store.groups()).toEqual([]);
  });

  test("messages of the same second are all taken, in arrival order", () => {
    for (const id of ["z", "y", "x"]) accept("a", id);
    expect(claim("a").journal).toEqual([
      {
        kind: "input",
        text: `<messages>\n${["z", "y", "x"].map((id) => `<message sender="Sam" time="2026-01-02T03:04:05.000Z">${id}</message>`).join("\n")}\n</messages>`,
      },
    ]);
  });

  test("messages that arrive out of order are read in the order they were said", () => {
    store.accept({ ...message("a", "later"), timestamp: "2026-01-02T03:04:09.000Z" }, { now: NOW, replyVia: null, register: group("a") });
    store.accept({ ...message("a", "sooner"), timestamp: "2026-01-02T03:04:07.000Z" }, { now: NOW, replyVia: null });
    expect(claim("a").journal[0]).toMatchObject({ text: expect.stringMatching(/sooner[^]*later/) });
  });

  test("an edited message that waits is read as it was edited, and one that was given starts nothing again", () => {
    accept("a", "m1", "first");
    expect(accept("a", "m1", "mended")).toBe("known");
    expect(claim("a").journal[0]).toMatchObject({ text: expect.stringContaining("mended") });
    expect(accept("a", "m1", "mended again")).toBe("known");
    expect(store.waiting()).toBe(0);
  });

  test("both cursors of the old program follow what was stored and what was given", () => {
    const cursors = (): unknown => {
      const db = new Database(join(home, "store", "messages.db"), { readonly: true });
      const rows = db.prepare("SELECT key, value FROM router_state ORDER BY key DESC").all();
      db.close();
      return rows;
    };
    accept("a", "m1");
    expect(cursors()).toEqual([{ key: "last_timestamp", value: "2026-01-02T03:04:05.000Z" }]);
    claim("a");
    expect(cursors()).toEqual([
      { key: "last_timestamp", value: "2026-01-02T03:04:05.000Z" },
      { key: "last_agent_timestamp", value: '{"chat:a":"2026-01-02T03:04:05.000Z"}' },
    ]);
  });

  test("a refused message leaves a notice in the outbox once and never starts a turn", () => {
    const options = { now: NOW, replyVia: null, register: group("a"), notice: "too large" };
    expect(store.refuse(message("a", "m1"), options)).toBe("refused");
    expect(store.refuse(message("a", "m1"), options)).toBe("known");
    expect(store.claimTurn("a", rules())).toBeUndefined();
    expect(store.outboxHeads().map((row) => row.text)).toEqual(["too large"]);
  });

  test("a folder another chat holds is refused and the other chat keeps its row", () => {
    store.registerGroup(group("a"), NOW);
    expect(() => store.registerGroup({ ...group("a"), chat: "chat:other" }, NOW)).toThrow(/registered as a/);
    expect(store.groups().map(({ chat }) => chat)).toEqual(["chat:a"]);
  });
});

describe("turns", () => {
  test("a batch is bounded in messages and bytes, and what is left waits for the next turn", () => {
    for (let i = 0; i < 5; i++) accept("a", `m${i}`, "x".repeat(100));
    expect(claim("a", { maxMessages: 3 }).journal[0]).toMatchObject({ text: expect.stringContaining("x".repeat(100)) });
    expect(store.waiting("a")).toBe(2);
  });

  test("a single message larger than the batch is still taken", () => {
    accept("a", "big", "x".repeat(5000));
    expect(claim("a", { maxBytes: 10 }).attempt).toBe(1);
  });

  test("a group that needs its trigger waits for it and is then given everything said before", () => {
    store.registerGroup(group("a", true), NOW);
    for (let i = 0; i < 40; i++) accept("a", `m${i}`, "chatter");
    expect(store.claimTurn("a", rules())).toBeUndefined();
    accept("a", "call", "@Andy hello");
    const input = JSON.stringify(claim("a").journal[0]);
    expect(input.split("chatter").length - 1).toBe(40);
    expect(input).toContain("@Andy hello");
  });

  test("talk that waits for a trigger keeps nobody out, and only so much of it is kept as context", () => {
    store.registerGroup(group("a", true), NOW);
    for (let i = 0; i < 520; i++) accept("a", `m${i}`, `said ${i}.`);
    expect(store.waiting()).toBe(0);
    expect(store.waiting("a")).toBe(500);
    accept("a", "call", "@Andy hello");
    const input = JSON.stringify(claim("a").journal[0]);
    expect(input).not.toContain("said 20.");
    expect(input).toContain("said 21.");
    expect(input).toContain("@Andy hello");
  });

  test("replies that leave another way end the batch", () => {
    accept("a", "m1", "one", null);
    accept("a", "m2", "two", "console");
    expect(claim("a")).toMatchObject({ replyVia: null, journal: [{ text: expect.not.stringContaining("two") }] });
  });

  test("a turn that was cut off is claimed again with its journal, before any waiting message", () => {
    accept("a", "m1");
    const first = claim("a");
    store.recordStep(first.id, { step: 0, content: [{ type: "tool-call", toolCallId: "c", toolName: "exec", input: {} }] }, NOW);
    store.recordResult(first.id, { step: 0, toolCallId: "c", toolName: "exec", text: "ok", isError: false }, NOW);
    accept("a", "m2");
    reopen();
    expect(store.foldersWithWork()).toEqual(["a"]);
    const second = claim("a");
    expect(second).toMatchObject({ id: first.id, attempt: 2, failures: 0 });
    expect(second.journal.map(({ kind }) => kind)).toEqual(["input", "step", "result"]);
    expect(store.runs()).toMatchObject([{ outcome: "interrupted" }, { outcome: null }]);
  });

  test("a tool result reported twice keeps the first", () => {
    accept("a", "m1");
    const { id } = claim("a");
    const result = { step: 0, toolCallId: "c", toolName: "exec", isError: false };
    store.recordResult(id, { ...result, text: "first" }, NOW);
    store.recordResult(id, { ...result, text: "second" }, NOW);
    expect(store.findResult(id, 0, "c")?.text).toBe("first");
  });

  test("a host tool repeated after a crash sends one reply", () => {
    accept("a", "m1");
    const { id } = claim("a");
    const reply = { step: 0, toolCallId: "c", text: "hello" };
    store.putReply(id, reply, NOW);
    reopen();
    store.putReply(id, reply, NOW);
    expect(store.counts().undelivered).toBe(1);
  });

  test("finishing with messages that arrived meanwhile stores the reply and goes on; without, it ends the turn", () => {
    accept("a", "m1");
    const { id, runId } = claim("a");
    accept("a", "m2", "late");
    const step = { step: 0, content: [{ type: "text" as const, text: "one" }] };
    expect(store.finishTurn(id, { runId, step, reply: "one", figures: FIGURES, now: NOW, rules: rules() })).toContain("late");
    expect(store.counts().turns.running).toBe(1);
    expect(store.finishTurn(id, { runId, reply: "two", figures: FIGURES, now: NOW, rules: rules() })).toBeUndefined();
    expect(store.counts()).toMatchObject({ waiting: 0, undelivered: 2, turns: { running: 0, delivering: 1 } });
  });

  test("a turn is done when its last reply is delivered, or at once when it says nothing", () => {
    accept("a", "m1");
    const first = claim("a");
    store.finishTurn(first.id, { runId: first.runId, reply: "hi", figures: FIGURES, now: NOW });
    const [row] = store.outboxHeads();
    store.markSent(row?.id ?? -1, NOW);
    accept("a", "m2");
    const second = claim("a");
    store.finishTurn(second.id, { runId: second.runId, reply: "", figures: FIGURES, now: NOW });
    expect(store.counts().turns).toEqual({ running: 0, delivering: 0, done: 2, failed: 0 });
  });

  test("states only move forward: a turn that is over takes no input, no finish and no failure", () => {
    accept("a", "m1");
    const { id, runId } = claim("a");
    store.finishTurn(id, { runId, reply: "", figures: FIGURES, now: NOW });
    accept("a", "m2");
    expect(store.takeInput(id, rules())).toBeUndefined();
    store.failTurn(id, { runId, outcome: "failed", error: "x", notice: "x", figures: FIGURES, now: NOW });
    expect(store.counts()).toMatchObject({ waiting: 1, undelivered: 0, turns: { done: 1, failed: 0 } });
  });

  test("messages of a turn that was given up join the next one, once", () => {
    const giveUp = () => {
      const { id, runId, journal } = claim("a");
      store.failTurn(id, { runId, outcome: "failed", error: "x", notice: "sorry", figures: FIGURES, now: NOW });
      return JSON.stringify(journal);
    };
    accept("a", "m1", "first");
    giveUp();
    expect(store.claimTurn("a", rules())).toBeUndefined();
    accept("a", "m2", "second");
    expect(giveUp()).toMatch(/first.*second/);
    accept("a", "m3", "third");
    expect(giveUp()).not.toMatch(/first|second/);
  });

  test("a turn whose messages broke its sandbox does not drag the next one into it", () => {
    accept("a", "m1", "a bomb");
    const { id, runId } = claim("a");
    store.failTurn(id, { runId, outcome: "failed", error: "x", notice: "sorry", figures: FIGURES, now: NOW, isPoisoned: true });
    accept("a", "m2", "innocent");
    const { journal } = claim("a");
    expect(JSON.stringify(journal)).toMatch(/innocent/);
    expect(JSON.stringify(journal)).not.toMatch(/bomb/);
  });

  test("a turn that had said something, or was stopped by the owner, is not taken up again", () => {
    accept("a", "m1", "first");
    const spoken = claim("a");
    store.putReply(spoken.id, { step: 0, toolCallId: "c", text: "half" }, NOW);
    store.failTurn(spoken.id, { runId: spoken.runId, outcome: "failed", error: "x", notice: "sorry", figures: FIGURES, now: NOW });
    accept("a", "m2", "second");
    const stopped = claim("a");
    expect(JSON.stringify(stopped.journal)).not.toContain("first");
    store.failTurn(stopped.id, { runId: stopped.runId, outcome: "stopped", error: "x", notice: "ok", figures: FIGURES, now: NOW });
    accept("a", "m3", "third");
    expect(JSON.stringify(claim("a").journal)).not.toContain("second");
  });

  test("a failed turn tells its chat and lets the next message start a new one", () => {
    accept("a", "m1");
    const { id, runId } = claim("a");
    store.failTurn(id, { runId, outcome: "timeout", error: "too slow", notice: "sorry", figures: FIGURES, now: NOW });
    expect(store.outboxHeads()).toMatchObject([{ text: "sorry", turnId: id }]);
    accept("a", "m2");
    expect(claim("a").id).not.toBe(id);
  });
});

describe("outbox", () => {
  test("each chat shows its oldest undelivered reply only", () => {
    for (const folder of ["a", "b"]) {
      accept(folder, "m1");
      for (const text of ["one", "two"]) store.notify(`chat:${folder}`, text, NOW);
    }
    expect(store.outboxHeads().map(({ chat, text }) => `${chat} ${text}`)).toEqual(["chat:a one", "chat:b one"]);
  });

  test("a reply whose sending was cut off is reported once as doubtful and not offered again", () => {
    accept("a", "m1");
    store.notify("chat:a", "hello", NOW);
    store.markSending(store.outboxHeads()[0]?.id ?? -1);
    reopen();
    expect(store.takeDoubtful(NOW).map(({ text }) => text)).toEqual(["hello"]);
    expect(store.takeDoubtful(NOW)).toEqual([]);
    expect(store.outboxHeads()).toEqual([]);
  });

  test("what is to be said once is said once, also by a later host", () => {
    expect(store.notifyOnce("the end", "chat:a", "over", NOW)).toBe(true);
    reopen();
    expect(store.notifyOnce("the end", "chat:a", "over", NOW)).toBe(false);
    expect(store.notifyOnce("another end", "chat:b", "over", NOW)).toBe(true);
    expect(store.outboxHeads().map(({ chat, isNotice }) => [chat, isNotice])).toEqual([
      ["chat:a", true],
      ["chat:b", true],
    ]);
  });
});

describe("what the old program stored for a group", () => {
  test.each([
    [null, {}],
    ["not json", {}],
    ["[]", {}],
    ['{"timeout":5000}', { timeoutMs: 5000 }],
    ['{"timeout":-1,"additionalMounts":{}}', {}],
    [
      '{"additionalMounts":[{"hostPath":"~/a","containerPath":"b","readonly":false},{"hostPath":1},null,{"hostPath":"~/c","containerPath":2}]}',
      { mounts: [{ hostPath: "~/a", containerPath: "b", readonly: false }] },
    ],
  ])("as %j is read as far as it can be", (config, read) => {
    store.registerGroup(group("a"), NOW);
    store.close();
    const db = new Database(join(home, "store", "messages.db"));
    db.prepare("UPDATE registered_groups SET container_config = ?").run(config);
    db.close();
    store = openStore(home);
    expect(store.groupByFolder("a")).toEqual({ ...group("a"), ...read });
  });
});
