/** Zone files read without Intl, and Intl where there are none. Both must tell the same time. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { Zone } from "../../domain/schedule-zone.ts";
import { intlZone } from "./intl-zone.ts";
import { changesOf, readPosixRule } from "./posix-rule.ts";
import { systemTimeZones } from "./system-time-zones.ts";
import { readZoneFile } from "./zone-file.ts";

const FILES = join(import.meta.dirname, "../../../fixtures/zoneinfo");
const NAMES = readdirSync(FILES, { recursive: true, encoding: "utf8" }).filter((name) => /^\w+\/\w+$/.test(name));
const HOUR = 3600_000;
const scratch = mkdtempSync(join(tmpdir(), "zones-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const zoneOf = (name: string, zone: Zone | undefined): Zone => {
  if (zone === undefined) throw new Error(`no zone ${name}`);
  return zone;
};
const fromFile = (name: string): Zone => zoneOf(name, systemTimeZones({ folder: FILES }).find(name));
const fromIntl = (name: string): Zone => zoneOf(name, intlZone(name));

/** In 2026 Morocco left its summer time for good; Node's data knows, the files of 2025 do not. */
const AGREED_UNTIL: Readonly<Record<string, string>> = { "Africa/Casablanca": "2026-06-01T00:00Z" };

function stretches(zone: Zone, from: string, until: string): string[] {
  const found: string[] = [];
  for (let at = zone.stretchAt(Date.parse(from)).until; at < Date.parse(until); at = zone.stretchAt(at).until) {
    const { offset, before } = zone.stretchAt(at);
    if (offset !== before) found.push(`${new Date(at).toISOString()} ${before / HOUR} to ${offset / HOUR}`);
  }
  return found;
}

describe("a zone file", () => {
  test.each(NAMES)("of %s changes its clocks when Intl does, from 1960 to 2037 and by its rule until 2060", (name) => {
    const until = AGREED_UNTIL[name] ?? "2060-01-01T00:00Z";
    expect(stretches(fromFile(name), "1960-01-01T00:00Z", until)).toEqual(stretches(fromIntl(name), "1960-01-01T00:00Z", until));
  });

  test("and Intl agree at any moment between 1900 and 2400, in Berlin and on Lord Howe", () => {
    const zones = ["Europe/Berlin", "Australia/Lord_Howe", "Europe/Dublin"].map((name) => [fromFile(name), fromIntl(name)] as const);
    const moment = fc.integer({ min: Date.parse("1900-01-01T00:00Z"), max: Date.parse("2400-01-01T00:00Z") });
    fc.assert(
      fc.property(fc.constantFrom(...zones), moment, ([file, intl], at) => {
        expect([file.name, at, file.stretchAt(at).offset]).toEqual([intl.name, at, intl.stretchAt(at).offset]);
      }),
      { numRuns: 100000 },
    );
  });

  test("answers with one unbroken line of stretches", () => {
    for (const name of NAMES) {
      const zone = fromFile(name);
      let { offset, until } = zone.stretchAt(-8.64e15);
      expect(zone.stretchAt(-8.64e15)).toMatchObject({ from: -Infinity, before: offset });
      while (until < Date.parse("2200-01-01T00:00Z")) {
        const next = zone.stretchAt(until);
        expect([next.from, next.before]).toEqual([until, offset]);
        if (next.until < Infinity) expect(zone.stretchAt((next.from + next.until) / 2)).toEqual(next);
        expect(zone.stretchAt(next.until - 1)).toEqual(next);
        ({ offset, until } = next);
      }
    }
  });

  test("has an answer at both ends of all dates and beyond", () => {
    for (const zone of [fromFile("Europe/Berlin"), fromFile("Asia/Kolkata"), fromIntl("Europe/Berlin")]) {
      for (const at of [-8.64e15, 8.64e15, -9e15, 9e15]) {
        const { from, until, offset, before } = zone.stretchAt(at);
        expect([from, until, offset, before].some(Number.isNaN)).toBe(false);
        expect(Math.abs(offset)).toBeLessThan(15 * HOUR);
      }
    }
  });

  test("that was cut off anywhere is no zone, and none is read past its end", () => {
    const whole = readFileSync(join(FILES, "Europe/Berlin"));
    expect(readZoneFile("whole", whole)).toBeDefined();
    for (let length = 0; length < whole.length; length++) expect(readZoneFile("cut", whole.subarray(0, length))).toBeUndefined();
  });

  test("that counts leap seconds, or points at a kind of time it does not list, is no zone", () => {
    expect(readZoneFile("good", zoneFile({ kind: 0, leaps: 0 }))?.stretchAt(0).offset).toBe(HOUR);
    expect(readZoneFile("leaps", zoneFile({ kind: 0, leaps: 1 }))).toBeUndefined();
    expect(readZoneFile("kinds", zoneFile({ kind: 1, leaps: 0 }))).toBeUndefined();
  });

  test("with any byte changed is read or refused, and never throws", () => {
    const whole = readFileSync(join(FILES, "Europe/Berlin"));
    fc.assert(
      fc.property(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }), (at, value) => {
        const damaged = Buffer.from(whole);
        damaged[at] = value;
        readZoneFile("damaged", damaged)?.stretchAt(Date.parse("2026-06-01T00:00Z"));
      }),
      { numRuns: 300000 },
    );
  });
});

/** Version 2 with one change, to local time type `kind` of one, an hour east of UTC. */
function zoneFile({ kind, leaps }: { kind: number; leaps: number }): Buffer {
  const header = (times: number): Buffer => {
    const bytes = Buffer.alloc(44);
    bytes.write("TZif2");
    [0, 0, times === 0 ? 0 : leaps, times, 1, 4].forEach((count, n) => bytes.writeUInt32BE(count, 20 + n * 4));
    return bytes;
  };
  const hourEast = Buffer.from([0, 0, 0x0e, 0x10, 0, 0, ...Buffer.from("CET\0")]);
  const second = [header(1), Buffer.alloc(8), Buffer.from([kind]), hourEast, Buffer.alloc(12 * leaps), Buffer.from("\nCET-1\n")];
  return Buffer.concat([header(0), hourEast, ...second]);
}

describe("the rule at a file's end", () => {
  const at = (text: string, year: number): string[] => {
    const rule = readPosixRule(text);
    if (rule === undefined || typeof rule === "number") throw new Error(`no rule in ${text}`);
    return changesOf(rule, year).map((change) => `${new Date(change.at).toISOString().slice(0, 16)} ${change.offset / HOUR}`);
  };

  test("names the last Sunday, the first, or any day counted with or without 29 February", () => {
    expect(at("CET-1CEST,M3.5.0,M10.5.0/3", 2026)).toEqual(["2026-03-29T01:00 2", "2026-10-25T01:00 1"]);
    expect(at("EST5EDT,M3.2.0,M11.1.0", 2026)).toEqual(["2026-03-08T07:00 -4", "2026-11-01T06:00 -5"]);
    expect(at("XXX3YYY,J60,J365/0", 2028)).toEqual(["2028-03-01T05:00 -2", "2028-12-31T02:00 -3"]);
    expect(at("XXX3YYY,59/0,300/0", 2028)).toEqual(["2028-02-29T03:00 -2", "2028-10-27T02:00 -3"]);
  });

  test("may put clocks forward in the second half of the year, by half an hour, at negative hours, or below standard", () => {
    expect(at("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 2026)).toEqual(["2026-04-04T15:00 10.5", "2026-10-03T15:30 11"]);
    expect(at("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 2026)).toEqual(["2026-03-29T01:00 -1", "2026-10-25T01:00 -2"]);
    expect(at("IST-1GMT0,M10.5.0,M3.5.0/1", 2026)).toEqual(["2026-03-29T01:00 1", "2026-10-25T01:00 0"]);
  });

  test("may be a fixed offset, or summer time all year long", () => {
    expect(readPosixRule("IST-5:30")).toBe(5.5 * HOUR);
    expect(readPosixRule("<-0930>9:30")).toBe(-9.5 * HOUR);
    expect(readPosixRule("EST5EDT,0/0,J365/25")).toBe(-4 * HOUR);
  });

  test.each([
    "",
    "CET",
    "CET-1CEST",
    "CET-1CEST,M3.5.0",
    "CET-1CEST,M13.1.0,M10.5.0",
    "CET-1CEST,M3.6.0,M10.5.0",
    "CET-1CEST,J0,J1",
    "CET-1CEST,366,1",
    "CET-1CEST,M3.5.0/x,M10.5.0",
    "-1",
  ])("is not read from %j", (text) => expect(readPosixRule(text)).toBeUndefined());
});

describe("a zone's name", () => {
  test("that leads out of the folder, or names no zone in it, finds nothing", () => {
    const folder = join(scratch, "zoneinfo");
    mkdirSync(join(folder, "Europe"), { recursive: true });
    mkdirSync(join(folder, "right"));
    const berlin = readFileSync(join(FILES, "Europe/Berlin"));
    for (const path of ["Europe/Berlin", "right/Berlin", "localtime", "../outside", ".hidden"]) writeFileSync(join(folder, path), berlin);
    writeFileSync(join(folder, "Huge"), Buffer.concat([berlin, Buffer.alloc(70_000)]));
    writeFileSync(join(folder, "zone.tab"), "DE\tEurope/Berlin\n");
    const { find } = systemTimeZones({ folder });
    expect(find("Europe/Berlin")?.name).toBe("Europe/Berlin");
    for (const name of [
      "../outside",
      "Europe/../../outside",
      join(scratch, "outside"),
      "/etc/passwd",
      "Europe",
      "Europe/",
      "europe/berlin",
      "Europe/Berlin\0",
      "Europe//Berlin",
      ".hidden",
      "zone.tab",
      "right/Berlin",
      "localtime",
      "Huge",
      "",
      " ",
      "Mars/Base",
      "x".repeat(10_000),
      "A/B/C/D",
    ]) {
      expect([name, find(name)]).toEqual([name, undefined]);
    }
  });

  test("known once gives the same zone again; UTC needs no file", () => {
    const { find } = systemTimeZones({ folder: FILES });
    expect(find("Europe/Berlin")).toBe(find("Europe/Berlin"));
    expect(find("UTC")?.stretchAt(0)).toEqual({ from: -Infinity, until: Infinity, offset: 0, before: 0 });
  });

  test("is asked of Intl where the machine has no zone files", () => {
    const { find } = systemTimeZones({ folder: join(scratch, "absent") });
    expect(find("America/New_York")?.stretchAt(Date.parse("2026-07-01T00:00Z")).offset).toBe(-4 * HOUR);
    expect(find("Mars/Base")).toBeUndefined();
    expect(find("../etc/passwd")).toBeUndefined();
  });
});

describe("the machine's own zone", () => {
  test("is named by the link, and UTC where it does not say", () => {
    const local = (target: string | undefined): string => {
      const link = join(scratch, `localtime-${Math.abs(target?.length ?? 0)}`);
      if (target !== undefined) symlinkSync(target, link);
      return systemTimeZones({ folder: FILES, localLink: link }).local();
    };
    expect(local("/usr/share/zoneinfo/Europe/Berlin")).toBe("Europe/Berlin");
    expect(local("../usr/share/zoneinfo/America/New_York")).toBe("America/New_York");
    expect(local("/usr/share/zoneinfo/Mars/Base")).toBe("UTC");
    expect(local("/somewhere/else")).toBe("UTC");
    expect(local(undefined)).toBe("UTC");
  });

  test.runIf(existsSync("/usr/share/zoneinfo"))("and its files can be used as they are", () => {
    const zones = systemTimeZones();
    expect(zones.find(zones.local())).toBeDefined();
    expect(zones.find("Europe/Berlin")?.stretchAt(Date.parse("2020-07-01T00:00Z")).offset).toBe(2 * HOUR);
  });
});
