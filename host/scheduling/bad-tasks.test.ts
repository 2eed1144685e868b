/** Tasks that cannot run as they are stored: each is said once, to somebody who can mend it, and costs nobody else anything. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { contextModeColumn, nanoclawTables } from "../adapters/store-sqlite/migrations/0001-nanoclaw.ts";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import { TaskRules } from "../domain/task-rules.ts";
import type { Store } from "../ports/store.ts";
import { DueTimer } from "./due-timer.ts";

const START = Date.UTC(2026, 0, 2, 3, 4, 5);
const HOUR_MS = 3_600_000;
const LONG_AGO = "2025-12-24T18:00:00.000Z";
const FIGURES = { firstTokenAt: null, steps: 1, toolCalls: 0, inputTokens: 0, outputTokens: 0 };

interface Row {
  readonly id: string;
  readonly folder: string;
  readonly type: string;
  readonly value: string;
  readonly nextRun: string;
}
const row = (id: string, over: Partial<Row> = {}): Row => ({
  id,
  folder: "fam",
  type: "interval",
  value: String(HOUR_MS),
  nextRun: LONG_AGO,
  ...over,
});

let home: string;
let store: Store;
let clock: FakeClock;
let timer: DueTimer;
const zones = systemTimeZones({ folder: join(import.meta.dirname, "../../fixtures/zoneinfo") });
const rules = new TaskRules(zones.find, "UTC", 5);

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-bad-tasks-"));
});
afterEach(() => {
  timer.close();
  store.close();
  rmSync(home, { recursive: true, force: true });
});

/** A home as the old program left it, with these tasks, and a host's timer on it. */
function start(rows: readonly Row[], prepare: (store: Store) => void = () => undefined): void {
  mkdirSync(join(home, "store"), { recursive: true });
  const db = new Database(join(home, "store", "messages.db"));
  db.exec(nanoclawTables);
  db.exec(contextModeColumn);
  const group = db.prepare("INSERT INTO registered_groups VALUES (?, ?, ?, '@Andy', '2026-01-01T00:00:00.000Z', NULL, 1)");
  for (const folder of ["main", "fam"]) group.run(`${folder}@g.us`, folder, folder);
  const task = db.prepare("INSERT INTO scheduled_tasks VALUES (?, ?, ?, 'water the plants', ?, ?, ?, NULL, NULL, 'active', ?, 'isolated')");
  for (const { id, folder, type, value, nextRun } of rows) task.run(id, folder, `${folder}@g.us`, type, value, nextRun, LONG_AGO);
  db.close();
  store = openStore(home);
  prepare(store);
  arm();
}

function arm(): void {
  clock = new FakeClock(START);
  timer = new DueTimer({ store, clock, decide: (...all) => rules.decide(...all), onDue: () => undefined, onNotice: () => undefined });
  timer.arm();
}

/** The turn of what was claimed, as a run that works. Returns the tasks that ran. */
function runAll(): readonly string[] {
  const ran: string[] = [];
  for (const folder of store.foldersWithWork()) {
    for (;;) {
      const turn = store.claimTurn(folder, { now: clock.now(), maxMessages: 9, maxBytes: 999, starts: () => false, format: () => "" });
      if (turn === undefined || turn.taskId === null) break;
      ran.push(turn.taskId);
      const close: Parameters<typeof store.finishTurn>[1]["taskEnd"] = {
        result: "done",
        close: (task, dueAt, outcome) => rules.close(task, dueAt, outcome, clock.now()),
      };
      store.finishTurn(turn.id, { runId: turn.runId, reply: "", figures: FIGURES, now: clock.now(), taskEnd: close });
    }
  }
  timer.arm();
  return ran;
}

const told = (): readonly string[] => {
  const db = new Database(join(home, "store", "messages.db"), { readonly: true });
  const rows = db.prepare("SELECT chat_jid || ': ' || text FROM hermit_outbox ORDER BY id").pluck().all() as string[];
  db.close();
  return rows;
};

const UNUSABLE: readonly (readonly [string, Partial<Row>, RegExp])[] = [
  ["a cron expression with a field too few", { type: "cron", value: "0 9 * *" }, /was paused: /],
  ["an interval in words", { value: "5 minutes" }, /"5 minutes" is not a whole number of milliseconds above 0/],
];

test.each(UNUSABLE)(
  "%s: the task runs the once it was due, is paused, and its chat told why; later starts say nothing more",
  (_what, over, why) => {
    start([row("bad", over), row("good")]);
    expect(runAll()).toEqual(["bad", "good"]);
    expect(told()).toEqual([
      expect.stringMatching(/^fam@g\.us: \[hermit\] Task bad \(“water the plants”\) was paused: .* Resume it once that is mended\.$/),
    ]);
    expect(told()[0]).toMatch(why);
    expect(store.task("bad")).toMatchObject({ status: "paused", nextRun: null, scheduleType: over.type ?? "interval" });
    clock.advance(HOUR_MS);
    expect(runAll()).toEqual(["good"]);
    store.close();
    store = openStore(home);
    arm();
    expect(told()).toHaveLength(1);
  },
);

test.each(["hourly", "", "ONCE", "cron "])(
  "a schedule type nobody knows, %j: the task runs the once it was due and is over, as recorded, and its chat is told why",
  (type) => {
    start([row("bad", { type }), row("good")]);
    expect(runAll()).toEqual(["bad", "good"]);
    clock.advance(HOUR_MS);
    expect(runAll()).toEqual(["good"]);
    const why = `The schedule type "${type}" is not known. Use cron, interval or once.`;
    expect(told()).toEqual([`fam@g.us: [hermit] Task bad (“water the plants”) does not run again: ${why}`]);
    expect(store.task("bad")).toMatchObject({ status: "completed", nextRun: null, scheduleType: type });
  },
);

test("a zone nobody knows: the same, whatever is done about missed occurrences", () => {
  for (const catchUp of ["skip", "once", "all"] as const) {
    start([], (opened) => {
      const stored = { folder: "fam", chat: "fam@g.us", prompt: "water the plants", contextMode: "isolated", status: "active" } as const;
      const schedule = {
        scheduleType: "cron",
        scheduleValue: "0 9 * * *",
        nextRun: LONG_AGO,
        lastRun: null,
        lastResult: null,
        failures: 0,
      };
      opened.createTask({ ...stored, ...schedule, id: catchUp, createdAt: LONG_AGO, timeZone: "Mars/Olympus", catchUp });
    });
    expect(runAll()).toEqual([catchUp]);
    expect(told()).toEqual([
      expect.stringMatching(/^fam@g\.us: .*The time zone "Mars\/Olympus" is not known\. Write it as a region and city/),
    ]);
    expect(store.task(catchUp)).toMatchObject({ status: "paused", timeZone: "Mars/Olympus" });
    timer.close();
    store.close();
    rmSync(home, { recursive: true });
  }
  start([]);
});

test("a group that is gone: nothing runs, one error is logged, and the main group is told once", () => {
  start([row("ghost", { folder: "gone" }), row("good")]);
  expect(runAll()).toEqual(["good"]);
  clock.advance(3 * HOUR_MS);
  store.close();
  store = openStore(home);
  arm();
  expect(told()).toEqual([
    expect.stringMatching(/^main@g\.us: \[hermit\] Task ghost .*was paused: No group is registered in the folder gone\. Resume it/),
  ]);
  expect(store.taskRuns("ghost", 9)).toMatchObject([{ outcome: "failed", error: "No group is registered in the folder gone." }]);
  expect(store.task("ghost")).toMatchObject({ status: "paused", nextRun: LONG_AGO });
});

const NO_TIMES = ["", "soon", "zzz", "12 o'clock", "2026-13-45T00:00:00.000Z", "now", "Jan 5 2025", "2025-01-01T00:00:00Z", "2026-01-02"];

test.each(NO_TIMES)(
  "a next run of %j: the task rests from the start, the main group is told once, and every other task runs",
  (nextRun) => {
    start([row("bad", { nextRun }), row("good")]);
    expect(runAll()).toEqual(["good"]);
    clock.advance(HOUR_MS);
    expect(runAll()).toEqual(["good"]);
    store.close();
    store = openStore(home);
    arm();
    const why = `Its next run is stored as ${JSON.stringify(nextRun)}, which is not a time as the host writes it.`;
    expect(told()).toEqual([
      `main@g.us: [hermit] Task bad (“water the plants”) was paused. ${why} Resume it, and it follows its schedule again.`,
    ]);
    expect(store.taskRuns("bad", 9)).toMatchObject([{ outcome: "failed", error: why }]);
    const task = store.task("bad");
    expect(task).toMatchObject({ status: "paused", nextRun: null });
    expect(task && rules.nextAfterRelease(task, START)).toEqual({ nextRun: "2026-01-02T04:04:05.000Z" });
  },
);

test.each(["0x", "zzz", "soon", "2026-13-45T00:00:00.000Z"])(
  "a next run of %j written while the host runs: the task rests at the next look, and every other task runs",
  (nextRun) => {
    start([row("bad"), row("good")]);
    expect(runAll()).toEqual(["bad", "good"]);
    const hand = new Database(join(home, "store", "messages.db"));
    hand.prepare("UPDATE scheduled_tasks SET next_run = ? WHERE id = 'bad'").run(nextRun);
    hand.close();
    timer.arm();
    clock.advance(HOUR_MS);
    expect(runAll()).toEqual(["good"]);
    const why = `Its next run is stored as ${JSON.stringify(nextRun)}, which is not a time as the host writes it.`;
    expect(told()).toEqual([
      `main@g.us: [hermit] Task bad (“water the plants”) was paused. ${why} Resume it, and it follows its schedule again.`,
    ]);
    expect(store.task("bad")).toMatchObject({ status: "paused", nextRun: null });
  },
);

test("a next run that is no time and the only one there is is found by the timer all the same", () => {
  start([row("bad", { nextRun: "2099-01-01T00:00:00.000Z" })]);
  store.changeTask("bad", { nextRun: "zzz" });
  timer.arm();
  expect(store.task("bad")).toMatchObject({ status: "paused", nextRun: null });
  expect(store.nextDue()).toBeUndefined();
});

test("a next run far beyond the year 9999, which as text comes before any other, neither comes now nor keeps other tasks waiting", () => {
  start([row("far", { type: "once", nextRun: "+012026-01-01T00:00:00.000Z" }), row("good")]);
  expect(runAll()).toEqual(["good"]);
  clock.advance(HOUR_MS);
  expect(runAll()).toEqual(["good"]);
  expect(store.task("far")).toMatchObject({ status: "active", nextRun: "+012026-01-01T00:00:00.000Z" });
  expect(told()).toEqual([]);
});
