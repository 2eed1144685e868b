/**
 * A zone where the machine has no zone files: asked of Intl, offset by offset. Slower, and about 8 MB from the first question on.
 */
import { LAST_INSTANT, type Stretch, type Zone } from "../../domain/schedule-zone.ts";

const SECOND = 1000;
/** Clocks are never changed twice within it (the closest pairs known are a month apart), and it leaves the two days a Zone must. */
const WINDOW = 7 * 24 * 60 * 60 * SECOND;

/** Undefined: Intl knows no such zone. */
export function intlZone(name: string): Zone | undefined {
  let clock: Intl.DateTimeFormat;
  try {
    clock = new Intl.DateTimeFormat("en-US", {
      timeZone: name,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  return { name, stretchAt: (instant) => stretchAround((at) => offsetShown(clock, at), instant) };
}

function stretchAround(offsetAt: (instant: number) => number, instant: number): Stretch {
  const middle = Math.floor(Math.min(Math.max(instant, WINDOW - LAST_INSTANT), LAST_INSTANT - WINDOW) / SECOND) * SECOND;
  const offset = offsetAt(middle);
  const before = offsetAt(middle - WINDOW);
  const after = offsetAt(middle + WINDOW);
  return {
    offset,
    before,
    from: before === offset ? middle - WINDOW : firstSecond(middle - WINDOW, middle, (at) => offsetAt(at) === offset),
    until: after === offset ? middle + WINDOW : firstSecond(middle, middle + WINDOW, (at) => offsetAt(at) !== offset),
  };
}

/** First whole second in (low, high] for which `holds`, which is false at `low`, true at `high` and changes once. */
function firstSecond(low: number, high: number, holds: (at: number) => boolean): number {
  let no = low / SECOND;
  let yes = high / SECOND;
  while (yes - no > 1) {
    const middle = Math.floor((no + yes) / 2);
    if (holds(middle * SECOND)) yes = middle;
    else no = middle;
  }
  return yes * SECOND;
}

function offsetShown(clock: Intl.DateTimeFormat, instant: number): number {
  const shown: Record<string, number> = {};
  let beforeChrist = false;
  for (const { type, value } of clock.formatToParts(instant)) {
    if (type === "era") beforeChrist = value.startsWith("B");
    else shown[type] = Number(value);
  }
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = shown;
  const local = new Date(0).setUTCFullYear(beforeChrist ? 1 - year : year, month - 1, day);
  return local + ((hour * 60 + minute) * 60 + second) * SECOND - instant;
}
