/** What a task leaves on disk: its log, what its runs took, and nothing that grows for ever. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Task } from "../../domain/task.ts";
import type { RunFigures, RunOutcome } from "../../domain/turn.ts";
import type { BatchRules, ClaimedTurn, Store } from "../../ports/store.ts";
import type { CloseTask } from "../../ports/task-store.ts";
import { openStore } from "./index.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const ENDED = NOW + 2500;
const KEPT = 200;
const figures = (over: Partial<RunFigures> = {}): RunFigures => {
  return { firstTokenAt: null, steps: 2, toolCalls: 1, inputTokens: 100, outputTokens: 20, ...over };
};
const rules: BatchRules = { now: NOW, maxMessages: 9, maxBytes: 999, starts: () => true, format: () => "" };
const task = (id: string, folder = "fam"): Task => ({
  id,
  folder,
  chat: `c:${folder}`,
  prompt: "do it",
  scheduleType: "interval",
  scheduleValue: "60000",
  contextMode: "isolated",
  nextRun: new Date(NOW).toISOString(),
  lastRun: null,
  lastResult: null,
  status: "active",
  createdAt: new Date(NOW).toISOString(),
  timeZone: null,
  catchUp: "once",
  failures: 0,
});
/** Due again at once, so that a test need not wait. */
const asBefore: CloseTask = ({ nextRun, status }, _dueAt, { error }) => {
  return { nextRun, status, lastResult: error ?? "ok", failures: 0, ...(error === null ? {} : { notice: `told: ${error}` }) };
};

let home: string;
let store: Store;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-tasks-"));
  store = openStore(home);
  store.registerGroup({ chat: "c:fam", name: "fam", folder: "fam", trigger: "@Andy", requiresTrigger: false }, NOW);
});
afterEach(() => {
  store.close();
  rmSync(home, { recursive: true, force: true });
});

const claim = (): ClaimedTurn => {
  store.claimDue(NOW, () => ({ kind: "run" }));
  const turn = store.claimTurn("fam", rules);
  if (turn === undefined) throw new Error("nothing is due");
  return turn;
};
const finish = ({ id, runId }: ClaimedTurn, took = figures(), result = "said") =>
  store.finishTurn(id, { runId, reply: "", figures: took, now: ENDED, taskEnd: { result, close: asBefore } });
const fail = ({ id, runId }: ClaimedTurn, outcome: RunOutcome = "failed", error = "no model") =>
  store.failTurn(id, { runId, outcome, error, notice: "lost", figures: figures(), now: ENDED, taskEnd: { result: null, close: asBefore } });
const query = <Row>(sql: string): readonly Row[] => {
  const db = new Database(join(home, "store", "messages.db"), { readonly: true });
  try {
    return db.prepare(sql).all() as Row[];
  } finally {
    db.close();
  }
};
const change = (sql: string): void => {
  const db = new Database(join(home, "store", "messages.db"));
  db.exec(sql);
  db.close();
};
const count = (table: string): number => query<{ n: number }>(`SELECT count(*) AS n FROM ${table}`)[0]?.n ?? -1;
const told = () => store.outboxHeads().map(({ text, isNotice }) => [text, isNotice]);

describe("the log of a task", () => {
  test("has a row a run in the old program's table, and beside it what the run took; the cost stays open until there is a price", () => {
    store.createTask(task("t1"));
    finish(claim());
    expect(query("SELECT * FROM task_run_logs")).toEqual([
      { id: 1, task_id: "t1", run_at: new Date(ENDED).toISOString(), duration_ms: 2500, status: "success", result: "said", error: null },
    ]);
    expect(query("SELECT * FROM hermit_task_runs")).toEqual([
      { log_id: 1, turn_id: 1, outcome: "done", runs: 1, steps: 2, input_tokens: 100, output_tokens: 20, cost_microdollars: null },
    ]);
  });

  test("counts all runs of a turn that was begun again: steps go on, tokens add up", () => {
    store.createTask(task("t1"));
    const { runId } = claim();
    store.endRun(runId, { outcome: "interrupted", error: "stopping", figures: figures({ steps: 3 }), now: NOW });
    const again = store.claimTurn("fam", rules);
    if (again === undefined) throw new Error("the turn is gone");
    finish(again, figures({ steps: 5, inputTokens: 7, outputTokens: 1 }));
    expect(store.taskRuns("t1", 9)).toMatchObject([
      { outcome: "done", durationMs: 2500, error: null, figures: { runs: 2, steps: 5, inputTokens: 107, outputTokens: 21 } },
    ]);
  });

  test("says how each run ended, newest first, and only as many as are asked for", () => {
    store.createTask(task("t1"));
    finish(claim());
    fail(claim(), "timeout", "too long");
    fail(claim(), "stopped", "Stopped.");
    const ends = (limit: number) => store.taskRuns("t1", limit).map(({ outcome, error }) => [outcome, error]);
    expect(ends(9)).toEqual([
      ["stopped", "Stopped."],
      ["timeout", "too long"],
      ["done", null],
    ]);
    expect(ends(1)).toHaveLength(1);
    expect(store.taskRuns("t2", 9)).toEqual([]);
  });

  test("shows rows of the old program, which counted nothing", () => {
    store.createTask(task("t1"));
    change(`INSERT INTO task_run_logs (task_id, run_at, duration_ms, status, result, error) VALUES
      ('t1', '2025-01-01T00:00:00.000Z', 10, 'success', 'r', NULL), ('t1', '2025-01-02T00:00:00.000Z', 20, 'error', NULL, 'bad')`);
    expect(store.taskRuns("t1", 9)).toEqual([
      { endedAt: "2025-01-02T00:00:00.000Z", durationMs: 20, outcome: "failed", error: "bad", figures: undefined },
      { endedAt: "2025-01-01T00:00:00.000Z", durationMs: 10, outcome: "done", error: null, figures: undefined },
    ]);
  });

  test("of a group that is gone has its error and took nothing", () => {
    store.createTask(task("t1", "gone"));
    store.claimDue(NOW, () => ({ kind: "pause", error: "no group", notice: "paused" }));
    expect(store.taskRuns("t1", 9)).toMatchObject([{ outcome: "failed", error: "no group", figures: { runs: 0, inputTokens: 0 } }]);
  });
});

describe("bounds", () => {
  test("only the newest runs of each task are kept, in both tables, whatever an old database brought and however its clock was set", () => {
    store.createTask(task("t1"));
    store.createTask(task("t2", "other"));
    const rows = (id: string, n: number, year: number) =>
      `INSERT INTO task_run_logs (task_id, run_at, duration_ms, status, result)
       WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ${n})
       SELECT '${id}', '${year}-01-01T00:00:00.000Z', 0, 'success', n FROM i`;
    change(
      `${rows("t1", KEPT + 50, 2099)}; ${rows("t2", 3, 2020)}; INSERT INTO hermit_task_runs SELECT id, NULL, 'done', 1, 1, 1, 1, NULL FROM task_run_logs`,
    );
    finish(claim(), figures(), "newest");
    const left = query<{ result: string }>("SELECT result FROM task_run_logs WHERE task_id = 't1' ORDER BY id");
    expect(left).toHaveLength(KEPT);
    expect([left[0]?.result, left.at(-1)?.result]).toEqual(["52", "newest"]);
    expect(store.taskRuns("t2", 9)).toHaveLength(3);
    expect(count("hermit_task_runs")).toBe(KEPT + 3);
  });

  test("an occurrence that has ended, or that never began, is gone", () => {
    store.createTask(task("t1"));
    finish(claim());
    fail(claim());
    expect(count("hermit_occurrences")).toBe(0);
    store.runTaskNow("t1", NOW);
    store.cancelTask("t1");
    expect(count("hermit_occurrences")).toBe(0);
  });

  test("a cancelled task takes its log along, and leaves other tasks theirs", () => {
    store.createTask(task("t1"));
    finish(claim());
    store.createTask({ ...task("t2"), nextRun: null });
    store.runTaskNow("t2", NOW);
    store.changeTask("t1", { nextRun: null });
    finish(claim());
    store.cancelTask("t1");
    expect(store.taskRuns("t1", 9)).toEqual([]);
    expect(store.taskRuns("t2", 9)).toHaveLength(1);
    expect([count("task_run_logs"), count("hermit_task_runs")]).toEqual([1, 1]);
  });

  test("a row of ours that outlived its log row is in nobody's way", () => {
    store.createTask(task("t1"));
    change("INSERT INTO hermit_task_runs VALUES (1, NULL, 'failed', 9, 9, 9, 9, NULL)");
    finish(claim());
    expect(store.taskRuns("t1", 9)).toMatchObject([{ outcome: "done", figures: { runs: 1 } }]);
  });
});

describe("an occurrence whose task is gone", () => {
  const orphan = () => change("DELETE FROM scheduled_tasks WHERE id = 't1'");

  test("keeps no other task of its group waiting, and gives the group nothing to do", () => {
    store.createTask({ ...task("t1"), nextRun: null });
    store.runTaskNow("t1", NOW);
    orphan();
    expect(store.foldersWithWork()).toEqual([]);
    store.createTask(task("t2"));
    expect(claim().taskId).toBe("t2");
  });

  test("is itself gone with the next start, one that had begun as well", () => {
    for (const id of ["t1", "t2"]) store.createTask({ ...task(id), nextRun: null });
    for (const id of ["t1", "t2"]) store.runTaskNow(id, NOW);
    const { id } = claim();
    orphan();
    store.close();
    store = openStore(home);
    expect(query("SELECT task_id FROM hermit_occurrences")).toEqual([{ task_id: "t2" }]);
    expect(store.claimTurn("fam", rules)).toMatchObject({ id, taskId: "t1" });
  });
});

describe("an occurrence that waits", () => {
  const due = (): void => void store.claimDue(NOW, () => ({ kind: "run" }));

  test("by schedule is dropped by a pause, and due again when the task is resumed", () => {
    store.createTask(task("t1"));
    due();
    store.changeTask("t1", { status: "paused" });
    expect(store.claimTurn("fam", rules)).toBeUndefined();
    store.changeTask("t1", { status: "active" });
    expect(store.nextDue()).toBe(NOW);
    expect(claim().taskId).toBe("t1");
  });

  test("by schedule is dropped by another next run, and by no other change", () => {
    store.createTask(task("t1"));
    due();
    store.changeTask("t1", { prompt: "other", status: "active", nextRun: new Date(NOW).toISOString() });
    expect(store.foldersWithWork()).toEqual(["fam"]);
    store.changeTask("t1", { nextRun: new Date(NOW + 1).toISOString() });
    expect(store.foldersWithWork()).toEqual([]);
    expect(store.nextDue()).toBe(NOW + 1);
  });

  test("because somebody asked for it stays, whatever becomes of the schedule", () => {
    store.createTask({ ...task("t1"), nextRun: new Date(NOW + 1).toISOString() });
    store.runTaskNow("t1", NOW);
    store.changeTask("t1", { status: "paused", nextRun: new Date(NOW + 2).toISOString() });
    expect(store.claimTurn("fam", rules)?.taskId).toBe("t1");
  });

  test("no longer, but runs, is left to its run by a pause", () => {
    store.createTask(task("t1"));
    const turn = claim();
    store.changeTask("t1", { status: "paused" });
    finish(turn);
    expect(store.taskRuns("t1", 9)).toHaveLength(1);
  });
});

test("a task cancelled in its run leaves a task's turn, also after a new start, and no occurrence", () => {
  store.createTask(task("t1"));
  const { id } = claim();
  store.cancelTask("t1");
  expect(count("hermit_occurrences")).toBe(0);
  store.close();
  store = openStore(home);
  const again = store.claimTurn("fam", rules, "tasks");
  expect(again).toMatchObject({ id, taskId: "t1", session: null });
  if (again !== undefined) finish(again);
  expect(store.foldersWithWork()).toEqual([]);
});

test("a task deleted by hand in its run leaves no occurrence when that ends", () => {
  store.createTask(task("t1"));
  const turn = claim();
  change("DELETE FROM scheduled_tasks");
  finish(turn);
  expect([count("hermit_occurrences"), count("task_run_logs")]).toEqual([0, 0]);
});

test("a run during which the clock was set back is logged as taking no time", () => {
  store.createTask(task("t1"));
  const { id, runId } = claim();
  const taskEnd = { result: "said", close: asBefore };
  store.finishTurn(id, { runId, reply: "", figures: figures(), now: NOW - 60_000, taskEnd });
  expect(store.taskRuns("t1", 9)).toMatchObject([{ durationMs: 0 }]);
});

describe("a failed turn", () => {
  test("of a task tells what the task's closing says, once", () => {
    store.createTask(task("t1"));
    fail(claim());
    expect(told()).toEqual([["told: no model", true]]);
  });

  test("of a task whose closing says nothing tells nothing", () => {
    store.createTask(task("t1"));
    const { id, runId } = claim();
    const quiet: CloseTask = ({ nextRun, status }) => ({ nextRun, status, lastResult: "", failures: 2 });
    const end = { result: null, close: quiet };
    store.failTurn(id, { runId, outcome: "failed", error: "e", notice: "lost", figures: figures(), now: ENDED, taskEnd: end });
    expect(told()).toEqual([]);
    expect(store.task("t1")).toMatchObject({ failures: 2 });
  });

  test("of a task cancelled meanwhile tells it itself, and writes nothing about the task", () => {
    store.createTask(task("t1"));
    const turn = claim();
    store.cancelTask("t1");
    fail(turn);
    expect(told()).toEqual([["lost", true]]);
    expect([count("task_run_logs"), count("hermit_task_runs"), count("hermit_occurrences")]).toEqual([0, 0, 0]);
  });
});

test("an older database of ours loses the occurrences that ended and keeps those that did not", () => {
  store.createTask(task("t1"));
  store.claimDue(NOW, () => ({ kind: "run" }));
  store.close();
  change(`DROP TABLE hermit_task_runs; DELETE FROM hermit_migrations WHERE number >= 5; DROP TABLE hermit_overrides; DROP TABLE hermit_audit_head;
    INSERT INTO hermit_occurrences (task_id, group_folder, due_at, claimed_at, turn_id, ended_at) VALUES ('t1', 'fam', 1, 1, 1, 2)`);
  store = openStore(home);
  expect(query("SELECT task_id, due_at FROM hermit_occurrences")).toEqual([{ task_id: "t1", due_at: NOW }]);
  finish(claim());
  expect(store.taskRuns("t1", 9)).toHaveLength(1);
});

test("tasks that are over go, oldest first, when there are more than 200 of a group; others' and those that live on stay", () => {
  const at = (n: number) => new Date(NOW + n).toISOString();
  store.createTask({ ...task("alive"), createdAt: at(0) });
  store.createTask({ ...task("other", "work"), status: "completed", createdAt: at(0) });
  for (let n = 1; n <= 205; n++) store.createTask({ ...task(`t${n}`), status: "completed", nextRun: null, createdAt: at(n) });
  const left = store.tasks("fam").map(({ id }) => id);
  expect(left).toHaveLength(201);
  expect(left).toContain("alive");
  expect(left).not.toContain("t5");
  expect(left).toContain("t6");
  expect(store.tasks("work")).toHaveLength(1);
});
