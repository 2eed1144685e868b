/** Dates in words and figures; V8's own reading, in a process of its own whose zone is set, is the judge. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import { readDate } from "./schedule-date.ts";
import { instantOf } from "./schedule-zone.ts";

const { find } = systemTimeZones({ folder: join(import.meta.dirname, "../../fixtures/zoneinfo") });

function instant(text: string, zoneName: string): number | null {
  const zone = find(zoneName);
  const written = readDate(text);
  if (zone === undefined) throw new Error(`no fixture of ${zoneName}`);
  if (written === undefined) return null;
  return written.offset === undefined ? instantOf(zone, written.local) : written.local - written.offset;
}

/** What `new Date(text)` is to a process whose zone is `zone`; null for none. */
function readByV8(texts: readonly string[], zone: string): (number | null)[] {
  const script = "process.stdout.write(JSON.stringify(JSON.parse(require('fs').readFileSync(0, 'utf8')).map((text) => Date.parse(text))))";
  const options = {
    input: JSON.stringify(texts),
    env: { TZ: zone },
    encoding: "utf8",
    timeout: 10_000,
    maxBuffer: 16 * 1024 * 1024,
  } as const;
  return JSON.parse(execFileSync(process.execPath, ["-e", script], options)) as (number | null)[];
}

const ENGLISH = [
  "Jul 1 2026",
  "July 1, 2026 12:00",
  "1 July 2026 12:00 GMT+2",
  "1 Jul 2026 12:00:30 +0530",
  "Wed, 01 Jul 2026 12:00:00 GMT",
  "Wed Jul 01 2026 12:00:00 GMT+0200 (Central European Summer Time)",
  "Wednesday, July 1, 2026 9:05 pm",
  "Jul 1 2026 12:30 am",
  "Jul 1 2026 12:30 PM EST",
  "Feb 30 2026 10:00",
  "2026/7/1 9:05",
  "2026-7-1 9:05",
  "2026-07-01 12:00:00 UTC",
  "2026-07-01 12:00 +02:00",
  "2026-02-30T10:00:00",
  "2026-07-01T24:00:00",
  "2026-07-01T12:00:00.123456789",
  "+012026-01-01T00:00:00Z",
  "-000001-01-01T00:00:00Z",
];
const ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];

describe("a date", () => {
  test.each(ZONES)("in each known form is the instant V8 makes of it in %s", (zone) => {
    const local = ["2026-03-29T02:30", "2026-10-25T02:30", "2026-03-08T02:30", "2026-11-01T01:30", "2026-04-05T01:45", "2026-10-04T02:15"];
    const texts = [...ENGLISH, ...local];
    expect(texts.map((text) => [text, instant(text, zone)])).toEqual(readByV8(texts, zone).map((ms, n) => [texts[n], ms]));
  });

  test("in ISO form is what V8 makes of it, day by day and second by second over a century", () => {
    const two = (value: number): string => String(value).padStart(2, "0");
    const zones = fc.constantFrom("", "Z", "+05:30", "-0800", "+14:00");
    const separators = fc.constantFrom("T", " ");
    const parts = [fc.integer({ min: 1970, max: 2036 }), fc.integer({ min: 0, max: 13 }), fc.integer({ min: 0, max: 32 })] as const;
    const time = [fc.integer({ min: 0, max: 25 }), fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 60 })] as const;
    const texts = fc.sample(
      fc
        .tuple(...parts, separators, ...time, zones)
        .map(([y, mo, d, t, h, mi, s, zone]) => `${y}-${two(mo)}-${two(d)}${t}${two(h)}:${two(mi)}:${two(s)}${zone}`),
      { numRuns: 3000, seed: 20260701 },
    );
    const wrong = readByV8(texts, "Europe/Berlin").flatMap((ms, n) => {
      const text = texts[n] ?? "";
      return instant(text, "Europe/Berlin") === ms ? [] : [`${text}: ${instant(text, "Europe/Berlin")}, V8 ${ms}`];
    });
    expect(wrong).toEqual([]);
    expect(texts.filter((text) => instant(text, "Europe/Berlin") !== null).length).toBeGreaterThan(1500);
  });

  test("may have space around and more than one inside", () => {
    expect(readDate("  2026-07-01T12:00\n")).toEqual(readDate("2026-07-01T12:00"));
    expect(readDate("Jul  1   2026")).toEqual(readDate("Jul 1 2026"));
  });

  test.each([
    "",
    "2026",
    "2026-07",
    "7/1/2026",
    "1/7/2026",
    "Jul 1",
    "Jul 1 26",
    "July 2026",
    "12:00",
    "T12:00",
    "in 5 minutes",
    "1782907200000",
    "2026-13-01",
    "2026-00-10",
    "2026-07-32",
    "2026-07-01T25:00",
    "2026-07-01T24:00:01",
    "2026-07-01T12:60",
    "2026-07-01T12:00+24:00",
    "2026-07-01T12",
    "-000000-01-01T00:00Z",
    "Jul 1 2026 13:00 pm",
    "Jul 1 2026 0:30 am",
    "Jul 1 2026 12:00 MARS",
    "Foo 1 2026",
    "2026-7/1",
    "2026-07-01T12:00Z; rm -rf /",
  ])("is not read from %j", (text) => {
    expect(readDate(text)).toBeUndefined();
  });

  test("is read or refused at once, however it is made to stumble", () => {
    const floods = [
      "1".repeat(100_000),
      " ".repeat(100_000),
      `Jul 1 2026${" ".repeat(89)}`,
      "a ".repeat(49),
      `${"(".repeat(50)}${")".repeat(50)}`,
    ];
    const started = performance.now();
    for (const flood of floods) readDate(flood);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
