/** The whole host on the in-memory twins of engine and platform; store, link and runner are the real ones. */
import { join } from "node:path";
import type { Duplex } from "node:stream";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createScriptedModel } from "./adapters/model-scripted/index.ts";
import { HostError, SandboxError } from "./domain/errors.ts";
import { NOTICE_MARK } from "./domain/notice.ts";
import { settings, TestHost, until } from "./host-harness.ts";

const SECOND_MS = 1000;

let t: TestHost;
beforeEach(() => {
  t = new TestHost();
});
afterEach(() => t[Symbol.asyncDispose]());

describe("a message", () => {
  test("goes through store, queue, sandbox, tool and outbox, and comes back as a reply", async () => {
    await t.open().start();
    t.platform.say("run: uname");
    await t.platform.replied(1);
    await t.host.settled();
    expect(t.texts).toEqual(["did uname"]);
    expect(t.store.counts()).toMatchObject({ waiting: 0, undelivered: 0, turns: { done: 1, failed: 0 } });
    expect(t.store.runs()).toMatchObject([{ folder: "main", outcome: "done", steps: 2, toolCalls: 1 }]);
    expect(await t.runtime.listOwned(t.store.instance)).toEqual([]);
  });

  test("that arrives while its group's turn runs joins the turn, and each is answered once and in order", async () => {
    const gate = t.tools.hold("slow");
    await t.open().start();
    t.platform.say("run: slow");
    await gate.called;
    for (const text of ["one", "two"]) t.platform.say(text);
    await until(() => t.store.waiting() === 2);
    gate.release();
    await t.platform.replied(3);
    await t.host.settled();
    expect(t.texts).toMatchObject(["did slow", expect.stringContaining("one"), expect.stringContaining("two")]);
    expect(t.runtime.started).toHaveLength(1);
  });

  test("in one chat does not wait for a turn in another", async () => {
    const gate = t.tools.hold("slow");
    await t.open().start();
    t.platform.say("run: slow", { chat: "a" });
    await gate.called;
    t.platform.say("run: quick", { chat: "b" });
    await t.platform.replied(1);
    expect(t.repliesIn("b")).toEqual(["did quick"]);
    gate.release();
    await t.platform.replied(2);
  });

  test("that is too large is refused in words, and the chat goes on", async () => {
    await t.open().start();
    t.platform.say("x".repeat(10_001));
    t.platform.say("run: after");
    await t.platform.replied(2);
    expect(t.texts).toContain("did after");
    expect(t.texts).toContainEqual(expect.stringContaining(`${NOTICE_MARK} That message is too large (10001 bytes; the limit is 10000)`));
    expect(t.runtime.started).toHaveLength(1);
  });

  test("beyond the inbox's limit is held back by the channel and taken in order once there is room", async () => {
    const gate = t.tools.hold("slow");
    await t.open({ over: { maxWaitingMessages: 2, maxBatchMessages: 1 } }).start();
    t.platform.say("run: slow");
    await gate.called;
    for (let i = 0; i < 5; i++) t.platform.say(`run: n${i}`);
    await until(() => t.store.waiting() === 2);
    gate.release();
    const nudge = setInterval(() => t.clock.advance(100), 1);
    await t.platform.replied(6);
    clearInterval(nudge);
    expect(t.texts).toEqual(["did slow", ...[0, 1, 2, 3, 4].map((i) => `did n${i}`)]);
  });

  test("of a chat nobody registered starts nothing", async () => {
    await t.open().start();
    t.platform.say("run: secretly", { chat: "stranger", arrival: null });
    t.platform.say("run: openly");
    await t.platform.replied(1);
    await t.host.settled();
    expect(t.tools.calls).toEqual(["openly"]);
    expect(t.host.status().ignored).toBe(1);
  });
});

describe("a failing turn", () => {
  test("is tried again with growing pauses, then told to the chat, and taken up once more with the next message", async () => {
    await t.open().start();
    for (let i = 0; i < 6; i++) t.runtime.failNextStart(new SandboxError("SANDBOX_START_FAILED", "no room", { retryable: true }));
    const attempts: number[] = [];
    t.platform.say("run: x");
    const started = t.clock.now();
    for (const pause of [5, 10, 20, 40, 80]) {
      await until(() => t.store.groups().length > 0 && t.host.status().groups[0]?.state === "backing-off");
      attempts.push((t.clock.now() - started) / SECOND_MS);
      t.clock.advance(pause * SECOND_MS);
    }
    await t.platform.replied(1);
    expect(attempts).toEqual([0, 5, 15, 35, 75]);
    expect(t.texts).toEqual([`${NOTICE_MARK} I could not finish this: no room`]);
    expect(t.host.failures()).toBe(1);
    expect(t.store.runs()).toHaveLength(6);
    t.platform.say("run: y");
    await t.platform.replied(3);
    expect(t.texts.slice(1)).toEqual(["did x", "did y"]);
  });

  test("that no retry can mend is told at once, with what to do", async () => {
    await t.open().start();
    t.runtime.failNextStart(new SandboxError("IMAGE_MISSING", "The runner image is gone.", { hint: "Run `make image`." }));
    t.platform.say("run: x");
    await t.platform.replied(1);
    expect(t.texts).toEqual([`${NOTICE_MARK} I could not finish this: The runner image is gone. Run \`make image\`.`]);
  });

  test("whose sandbox dies goes on from its journal: nothing is repeated", async () => {
    await t.open().start();
    t.platform.say("run: first");
    await t.platform.replied(1);
    const gate = t.tools.hold("second");
    t.runtime.dieNextAfter(6_000);
    t.platform.say("run: second");
    await gate.called;
    gate.release();
    await until(() => t.host.status().groups[0]?.state === "backing-off" || t.texts.length > 1);
    t.clock.advance(5 * SECOND_MS);
    await t.platform.replied(2);
    await t.host.settled();
    expect(t.texts).toHaveLength(2);
    expect(t.tools.calls.filter((command) => command === "second")).toHaveLength(1);
  });

  test("whose model says no keeps the half-said text to itself", async () => {
    const model = createScriptedModel({
      clock: t.clock,
      steps: [{ deltas: ["half an ans"], error: { status: 400, message: "bad request" } }],
    });
    await t.open({ model }).start();
    t.platform.say("hello");
    await t.platform.replied(1);
    expect(t.texts).toEqual([expect.stringMatching(/^\[hermit\] I could not finish this: .*bad request/)]);
    expect(t.store.runs()).toMatchObject([{ outcome: "failed" }]);
  });

  test("whose runner falls silent is ended by the idle timeout", async () => {
    const runner = (_link: Duplex, signal: AbortSignal): Promise<number> => {
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve(0)));
    };
    const { turn } = settings(t.home);
    await t.open({ runner, over: { turn: { ...turn, retry: { ...turn.retry, maxRetries: 0 } } } }).start();
    t.platform.say("hello");
    await until(() => t.host.status().groups[0]?.sandbox != null);
    t.clock.advance(60 * SECOND_MS);
    await t.platform.replied(1);
    expect(t.texts[0]).toContain("silent for 60 s");
    expect(t.store.runs()).toMatchObject([{ outcome: "timeout" }]);
  });
});

describe("stop", () => {
  test("ends the group's turn, tells the chat, and leaves other groups alone", async () => {
    const [a, b] = [t.tools.hold("a"), t.tools.hold("b")];
    await t.open().start();
    t.platform.say("run: a", { chat: "a" });
    t.platform.say("run: b", { chat: "b" });
    await Promise.all([a.called, b.called]);
    expect(await t.host.stopTurns({ group: "a" })).toMatchObject({ stopped: [{ folder: "a" }] });
    await t.platform.replied(1);
    expect(t.repliesIn("a")).toEqual([`${NOTICE_MARK} Stopped.`]);
    b.release();
    await t.platform.replied(2);
    expect(t.repliesIn("b")).toEqual(["did b"]);
    await t.host.settled();
    await expect(t.host.stopTurns({ group: "nobody" })).rejects.toThrow(/No group nobody/);
    expect(await t.host.stopTurns({ all: true })).toEqual({ stopped: [] });
  });
});

describe("a restart", () => {
  test("in the middle of a tool reports the tool as interrupted and never runs it again", async () => {
    const gate = t.tools.hold("slow");
    await t.open().start();
    t.platform.say("run: slow");
    await gate.called;
    const closing = t.host.close();
    t.clock.advance(SECOND_MS);
    await closing;
    expect(t.texts).toEqual([]);
    await t.open().start();
    await t.platform.replied(1);
    expect(t.texts).toEqual([expect.stringMatching(/^Interrupted/)]);
    expect(t.tools.calls).toEqual(["slow"]);
    expect(t.store.runs()).toMatchObject([{ outcome: "interrupted" }, { outcome: "done", attempt: 2 }]);
  });

  test("under one turn again and again gives the turn up, with a word to the chat, and goes on with the next message", async () => {
    await t.open().start();
    t.platform.say("run: unlucky", { chat: "a", id: "m1" });
    await t.platform.replied(1);
    await t.host.close();
    const vandal = new Database(join(t.home, "store", "messages.db"));
    vandal.exec("UPDATE hermit_turns SET state = 'running'; DELETE FROM hermit_outbox; UPDATE hermit_runs SET outcome = 'interrupted'");
    for (let n = 0; n < 20; n++)
      vandal.exec(
        "INSERT INTO hermit_runs (turn_id, attempt, generation, started_at, ended_at, outcome) VALUES (1, 1, 1, 1, 1, 'interrupted')",
      );
    vandal.close();
    await t.open().start();
    await t.platform.replied(2);
    expect(t.texts[1]).toBe(
      `${NOTICE_MARK} I could not finish this: The host ended 21 times while it worked on this. Its log may say why.`,
    );
    t.platform.say("run: next", { chat: "a" });
    await t.platform.replied(3);
    expect(t.texts[2]).toBe("did next");
  });

  test("finds a turn whose journal cannot be read, gives it up in words, and goes on with the next message", async () => {
    const gate = t.tools.hold("slow");
    await t.open().start();
    t.platform.say("run: slow");
    await gate.called;
    const closing = t.host.close();
    t.clock.advance(SECOND_MS);
    await closing;
    const vandal = new Database(join(t.home, "store", "messages.db"));
    vandal.exec("UPDATE hermit_journal SET body = '{}'");
    vandal.close();
    await t.open().start();
    await t.host.settled();
    expect(t.texts).toEqual([expect.stringContaining("cannot be read any more")]);
    await t.says("run: next");
    expect(t.texts.at(-1)).toBe("did next");
  });

  test("keeps a reply to a chat no channel here serves, settles all the same, and says so once", async () => {
    await t.open().start();
    t.store.registerGroup({ chat: "wa:fam", name: "fam", folder: "fam", trigger: "@Andy", requiresTrigger: false }, t.clock.now());
    t.store.say("wa:fam", "one", t.clock.now());
    t.store.say("wa:fam", "two", t.clock.now());
    await t.says("say: here");
    await t.says("say: again");
    expect(t.texts).toEqual(["here", "again"]);
    expect(t.store.counts()).toMatchObject({ undelivered: 2 });
    expect(t.warnings).toEqual(["no connected channel serves this chat; its replies are kept until one does"]);
    expect(t.host.failures()).toBe(0);
  });

  test("delivers a reply that was stored and not yet sent", async () => {
    await t.open().start();
    t.platform.failNextDelivery(new HostError("DELIVERY_FAILED", "offline", { retryable: true }));
    t.platform.say("run: x");
    await until(() => t.store.counts().turns.delivering === 1);
    await t.host.close();
    expect(t.texts).toEqual([]);
    await t.open().start();
    await t.platform.replied(1);
    await t.host.settled();
    expect(t.texts).toEqual(["did x"]);
    expect(t.store.counts().turns).toMatchObject({ delivering: 0, done: 1 });
  });

  test("delivers a reply that its channel refused for now until the host gave up", async () => {
    await t.open().start();
    for (let attempt = 0; attempt < 6; attempt++) {
      t.platform.failNextDelivery(new HostError("DELIVERY_FAILED", "offline", { retryable: true }));
    }
    t.platform.say("run: x");
    // Only then: a clock that runs ahead of the runner would end the turn as silent.
    await until(() => t.store.counts().turns.delivering === 1 && t.host.status().slots.used === 0);
    await until(() => {
      t.clock.advance(SECOND_MS);
      return t.host.failures() === 1;
    });
    await t.host.settled();
    expect(t.texts).toEqual([]);
    await t.host.close();
    await t.open().start();
    await t.platform.replied(1);
    await t.host.settled();
    expect(t.texts).toEqual(["did x"]);
    expect(t.store.counts()).toMatchObject({ undelivered: 0, turns: { done: 1, failed: 0 } });
  });

  test("never repeats a reply on a channel that cannot tell, and says so", async () => {
    await t.open({ delivery: "uncertain" }).start();
    t.platform.say("run: x");
    await t.platform.replied(1);
    await t.host.settled();
    t.store.notify("memory:main", "in doubt", t.clock.now());
    t.store.markSending(t.store.outboxHeads()[0]?.id ?? -1);
    await t.host.close();
    await t.open({ delivery: "uncertain" }).start();
    await t.platform.replied(2);
    expect(t.texts).toEqual(["did x", expect.stringMatching(/may or may not have arrived: “in doubt”/)]);
  });
});

describe("limits", () => {
  test("a model that never stops calling tools is ended by the step limit, in words", async () => {
    const model = createScriptedModel({
      clock: t.clock,
      loop: true,
      steps: [{ toolCalls: [{ name: "exec", input: { command: "again" } }] }],
    });
    await t.open({ model }).start();
    t.platform.say("go");
    await t.platform.replied(1);
    expect(t.texts[0]).toMatch(/limit of 40 model steps/);
    expect(t.tools.calls).toHaveLength(40);
  });

  test("more messages than one turn has steps for are all answered, over several turns and in order", async () => {
    await t.open().start();
    const numbers = Array.from({ length: 60 }, (_, i) => i);
    for (const n of numbers) t.platform.say(`run: ${n}`);
    await t.platform.replied(numbers.length);
    await t.host.settled();
    expect(t.texts).toEqual(numbers.map((n) => `did ${n}`));
    expect(t.store.counts().turns.done).toBeGreaterThan(1);
  });

  test("a reply longer than the limit is cut in the middle, with a mark", async () => {
    await t.open({ model: createScriptedModel({ clock: t.clock, steps: [{ text: "x".repeat(10_000) }] }) }).start();
    t.platform.say("go");
    await t.platform.replied(1);
    expect(t.texts[0]).toMatch(/^x+\n\[… \d+ bytes cut …\]\nx+$/);
    expect(Buffer.byteLength(t.texts[0] ?? "")).toBeLessThanOrEqual(4096);
  });
});

test("a store that fails stops the host instead of letting it act on what is not on disk", async () => {
  await t.open().start();
  const vandal = new Database(join(t.home, "store", "messages.db"));
  vandal.exec("DROP TABLE hermit_inbox");
  vandal.close();
  t.platform.say("run: x");
  await expect(t.host.broken).rejects.toMatchObject({ code: "STORE_BROKEN" });
  expect(t.tools.calls).toEqual([]);
});

test("a host that has settled knows what its platform calls the groups, and main has it asked again", async () => {
  t.platform.groups = [{ chat: "memory:fam", name: "Family" }];
  await t.open({ listsGroups: true }).start();
  t.platform.say("say: hello");
  await t.host.settled();
  expect(t.host.ask("main", "list_groups", {}).text).toContain('not registered: memory:fam "Family"');
  t.platform.groups = [{ chat: "memory:fam", name: "Renamed" }];
  expect(t.host.ask("main", "refresh_groups", {})).toMatchObject({ isError: false });
  await t.host.settled();
  expect(t.host.ask("main", "list_groups", {}).text).toContain('not registered: memory:fam "Renamed"');
  await t.host.close();
  expect(t.clock.armed).toBe(0);
});
