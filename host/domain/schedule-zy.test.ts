/** The syntax of cron expressions, and what is said where one cannot be used. */
import fc from "fast-check";
import * as nodeCron from "node-cron";
import { describe, expect, test } from "vitest";
import type { CronFields } from "./schedule-calendar.ts";
import { parseCron } from "./schedule-cron.ts";

function fields(text: string, seed?: string): CronFields {
  const parsed = parseCron(text, seed);
  if ("refused" in parsed) throw new Error(parsed.refused);
  return parsed;
}

function refusal(text: string): string {
  const parsed = parseCron(text);
  return "refused" in parsed ? parsed.refused : "accepted";
}

const named = (table: readonly boolean[] | undefined): number[] => (table ?? []).flatMap((is, value) => (is ? [value] : []));

describe("a field", () => {
  test("is a number, a name, a range, a step or a list of them", () => {
    const parsed = fields("5,10-20/5,*/30 0 9-11 1 jan-MAR,12 Mon,5-7");
    expect(parsed.seconds).toEqual([0, 5, 10, 15, 20, 30]);
    expect(parsed.minutes).toEqual([0]);
    expect(parsed.hours).toEqual([9, 10, 11]);
    expect(named(parsed.days?.numbers)).toEqual([1]);
    expect(named(parsed.months)).toEqual([1, 2, 3, 12]);
    expect(named(parsed.weekdays?.every)).toEqual([0, 1, 5, 6]);
  });

  test("counts on from a single value to the end of its range by a step", () => {
    expect(fields("5/15 * * * *").minutes).toEqual([5, 20, 35, 50]);
    expect(named(fields("0 0 * * 5/2").weekdays?.every)).toEqual([0, 5]);
  });

  test("knows last days, workdays and counted weekdays beside plain ones", () => {
    const parsed = fields("0 0 1,l,15W,LW * FRIL,mon#2,0#5,3");
    expect(parsed.days).toMatchObject({ last: true, lastWorkday: true });
    expect(named(parsed.days?.numbers)).toEqual([1]);
    expect(named(parsed.days?.nearestWorkday)).toEqual([15]);
    expect(named(parsed.weekdays?.last)).toEqual([5]);
    expect(named(parsed.weekdays?.every)).toEqual([3]);
    expect(parsed.weekdays?.nth).toEqual([
      { weekday: 1, n: 2 },
      { weekday: 0, n: 5 },
    ]);
  });

  test("restricts nothing as * or ?, and everything else restricts", () => {
    expect(fields("0 0 ? * *")).toMatchObject({ days: undefined, weekdays: undefined });
    expect(fields("0 0 */2 * 1-7").days).toBeDefined();
    expect(fields("0 0 */2 * 1-7").weekdays).toBeDefined();
  });
});

test("an expression with an open minute or hour is a rhythm, one that names both makes appointments", () => {
  for (const rhythm of [
    "* * * * *",
    "*/5 2 * * *",
    "0 */2 * * *",
    "5/15 2 * * *",
    "H/15 2 * * *",
    "0-59 2 * * *",
    "@hourly",
    "0 0-23 * * *",
  ]) {
    expect([rhythm, fields(rhythm).rhythm]).toEqual([rhythm, true]);
  }
  for (const appointments of ["30 2 * * *", "0,30 1-3 * * *", "*/20 30 2 * * *", "H H * * *", "@daily", "0-58 2 * * *"]) {
    expect([appointments, fields(appointments).rhythm]).toEqual([appointments, false]);
  }
});

describe("H", () => {
  test("is the same at every reading, and another for another seed", () => {
    expect(fields("H H * * *", "task-1")).toEqual(fields("H H * * *", "task-1"));
    expect(fields("H H * * *")).toEqual(fields("H H * * *"));
    const minutes = new Set(Array.from({ length: 600 }, (_, n) => fields("H * * * *", `task-${n}`).minutes[0]));
    expect(minutes.size).toBe(60);
  });

  test("stays in its range, and with a step in each step", () => {
    for (let n = 0; n < 300; n++) {
      const seed = `task-${n}`;
      const [minute = -1] = fields("H(10-14) * * * *", seed).minutes;
      expect(minute >= 10 && minute <= 14).toBe(true);
      const steps = fields("H/15 * * * *", seed).minutes;
      expect(steps.map((value) => Math.floor(value / 15))).toEqual([0, 1, 2, 3]);
      expect(new Set(steps.map((value) => value % 15)).size).toBe(1);
      expect(fields("H(0-29)/10 * * * *", seed).minutes).toHaveLength(3);
      expect(named(fields("0 0 H * *", seed).days?.numbers)[0]).toBeLessThanOrEqual(28);
    }
  });
});

test("an alias stands for its expression, in any case", () => {
  expect(fields("@daily")).toEqual(fields("0 0 * * *"));
  expect(fields(" @Hourly ")).toEqual(fields("0 * * * *"));
  expect(fields("@weekends")).toEqual(fields("0 0 * * 0,6"));
  expect(refusal("@reboot")).toBe(
    '"@reboot" is not known. Known are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @minutely, @secondly, @weekdays, @weekends.',
  );
});

describe("refused with the place and the reason:", () => {
  test.each([
    ["", "It has 0 fields, and five are needed: minute hour day month weekday; or six, with seconds in front."],
    ["0 9 * *", "It has 4 fields, and five are needed"],
    ["* * * * * * *", "It has 7 fields"],
    ["0 9 * * 1-5 extra words", "It has 7 fields"],
    ["60 * * * *", "The minute 60 is out of range: 0 to 59."],
    ["* 24 * * *", "The hour 24 is out of range: 0 to 23."],
    ["* * 0 * *", "The day 0 is out of range: 1 to 31."],
    ["* * * 13 *", "The month 13 is out of range: 1 to 12."],
    ["* * * * 8", "The weekday 8 is out of range: 0 to 7."],
    ["60 * * * * *", "The second 60 is out of range: 0 to 59."],
    ["a * * * *", 'The minute "a" is not a number.'],
    ["* * * foo *", 'The month "foo" is not a number or one of JAN, FEB,'],
    ["-1 * * * *", 'The minute "-1" is not a number, a name or a range.'],
    ["1-2-3 * * * *", 'The minute "1-2-3" is not a number, a name or a range.'],
    ["1.5 * * * *", 'The minute "1.5" is not a number.'],
    ["1, * * * *", 'The minute "" is not a value, a range or a step.'],
    ["1/2/3 * * * *", 'The minute "1/2/3" is not a value, a range or a step.'],
    ["*/0 * * * *", 'The step "0" of the minute is not a number from 1 up.'],
    ["*/-5 * * * *", 'The step "-5" of the minute is not a number from 1 up.'],
    ["*/90 * * * *", "The step 90 of the minute is longer than its range. For longer pauses use an interval."],
    ["0 22-2 * * *", 'The hour range "22-2" runs backwards. Write it as two ranges in a list.'],
    ["0 0 * * 1#6", 'A month has a first to fifth weekday, not "#6".'],
    ["0 0 * * L", '"L" needs a weekday in front, such as "5L" for the last Friday.'],
    ["0 0 32W * *", "The day 32 is out of range: 1 to 31."],
    ["0 0 L-3 * *", 'The day "L" is not a number.'],
    ["? * * * *", 'The minute "?" is not a number.'],
    ["0 0 31 2 *", "names a date that no year has."],
    ["0 0 30,31 2 ?", "names a date that no year has."],
    ["0 0 31W 4,6,9,11 *", "names a date that no year has."],
    ["* * * * *\u0000", 'The weekday "*\u0000" is not a number'],
  ])("%j", (text, reason) => {
    expect(refusal(text)).toContain(reason);
  });

  test("a text too long for any schedule, without being read", () => {
    expect(refusal("* ".repeat(1_000_000))).toBe("A cron expression may have 1000 characters; this one has 2000000.");
  });
});

/** Both ends of what node-cron and we read alike: whole expressions of plain parts. */
describe("node-cron agrees with us", () => {
  const part = (min: number, max: number): fc.Arbitrary<string> => {
    const value = fc.integer({ min: Math.max(0, min - 1), max: max + 1 }).map(String);
    const range = fc.tuple(value, value).map(([low, high]) => `${low}-${high}`);
    // A range with a step stays inside: node-cron looks at the values it comes to, not at its end.
    const inside = fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
    const step = fc.tuple(fc.oneof(fc.constant("*"), inside), fc.integer({ min: 0, max: max - min })).map(([base, by]) => `${base}/${by}`);
    return fc.oneof({ weight: 3, arbitrary: fc.constant("*") }, { weight: 4, arbitrary: value }, range, step);
  };
  const list = (min: number, max: number): fc.Arbitrary<string> =>
    fc.array(part(min, max), { minLength: 1, maxLength: 3 }).map((parts) => parts.join(","));
  const days = fc.oneof({ weight: 5, arbitrary: list(1, 31) }, fc.constantFrom("L", "15W", "LW", "?", "31W", "0W", "L,1"));
  const weekdays = fc.oneof({ weight: 5, arbitrary: list(0, 7) }, fc.constantFrom("5L", "MON#2", "1#6", "?", "mon-fri", "0#1", "7L"));
  // January has every day there is: of dates that do not exist node-cron judges otherwise, since to it day and weekday mean both.
  const months = list(1, 12).map((each) => `${each},1`);
  const expression = fc.tuple(list(0, 59), list(0, 23), days, months, weekdays).map((each) => each.join(" "));

  /** node-cron lets a range run backwards, around the end, and a step be longer than its range (none such is made here); we do not. */
  const readDifferently = (text: string): boolean => text.split(/[ ,]/).some((each) => runsBackwards(each));
  const runsBackwards = (text: string): boolean => {
    const [, low, high] = /^(\d+)-(\d+)/.exec(text) ?? [];
    return low !== undefined && Number(low) > Number(high);
  };

  test("on what is an expression and what is not, over five thousand", () => {
    let accepted = 0;
    fc.assert(
      fc.property(expression, (text) => {
        fc.pre(!readDifferently(text));
        const ours = !("refused" in parseCron(text));
        if (ours) accepted++;
        expect([text, ours]).toEqual([text, nodeCron.validate(text)]);
      }),
      { numRuns: 150_000 },
    );
    expect(accepted).toBeGreaterThan(500);
  });
});
