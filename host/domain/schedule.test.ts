/** The time rules by name. Recorded rows: contracts/tables/schedule.test.ts. Against another calculator and at random: schedule-*.test.ts. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import { nextRun, type ParsedSchedule, parseSchedule, type Schedule } from "./schedule.ts";
import { LAST_INSTANT } from "./schedule-zone.ts";

const { find } = systemTimeZones({ folder: join(import.meta.dirname, "../../fixtures/zoneinfo") });
const NOW = Date.parse("2026-06-01T12:00:00Z");

function parse(type: string, value: string, zone = "UTC", now = NOW): ParsedSchedule {
  const parsed = parseSchedule({ type, value, zone }, find, now);
  if ("refused" in parsed) throw new Error(parsed.refused);
  return parsed;
}

function refusal(type: string, value: string, zone = "UTC", now = NOW): string {
  const parsed = parseSchedule({ type, value, zone }, find, now);
  return "refused" in parsed ? parsed.refused : `accepted: ${parsed.firstRun}`;
}

/** The first `count` runs after `after`. */
function runs(schedule: Schedule, after: string, count: number): string[] {
  const found: string[] = [];
  for (let at = nextRun(schedule, Date.parse(after)); at !== undefined && found.length < count; at = nextRun(schedule, at)) {
    found.push(new Date(at).toISOString().replace(":00.000Z", "Z"));
  }
  return found;
}

const cron = (value: string, zone: string, after: string, count = 3): string[] => runs(parse("cron", value, zone).schedule, after, count);

describe("clocks put forward", () => {
  test("a daily task at a time that does not exist runs at the instant the old clock would have shown it, once", () => {
    expect(cron("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z")).toEqual([
      "2026-03-28T01:30Z",
      "2026-03-29T01:30Z", // 03:30 on the clock
      "2026-03-30T00:30Z",
    ]);
    expect(cron("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T16:00:00Z", 2)).toEqual(["2026-10-03T15:45Z", "2026-10-04T15:15Z"]);
  });

  test("asked for after the jump, the time that did not exist has passed", () => {
    expect(cron("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", 1)).toEqual(["2026-03-30T00:30Z"]);
  });

  test("a task that names both the missing hour and the next runs once where they meet", () => {
    expect(cron("0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 2)).toEqual(["2026-03-29T01:00Z", "2026-03-30T00:00Z"]);
  });

  test("what the clock shows comes before what is kept from the gap, if it is earlier", () => {
    // Lord Howe goes from 02:00 to 02:30: 02:35 is shown before 02:10 would have come, which is 02:40.
    expect(cron("10,35 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", 1)).toEqual(["2026-10-03T15:35Z"]);
    expect(cron("10,45 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", 2)).toEqual(["2026-10-03T15:40Z", "2026-10-03T15:45Z"]);
  });

  test("a rhythm keeps its pace: nothing is added for the minutes that do not exist", () => {
    expect(cron("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z")).toEqual([
      "2026-03-29T00:30Z",
      "2026-03-29T01:00Z",
      "2026-03-29T01:30Z",
    ]);
    expect(cron("*/20 * * * *", "Australia/Lord_Howe", "2026-10-03T15:10:00Z")).toEqual([
      "2026-10-03T15:40Z", // 02:40: 02:30 follows 01:59, so 02:00 is missing and 02:20 too
      "2026-10-03T16:00Z",
      "2026-10-03T16:20Z",
    ]);
  });

  test("every other time of the day the clocks change stays what it is", () => {
    expect(cron("0 3,9 * * SUN", "Europe/Berlin", "2026-03-28T23:30:00Z", 2)).toEqual(["2026-03-29T01:00Z", "2026-03-29T07:00Z"]);
  });

  test("a day that a country skipped whole does not swallow a task of that day", () => {
    expect(cron("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 2)).toEqual(["2011-12-30T19:00Z", "2012-12-29T19:00Z"]);
  });
});

describe("clocks put back", () => {
  test("a daily task at a time that comes twice runs at the first", () => {
    expect(cron("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2)).toEqual(["2026-10-25T00:30Z", "2026-10-26T01:30Z"]);
    expect(cron("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2)).toEqual(["2026-04-04T14:45Z", "2026-04-05T15:15Z"]);
  });

  test("asked for between the two, the second is not taken for the first", () => {
    expect(cron("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", 1)).toEqual(["2026-10-26T01:30Z"]);
    expect(cron("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1)).toEqual(["2026-10-26T01:30Z"]);
  });

  test("a rhythm goes on through both", () => {
    expect(cron("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z")).toEqual([
      "2026-10-25T00:00Z",
      "2026-10-25T01:00Z",
      "2026-10-25T02:00Z",
    ]);
    expect(cron("*/30 2 * * *", "Europe/Berlin", "2026-10-25T00:10:00Z")).toEqual([
      "2026-10-25T00:30Z",
      "2026-10-25T01:00Z",
      "2026-10-25T01:30Z",
    ]);
  });
});

describe("days", () => {
  test("a day and a weekday together mean either", () => {
    expect(cron("0 0 13 * 5", "UTC", "2026-03-01T00:00:00Z", 4)).toEqual([
      "2026-03-06T00:00Z",
      "2026-03-13T00:00Z",
      "2026-03-20T00:00Z",
      "2026-03-27T00:00Z",
    ]);
    expect(cron("0 0 14 * 5", "UTC", "2026-03-10T00:00:00Z", 2)).toEqual(["2026-03-13T00:00Z", "2026-03-14T00:00Z"]);
  });

  test("29 February waits for its leap year, also across 2100, which is none", () => {
    expect(cron("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2)).toEqual(["2028-02-29T00:00Z", "2032-02-29T00:00Z"]);
    expect(cron("0 0 29 2 *", "America/New_York", "2096-06-01T00:00:00Z", 1)).toEqual(["2104-02-29T05:00Z"]);
  });

  test("the rarest day there is, a fifth Sunday of February, is found 40 years ahead", () => {
    expect(cron("0 0 * 2 0#5", "Europe/Berlin", "2064-03-01T00:00:00Z", 2)).toEqual(["2088-02-28T23:00Z", "2128-02-28T23:00Z"]);
    const found = [0, 1, 2, 3, 4, 5, 6].map((weekday) => cron(`0 0 * 2 ${weekday}#5`, "UTC", "2086-03-01T00:00:00Z", 1)[0]?.slice(0, 10));
    expect(found).toEqual(["2088-02-29", "2112-02-29", "2124-02-29", "2096-02-29", "2120-02-29", "2092-02-29", "2116-02-29"]);
    expect(cron("0 0 * 2 0#5", "UTC", "2088-03-01T00:00:00Z", 1)).toEqual(["2128-02-29T00:00Z"]);
  });

  test("every day around the turn of a year and of February is found by its own date, for fifteen hundred years either way", () => {
    const dates = [...[27, 28, 29].map((day) => [day, 2] as const), ...[28, 29, 30, 31].map((day) => [day, 12] as const)];
    const days = [...dates, [1, 1] as const, [2, 1] as const, [1, 3] as const, [2, 3] as const];
    const byDate = days.map(([day, month]) => ({ day, month, schedule: parse("cron", `0 6 ${day} ${month} *`).schedule }));
    const wrong: string[] = [];
    for (let year = 500; year < 3500; year++) {
      for (const { day, month, schedule } of byDate) {
        const midnight = new Date(0).setUTCFullYear(year, month - 1, day);
        // 29 February of a common year is 1 March.
        if (new Date(midnight).getUTCDate() !== day) continue;
        if (nextRun(schedule, midnight) !== midnight + 6 * 3_600_000) wrong.push(new Date(midnight).toISOString());
      }
    }
    expect(wrong).toEqual([]);
  });

  test("last day, last Friday, nearest and last workday", () => {
    expect(cron("0 0 L * *", "UTC", "2026-01-31T00:00:00Z", 2)).toEqual(["2026-02-28T00:00Z", "2026-03-31T00:00Z"]);
    expect(cron("0 0 * * 5L", "UTC", "2026-01-01T00:00:00Z", 2)).toEqual(["2026-01-30T00:00Z", "2026-02-27T00:00Z"]);
    expect(cron("0 0 LW * *", "UTC", "2026-01-01T00:00:00Z", 2)).toEqual(["2026-01-30T00:00Z", "2026-02-27T00:00Z"]);
    expect(cron("0 0 LW * *", "UTC", "2026-05-01T00:00:00Z", 1)).toEqual(["2026-05-29T00:00Z"]);
    // 1 August 2026 is a Saturday, 31 May a Sunday: the workday stays in the month.
    expect(cron("0 0 1W 8 *", "UTC", "2026-07-01T00:00:00Z", 1)).toEqual(["2026-08-03T00:00Z"]);
    expect(cron("0 0 31W 5 *", "UTC", "2026-05-01T00:00:00Z", 1)).toEqual(["2026-05-29T00:00Z"]);
    expect(cron("0 0 15W 8,11 *", "UTC", "2026-07-01T00:00:00Z", 2)).toEqual(["2026-08-14T00:00Z", "2026-11-16T00:00Z"]);
  });
});

describe("asking", () => {
  test("the next run is strictly later, and asking again gives the same", () => {
    const { schedule } = parse("cron", "* * * * *");
    const at = Date.parse("2026-06-01T12:00:00Z");
    expect(nextRun(schedule, at)).toBe(at + 60_000);
    expect(nextRun(schedule, at - 1)).toBe(at);
    expect(nextRun(schedule, at + 0.5)).toBe(at + 60_000);
    expect(nextRun(schedule, at)).toBe(nextRun(schedule, at));
  });

  test("a clock that is set back gets the same occurrence again, one far ahead skips what lies between", () => {
    const { schedule } = parse("cron", "0 9 * * *", "Europe/Berlin");
    const next = nextRun(schedule, NOW);
    expect(nextRun(schedule, NOW - 3600_000)).toBe(next);
    expect(nextRun(schedule, Date.parse("2040-01-01T12:00:00Z"))).toBe(Date.parse("2040-01-02T08:00:00Z"));
  });

  test("no number at all, and the end of all dates, have no next run", () => {
    const { schedule } = parse("cron", "* * * * *");
    for (const after of [Number.NaN, Infinity, -Infinity, LAST_INSTANT, LAST_INSTANT + 1]) expect(nextRun(schedule, after)).toBeUndefined();
    expect(nextRun(schedule, -LAST_INSTANT)).toBe(60_000 - LAST_INSTANT);
    expect(nextRun(parse("interval", "1000").schedule, LAST_INSTANT - 999)).toBeUndefined();
    expect(nextRun(parse("interval", "1000").schedule, LAST_INSTANT - 1000)).toBe(LAST_INSTANT);
  });

  test("ten thousand next runs take less than a second", () => {
    const schedules = ["* * * * *", "30 2 * * *", "0 9 * * 1-5", "0 0 29 2 *", "0 0 1 1 *"].map(
      (each) => parse("cron", each, "Europe/Berlin").schedule,
    );
    const started = performance.now();
    let calls = 0;
    for (let at = NOW; calls < 10_000; at += 3_600_000) for (const schedule of schedules) if (nextRun(schedule, at) !== undefined) calls++;
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe("interval", () => {
  test("counts from the end of the run", () => {
    const { schedule, firstRun } = parse("interval", " 60000 ");
    expect(firstRun).toBe(NOW + 60_000);
    expect(nextRun(schedule, NOW + 90_001)).toBe(NOW + 150_001);
  });

  test("anything that is not a whole number of milliseconds above 0 is refused, with the unit named", () => {
    for (const value of [
      "",
      " ",
      "0",
      "00",
      "-5",
      "+7",
      "1.9",
      "1e3",
      "1h",
      "5 minutes",
      "0x10",
      "Infinity",
      "NaN",
      "1_000",
      "٣",
      "9".repeat(17),
    ]) {
      expect(refusal("interval", value)).toMatch(
        /^The interval ".*" is not a whole number of milliseconds above 0; five minutes are 300000\.$/s,
      );
    }
  });

  test("one that would end after the last date is refused", () => {
    expect(refusal("interval", String(LAST_INSTANT))).toBe("The first run would be later than any date the host can hold.");
    expect(refusal("interval", "9007199254740993")).toContain("is not a whole number");
  });
});

describe("once", () => {
  test("may lie in the past, and has no run after it", () => {
    const { schedule, firstRun } = parse("once", "2020-01-01T00:00:00", "Europe/Berlin");
    expect(new Date(firstRun).toISOString()).toBe("2019-12-31T23:00:00.000Z");
    expect(nextRun(schedule, firstRun)).toBeUndefined();
    expect(nextRun(schedule, firstRun - 1)).toBe(firstRun);
  });

  test("a local time that comes twice is the first, one that never comes is where the old clock would have shown it", () => {
    expect(parse("once", "2026-10-25T02:30", "Europe/Berlin").firstRun).toBe(Date.parse("2026-10-25T00:30:00Z"));
    expect(parse("once", "2026-03-29T02:30", "Europe/Berlin").firstRun).toBe(Date.parse("2026-03-29T01:30:00Z"));
    expect(parse("once", "2011-12-30T12:00", "Pacific/Apia").firstRun).toBe(Date.parse("2011-12-30T22:00:00Z"));
  });

  test("what is no date, or a date past all dates, is refused with the form to write", () => {
    for (const value of ["", "tomorrow", "2026-13-01", "+275761-01-01T00:00", "-999999-01-01T00:00", "+999999-12-31", "1782907200000"]) {
      expect(refusal("once", value, "Europe/Berlin")).toMatch(
        /is not a date the host can read\. Write it as 2026-07-01T12:00:00, local time/,
      );
    }
  });
});

describe("refusals", () => {
  test("an unknown type names the three there are", () => {
    for (const type of ["Cron", "ONCE", "daily", "", "constructor"]) {
      expect(refusal(type, "0 9 * * *")).toBe(`The schedule type "${type}" is not known. Use cron, interval or once.`);
    }
  });

  test("an unknown zone is refused where a zone matters", () => {
    for (const zone of ["Mars/Base", "", "../../etc/passwd", "europe/berlin"]) {
      expect(refusal("cron", "0 9 * * *", zone)).toContain(`The time zone "${zone}" is not known.`);
      expect(refusal("once", "2026-07-01T12:00", zone)).toContain(`The time zone "${zone}" is not known.`);
    }
    expect(parse("interval", "60000", "Mars/Base").firstRun).toBe(NOW + 60_000);
  });

  test("a hostile value is quoted in part only", () => {
    const flood = "x".repeat(100_000);
    for (const type of ["cron", "interval", "once", flood]) expect(refusal(type, flood).length).toBeLessThan(300);
    expect(refusal("cron", "0 9 * * *", flood).length).toBeLessThan(300);
  });
});
