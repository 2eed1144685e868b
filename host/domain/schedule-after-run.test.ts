/** Edges of what a run leaves; the recorded rows are in contracts/tables/schedule.test.ts. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import { afterRun } from "./schedule-after-run.ts";

const { find } = systemTimeZones({ folder: join(import.meta.dirname, "../../fixtures/zoneinfo") });
const ENDED = Date.parse("2026-06-01T12:00:00Z");
const hourly = { type: "interval", value: "3600000", zone: "UTC", status: "active" } as const;

test("a pause made during the run survives it, and the next run is counted all the same", () => {
  expect(afterRun({ ...hourly, status: "paused" }, { result: null, error: null }, ENDED, find)).toEqual({
    status: "paused",
    nextRun: ENDED + 3600_000,
    lastResult: "Completed",
  });
});

test("a task that runs once is over, also when it failed, was paused meanwhile, or the clock was set back before its time", () => {
  const once = { type: "once", value: "2026-07-01T12:00:00Z", zone: "UTC" };
  for (const status of ["active", "paused"] as const) {
    expect(afterRun({ ...once, status }, { result: "half", error: "no model" }, ENDED, find)).toEqual({
      status: "completed",
      nextRun: null,
      lastResult: "Error: no model",
    });
  }
});

test("a zone that is known no longer pauses the task with the reason", () => {
  const after = afterRun(
    { type: "cron", value: "0 9 * * *", zone: "Mars/Base", status: "active" },
    { result: "ok", error: null },
    ENDED,
    find,
  );
  expect(after).toMatchObject({ status: "paused", nextRun: null, pausedBecause: expect.stringContaining('"Mars/Base" is not known') });
});

test("a long result is kept to 200 units and never ends in half a character", () => {
  const kept = (result: string): string => afterRun(hourly, { result, error: null }, ENDED, find).lastResult;
  expect(kept("x".repeat(500))).toBe("x".repeat(200));
  expect(kept(`${"x".repeat(199)}👍`)).toBe("x".repeat(199));
  expect(kept(`${"x".repeat(198)}👍!`)).toBe(`${"x".repeat(198)}👍`);
  expect(kept("")).toBe("Completed");
});
