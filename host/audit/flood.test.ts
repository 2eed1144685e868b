import { beforeEach, describe, expect, test } from "vitest";
import { AUDIT_KINDS } from "../ports/audit.ts";
import type { WrittenEntry } from "./entry.ts";
import { Flood } from "./flood.ts";

const MINUTE_MS = 60_000;
const entry = (subject: string, over: Partial<WrittenEntry> = {}): WrittenEntry => ({
  kind: "egress",
  decision: "denied",
  group: "family",
  turn: 3,
  subject,
  reason: "It is not on the allowlist.",
  times: 1,
  ...over,
});

let written: WrittenEntry[];
let isFull: boolean;
let flood: Flood;
beforeEach(() => {
  written = [];
  isFull = false;
  flood = new Flood((one) => {
    if (isFull) throw new Error("no space left");
    written.push(one);
  });
});

function tries(count: number, now = 0, over: Partial<WrittenEntry> = {}): void {
  for (let n = 0; n < count; n++) flood.record(entry("a.example:443", over), now);
}

/** What `work` had written. */
function during(work: () => void): string[] {
  const before = written.length;
  work();
  return written.slice(before).map(({ decision, kind, subject, times }) => `${times} ${decision} ${kind} ${subject}`);
}

test("a thousand records of a group are written, that counting begins is one more, and what is counted comes as one", () => {
  tries(1_500);
  expect(written).toHaveLength(1_001);
  expect(written.at(-1)).toMatchObject({ kind: "audit", group: "family", turn: 3, subject: "many records" });
  flood.tellAll();
  flood.tellAll();
  expect(written.slice(1_001)).toEqual([entry("a.example:443", { times: 500 })]);
});

test("numbers given with an entry are added up", () => {
  tries(1_000);
  tries(3, 0, { times: 40 });
  expect(during(() => flood.tellAll())).toEqual(["120 denied egress a.example:443"]);
});

test("other groups, the host's own, and the kinds a sandbox cannot cause many of are written all the while", () => {
  tries(2_000);
  expect(during(() => flood.record(entry("a", { group: "work" }), 0))).toHaveLength(1);
  expect(during(() => flood.record(entry("a", { group: null }), 0))).toHaveLength(1);
  const always = AUDIT_KINDS.filter((kind) => {
    const fresh = new Flood((one) => void written.push(one));
    return during(() => Array.from({ length: 2_000 }, () => fresh.record(entry("a", { kind }), 0))).length === 2_000;
  });
  expect(always).toEqual(["secret", "lease", "override", "config", "audit"]);
});

test("of many different tries eight are kept by name, the rest by kind and decision", () => {
  tries(1_000);
  for (let n = 0; n < 10_000; n++) flood.record(entry(`${n}.example:443`, { kind: n % 2 === 0 ? "egress" : "route" }), 0);
  expect(during(() => flood.tellAll())).toEqual([
    ...Array.from({ length: 8 }, (_, n) => `1 denied ${n % 2 === 0 ? "egress" : "route"} ${n}.example:443`),
    "4996 denied egress others",
    "4996 denied route others",
  ]);
});

describe("attacks:", () => {
  const reached = (subject: string): WrittenEntry => entry(subject, { decision: "allowed" });
  const moved = (subject: string): WrittenEntry => entry(subject, { decision: "noted", reason: "bytes sent: 50000000" });

  test("tries without end hide neither a place that was reached nor what was sent there", () => {
    for (let n = 0; n < 50_000; n++) flood.record(entry(`${n}.example:443`), 0);
    const told = during(() => [reached("evil.example:443"), moved("evil.example:443")].forEach((one) => flood.record(one, 0)));
    expect(told).toEqual(["1 allowed egress evil.example:443", "1 noted egress evil.example:443"]);
  });

  test("connections without end to one place hide no other, which is written at once", () => {
    for (let n = 0; n < 50_000; n++) flood.record(reached("ok.example:443"), 0);
    expect(during(() => flood.record(reached("evil.example:443"), 0))).toEqual(["1 allowed egress evil.example:443"]);
    expect(during(() => flood.tellAll())).toEqual(["48999 allowed egress ok.example:443"]);
  });

  test("a thousand different places are told after the first thousand records; more of them are only counted", () => {
    for (let n = 0; n < 50_000; n++) flood.record(reached(`${n}.example:443`), 0);
    expect(written).toHaveLength(2_001);
    expect(during(() => flood.tellAll())).toEqual(["48000 allowed egress others"]);
  });

  test("leaks without end, each in another place, leave a few hundred records, and hide no decoy", () => {
    for (let n = 0; n < 50_000; n++) flood.record(entry(`tool ${n}`, { kind: "leak" }), 0);
    expect(written).toHaveLength(301);
    expect(during(() => flood.record(entry("reply", { kind: "decoy" }), 0))).toEqual(["1 denied decoy reply"]);
  });

  test("a day of flooding of all sorts, by one group in turns of ten minutes, leaves some 50,000 records", () => {
    for (let n = 0, turn = 0; turn < 144; turn++) {
      const now = turn * 10 * MINUTE_MS;
      for (let again = 0; again < 300; again++, n++) {
        flood.record(entry(`${n}.example:443`), now);
        flood.record(reached(`${n}.example:443`), now);
        flood.record(entry(`tool ${n}`, { kind: "leak" }), now);
      }
      flood.tellAll();
    }
    expect(written.length).toBeGreaterThan(40_000);
    expect(written.length).toBeLessThan(60_000);
  });
});

test("what was counted is told after ten minutes, and then records are written again as far as the share has grown", () => {
  tries(1_001);
  expect(during(() => flood.tellOverdue(10 * MINUTE_MS - 1))).toEqual([]);
  expect(during(() => flood.tellOverdue(10 * MINUTE_MS))).toHaveLength(1);
  expect(during(() => tries(500, 10 * MINUTE_MS))).toHaveLength(101);
  expect(during(() => flood.tellAll())).toEqual(["400 denied egress a.example:443"]);
});

test("what cannot be written stays counted, and is told once when it can", () => {
  tries(1_300);
  for (let n = 0; n < 300; n++) flood.record(entry("b.example:443"), 0);
  isFull = true;
  for (let n = 0; n < 3; n++) expect(() => flood.tellAll()).toThrow("no space left");
  expect(() => flood.tellOverdue(10 * MINUTE_MS)).toThrow("no space left");
  isFull = false;
  expect(during(() => flood.tellOverdue(10 * MINUTE_MS))).toEqual(["300 denied egress a.example:443", "300 denied egress b.example:443"]);
  expect(during(() => flood.tellAll())).toEqual([]);
});

test("that counting begins is said also where it could not be at first, and what was not written takes nothing of the share", () => {
  isFull = true;
  expect(() => tries(1)).toThrow("no space left");
  isFull = false;
  tries(1_000);
  isFull = true;
  expect(() => tries(1)).toThrow("no space left");
  isFull = false;
  expect(during(() => tries(1))).toEqual(["1 noted audit many records"]);
});

test("a clock that is set back gives nothing and takes nothing", () => {
  tries(990, 100 * MINUTE_MS);
  expect(during(() => tries(20, 0))).toHaveLength(11);
});
