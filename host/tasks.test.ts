/** Tasks as their people know them: when they run, what they say, and what becomes of them when host or clock misbehave. */
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createScriptedModel } from "./adapters/model-scripted/index.ts";
import { SandboxError } from "./domain/errors.ts";
import { TestHost, until } from "./host-harness.ts";
import type { Model } from "./ports/model.ts";

const SECOND_MS = 1000;

let t: TestHost;
beforeEach(() => {
  t = new TestHost();
});
afterEach(() => t[Symbol.asyncDispose]());

describe("a task", () => {
  /** A model that schedules when asked to, and answers whatever a task asks. */
  const scheduler = (input: object): Model =>
    createScriptedModel({
      clock: t.clock,
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
    const due = new Date(t.clock.now()).toISOString();
    t.store.createTask({
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
    await t.open({ model: scheduler(input) }).start();
    t.platform.say("arrange");
    await t.platform.replied(1);
    await t.host.settled();
  };

  test("asked of the offline model reminds when the time has come", async () => {
    await t.open().start();
    t.platform.say("remind me in 30 seconds to call mum");
    await t.platform.replied(1);
    await t.host.settled();
    expect(t.texts).toEqual([expect.stringMatching(/^Scheduled as task-\d+-\w{6}\. First run: /)]);
    t.clock.advance(30_000);
    await t.platform.replied(2);
    await t.host.settled();
    expect(t.texts[1]).toBe("call mum");
    expect(t.store.tasks()).toMatchObject([{ status: "completed", lastResult: "call mum" }]);
  });

  test("made by the agent runs when it is due, not before, and again after that", async () => {
    await planned(every(60_000));
    const [task] = t.store.tasks();
    expect(task).toMatchObject({ folder: "main", chat: "memory:main", status: "active", contextMode: "isolated" });
    t.clock.advance(59_999);
    await t.host.settled();
    expect(t.texts).toEqual(["planned"]);
    t.clock.advance(1);
    await t.platform.replied(2);
    await t.host.settled();
    t.clock.advance(60_000);
    await t.platform.replied(3);
    await t.host.settled();
    expect(t.texts).toEqual(["planned", "watered", "watered"]);
    expect(t.store.task(task?.id ?? "")).toMatchObject({
      lastResult: "watered",
      failures: 0,
      lastRun: new Date(t.clock.now()).toISOString(),
    });
  });

  test("that is due while the host is down runs once at the next start", async () => {
    await planned(every(60_000));
    await t.host.close();
    t.clock.advance(3_600_000);
    await t.open({ model: scheduler({}) }).start();
    await t.platform.replied(2);
    await t.host.settled();
    t.clock.advance(59_999);
    await t.host.settled();
    expect(t.texts).toEqual(["planned", "watered"]);
  });

  test("that skips what it missed waits for its next time; one that makes up for all runs for each", async () => {
    await planned({ ...every(60_000), catch_up: "skip" });
    await t.host.close();
    t.clock.advance(150_000);
    await t.open({ model: scheduler({}) }).start();
    await t.host.settled();
    expect(t.texts).toEqual(["planned"]);
    t.store.changeTask(t.store.tasks()[0]?.id ?? "", { catchUp: "all", nextRun: new Date(t.clock.now() - 120_000).toISOString() });
    await t.host.close();
    await t.open({ model: scheduler({}) }).start();
    await t.platform.replied(4);
    await t.host.settled();
    expect(t.texts).toEqual(["planned", "watered", "watered", "watered"]);
  });

  test("in the middle of which the host is killed goes on from its journal and is logged once", async () => {
    const gate = t.tools.hold("slow");
    const model = createScriptedModel({
      clock: t.clock,
      steps: [{ toolCalls: [{ name: "exec", input: { command: "slow" } }] }, { text: "finished" }],
    });
    await t.open({ model }).start();
    t.store.registerGroup({ chat: "memory:main", name: "main", folder: "main", trigger: "@Andy", requiresTrigger: false }, t.clock.now());
    makeDueTask("do it");
    await t.host.close();
    await t.open({ model }).start();
    await gate.called;
    const closing = t.host.close();
    t.clock.advance(SECOND_MS);
    await closing;
    gate.release();
    await t.open({ model }).start();
    await t.platform.replied(1);
    await t.host.settled();
    expect(t.texts).toEqual(["finished"]);
    expect(t.tools.calls).toEqual(["slow"]);
    expect(t.store.task("t1")).toMatchObject({ status: "completed", nextRun: null, lastResult: "finished" });
  });

  test("cancelled in its run, in the middle of which the host is killed, ends as a task's turn does: no retry, no session", async () => {
    const gate = t.tools.hold("slow");
    const model = createScriptedModel({
      clock: t.clock,
      steps: [
        { when: { step: 0 }, toolCalls: [{ name: "exec", input: { command: "slow" } }] },
        { when: { step: 1 }, error: { status: 500, message: "no" } },
      ],
    });
    await t.open({ model }).start();
    t.store.registerGroup({ chat: "memory:main", name: "main", folder: "main", trigger: "@Andy", requiresTrigger: false }, t.clock.now());
    await t.host.close();
    await t.open({ model }).start();
    makeDueTask("do it");
    t.host.ask("main", "run_task_now", { task_id: "t1" });
    await gate.called;
    t.store.cancelTask("t1");
    const closing = t.host.close();
    t.clock.advance(SECOND_MS);
    await closing;
    gate.release();
    await t.open({ model }).start();
    await t.host.settled();
    expect(t.store.runs().map(({ outcome }) => outcome)).toEqual(["interrupted", "failed"]);
    expect(t.store.turnOfSession(1)).toBeUndefined();
    expect(t.store.foldersWithWork()).toEqual([]);
  });

  test("that keeps failing tells its chat once, is held back longer each time, and is paused after the fifth, which it says", async () => {
    await planned(every(60_000, "fail"));
    const [id = ""] = t.store.tasks().map((task) => task.id);
    for (const [failures, minutes] of [1, 1, 5, 10, 20].entries()) {
      t.clock.advance(minutes * 60_000 - 1);
      await t.host.settled();
      expect(t.store.task(id)).toMatchObject({ failures });
      t.clock.advance(1);
      await until(() => t.store.task(id)?.failures === failures + 1);
      await t.host.settled();
    }
    expect(t.texts).toEqual([
      "planned",
      expect.stringMatching(/^\[hermit\] Task task-\S+ \(“fail”\) failed: .+ It runs next at \d{4}-\d\d-\d\d \d\d:\d\d \(UTC\)\./),
      expect.stringMatching(/^\[hermit\] Task task-\S+ \(“fail”\) was paused: it failed 5 times in a row/),
    ]);
    const outcomes = t.store.taskRuns(id, 10).map(({ outcome, figures }) => [outcome, figures?.runs]);
    expect(outcomes).toEqual(Array.from({ length: 5 }, () => ["failed", 1]));
    expect(t.store.tasks()).toMatchObject([{ status: "paused", failures: 5 }]);
    const said = t.texts.length;
    t.clock.advance(3_600_000);
    await t.host.settled();
    expect(t.texts).toHaveLength(said);
  });

  test("of a group that is gone leaves one error, is paused, and the main group is told", async () => {
    await planned(every(60_000));
    const vandal = new Database(join(t.home, "store", "messages.db"));
    vandal.exec("UPDATE scheduled_tasks SET group_folder = 'gone'");
    vandal.close();
    t.clock.advance(60_000);
    await t.platform.replied(2);
    t.clock.advance(3_600_000);
    await t.host.settled();
    expect(t.texts).toEqual(["planned", expect.stringMatching(/was paused: No group is registered in the folder gone/)]);
    expect(t.store.tasks()).toMatchObject([{ status: "paused" }]);
  });

  test("is not answered by what people say meanwhile, and does not wait for their conversation to fall silent", async () => {
    const gate = t.tools.hold("slow");
    await t.open().start();
    t.platform.say("run: slow");
    await gate.called;
    makeDueTask("run: task");
    t.store.runTaskNow("t1", t.clock.now());
    gate.release();
    await t.platform.replied(2);
    await t.host.settled();
    expect(t.texts).toEqual(["did slow", "did task"]);
  });

  test("that is due does not wait for a turn of messages that backs off", async () => {
    await t.open().start();
    t.runtime.failNextStart(new SandboxError("SANDBOX_START_FAILED", "no room", { retryable: true }));
    t.platform.say("run: x");
    await until(() => t.store.groups().length > 0 && t.host.status().groups[0]?.state === "backing-off");
    t.host.ask("main", "schedule_task", {
      prompt: "say: on time",
      schedule_type: "once",
      schedule_value: new Date(t.clock.now() + 1_000).toISOString(),
    });
    await until(() => t.clock.armed > 1);
    t.clock.advance(1_000);
    await t.platform.replied(1);
    expect(t.texts).toEqual(["on time"]);
    t.clock.advance(4_000);
    await t.platform.replied(2);
    expect(t.texts).toEqual(["on time", "did x"]);
  });

  test("whose clock jumps: set back it is not early, set forward it is at most a minute late", async () => {
    await planned(every(3_600_000));
    const wall = t.clock.now();
    t.clock.jump(-1_800_000);
    t.clock.advance(3_600_000);
    await t.host.settled();
    expect(t.texts).toEqual(["planned"]);
    t.clock.jump(wall + 3_600_000 - t.clock.now());
    t.clock.advance(60_000);
    await t.platform.replied(2);
  });
});
