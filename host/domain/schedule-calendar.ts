/**
 * Which days and times of day a cron expression names. Nothing here knows a zone: a local time is milliseconds since 1970 as if the
 * clock showed UTC.
 */
export interface CronFields {
  /** Sorted, without repeats; never empty. */
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** Index 1 to 12. */
  readonly months: readonly boolean[];
  readonly days: DaysOfMonth | undefined;
  readonly weekdays: DaysOfWeek | undefined;
  /** Minute or hour runs through its whole range (a `*` in any form): a rhythm, not appointments. See schedule-cron.ts. */
  readonly rhythm: boolean;
}

/** Undefined in CronFields where the field is `*` or `?`: it restricts nothing. Index 1 to 31. */
export interface DaysOfMonth {
  readonly numbers: readonly boolean[];
  readonly last: boolean;
  readonly lastWorkday: boolean;
  /** Days whose nearest Monday to Friday in the same month is meant; index 1 to 31. */
  readonly nearestWorkday: readonly boolean[];
}

/** Index 0 (Sunday) to 6. */
export interface DaysOfWeek {
  readonly every: readonly boolean[];
  /** The n-th of the month, n from 1 to 5. */
  readonly nth: readonly { readonly weekday: number; readonly n: number }[];
  readonly last: readonly boolean[];
}

const SECOND = 1000;
const DAY_SECONDS = 24 * 60 * 60;
/** The calendar repeats after this many years, weekdays included: what matches nothing in them matches never. */
const CYCLE_YEARS = 400;

/** First local time at or after `from` (a whole second) and before `limit` that the fields name; undefined: none in 400 years either. */
export function nextLocal(fields: CronFields, from: number, limit: number): number | undefined {
  let dayNumber = Math.floor(from / SECOND / DAY_SECONDS);
  let time = firstTimeFrom(fields, from / SECOND - dayNumber * DAY_SECONDS);
  if (time === undefined) {
    dayNumber++;
    time = firstTimeFrom(fields, 0);
  }
  const midnight = firstTimeFrom(fields, 0);
  if (time === undefined || midnight === undefined) return undefined;
  let { year, month, day } = civil(dayNumber);
  const lastYear = year + CYCLE_YEARS;
  while (year <= lastYear) {
    const monthStart = daysBefore(year, month);
    if (monthStart * DAY_SECONDS * SECOND >= limit) return undefined;
    if (fields.months[month]) {
      const length = daysIn(year, month);
      const firstWeekday = weekdayOf(monthStart);
      for (; day <= length; day++) {
        const named = monthStart + day - 1;
        if (!dayMatches(fields, day, length, firstWeekday)) continue;
        const local = (named * DAY_SECONDS + (named === dayNumber ? time : midnight)) * SECOND;
        return local < limit ? local : undefined;
      }
    }
    day = 1;
    month = month === 12 ? 1 : month + 1;
    if (month === 1) year++;
  }
  return undefined;
}

/** Whether the fields name any day at all; 31 April is none, 29 February is one. */
export function namesADay(fields: CronFields): boolean {
  return nextLocal(fields, 0, Infinity) !== undefined;
}

function firstTimeFrom(fields: CronFields, secondOfDay: number): number | undefined {
  const hour = Math.floor(secondOfDay / 3600);
  const minute = Math.floor(secondOfDay / 60) % 60;
  const second = secondOfDay % 60;
  const firstSecond = fields.seconds[0] ?? 0;
  const firstMinute = fields.minutes[0] ?? 0;
  for (const h of fields.hours) {
    if (h < hour) continue;
    if (h > hour) return h * 3600 + firstMinute * 60 + firstSecond;
    for (const m of fields.minutes) {
      if (m < minute) continue;
      if (m > minute) return h * 3600 + m * 60 + firstSecond;
      for (const s of fields.seconds) if (s >= second) return h * 3600 + m * 60 + s;
    }
  }
  return undefined;
}

/** Where day and weekday are both restricted, either will do: the old rule of cron, and the recorded one. */
function dayMatches(fields: CronFields, day: number, length: number, firstWeekday: number): boolean {
  const { days, weekdays } = fields;
  if (days === undefined && weekdays === undefined) return true;
  return (
    (days !== undefined && dayOfMonthMatches(days, day, length, firstWeekday)) ||
    (weekdays !== undefined && dayOfWeekMatches(weekdays, day, length, firstWeekday))
  );
}

function dayOfMonthMatches(days: DaysOfMonth, day: number, length: number, firstWeekday: number): boolean {
  if (days.numbers[day] || (days.last && day === length)) return true;
  const weekday = (firstWeekday + day - 1) % 7;
  if (weekday === 0 || weekday === 6) return false;
  if (days.lastWorkday && (day === length || (weekday === 5 && day >= length - 2))) return true;
  if (days.nearestWorkday[day]) return true;
  // A Friday stands for the Saturday after it, a Monday for the Sunday before it; at either end of the month the workday two days
  // away inside it, since the nearest would be in another month.
  if (weekday === 5) return inMonth(days, day + 1, length) || (day + 2 === length && inMonth(days, length, length));
  if (weekday === 1) return inMonth(days, day - 1, length) || (day === 3 && inMonth(days, 1, length));
  return false;
}

function inMonth(days: DaysOfMonth, day: number, length: number): boolean {
  return day <= length && (days.nearestWorkday[day] ?? false);
}

function dayOfWeekMatches(weekdays: DaysOfWeek, day: number, length: number, firstWeekday: number): boolean {
  const weekday = (firstWeekday + day - 1) % 7;
  if (weekdays.every[weekday]) return true;
  if (weekdays.last[weekday] && day > length - 7) return true;
  return weekdays.nth.some((nth) => nth.weekday === weekday && nth.n === Math.ceil(day / 7));
}

/** Day number 0 is 1 January 1970, a Thursday. */
function weekdayOf(dayNumber: number): number {
  return (((dayNumber + 4) % 7) + 7) % 7;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** Day number of the first of the month; years and leap days counted from March, so that February ends a year. */
export function daysBefore(year: number, month: number): number {
  const marchYear = month <= 2 ? year - 1 : year;
  const monthsSinceMarch = (month + 9) % 12;
  const leapDays = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  // 719468 days lie between 1 March of year 0 and 1 January 1970; 153 days are five months from March on.
  return marchYear * 365 + leapDays + Math.floor((153 * monthsSinceMarch + 2) / 5) - 719_468;
}

/** The other way round: 146097 days are 400 years, 36524 a century, 1460 four years; the last of each lacks or has a leap day. */
function civil(dayNumber: number): { year: number; month: number; day: number } {
  const sinceMarchZero = dayNumber + 719_468;
  const cycle = Math.floor(sinceMarchZero / 146_097);
  const dayOfCycle = sinceMarchZero - cycle * 146_097;
  const leapDays = Math.floor(dayOfCycle / 1460) - Math.floor(dayOfCycle / 36_524) + Math.floor(dayOfCycle / 146_096);
  const yearOfCycle = Math.floor((dayOfCycle - leapDays) / 365);
  const dayOfYear = dayOfCycle - (365 * yearOfCycle + Math.floor(yearOfCycle / 4) - Math.floor(yearOfCycle / 100));
  const monthsSinceMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = ((monthsSinceMarch + 2) % 12) + 1;
  return {
    year: cycle * 400 + yearOfCycle + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * monthsSinceMarch + 2) / 5) + 1,
  };
}
