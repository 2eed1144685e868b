/** Our next runs beside those of croner, another calculator of the same expressions. */
import { Cron } from "croner";
import { expect, test } from "vitest";
// croner asks Intl, whose zone data may be of another year than the system's files; so here we do too.
import { intlZone } from "../adapters/time-zones-system/intl-zone.ts";
import { nextRun, parseSchedule } from "./schedule.ts";
import type { Zone } from "./schedule-zone.ts";

const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Africa/Casablanca", "Australia/Lord_Howe", "Africa/Cairo"];
const RHYTHMS = [
  "* * * * *",
  "*/5 * * * *",
  "0 * * * *",
  "*/30 1-3 * * *",
  "*/7 */5 * * *",
  "30 */2 * * *",
  "0,20 * * * 0,6",
  "10 * 29 3,10 *",
];
const APPOINTMENTS = [
  "0 9 * * *",
  "30 2 * * *",
  "0 2 * * *",
  "0 0 * * *",
  "15,45 1-3 * * *",
  "30 0,1,2,3,23 * * *",
  "5,35 8-10/2 * 3,10 *",
  "0 9 * * 1-5",
  "0 9 * * 7",
  "15 10 1 * *",
  "0 0 31 * *",
  "0 0 29 2 *",
  "0 0 L * *",
  "0 0 LW * *",
  "0 0 15W * *",
  "0 0 1W,31W * *",
  "0 9 * * 1#2",
  "0 9 * * 5#L",
  "0 0 1 * 1",
  "0 0 */2 * 1",
  "0 0 12 * * *",
  "*/20 30 2 * * *",
];
const CHANGES = [
  "2026-03-08T07:00Z",
  "2026-03-22T02:00Z",
  "2026-03-29T01:00Z",
  "2026-04-04T15:00Z",
  "2026-04-23T22:00Z",
  "2026-10-03T15:30Z",
  "2026-10-25T01:00Z",
  "2026-11-01T06:00Z",
];
const MINUTE = 60_000;
/** Two seconds alone; Intl is slow, and other tests run beside this one. */
const TIMEOUT_MS = 30_000;
const STARTS = [
  ...["2026-01-01T00:00Z", "2026-02-14T23:50Z", "2027-12-31T23:59Z"].map((at) => Date.parse(at)),
  ...CHANGES.flatMap((at) => [-600, -45, -1, 10, 40].map((minutes) => Date.parse(at) + minutes * MINUTE + (minutes % 2))),
];

function zoneOf(name: string): Zone {
  const zone = intlZone(name);
  if (zone === undefined) throw new Error(`Intl has no ${name}`);
  return zone;
}

/** Ours in the stretch of time that the clock jumped over: we keep the appointment, croner moves it to the jump or drops it. */
function isGap(zone: Zone, ours: number): boolean {
  const { from, before, offset } = zone.stretchAt(ours);
  return ours < from + (offset - before);
}

/** Theirs where the clock shows times again: asked for there, croner runs a fixed time a second time. */
function isSecondPass(zone: Zone, theirs: number): boolean {
  const { from, before, offset } = zone.stretchAt(theirs);
  return theirs < from + (before - offset);
}

test(
  "over seven thousand expressions, zones and dates croner says the same, but for appointments while clocks change",
  () => {
    let triples = 0;
    const explained = { gap: 0, secondPass: 0 };
    const unexplained: string[] = [];
    for (const name of ZONES) {
      const zone = zoneOf(name);
      for (const expression of [...RHYTHMS, ...APPOINTMENTS]) {
        const ours = parseSchedule({ type: "cron", value: expression.replace("5#L", "5L"), zone: name }, () => zone, 0);
        if ("refused" in ours) throw new Error(ours.refused);
        const theirs = new Cron(expression, { timezone: name, paused: true });
        for (const start of STARTS) {
          triples++;
          const a = nextRun(ours.schedule, start) ?? Number.NaN;
          const b = theirs.nextRun(new Date(start))?.getTime() ?? Number.NaN;
          if (a === b) continue;
          const isAppointment = APPOINTMENTS.includes(expression);
          if (isAppointment && isGap(zone, a)) explained.gap++;
          else if (isAppointment && isSecondPass(zone, b)) explained.secondPass++;
          else
            unexplained.push(
              `${expression} in ${name} after ${start}: ours ${new Date(a).toISOString()}, theirs ${new Date(b).toISOString()}`,
            );
        }
      }
    }
    expect(unexplained).toEqual([]);
    expect(triples).toBeGreaterThan(7_000);
    expect(explained.gap).toBeGreaterThan(0);
    expect(explained.secondPass).toBeGreaterThan(0);
    expect(explained.gap + explained.secondPass).toBeLessThan(triples / 50);
  },
  TIMEOUT_MS,
);
