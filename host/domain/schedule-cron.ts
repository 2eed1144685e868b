/**
 * Cron expressions: five fields (minute hour day month weekday), six with seconds in front, or an alias.
 *
 * A field is `*`, a number, a name (`MON`, `JAN`; weekday 0 and 7 are Sunday), a range `1-5`, a step (`1-30/5`, `5/15`, or a `/15`
 * after `*`), or a list of those. Days also know `L` (last), `15W` (nearest Monday to Friday of that month) and `LW`, weekdays `1#2`
 * (second Monday) and `5L` (last Friday); both know `?`, the same as `*`. `H` is a value the seed chooses, the same at every reading:
 * `H`, `H(0-29)`, `H/15`, `H(0-29)/10`.
 *
 * What may well mean something else than it says is refused in words: fewer than five fields, a range that runs backwards, a step
 * longer than its range (every 90 minutes is an interval), a date that no year has.
 */
import { type CronFields, type DaysOfMonth, type DaysOfWeek, namesADay } from "./schedule-calendar.ts";

export interface Refusal {
  /** What is wrong and what to write instead, for the person or agent that asked. */
  readonly refused: string;
}

/** Room for four fields that list every value they have. */
const MAX_LENGTH = 1000;

const ALIASES: ReadonlyMap<string, string> = new Map([
  ["@yearly", "0 0 1 1 *"],
  ["@annually", "0 0 1 1 *"],
  ["@monthly", "0 0 1 * *"],
  ["@weekly", "0 0 * * 0"],
  ["@daily", "0 0 * * *"],
  ["@midnight", "0 0 * * *"],
  ["@hourly", "0 * * * *"],
  ["@minutely", "* * * * *"],
  ["@secondly", "* * * * * *"],
  ["@weekdays", "0 0 * * 1-5"],
  ["@weekends", "0 0 * * 0,6"],
]);

interface FieldKind {
  readonly name: string;
  readonly min: number;
  /** What `*` reaches to. */
  readonly max: number;
  /** Largest number that may be written, and where `5/15` ends; weekday 7 is another name for 0. */
  readonly maxWritten: number;
  /** Largest value `H` chooses by itself: not every month has a 29th. */
  readonly maxHashed: number;
  /** The n-th name stands for `min` + n. */
  readonly names: readonly string[];
}

const kind = (name: string, min: number, max: number, more: Partial<FieldKind> = {}): FieldKind => ({
  name,
  min,
  max,
  maxWritten: max,
  maxHashed: max,
  names: [],
  ...more,
});
const SECOND = kind("second", 0, 59);
const MINUTE = kind("minute", 0, 59);
const HOUR = kind("hour", 0, 23);
const DAY = kind("day", 1, 31, { maxHashed: 28 });
const MONTH = kind("month", 1, 12, { names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"] });
const WEEKDAY = kind("weekday", 0, 6, { maxWritten: 7, names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] });

/** Never leaves this file: who asks gets a Refusal. */
class Unreadable extends Error {}

/** `seed` decides `H`; without one the expression itself does. */
export function parseCron(text: string, seed = text): CronFields | Refusal {
  if (text.length > MAX_LENGTH) return { refused: `A cron expression may have ${MAX_LENGTH} characters; this one has ${text.length}.` };
  const written = text.trim();
  const expression = written.startsWith("@") ? ALIASES.get(written.toLowerCase()) : written;
  if (expression === undefined) return { refused: `${quote(written)} is not known. Known are ${[...ALIASES.keys()].join(", ")}.` };
  try {
    const fields = readFields(expression, seed);
    return namesADay(fields) ? fields : { refused: `The cron expression ${quote(written)} names a date that no year has.` };
  } catch (error) {
    if (error instanceof Unreadable) return { refused: `The cron expression ${quote(written)} cannot be used. ${error.message}` };
    throw error;
  }
}

function readFields(expression: string, seed: string): CronFields {
  const texts = expression.split(/\s+/);
  if (texts.length < 5 || texts.length > 6 || texts[0] === "") {
    const count = texts[0] === "" ? 0 : texts.length;
    throw new Unreadable(`It has ${count} fields, and five are needed: minute hour day month weekday; or six, with seconds in front.`);
  }
  const [second = "0", minute = "", hour = "", day = "", month = "", weekday = ""] = texts.length === 6 ? texts : ["0", ...texts];
  const minutes = readField(minute, MINUTE, seed);
  const hours = readField(hour, HOUR, seed);
  return {
    seconds: sorted(readField(second, SECOND, seed)),
    minutes: sorted(minutes),
    hours: sorted(hours),
    months: table(13, readField(month, MONTH, seed).values),
    days: isUnrestricted(day) ? undefined : readDays(day, seed),
    weekdays: isUnrestricted(weekday) ? undefined : readWeekdays(weekday, seed),
    rhythm: minutes.whole || hours.whole,
  };
}

interface Values {
  readonly values: ReadonlySet<number>;
  /** Some part runs to the end of the field's range (`*`, `*` with a step, `5/15`, `H/15`), or all values are named. */
  readonly whole: boolean;
}

function readField(text: string, kind: FieldKind, seed: string): Values {
  const values = new Set<number>();
  let whole = false;
  for (const part of text.split(",")) if (readPart(part, kind, seed, values)) whole = true;
  return { values, whole: whole || values.size > kind.max - kind.min };
}

/** Adds what the part names; true where it runs to the end of the range. */
function readPart(part: string, kind: FieldKind, seed: string, values: Set<number>): boolean {
  const [base = "", stepText, ...rest] = part.split("/");
  if (base === "" || stepText === "" || rest.length > 0)
    throw new Unreadable(`The ${kind.name} ${quote(part)} is not a value, a range or a step.`);
  const [from, to, open] = readBase(base, stepText !== undefined, kind);
  const step = stepText === undefined ? 1 : readStep(stepText, kind);
  const hashed = /^H/i.test(base);
  const first = hashed ? from + hash(`${seed} ${kind.name}`, stepText === undefined ? to - from + 1 : Math.min(step, to - from + 1)) : from;
  const last = hashed && stepText === undefined ? first : to;
  for (let value = first; value <= last; value += step) values.add(kind === WEEKDAY ? value % 7 : value);
  return open;
}

function readBase(base: string, stepped: boolean, kind: FieldKind): readonly [from: number, to: number, open: boolean] {
  if (base === "*") return [kind.min, kind.max, true];
  const hashed = /^H(?:\((\d{1,2})-(\d{1,2})\))?$/i.exec(base);
  if (hashed !== null) {
    const [, low, high] = hashed;
    if (low === undefined || high === undefined) return [kind.min, kind.maxHashed, stepped];
    return [...readRange(low, high, kind), false];
  }
  const [low = "", high, ...rest] = base.split("-");
  if (rest.length > 0 || low === "") throw new Unreadable(`The ${kind.name} ${quote(base)} is not a number, a name or a range.`);
  if (high !== undefined) return [...readRange(low, high, kind), false];
  const value = readValue(low, kind);
  return stepped ? [value, kind.maxWritten, true] : [value, value, false];
}

function readRange(low: string, high: string, kind: FieldKind): readonly [number, number] {
  const from = readValue(low, kind);
  const to = readValue(high, kind);
  if (from > to)
    throw new Unreadable(`The ${kind.name} range ${quote(`${low}-${high}`)} runs backwards. Write it as two ranges in a list.`);
  return [from, to];
}

function readStep(text: string, kind: FieldKind): number {
  const step = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (step === 0) throw new Unreadable(`The step ${quote(text)} of the ${kind.name} is not a number from 1 up.`);
  if (step > kind.max - kind.min + 1) {
    throw new Unreadable(`The step ${text} of the ${kind.name} is longer than its range. For longer pauses use an interval.`);
  }
  return step;
}

function readValue(text: string, kind: FieldKind): number {
  const name = kind.names.indexOf(text.toLowerCase());
  if (name >= 0) return kind.min + name;
  if (!/^\d{1,4}$/.test(text)) {
    const names = kind.names.length === 0 ? "" : ` or one of ${kind.names.join(", ").toUpperCase()}`;
    throw new Unreadable(`The ${kind.name} ${quote(text)} is not a number${names}.`);
  }
  const value = Number(text);
  if (value < kind.min || value > kind.maxWritten) {
    throw new Unreadable(`The ${kind.name} ${text} is out of range: ${kind.min} to ${kind.maxWritten}.`);
  }
  return value;
}

function readDays(text: string, seed: string): DaysOfMonth {
  const numbers = new Set<number>();
  const nearest = new Set<number>();
  let last = false;
  let lastWorkday = false;
  for (const part of text.split(",")) {
    const workday = /^(\d{1,2})W$/i.exec(part)?.[1];
    if (part.toUpperCase() === "L") last = true;
    else if (part.toUpperCase() === "LW") lastWorkday = true;
    else if (workday !== undefined) nearest.add(readValue(workday, DAY));
    else readPart(part, DAY, seed, numbers);
  }
  return { numbers: table(32, numbers), last, lastWorkday, nearestWorkday: table(32, nearest) };
}

function readWeekdays(text: string, seed: string): DaysOfWeek {
  const every = new Set<number>();
  const last = new Set<number>();
  const nth: { weekday: number; n: number }[] = [];
  for (const part of text.split(",")) {
    const [, lastDay] = /^(\w{1,3})L$/i.exec(part) ?? [];
    const [, nthDay, n] = /^(\w{1,3})#(\w+)$/.exec(part) ?? [];
    if (lastDay !== undefined) last.add(readValue(lastDay, WEEKDAY) % 7);
    else if (nthDay !== undefined && n !== undefined) {
      if (!/^[1-5]$/.test(n)) throw new Unreadable(`A month has a first to fifth weekday, not ${quote(`#${n}`)}.`);
      nth.push({ weekday: readValue(nthDay, WEEKDAY) % 7, n: Number(n) });
    } else if (part.toUpperCase() === "L") throw new Unreadable(`"L" needs a weekday in front, such as "5L" for the last Friday.`);
    else readPart(part, WEEKDAY, seed, every);
  }
  return { every: table(7, every), nth, last: table(7, last) };
}

function isUnrestricted(text: string): boolean {
  return text === "*" || text === "?";
}

function sorted({ values }: Values): number[] {
  return [...values].toSorted((a, b) => a - b);
}

function table(length: number, values: ReadonlySet<number>): boolean[] {
  return Array.from({ length }, (_, value) => values.has(value));
}

/** 32-bit FNV-1a: even enough to spread tasks over an hour, and the same on every machine and in every version. */
function hash(text: string, choices: number): number {
  let state = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return state % choices;
}

/** Quoted, and short enough for a chat. */
function quote(text: string): string {
  return `"${text.length > 60 ? `${text.slice(0, 60)}…` : text}"`;
}
