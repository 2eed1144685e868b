/**
 * The last line of a zone file: when clocks change in every year after the listed ones (RFC 9636 §3.3.1, POSIX TZ), such as
 * `CET-1CEST,M3.5.0,M10.5.0/3`. Offsets there are west of UTC, and hours run from -167 to 167.
 */
export interface YearRule {
  /** Milliseconds east of UTC. */
  readonly standard: number;
  readonly daylight: number;
  readonly starts: DayRule;
  readonly ends: DayRule;
}

type DayRule = { readonly time: number } & (
  | { readonly by: "weekday"; readonly month: number; readonly week: number; readonly weekday: number }
  /** 1 to 365, 29 February never counted. */
  | { readonly by: "julian"; readonly day: number }
  /** 0 to 365, 29 February counted. */
  | { readonly by: "ordinal"; readonly day: number }
);

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

const NAME = "(?:<[A-Za-z0-9+-]{3,}>|[A-Za-z]{3,})";
const OFFSET = "([+-]?\\d{1,3}(?::\\d{1,2}){0,2})";
const RULE = new RegExp(`^${NAME}${OFFSET}(?:${NAME}${OFFSET}?,([^,]+),([^,]+))?$`);

/** A number where the zone never changes its clocks again: its offset in milliseconds. Undefined: not such a line. */
export function readPosixRule(text: string): YearRule | number | undefined {
  const found = RULE.exec(text);
  if (found === null) return undefined;
  const [, standardText = "", daylightText, startText, endText] = found;
  const standard = 0 - duration(standardText);
  if (startText === undefined || endText === undefined) return standard;
  const starts = readDay(startText);
  const ends = readDay(endText);
  if (starts === undefined || ends === undefined) return undefined;
  const daylight = daylightText === undefined ? standard + HOUR : 0 - duration(daylightText);
  const rule = { standard, daylight, starts, ends };
  // Summer time all year long is written as a return to standard time that lasts no time.
  return changesOf(rule, 2001).at(-1)?.at === changesOf(rule, 2002)[0]?.at ? daylight : rule;
}

function duration(text: string): number {
  const [hours = 0, minutes = 0, seconds = 0] = text.replace(/^[+-]/, "").split(":").map(Number);
  return (text.startsWith("-") ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds) * SECOND;
}

function readDay(text: string): DayRule | undefined {
  const [date = "", timeText] = text.split("/");
  if (timeText !== undefined && !/^[+-]?\d{1,3}(:\d{1,2}){0,2}$/.test(timeText)) return undefined;
  const time = timeText === undefined ? 2 * HOUR : duration(timeText);
  const weekday = /^M(\d{1,2})\.([1-5])\.([0-6])$/.exec(date);
  if (weekday !== null) {
    const month = Number(weekday[1]);
    return month < 1 || month > 12 ? undefined : { time, by: "weekday", month, week: Number(weekday[2]), weekday: Number(weekday[3]) };
  }
  const day = /^(J?)(\d{1,3})$/.exec(date);
  if (day === null || Number(day[2]) > 365 || (day[1] === "J" && Number(day[2]) < 1)) return undefined;
  return { time, by: day[1] === "J" ? "julian" : "ordinal", day: Number(day[2]) };
}

/** The year's changes in order, each the instant and the offset from it on. Years as UTC counts them. */
export function changesOf(rule: YearRule, year: number): readonly { readonly at: number; readonly offset: number }[] {
  const start = { at: localTime(rule.starts, year) - rule.standard, offset: rule.daylight };
  const end = { at: localTime(rule.ends, year) - rule.daylight, offset: rule.standard };
  return start.at <= end.at ? [start, end] : [end, start];
}

function localTime(rule: DayRule, year: number): number {
  return dayOf(rule, year) + rule.time;
}

function dayOf(rule: DayRule, year: number): number {
  if (rule.by === "ordinal") return utc(year, 0, 1) + rule.day * DAY;
  if (rule.by === "julian") {
    const leap = utc(year, 2, 1) - utc(year, 1, 28) > DAY;
    return utc(year, 0, rule.day + (leap && rule.day > 59 ? 1 : 0));
  }
  if (rule.week === 5) {
    const lastDay = utc(year, rule.month, 0);
    return lastDay - ((weekdayOf(lastDay) - rule.weekday + 7) % 7) * DAY;
  }
  const first = utc(year, rule.month - 1, 1);
  return first + (((rule.weekday - weekdayOf(first) + 7) % 7) + (rule.week - 1) * 7) * DAY;
}

function weekdayOf(midnight: number): number {
  return new Date(midnight).getUTCDay();
}

/** Unlike Date.UTC, also right for years before 100. */
function utc(year: number, month: number, day: number): number {
  return new Date(0).setUTCFullYear(year, month, day);
}
