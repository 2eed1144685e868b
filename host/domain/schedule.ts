/**
 * When a task runs next. Arithmetic only: no clock, no database, and no zone data but what the caller passes in.
 *
 * Three kinds. `cron` names local times of a zone, `interval` counts milliseconds from the end of a run (so it drifts), `once` is one
 * instant, which may lie in the past. Occurrences missed while the host was away are not replayed: the next is asked for "after now".
 *
 * Clocks that change. A cron expression with a `*` (or another field without an end, `5/15`, `H/15`) in minute or hour is a rhythm;
 * one that names its minutes and hours makes appointments. Every local time that exists exactly once counts for both, always.
 *   Gap, clocks put forward: the local times in it do not exist. A rhythm has nothing there. The first appointment in it is kept, at
 *   the instant the old clock would have shown it: in Berlin 02:30 is at 03:30 that day, so a daily task does not lose its day. Asked
 *   for after the jump, it has passed, as anybody who looks at the clock would say: the next is tomorrow's.
 *   Overlap, clocks put back: the local times in it exist twice. A rhythm goes on through both passes. An appointment is at the first.
 * Two local times that fall on one instant this way are one occurrence. `once` without a zone does the same as an appointment.
 *
 * Elsewhere: syntax (schedule-cron.ts), days (schedule-calendar.ts), dates (schedule-date.ts), what a run leaves (schedule-after-run.ts).
 */
import { type CronFields, nextLocal } from "./schedule-calendar.ts";
import { parseCron, type Refusal } from "./schedule-cron.ts";
import { readDate } from "./schedule-date.ts";
import { type FindZone, instantOf, LAST_INSTANT, type Stretch, type Zone } from "./schedule-zone.ts";

/** As a task is stored and as an agent asks for it: nothing of it has been looked at. */
export interface WrittenSchedule {
  readonly type: string;
  readonly value: string;
  /** Name of the zone that local times are in, such as `Europe/Berlin`. */
  readonly zone: string;
  /** What decides `H` in a cron expression, such as the task's id; the expression itself where there is none. */
  readonly seed?: string;
}

export type Schedule =
  | { readonly kind: "cron"; readonly fields: CronFields; readonly zone: Zone }
  | { readonly kind: "interval"; readonly everyMs: number }
  | { readonly kind: "once"; readonly at: number };

export interface ParsedSchedule {
  readonly schedule: Schedule;
  /** Epoch milliseconds of the first run; a `once` may have it before now. */
  readonly firstRun: number;
}

const SECOND = 1000;
/** Only to end a search over zones: the expression is known to name a day within 400 years, and a gap can take one away. */
const HORIZON = 410 * 366 * 24 * 60 * 60 * SECOND;

/** Never throws on what was written. Instants are epoch milliseconds. */
export function parseSchedule(written: WrittenSchedule, findZone: FindZone, now: number): ParsedSchedule | Refusal {
  const schedule = parseKind(written, findZone);
  if ("refused" in schedule) return schedule;
  const firstRun = schedule.kind === "once" ? schedule.at : nextRun(schedule, now);
  return firstRun === undefined ? { refused: "The first run would be later than any date the host can hold." } : { schedule, firstRun };
}

function parseKind({ type, value, zone, seed }: WrittenSchedule, findZone: FindZone): Schedule | Refusal {
  switch (type) {
    case "cron": {
      const fields = parseCron(value, seed);
      if ("refused" in fields) return fields;
      const found = findZone(zone);
      return found === undefined ? unknownZone(zone) : { kind: "cron", fields, zone: found };
    }
    case "interval":
      return parseInterval(value);
    case "once": {
      const found = findZone(zone);
      return found === undefined ? unknownZone(zone) : parseOnce(value, found);
    }
    default:
      return { refused: `The schedule type "${type.slice(0, 60)}" is not known. Use cron, interval or once.` };
  }
}

function unknownZone(name: string): Refusal {
  return { refused: `The time zone "${name.slice(0, 60)}" is not known. Write it as a region and city, such as Europe/Berlin.` };
}

/** NanoClaw took the leading number of anything, so `5 minutes` ran every five milliseconds; here only a number is a number. */
function parseInterval(value: string): Schedule | Refusal {
  const digits = /^\s*0*(\d{1,16})\s*$/.exec(value)?.[1];
  const everyMs = Number(digits ?? Number.NaN);
  if (everyMs > 0 && everyMs <= LAST_INSTANT) return { kind: "interval", everyMs };
  return { refused: `The interval "${value.slice(0, 60)}" is not a whole number of milliseconds above 0; five minutes are 300000.` };
}

function parseOnce(value: string, zone: Zone): Schedule | Refusal {
  const written = readDate(value);
  if (written !== undefined) {
    const at = written.offset === undefined ? instantOf(zone, written.local) : written.local - written.offset;
    if (Math.abs(at) <= LAST_INSTANT) return { kind: "once", at };
  }
  return { refused: `"${value.slice(0, 60)}" is not a date the host can read. Write it as 2026-07-01T12:00:00, local time of the zone.` };
}

/** First run strictly after `after`; undefined: there is none. */
export function nextRun(schedule: Schedule, after: number): number | undefined {
  if (!(Math.abs(after) <= LAST_INSTANT)) return undefined;
  const next = schedule.kind === "cron" ? nextMatch(schedule.fields, schedule.zone, after) : nextOther(schedule, after);
  return next !== undefined && next > after && next <= LAST_INSTANT ? next : undefined;
}

function nextOther(schedule: Exclude<Schedule, { kind: "cron" }>, after: number): number {
  return schedule.kind === "interval" ? after + schedule.everyMs : schedule.at;
}

/** Goes from one change of the zone's clocks to the next; in between local time and instants run side by side. */
function nextMatch(fields: CronFields, zone: Zone, after: number): number | undefined {
  const horizon = Math.min(after + HORIZON, LAST_INSTANT);
  let at = (Math.floor(after / SECOND) + 1) * SECOND;
  while (at <= horizon) {
    const stretch = zone.stretchAt(at);
    const found = matchWithin(fields, stretch, at, horizon);
    if (found !== undefined) return found;
    at = stretch.until;
  }
  return undefined;
}

function matchWithin(fields: CronFields, stretch: Stretch, at: number, horizon: number): number | undefined {
  const { offset, before } = stretch;
  const until = Math.min(stretch.until, horizon + SECOND);
  const putForward = fields.rhythm ? 0 : offset - before;
  const from = putForward < 0 ? Math.max(at, stretch.from - putForward) : at;
  const shown = nextInstant(fields, from, until, offset);
  if (putForward <= 0 || at > stretch.from) return shown;
  const kept = nextInstant(fields, at, Math.min(until, stretch.from + putForward), before);
  return shown === undefined || (kept !== undefined && kept < shown) ? kept : shown;
}

/** First match in [from, until) of a clock that runs at `offset`. */
function nextInstant(fields: CronFields, from: number, until: number, offset: number): number | undefined {
  const local = from < until ? nextLocal(fields, from + offset, until + offset) : undefined;
  return local === undefined ? undefined : local - offset;
}
