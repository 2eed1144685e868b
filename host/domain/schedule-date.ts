/**
 * The date of a task that runs once, in the forms recorded from NanoClaw, which read it with `new Date(text)`.
 *
 * ISO 8601 (`2026-07-01T12:00`, a space for the T, seconds and fractions, `Z` or an offset, years of six digits with a sign), and
 * English (`Jul 1 2026`, `July 1, 2026 12:00`, `1 July 2026 12:00 GMT+2`, a weekday in front). A time without a zone is local; an ISO
 * date without a time is midnight in UTC, an English one midnight local. 30 February is 2 March. All of this is recorded.
 * Refused, though `new Date` took them: years of two digits, `7/1/2026` (which day is that?), a month or year alone.
 */
import { daysBefore } from "./schedule-calendar.ts";

/** Local where `offset` is undefined. Milliseconds as if the clock showed UTC; subtract `offset` (milliseconds) for the instant. */
export interface WrittenDate {
  readonly local: number;
  readonly offset: number | undefined;
}

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const MAX_LENGTH = 100;
const MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
/** Names an English date may carry; minutes east of UTC. */
const ZONE_WORDS: ReadonlyMap<string, number> = new Map([
  ["z", 0],
  ["ut", 0],
  ["utc", 0],
  ["gmt", 0],
  ["est", -300],
  ["edt", -240],
  ["cst", -360],
  ["cdt", -300],
  ["mst", -420],
  ["mdt", -360],
  ["pst", -480],
  ["pdt", -420],
]);

const ISO = /^([+-]\d{6}|\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?: ?(Z|UTC|[+-]\d\d:?\d\d))?)?$/i;
const WEEKDAY = "(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\\.?,? )?";
const TIME = "(?:,? (\\d\\d?):(\\d\\d)(?::(\\d\\d))?(?: ?([ap]m))?)?(?: ?([a-z]{1,3})?(?:([+-])(\\d\\d?)(?::?(\\d\\d))?)?)?";
const MONTH_FIRST = new RegExp(`^${WEEKDAY}([a-z]{3,9})\\.? (\\d\\d?),? (\\d{4})${TIME}$`, "i");
const DAY_FIRST = new RegExp(`^${WEEKDAY}(\\d\\d?) ([a-z]{3,9})\\.?,? (\\d{4})${TIME}$`, "i");
const YEAR_FIRST = new RegExp(`^(\\d{4})([-/])(\\d\\d?)\\2(\\d\\d?)${TIME}$`, "i");

/** Undefined: not a date in any of the forms above. */
export function readDate(text: string): WrittenDate | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  // What a Date prints ends in the zone's name in brackets; the offset before it says the same.
  const written = text
    .trim()
    .replace(/ \([^()]*\)$/, "")
    .replace(/ +/g, " ");
  return readIso(written) ?? readEnglish(written);
}

function readIso(text: string): WrittenDate | undefined {
  const found = ISO.exec(text);
  if (found === null) return undefined;
  const [, year = "", month = "", day = "", hour, minute, second = "0", fraction = "", zone] = found;
  if (year === "-000000") return undefined;
  const date = localDate(Number(year), Number(month), Number(day));
  if (date === undefined) return undefined;
  if (hour === undefined || minute === undefined) return { local: date, offset: 0 };
  const milliseconds = Number(fraction.padEnd(3, "0").slice(0, 3));
  const time = timeOfDay(Number(hour), Number(minute), Number(second), milliseconds);
  const offset = zone === undefined ? undefined : isoOffset(zone);
  return time === undefined || Number.isNaN(offset) ? undefined : { local: date + time, offset };
}

/** NaN where the offset does not exist. */
function isoOffset(zone: string): number {
  if (/^[uz]/i.test(zone)) return 0;
  return signedOffset(zone.slice(0, 1), zone.slice(1, 3), zone.slice(-2));
}

function signedOffset(sign: string, hours: string, minutes: string): number {
  if (Number(hours) > 23 || Number(minutes) > 59) return Number.NaN;
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE;
}

function readEnglish(text: string): WrittenDate | undefined {
  const monthFirst = MONTH_FIRST.exec(text);
  if (monthFirst !== null) {
    const [, month = "", day = "", year = "", ...time] = monthFirst;
    return withTime(localDate(Number(year), monthNumber(month), Number(day)), time);
  }
  const dayFirst = DAY_FIRST.exec(text);
  if (dayFirst !== null) {
    const [, day = "", month = "", year = "", ...time] = dayFirst;
    return withTime(localDate(Number(year), monthNumber(month), Number(day)), time);
  }
  const yearFirst = YEAR_FIRST.exec(text);
  if (yearFirst === null) return undefined;
  const [, year = "", , month = "", day = "", ...time] = yearFirst;
  return withTime(localDate(Number(year), Number(month), Number(day)), time);
}

/** `Sept` and `July` alike: a name or its first letters. 0: no month. */
function monthNumber(name: string): number {
  return MONTHS.findIndex((month) => month.startsWith(name.toLowerCase())) + 1;
}

function withTime(date: number | undefined, parts: readonly (string | undefined)[]): WrittenDate | undefined {
  if (date === undefined) return undefined;
  const [hour, minute, second = "0", half, word, sign, hours = "", minutes = "0"] = parts;
  let time: number | undefined = 0;
  if (hour !== undefined && minute !== undefined) {
    if (half !== undefined && (Number(hour) < 1 || Number(hour) > 12)) return undefined;
    const afternoon = half === undefined ? Number(hour) : (Number(hour) % 12) + (half.toLowerCase() === "pm" ? 12 : 0);
    time = timeOfDay(afternoon, Number(minute), Number(second), 0);
  }
  const named = word === undefined ? undefined : ZONE_WORDS.get(word.toLowerCase());
  if (time === undefined || (word !== undefined && named === undefined)) return undefined;
  if (sign === undefined) return { local: date + time, offset: named === undefined ? undefined : named * MINUTE };
  const offset = (named ?? 0) * MINUTE + signedOffset(sign, hours, minutes);
  return Number.isNaN(offset) ? undefined : { local: date + time, offset };
}

/** The day may exceed the month's length and then reaches into the next, as recorded. */
function localDate(year: number, month: number, day: number): number | undefined {
  if (month < 1 || month > 12 || day < 1 || day > 31) return undefined;
  return (daysBefore(year, month) + day - 1) * DAY;
}

/** Milliseconds since midnight; 24:00:00 is the end of the day. */
function timeOfDay(hour: number, minute: number, second: number, millisecond: number): number | undefined {
  if (minute > 59 || second > 59 || hour > 24) return undefined;
  const time = (hour * 60 + minute) * MINUTE + second * 1000 + millisecond;
  return time > DAY ? undefined : time;
}
