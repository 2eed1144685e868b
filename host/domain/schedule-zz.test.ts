/** Random schedules, zones and clocks, most of them near a change of the clocks, against what a patient person with a clock would say. */
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import { nextRun, parseSchedule, type Schedule } from "./schedule.ts";
import type { Zone } from "./schedule-zone.ts";

const { find } = systemTimeZones({ folder: join(import.meta.dirname, "../../fixtures/zoneinfo") });
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** A field as text, with its values read from it in a way of its own: `values` of undefined is `*`. */
interface Field {
  readonly text: string;
  readonly values: ReadonlySet<number> | undefined;
  readonly open: boolean;
}

const span = (low: number, high: number, step = 1): number[] =>
  Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, n) => low + n * step);

function fieldOf(min: number, max: number): fc.Arbitrary<Field> {
  const value = fc.integer({ min, max });
  const list = fc.array(value, { minLength: 1, maxLength: 3 }).map((values) => ({ text: values.join(","), values, open: false }));
  const range = fc.tuple(value, value).map(([a, b]) => {
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    return { text: `${low}-${high}`, values: span(low, high), open: false };
  });
  const step = fc.integer({ min: 1, max: max - min }).map((by) => ({ text: `*/${by}`, values: span(min, max, by), open: true }));
  const restricted = fc.oneof(list, range, step).map(({ text, values, open }) => {
    const set = new Set(values);
    return { text, values: set, open: open || set.size > max - min };
  });
  return fc.oneof({ weight: 2, arbitrary: fc.constant(ANY) }, { weight: 3, arbitrary: restricted });
}

const ANY: Field = { text: "*", values: undefined, open: true };

/** `*` three times in four. */
const seldom = (field: fc.Arbitrary<Field>): fc.Arbitrary<Field> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(ANY) }, { weight: 1, arbitrary: field });

/** Hours in which clocks are changed. */
const smallHours = fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { minLength: 1 }).map((hours) => ({
  text: hours.join(","),
  values: new Set(hours),
  open: false,
}));

interface Expression {
  readonly text: string;
  readonly rhythm: boolean;
  readonly withSeconds: boolean;
  matches(local: number): boolean;
}

const expressions: fc.Arbitrary<Expression> = fc
  .record({
    second: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fieldOf(0, 59) }),
    minute: fieldOf(0, 59),
    hour: fc.oneof(fieldOf(0, 23), smallHours),
    day: seldom(fieldOf(1, 31)),
    month: seldom(fieldOf(1, 12)),
    weekday: seldom(fieldOf(0, 6)),
  })
  .map(({ second, minute, hour, day, month, weekday }) => {
    const fields = [minute, hour, day, month, weekday];
    const has = (field: Field, value: number): boolean => field.values === undefined || field.values.has(value);
    return {
      text: [...(second === undefined ? [] : [second]), ...fields].map(({ text }) => text).join(" "),
      rhythm: minute.open || hour.open,
      withSeconds: second !== undefined,
      matches: (local) => {
        const at = new Date(local);
        const either = day.values !== undefined && weekday.values !== undefined;
        const [onDay, onWeekday] = [has(day, at.getUTCDate()), has(weekday, at.getUTCDay())];
        return (
          (second === undefined ? at.getUTCSeconds() === 0 : has(second, at.getUTCSeconds())) &&
          has(minute, at.getUTCMinutes()) &&
          has(hour, at.getUTCHours()) &&
          has(month, at.getUTCMonth() + 1) &&
          (either ? onDay || onWeekday : onDay && onWeekday)
        );
      },
    };
  });

const ZONE_NAMES = [
  "UTC",
  "Europe/Berlin",
  "Europe/Dublin",
  "America/New_York",
  "Africa/Casablanca",
  "Africa/Cairo",
  "Australia/Lord_Howe",
  "Asia/Kolkata",
  "Pacific/Apia",
  "America/Sao_Paulo",
];
const FIRST = Date.parse("2000-01-01T00:00:00Z");
const LAST = Date.parse("2060-01-01T00:00:00Z");

function zoneOf(name: string): Zone {
  const zone = find(name);
  if (zone === undefined) throw new Error(`no fixture of ${name}`);
  return zone;
}

function changesOf(zone: Zone): number[] {
  const changes: number[] = [];
  for (let at = zone.stretchAt(FIRST).until; at < LAST; at = zone.stretchAt(at).until) changes.push(at);
  return changes;
}

/** A zone and a moment, two in three within thirty hours of a change where the zone has any. */
const moments = fc
  .constantFrom(...ZONE_NAMES.map((name) => ({ zone: zoneOf(name), changes: changesOf(zoneOf(name)) })))
  .chain(({ zone, changes }) => {
    const anywhere = fc.integer({ min: FIRST, max: LAST });
    if (changes.length === 0) return anywhere.map((after) => ({ zone, after }));
    const near = fc.tuple(fc.constantFrom(...changes), fc.integer({ min: -30 * HOUR, max: 4 * HOUR })).map(([change, by]) => change + by);
    return fc.oneof({ weight: 1, arbitrary: anywhere }, { weight: 2, arbitrary: near }).map((after) => ({ zone, after }));
  });

/** Undefined where the expression names a date that no year has. */
function schedule(expression: Expression, zone: Zone): Schedule | undefined {
  const parsed = parseSchedule({ type: "cron", value: expression.text, zone: zone.name }, () => zone, FIRST);
  if (!("refused" in parsed)) return parsed.schedule;
  if (parsed.refused.endsWith("names a date that no year has.")) return undefined;
  throw new Error(parsed.refused);
}

test("the next run is strictly later, on a named time, the same when asked again and from anywhere in between", () => {
  fc.assert(
    fc.property(expressions, moments, fc.double({ min: 0, max: 1, noNaN: true }), (expression, { zone, after }, share) => {
      const found = schedule(expression, zone);
      if (found === undefined) return;
      const next = nextRun(found, after);
      if (next === undefined) throw new Error("there is no next run");
      expect(next).toBeGreaterThan(after);
      expect(next % (expression.withSeconds ? SECOND : MINUTE)).toBe(0);
      expect(nextRun(found, after)).toBe(next);
      const { offset, before, from } = zone.stretchAt(next);
      const isKept = !expression.matches(next + offset);
      if (isKept) {
        // The clock jumped over it after we asked, and the old clock would show a named time now.
        expect([expression.rhythm, after < from, next < from + offset - before, expression.matches(next + before)]).toEqual([
          false,
          true,
          true,
          true,
        ]);
      }
      const lastMoment = isKept ? from - 1 : next - 1;
      const between = Math.floor(after + share * (lastMoment - after));
      expect([nextRun(found, between), nextRun(found, lastMoment)]).toEqual([next, next]);
    }),
    { numRuns: 200_000 },
  );
});

/**
 * Looks at the zone's clock once a minute from a day and an hour before `after`: a named time counts when the clock shows it, to
 * an appointment only the first time; where the clock jumps, an appointment's first named time among those left out counts as well.
 */
function watchTheClock(expression: Expression, zone: Zone, after: number, until: number): number | undefined {
  const start = Math.floor(after / MINUTE) * MINUTE - 25 * HOUR;
  const local = (instant: number): number => instant + zone.stretchAt(instant).offset;
  const seen = new Set<number>();
  let kept: number | undefined;
  for (let at = start; at <= until; at += MINUTE) {
    const shown = local(at);
    const expected = local(at - MINUTE) + MINUTE;
    if (!expression.rhythm && shown > expected && after < at) {
      const missing = span(expected, shown - MINUTE, MINUTE).find((time) => expression.matches(time));
      if (missing !== undefined) kept = at + missing - expected;
    }
    const counts = expression.rhythm || !seen.has(shown);
    seen.add(shown);
    if (at > after && (at === kept || (counts && expression.matches(shown)))) return at;
  }
  return undefined;
}

test("watching the clock minute by minute finds the same next run, and none before it", () => {
  let watched = 0;
  let atAChange = 0;
  fc.assert(
    fc.property(expressions, moments, (expression, { zone, after }) => {
      const found = schedule(expression, zone);
      if (found === undefined || expression.withSeconds) return;
      const next = nextRun(found, after);
      const until = Math.min(next ?? Infinity, after + 30 * HOUR);
      expect([expression.text, zone.name, after, watchTheClock(expression, zone, after, until)]).toEqual([
        expression.text,
        zone.name,
        after,
        next !== undefined && next <= until ? next : undefined,
      ]);
      watched++;
      if (zone.stretchAt(after).offset !== zone.stretchAt(until).offset) atAChange++;
    }),
    { numRuns: 15_000 },
  );
  expect(watched).toBeGreaterThan(800);
  expect(atAChange).toBeGreaterThan(100);
});
