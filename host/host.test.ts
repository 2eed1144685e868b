/** The whole host on the in-memory twins of engine and platform; store, link and runner are the real ones. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runOnLink } from "../runner-image/runner/run-on-link.ts";
import type { Toolbox } from "../runner-image/tools/registry.ts";
import { createLinkServer } from "./adapters/link-http2/index.ts";
import { FakeClock } from "./adapters/memory/fake-clock.ts";
import { MemoryChannel, MemoryPlatform } from "./adapters/memory/memory-channel.ts";
import { createMemoryRuntime, type MemoryRuntime } from "./adapters/memory/memory-sandbox-runtime.ts";
import { createOfflineModel } from "./adapters/model-offline/index.ts";
import { createScriptedModel } from "./adapters/model-scripted/index.ts";
import { openStore } from "./adapters/store-sqlite/index.ts";
import { HostError, SandboxError } from "./domain/errors.ts";
import type { Zone } from "./domain/schedule-zone.ts";
import { NOTICE_MARK } from "./domain/notice.ts";
import { createHost, type Host, type HostSettings } from "./host.ts";
import type { DeliveryGuarantee } from "./ports/channel.ts";
import type { Log } from "./ports/log.ts";
import type { Model } from "./ports/model.ts";
import type { Store } from "./ports/store.ts";

const SECOND_MS = 1000;
const UTC: Zone = { name: "UTC", stretchAt: () => ({ from: -Infinity, until: Infinity, offset: 0, before: 0 }) };
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

const settings = (home: string): HostSettings => ({
  home,
  version: "test",
  turn: {
    assistantName: "Andy",
    timeZone: "UTC",
    system: "You are a test.",
    limits: { steps: 40, toolCalls: 100, toolOutputBytes: 4096, toolTimeoutMs: 5 * SECOND_MS },
    replyBytes: 4096,
    idleTimeoutMs: 60 * SECOND_MS,
    hardTimeoutMs: 600 * SECOND_MS,
    stopGraceMs: SECOND_MS,
    retry: { baseMs: 5 * SECOND_MS, maxRetries: 5, jitter: 0 },
  },
  slots: 2,
  maxWaitingMessages: 100,
  maxMessageBytes: 10_000,
  maxBatchMessages: 16,
  maxBatchBytes: 100_000,
  sandboxLimits: { memoryBytes: 1, pids: 1, cpus: 1, tmpBytes: 1 },
  sandboxStartTimeoutMs: 5 * SECOND_MS,
  shutdownGraceMs: SECOND_MS,
});

/** Tools that run no command: `exec` answers from a table, and says when it was called. */
class TableTools {
  readonly calls: string[] = [];
  readonly #gates = new Map<string, Promise<void>>();
  readonly #called = new Map<string, () => void>();

  /** `exec` of this command waits until the returned function is called. */
  hold(command: string): { called: Promise<void>; release: () => void } {
    const gate = Promise.withResolvers<void>();
    const called = Promise.withResolvers<void>();
    this.#gates.set(command, gate.promise);
    this.#called.set(command, called.resolve);
    return { called: called.promise, release: gate.resolve };
  }

  toolbox(): Toolbox {
    const schema = { type: "object" };
    return {
      definitions: [
        { name: "exec", description: "", inputSchema: schema, runsOn: "sandbox" },
        { name: "send_message", description: "", inputSchema: schema, runsOn: "host" },
        { name: "schedule_task", description: "", inputSchema: schema, runsOn: "host" },
      ],
      run: async (_name, input, { signal }) => {
        const { command } = input as { command: string };
        this.calls.push(command);
        this.#called.get(command)?.();
        const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
        await Promise.race([this.#gates.get(command), aborted]);
        return { text: `did ${command}`, isError: false };
      },
      close() {},
    };
  }
}

let home: string;
let clock: FakeClock;
let platform: MemoryPlatform;
let tools: TableTools;
let runtime: MemoryRuntime;
let store: Store;
let host: Host;

function open(
  options: {
    model?: Model;
    delivery?: DeliveryGuarantee;
    runner?: (link: Duplex, signal: AbortSignal) => Promise<number>;
    over?: Partial<HostSettings>;
  } = {},
): Host {
  runtime = createMemoryRuntime({
    clock,
    runner:
      options.runner ??
      (async (stream, signal) => {
        await runOnLink({ stream, signal, pid: 1, openToolbox: async () => tools.toolbox() });
        return 0;
      }),
  });
  store = openStore(home);
  const delivery = options.delivery ?? "idempotent";
  host = createHost(
    {
      store,
      runtime,
      workspaces: { prepare: () => ({ mounts: [], user: { uid: 1, gid: 1 } }) },
      timeZones: { find: (name) => (name === "UTC" ? UTC : undefined), local: () => "UTC" },
      links: createLinkServer(),
      model: options.model ?? createOfflineModel(),
      channels: [new MemoryChannel({ platform, clock, delivery })],
      clock,
      log: silent,
      random: () => 0,
    },
    { ...settings(home), ...options.over },
  );
  return host;
}

const texts = () => platform.replies.map(({ text }) => text);
const repliesIn = (chat: string) => platform.replies.filter((reply) => reply.chat === `memory:${chat}`).map(({ text }) => text);
/** Lets timers of the runner's own process and sockets make progress without moving the host's clock. */
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-host-"));
  clock = new FakeClock();
  platform = new MemoryPlatform(clock);
  tools = new TableTools();
});
afterEach(async () => {
  const closing = host.close();
  // Whatever a failed test left running is cut off.
  const nudge = setInterval(() => clock.advance(SECOND_MS), 10);
  await closing;
  clearInterval(nudge);
  rmSync(home, { recursive: true, force: true });
});

describe("a message", () => {
  test("goes through store, queue, sandbox, tool and outbox, and comes back as a reply", async () => {
    await open().start();
    platform.say("run: uname");
    await platform.replied(1);
    await host.settled();
    expect(texts()).toEqual(["did uname"]);
    expect(store.counts()).toMatchObject({ waiting: 0, undelivered: 0, turns: { done: 1, failed: 0 } });
    expect(store.runs()).toMatchObject([{ folder: "main", outcome: "done", steps: 2, toolCalls: 1 }]);
    expect(await runtime.listOwned(store.instance)).toEqual([]);
  });

  test("that arrives while its group's turn runs joins the turn, and each is answered once and in order", async () => {
    const gate = tools.hold("slow");
    await open().start();
    platform.say("run: slow");
    await gate.called;
    for (const text of ["one", "two"]) platform.say(text);
    await until(() => store.waiting() === 2);
    gate.release();
    await platform.replied(3);
    await host.settled();
    expect(texts()).toMatchObject(["did slow", expect.stringContaining("one"), expect.stringContaining("two")]);
    expect(runtime.started).toHaveLength(1);
  });

  test("in one chat does not wait for a turn in another", async () => {
    const gate = tools.hold("slow");
    await open().start();
    platform.say("run: slow", { chat: "a" });
    await gate.called;
    platform.say("run: quick", { chat: "b" });
    await platform.replied(1);
    expect(repliesIn("b")).toEqual(["did quick"]);
    gate.release();
    await platform.replied(2);
  });

  test("that is too large is refused in words, and the chat goes on", async () => {
    await open().start();
    platform.say("x".repeat(10_001));
    platform.say("run: after");
    await platform.replied(2);
    expect(texts()).toContain("did after");
    expect(texts()).toContainEqual(expect.stringContaining(`${NOTICE_MARK} That message is too large (10001 bytes; the limit is 10000)`));
    expect(runtime.started).toHaveLength(1);
  });

  test("beyond the inbox's limit is held back by the channel and taken in order once there is room", async () => {
    const gate = tools.hold("slow");
    await open({ over: { maxWaitingMessages: 2, maxBatchMessages: 1 } }).start();
    platform.say("run: slow");
    await gate.called;
    for (let i = 0; i < 5; i++) platform.say(`run: n${i}`);
    await until(() => store.waiting() === 2);
    gate.release();
    const nudge = setInterval(() => clock.advance(100), 1);
    await platform.replied(6);
    clearInterval(nudge);
    expect(texts()).toEqual(["did slow", ...[0, 1, 2, 3, 4].map((i) => `did n${i}`)]);
  });

  test("of a chat nobody registered starts nothing", async () => {
    await open().start();
    platform.say("run: secretly", { chat: "stranger", arrival: null });
    platform.say("run: openly");
    await platform.replied(1);
    await host.settled();
    expect(tools.calls).toEqual(["openly"]);
    expect(host.status().ignored).toBe(1);
  });
});

describe("a failing turn", () => {
  test("is tried again with growing pauses, then told to the chat, and taken up once more with the next message", async () => {
    await open().start();
    for (let i = 0; i < 6; i++) runtime.failNextStart(new SandboxError("SANDBOX_START_FAILED", "no room", { retryable: true }));
    const attempts: number[] = [];
    platform.say("run: x");
    const started = clock.now();
    for (const pause of [5, 10, 20, 40, 80]) {
      await until(() => store.groups().length > 0 && host.status().groups[0]?.state === "backing-off");
      attempts.push((clock.now() - started) / SECOND_MS);
      clock.advance(pause * SECOND_MS);
    }
    await platform.replied(1);
    expect(attempts).toEqual([0, 5, 15, 35, 75]);
    expect(texts()).toEqual([`${NOTICE_MARK} I could not finish this: no room`]);
    expect(host.failures()).toBe(1);
    expect(store.runs()).toHaveLength(6);
    platform.say("run: y");
    await platform.replied(3);
    expect(texts().slice(1)).toEqual(["did x", "did y"]);
  });

  test("that no retry can mend is told at once, with what to do", async () => {
    await open().start();
    runtime.failNextStart(new SandboxError("IMAGE_MISSING", "The runner image is gone.", { hint: "Run `make image`." }));
    platform.say("run: x");
    await platform.replied(1);
    expect(texts()).toEqual([`${NOTICE_MARK} I could not finish this: The runner image is gone. Run \`make image\`.`]);
  });

  test("whose sandbox dies goes on from its journal: nothing is repeated", async () => {
    await open().start();
    platform.say("run: first");
    await platform.replied(1);
    const gate = tools.hold("second");
    runtime.dieNextAfter(6_000);
    platform.say("run: second");
    await gate.called;
    gate.release();
    await until(() => host.status().groups[0]?.state === "backing-off" || texts().length > 1);
    clock.advance(5 * SECOND_MS);
    await platform.replied(2);
    await host.settled();
    expect(texts()).toHaveLength(2);
    expect(tools.calls.filter((command) => command === "second")).toHaveLength(1);
  });

  test("whose model says no keeps the half-said text to itself", async () => {
    const model = createScriptedModel({ clock, steps: [{ deltas: ["half an ans"], error: { status: 400, message: "bad request" } }] });
    await open({ model }).start();
    platform.say("hello");
    await platform.replied(1);
    expect(texts()).toEqual([expect.stringMatching(/^\[hermit\] I could not finish this: .*bad request/)]);
    expect(store.runs()).toMatchObject([{ outcome: "failed" }]);
  });

  test("whose runner falls silent is ended by the idle timeout", async () => {
    const runner = (_link: Duplex, signal: AbortSignal): Promise<number> => {
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve(0)));
    };
    const { turn } = settings(home);
    await open({ runner, over: { turn: { ...turn, retry: { ...turn.retry, maxRetries: 0 } } } }).start();
    platform.say("hello");
    await until(() => host.status().groups[0]?.sandbox != null);
    clock.advance(60 * SECOND_MS);
    await platform.replied(1);
    expect(texts()[0]).toContain("silent for 60 s");
    expect(store.runs()).toMatchObject([{ outcome: "timeout" }]);
  });
});

describe("stop", () => {
  test("ends the group's turn, tells the chat, and leaves other groups alone", async () => {
    const [a, b] = [tools.hold("a"), tools.hold("b")];
    await open().start();
    platform.say("run: a", { chat: "a" });
    platform.say("run: b", { chat: "b" });
    await Promise.all([a.called, b.called]);
    expect(await host.stopTurns({ group: "a" })).toMatchObject({ stopped: [{ folder: "a" }] });
    await platform.replied(1);
    expect(repliesIn("a")).toEqual([`${NOTICE_MARK} Stopped.`]);
    b.release();
    await platform.replied(2);
    expect(repliesIn("b")).toEqual(["did b"]);
    await host.settled();
    await expect(host.stopTurns({ group: "nobody" })).rejects.toThrow(/No group nobody/);
    expect(await host.stopTurns({ all: true })).toEqual({ stopped: [] });
  });
});

describe("a restart", () => {
  test("in the middle of a tool reports the tool as interrupted and never runs it again", async () => {
    const gate = tools.hold("slow");
    await open().start();
    platform.say("run: slow");
    await gate.called;
    const closing = host.close();
    clock.advance(SECOND_MS);
    await closing;
    expect(texts()).toEqual([]);
    await open().start();
    await platform.replied(1);
    expect(texts()).toEqual([expect.stringMatching(/^Interrupted/)]);
    expect(tools.calls).toEqual(["slow"]);
    expect(store.runs()).toMatchObject([{ outcome: "interrupted" }, { outcome: "done", attempt: 2 }]);
  });

  test("under one turn again and again gives the turn up, with a word to the chat, and goes on with the next message", async () => {
    await open().start();
    platform.say("run: unlucky", { chat: "a", id: "m1" });
    await platform.replied(1);
    await host.close();
    const vandal = new Database(join(home, "store", "messages.db"));
    vandal.exec("UPDATE hermit_turns SET state = 'running'; DELETE FROM hermit_outbox; UPDATE hermit_runs SET outcome = 'interrupted'");
    for (let n = 0; n < 20; n++)
      vandal.exec(
        "INSERT INTO hermit_runs (turn_id, attempt, generation, started_at, ended_at, outcome) VALUES (1, 1, 1, 1, 1, 'interrupted')",
      );
    vandal.close();
    await open().start();
    await platform.replied(2);
    expect(texts()[1]).toBe(
      `${NOTICE_MARK} I could not finish this: The host ended 21 times while it worked on this. Its log may say why.`,
    );
    platform.say("run: next", { chat: "a" });
    await platform.replied(3);
    expect(texts()[2]).toBe("did next");
  });

  test("delivers a reply that was stored and not yet sent", async () => {
    await open().start();
    platform.failNextDelivery(new HostError("DELIVERY_FAILED", "offline", { retryable: true }));
    platform.say("run: x");
    await until(() => store.counts().turns.delivering === 1);
    await host.close();
    expect(texts()).toEqual([]);
    await open().start();
    await platform.replied(1);
    await host.settled();
    expect(texts()).toEqual(["did x"]);
    expect(store.counts().turns).toMatchObject({ delivering: 0, done: 1 });
  });

  test("delivers a reply that its channel refused for now until the host gave up", async () => {
    await open().start();
    for (let attempt = 0; attempt < 6; attempt++) {
      platform.failNextDelivery(new HostError("DELIVERY_FAILED", "offline", { retryable: true }));
    }
    platform.say("run: x");
    // Only then: a clock that runs ahead of the runner would end the turn as silent.
    await until(() => store.counts().turns.delivering === 1 && host.status().slots.used === 0);
    await until(() => {
      clock.advance(SECOND_MS);
      return host.failures() === 1;
    });
    await host.settled();
    expect(texts()).toEqual([]);
    await host.close();
    await open().start();
    await platform.replied(1);
    await host.settled();
    expect(texts()).toEqual(["did x"]);
    expect(store.counts()).toMatchObject({ undelivered: 0, turns: { done: 1, failed: 0 } });
  });

  test("never repeats a reply on a channel that cannot tell, and says so", async () => {
    await open({ delivery: "uncertain" }).start();
    platform.say("run: x");
    await platform.replied(1);
    await host.settled();
    store.notify("memory:main", "in doubt", clock.now());
    store.markSending(store.outboxHeads()[0]?.id ?? -1);
    await host.close();
    await open({ delivery: "uncertain" }).start();
    await platform.replied(2);
    expect(texts()).toEqual(["did x", expect.stringMatching(/may or may not have arrived: “in doubt”/)]);
  });
});

describe("limits", () => {
  test("a model that never stops calling tools is ended by the step limit, in words", async () => {
    const model = createScriptedModel({ clock, loop: true, steps: [{ toolCalls: [{ name: "exec", input: { command: "again" } }] }] });
    await open({ model }).start();
    platform.say("go");
    await platform.replied(1);
    expect(texts()[0]).toMatch(/limit of 40 model steps/);
    expect(tools.calls).toHaveLength(40);
  });

  test("more messages than one turn has steps for are all answered, over several turns and in order", async () => {
    await open().start();
    const numbers = Array.from({ length: 60 }, (_, i) => i);
    for (const n of numbers) platform.say(`run: ${n}`);
    await platform.replied(numbers.length);
    await host.settled();
    expect(texts()).toEqual(numbers.map((n) => `did ${n}`));
    expect(store.counts().turns.done).toBeGreaterThan(1);
  });

  test("a reply longer than the limit is cut in the middle, with a mark", async () => {
    await open({ model: createScriptedModel({ clock, steps: [{ text: "x".repeat(10_000) }] }) }).start();
    platform.say("go");
    await platform.replied(1);
    expect(texts()[0]).toMatch(/^x+\n\[… \d+ bytes cut …\]\nx+$/);
    expect(Buffer.byteLength(texts()[0] ?? "")).toBeLessThanOrEqual(4096);
  });
});

test("a store that fails stops the host instead of letting it act on what is not on disk", async () => {
  await open().start();
  const vandal = new Database(join(home, "store", "messages.db"));
  vandal.exec("DROP TABLE hermit_inbox");
  vandal.close();
  platform.say("run: x");
  await expect(host.broken).rejects.toMatchObject({ code: "STORE_BROKEN" });
  expect(tools.calls).toEqual([]);
});

describe("a task", () => {
  /** A model that schedules when asked to, and answers whatever a task asks. */
  const scheduler = (input: object): Model =>
    createScriptedModel({
      clock,
      steps: [
        { when: { lastUserContains: "arrange", step: 0 }, toolCalls: [{ name: "schedule_task", input }] },
        { when: { lastUserContains: "arrange", step: 1 }, text: "planned" },
        { when: { lastUserContains: "water the plants", step: 0 }, text: "watered" },
        { when: { lastUserContains: "fail", step: 0 }, error: { status: 400, message: "no" } },
        { text: "hello" },
      ],
    });
  const every = (ms: number, prompt = "water the plants") => ({ prompt, schedule_type: "interval", schedule_value: String(ms) });
  /** Task `t1` of main, due at once; made in the store, so that no turn is needed for it. */
  const makeDueTask = (prompt: string): void => {
    const due = new Date(clock.now()).toISOString();
    store.createTask({
      id: "t1",
      folder: "main",
      chat: "memory:main",
      prompt,
      scheduleType: "once",
      scheduleValue: due,
      contextMode: "isolated",
      nextRun: due,
      lastRun: null,
      lastResult: null,
      status: "active",
      createdAt: due,
      timeZone: null,
      catchUp: "once",
      failures: 0,
    });
  };
  const planned = async (input: object): Promise<void> => {
    await open({ model: scheduler(input) }).start();
    platform.say("arrange");
    await platform.replied(1);
    await host.settled();
  };

  test("asked of the offline model reminds when the time has come", async () => {
    await open().start();
    platform.say("remind me in 30 seconds to call mum");
    await platform.replied(1);
    await host.settled();
    expect(texts()).toEqual([expect.stringMatching(/^Scheduled as task-\d+-\w{6}\. First run: /)]);
    clock.advance(30_000);
    await platform.replied(2);
    await host.settled();
    expect(texts()[1]).toBe("call mum");
    expect(store.tasks()).toMatchObject([{ status: "completed", lastResult: "call mum" }]);
  });

  test("made by the agent runs when it is due, not before, and again after that", async () => {
    await planned(every(60_000));
    const [task] = store.tasks();
    expect(task).toMatchObject({ folder: "main", chat: "memory:main", status: "active", contextMode: "isolated" });
    clock.advance(59_999);
    await host.settled();
    expect(texts()).toEqual(["planned"]);
    clock.advance(1);
    await platform.replied(2);
    await host.settled();
    clock.advance(60_000);
    await platform.replied(3);
    await host.settled();
    expect(texts()).toEqual(["planned", "watered", "watered"]);
    expect(store.task(task?.id ?? "")).toMatchObject({ lastResult: "watered", failures: 0, lastRun: new Date(clock.now()).toISOString() });
  });

  test("that is due while the host is down runs once at the next start", async () => {
    await planned(every(60_000));
    await host.close();
    clock.advance(3_600_000);
    await open({ model: scheduler({}) }).start();
    await platform.replied(2);
    await host.settled();
    clock.advance(59_999);
    await host.settled();
    expect(texts()).toEqual(["planned", "watered"]);
  });

  test("that skips what it missed waits for its next time; one that makes up for all runs for each", async () => {
    await planned({ ...every(60_000), catch_up: "skip" });
    await host.close();
    clock.advance(150_000);
    await open({ model: scheduler({}) }).start();
    await host.settled();
    expect(texts()).toEqual(["planned"]);
    store.changeTask(store.tasks()[0]?.id ?? "", { catchUp: "all", nextRun: new Date(clock.now() - 120_000).toISOString() });
    await host.close();
    await open({ model: scheduler({}) }).start();
    await platform.replied(4);
    await host.settled();
    expect(texts()).toEqual(["planned", "watered", "watered", "watered"]);
  });

  test("in the middle of which the host is killed goes on from its journal and is logged once", async () => {
    const gate = tools.hold("slow");
    const model = createScriptedModel({
      clock,
      steps: [{ toolCalls: [{ name: "exec", input: { command: "slow" } }] }, { text: "finished" }],
    });
    await open({ model }).start();
    store.registerGroup({ chat: "memory:main", name: "main", folder: "main", trigger: "@Andy", requiresTrigger: false }, clock.now());
    makeDueTask("do it");
    await host.close();
    await open({ model }).start();
    await gate.called;
    const closing = host.close();
    clock.advance(SECOND_MS);
    await closing;
    gate.release();
    await open({ model }).start();
    await platform.replied(1);
    await host.settled();
    expect(texts()).toEqual(["finished"]);
    expect(tools.calls).toEqual(["slow"]);
    expect(store.task("t1")).toMatchObject({ status: "completed", nextRun: null, lastResult: "finished" });
  });

  test("that keeps failing tells its chat each time and is paused after the fifth, which it says", async () => {
    await planned(every(60_000, "fail"));
    for (let run = 1; run <= 5; run++) {
      clock.advance(60_000);
      await platform.replied(1 + run);
      await host.settled();
    }
    expect(texts().at(-1)).toMatch(/Task task-\S+ was paused: it failed 5 times in a row/);
    expect(store.tasks()).toMatchObject([{ status: "paused", failures: 5 }]);
    const said = texts().length;
    clock.advance(3_600_000);
    await host.settled();
    expect(texts()).toHaveLength(said);
  });

  test("of a group that is gone leaves one error, is paused, and the main group is told", async () => {
    await planned(every(60_000));
    const vandal = new Database(join(home, "store", "messages.db"));
    vandal.exec("UPDATE scheduled_tasks SET group_folder = 'gone'");
    vandal.close();
    clock.advance(60_000);
    await platform.replied(2);
    clock.advance(3_600_000);
    await host.settled();
    expect(texts()).toEqual(["planned", expect.stringMatching(/was paused: No group is registered in the folder gone/)]);
    expect(store.tasks()).toMatchObject([{ status: "paused" }]);
  });

  test("is not answered by what people say meanwhile, and does not wait for their conversation to fall silent", async () => {
    const gate = tools.hold("slow");
    await open().start();
    platform.say("run: slow");
    await gate.called;
    makeDueTask("run: task");
    store.runTaskNow("t1", clock.now());
    gate.release();
    await platform.replied(2);
    await host.settled();
    expect(texts()).toEqual(["did slow", "did task"]);
  });

  test("that is due does not wait for a turn of messages that backs off", async () => {
    await open().start();
    runtime.failNextStart(new SandboxError("SANDBOX_START_FAILED", "no room", { retryable: true }));
    platform.say("run: x");
    await until(() => store.groups().length > 0 && host.status().groups[0]?.state === "backing-off");
    host.ask("main", "schedule_task", {
      prompt: "say: on time",
      schedule_type: "once",
      schedule_value: new Date(clock.now() + 1_000).toISOString(),
    });
    await until(() => clock.armed > 1);
    clock.advance(1_000);
    await platform.replied(1);
    expect(texts()).toEqual(["on time"]);
    clock.advance(4_000);
    await platform.replied(2);
    expect(texts()).toEqual(["on time", "did x"]);
  });

  test("whose clock jumps: set back it is not early, set forward it is at most a minute late", async () => {
    await planned(every(3_600_000));
    const wall = clock.now();
    clock.jump(-1_800_000);
    clock.advance(3_600_000);
    await host.settled();
    expect(texts()).toEqual(["planned"]);
    clock.jump(wall + 3_600_000 - clock.now());
    clock.advance(60_000);
    await platform.replied(2);
  });
});
