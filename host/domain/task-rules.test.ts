/** What becomes of a task that fails: when it runs again, when it rests, and what its chat hears of it. */
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import { nextRun, parseSchedule } from "./schedule.ts";
import { pauseAfterFailures } from "./schedule-after-run.ts";
import type { Task, TaskOutcome } from "./task.ts";
import { type TaskClosing, TaskRules } from "./task-rules.ts";

const { find } = systemTimeZones({ folder: join(import.meta.dirname, "../../fixtures/zoneinfo") });
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const MAX_FAILURES = 5;
const rules = new TaskRules(find, "Europe/Berlin", MAX_FAILURES);
const DUE = Date.parse("2026-06-01T12:00:00Z");
/** A run takes 20 seconds. */
const ENDED = DUE + 20_000;
const iso = (at: number): string => new Date(at).toISOString();

const made = (over: Partial<Task> = {}): Task => ({
  id: "t1",
  folder: "fam",
  chat: "fam@g.us",
  prompt: "water the\nplants",
  scheduleType: "cron",
  scheduleValue: "* * * * *",
  contextMode: "isolated",
  nextRun: iso(DUE),
  lastRun: null,
  lastResult: null,
  status: "active",
  createdAt: iso(DUE - HOUR),
  timeZone: null,
  catchUp: "once",
  failures: 0,
  ...over,
});
const failed: TaskOutcome = { result: null, error: "The model said no.", outcome: "failed" };
const worked: TaskOutcome = { result: "watered", error: null, outcome: "done" };
const close = (over: Partial<Task>, outcome = failed): TaskClosing => rules.close(made(over), DUE, outcome, ENDED);

/** One failure after the other, each run at its time and 20 s long, until nothing comes any more. */
function streak(over: Partial<Task>, by = rules): { readonly runs: readonly number[]; readonly told: readonly (string | undefined)[] } {
  const runs: number[] = [];
  const told: (string | undefined)[] = [];
  let task = made(over);
  while (task.status === "active" && task.nextRun !== null) {
    const dueAt = Date.parse(task.nextRun);
    runs.push(dueAt);
    const closing = by.close(task, dueAt, failed, dueAt + 20_000);
    told.push(closing.notice);
    task = { ...task, ...closing };
  }
  return { runs, told };
}
const minutesBetween = (runs: readonly number[]): readonly number[] => runs.slice(1).map((at, n) => (at - (runs[n] ?? 0)) / MINUTE);

describe("a task that fails again and again", () => {
  test("waits for its next occurrence first, then 5, 10 and 20 minutes, on its grid, and rests after the fifth", () => {
    expect(minutesBetween(streak({}).runs)).toEqual([1, 6, 11, 21]);
  });

  test("of an interval waits from the end of its run: a short one for the pause, a long one for itself", () => {
    const [hourly, quarter] = [{ scheduleValue: String(HOUR) }, { scheduleValue: String(15 * MINUTE) }];
    const third = 1 / 3;
    expect(minutesBetween(streak({ scheduleType: "interval", ...hourly }).runs)).toEqual([60 + third, 60 + third, 60 + third, 60 + third]);
    expect(minutesBetween(streak({ scheduleType: "interval", ...quarter }).runs)).toEqual([15 + third, 15 + third, 15 + third, 20 + third]);
  });

  test("each day keeps every day, however often it may fail", () => {
    const patient = new TaskRules(find, "Europe/Berlin", 100);
    const { runs } = streak({ scheduleValue: "0 14 * * *" }, patient);
    expect(new Set(minutesBetween(runs))).toEqual(new Set([24 * 60]));
    expect(runs).toHaveLength(100);
  });

  test("makes up for nothing it missed while it is held back", () => {
    const missed = { catchUp: "all", nextRun: iso(DUE), scheduleValue: "*/10 * * * *" } as const;
    const threeHoursLate = (failures: number) => rules.close(made({ ...missed, failures }), DUE, failed, DUE + 3 * HOUR).nextRun;
    expect(threeHoursLate(0)).toBe(iso(DUE + 10 * MINUTE));
    expect(threeHoursLate(1)).toBe(iso(DUE + 3 * HOUR + 10 * MINUTE));
  });

  test("tells its chat at the first failure and when it rests, and nothing in between", () => {
    expect(streak({}).told).toEqual([
      "[hermit] Task t1 (“water the plants”) failed: The model said no. It runs next at 2026-06-01 14:01 (Europe/Berlin). " +
        "This is not repeated for each failure; after 5 in a row it is paused.",
      undefined,
      undefined,
      undefined,
      "[hermit] Task t1 (“water the plants”) was paused: it failed 5 times in a row, last with: The model said no. Resume it once that is mended.",
    ]);
  });

  test("rests at once where one failure is the most there may be", () => {
    const { runs, told } = streak({}, new TaskRules(find, "UTC", 1));
    expect(runs).toHaveLength(1);
    expect(told).toEqual([expect.stringContaining("was paused: it failed 1 time, last with")]);
  });

  test("comes in its ordinary time when it is resumed, not when it was held back to", () => {
    expect(close({ failures: MAX_FAILURES - 1 })).toMatchObject({ status: "paused", nextRun: iso(DUE + MINUTE) });
  });
});

describe("a streak", () => {
  test("ends with a run that works, without a word", () => {
    const closing = close({ failures: 4 }, worked);
    expect(closing).toEqual({ nextRun: iso(DUE + MINUTE), status: "active", lastResult: "watered", failures: 0 });
  });

  test("is neither longer nor over when the owner stops a run, and the chat hears of the stop", () => {
    const closing = close({ failures: 4 }, { result: null, error: "Stopped.", outcome: "stopped" });
    expect(closing).toMatchObject({ status: "active", failures: 4, nextRun: iso(DUE + MINUTE), notice: "[hermit] Stopped." });
  });
});

describe("told of a failure is also", () => {
  test("who asked for the run, in the middle of a streak and of a task that is paused", () => {
    const askedFor = (over: Partial<Task>) => rules.close(made({ failures: 2, ...over }), DUE + 1234, failed, ENDED);
    expect(askedFor({}).notice).toMatch(/failed: The model said no\. It runs next at 2026-06-01 14:11/);
    expect(askedFor({ status: "paused" }).notice).toMatch(/failed: The model said no\. It is paused\.$/);
  });

  test("the chat of a task that was to run once", () => {
    const closing = close({ scheduleType: "once", scheduleValue: iso(DUE) });
    expect(closing).toMatchObject({ status: "completed", nextRun: null });
    expect(closing.notice).toMatch(/failed: The model said no\. It does not run again by itself\.$/);
  });

  test("the chat of a task whose schedule cannot be read, with both reasons", () => {
    const closing = close({ scheduleType: "interval", scheduleValue: "soon" });
    expect(closing).toMatchObject({ status: "paused", nextRun: null, failures: 1 });
    expect(closing.notice).toMatch(/was paused: The interval "soon" .* Its run failed as well: The model said no\. Resume it/);
  });

  test("nobody, of a task that somebody paused while it ran", () => {
    expect(close({ status: "paused", failures: 1 }).notice).toBeUndefined();
  });

  test("in one line, however the prompt is written", () => {
    const { notice = "" } = close({ prompt: `  a\n\n[hermit] Task t2 was paused\r\n${"👍".repeat(99)}` });
    expect(notice).not.toMatch(/[\r\n]/);
    expect(notice).toMatch(/^\[hermit\] Task t1 \(“a \[hermit\] Task t2 was paused 👍+…”\) failed:/u);
  });

  test("at a time its reader knows, also where the zone is known no longer or the time is the last there can be", () => {
    const hourly = { scheduleType: "interval", scheduleValue: String(HOUR) };
    expect(close({ ...hourly, timeZone: "Asia/Kolkata" }).notice).toContain("next at 2026-06-01 18:30 (Asia/Kolkata)");
    expect(close({ ...hourly, timeZone: "Mars/Base" }).notice).toContain("next at 2026-06-01 13:00 (UTC)");
    expect(close({ scheduleType: "interval", scheduleValue: String(8.64e15 - ENDED) }).notice).toContain("+275760-09-13 00:00");
  });
});

describe("what is planned when a run ends stays planned", () => {
  const LATER = DUE + 24 * HOUR;
  const once = { scheduleType: "once", scheduleValue: iso(LATER), nextRun: iso(LATER) } as const;
  const hourly = { scheduleType: "interval", scheduleValue: String(HOUR) } as const;

  test("of a task that is to run once and was moved meanwhile, perhaps by itself, or was run before its time", () => {
    expect(close(once, worked)).toEqual({ nextRun: iso(LATER), status: "active", lastResult: "watered", failures: 0 });
    expect(close({ ...once, status: "paused" }, worked)).toMatchObject({ nextRun: iso(LATER), status: "paused" });
  });

  test("also where the time it was moved to came before its run was over", () => {
    const soon = iso(DUE + 5000);
    expect(close({ ...once, scheduleValue: soon, nextRun: soon }, worked)).toMatchObject({ nextRun: soon, status: "active" });
  });

  test("and if that run failed, its chat hears when it comes", () => {
    const closing = close(once);
    expect(closing).toMatchObject({ nextRun: iso(LATER), status: "active", failures: 1 });
    expect(closing.notice).toContain("It runs next at 2026-06-02 14:00 (Europe/Berlin).");
  });

  test("of an interval, beside which somebody asked for a run, whatever it makes up for", () => {
    const nextRun = iso(DUE + 30 * MINUTE);
    for (const catchUp of ["once", "all"] as const) expect(close({ ...hourly, nextRun, catchUp }, worked)).toMatchObject({ nextRun });
  });

  test("unless it was held back for its failures and they are over: then it comes in its ordinary time", () => {
    const nextRun = iso(DUE + 12 * HOUR);
    expect(close({ ...hourly, nextRun, failures: 4 }, worked)).toMatchObject({ nextRun: iso(ENDED + HOUR), failures: 0 });
    expect(close({ ...hourly, nextRun: iso(DUE + MINUTE), failures: 4 }, worked)).toMatchObject({ nextRun: iso(DUE + MINUTE) });
  });

  test("and nothing else: a task that was to run once at this time, or before it was asked to, is over", () => {
    for (const nextRun of [iso(DUE), iso(DUE - HOUR), null, "soon"]) {
      expect(close({ ...once, nextRun }, worked)).toMatchObject({ nextRun: null, status: "completed" });
    }
  });
});

describe("a task whose failures are forgotten", () => {
  const NOW = ENDED + MINUTE;
  const released = (over: Partial<Task>) => rules.nextAfterRelease(made(over), NOW);

  test("comes in its ordinary time if it was held back, and stays overdue if it was", () => {
    expect(released({ failures: 4, nextRun: iso(NOW + HOUR) })).toEqual({ nextRun: iso(DUE + 2 * MINUTE) });
    expect(released({ failures: 4, nextRun: iso(NOW - HOUR) })).toEqual({ nextRun: iso(NOW - HOUR) });
    expect(released({ failures: 1, nextRun: iso(NOW + HOUR) })).toEqual({ nextRun: iso(NOW + HOUR) });
  });

  test("is given a next run where a hand has written one that is no time", () => {
    for (const failures of [0, 4]) {
      expect(released({ failures, nextRun: "0x" })).toEqual({ nextRun: iso(DUE + 2 * MINUTE) });
      expect(released({ failures, nextRun: "0x", status: "paused" })).toEqual({ nextRun: iso(DUE + 2 * MINUTE) });
    }
    expect(released({ status: "completed", nextRun: null })).toEqual({ nextRun: null });
  });

  test("is given a next run if it was paused because its schedule could not be read, or the reason why not", () => {
    const unread = { status: "paused", nextRun: null } as const;
    expect(released(unread)).toEqual({ nextRun: iso(DUE + 2 * MINUTE) });
    expect(released({ ...unread, timeZone: "Mars/Base" })).toEqual({ refusal: expect.stringContaining('"Mars/Base" is not known') });
  });
});

test("held back or not, a failed task of any schedule comes later than its run, after the pause, at one of its own times and at the first of them", () => {
  const every = fc.integer({ min: 1, max: 3 * 24 * 60 }).map((minutes) => ["interval", String(minutes * MINUTE)] as const);
  const field = (min: number, max: number) =>
    fc.oneof(fc.constant("*"), fc.integer({ min, max }).map(String), fc.constantFrom("*/2", "*/5", "*/7"));
  const cron = fc.tuple(field(0, 59), field(0, 23)).map(([minute, hour]) => ["cron", `${minute} ${hour} * * *`] as const);
  const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe");
  const end = fc.integer({ min: Date.UTC(2026, 2, 1), max: Date.UTC(2026, 11, 1) });
  const before = fc.integer({ min: 0, max: 12 });
  fc.assert(
    fc.property(fc.oneof(every, cron), zone, end, before, ([scheduleType, scheduleValue], timeZone, endedAt, failures) => {
      const task = made({ scheduleType, scheduleValue, timeZone, failures, nextRun: iso(endedAt - 1000) });
      const closing = new TaskRules(find, "UTC", 100).close(task, endedAt - 1000, failed, endedAt);
      const next = Date.parse(closing.nextRun ?? "");
      const earliest = endedAt + pauseAfterFailures(failures + 1);
      const parsed = parseSchedule({ type: scheduleType, value: scheduleValue, zone: timeZone, seed: "t1" }, find, endedAt);
      if ("refused" in parsed) throw new Error(parsed.refused);
      expect(closing).toMatchObject({ status: "active", failures: failures + 1 });
      expect(next).toBeGreaterThan(endedAt);
      expect(next).toBeGreaterThanOrEqual(earliest);
      if (failures === 0) expect(next).toBe(parsed.firstRun);
      if (scheduleType === "interval") expect(next).toBe(Math.max(parsed.firstRun, earliest));
      else {
        expect(nextRun(parsed.schedule, next - 1)).toBe(next);
        let first = parsed.firstRun;
        while (first < earliest) first = nextRun(parsed.schedule, first) ?? Number.NaN;
        expect(next).toBe(first);
      }
    }),
    { numRuns: 200 },
  );
});
