import { expect, test } from "vitest";
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

/** How often it said so in `calls`. */
function judged(flood: Flood, calls: number, now: number, over: Partial<WrittenEntry> = {}) {
  const counts = { write: 0, begin: 0, count: 0 };
  for (let n = 0; n < calls; n++) counts[flood.judge(entry("a.example:443", over), now)]++;
  return counts;
}

test("a thousand records of a group are written, the next begins the counting, and what is counted comes as one", () => {
  const flood = new Flood();
  expect(judged(flood, 1_500, 0)).toEqual({ write: 1_000, begin: 1, count: 499 });
  expect(flood.all()).toEqual([entry("a.example:443", { times: 500 })]);
  expect(flood.all()).toEqual([]);
});

test("numbers given with an entry are added up", () => {
  const flood = new Flood();
  judged(flood, 1_000, 0);
  judged(flood, 3, 0, { times: 40 });
  expect(flood.all()).toMatchObject([{ times: 120 }]);
});

test("other groups, the host's own, and the kinds that matter most are written all the while", () => {
  const flood = new Flood();
  judged(flood, 2_000, 0);
  expect(flood.judge(entry("a", { group: "work" }), 0)).toBe("write");
  expect(flood.judge(entry("a", { group: null }), 0)).toBe("write");
  const written = AUDIT_KINDS.filter((kind) => flood.judge(entry("a", { kind }), 0) === "write");
  expect(written).toEqual(["secret", "lease", "override", "config", "decoy", "leak", "audit"]);
});

test("of many different subjects eight are kept by name, the rest by kind and decision", () => {
  const flood = new Flood();
  judged(flood, 1_000, 0);
  for (let n = 0; n < 10_000; n++) flood.judge(entry(`${n}.example:443`, { decision: n % 2 === 0 ? "denied" : "allowed" }), 0);
  const counted = flood.all();
  expect(counted.map(({ subject, decision, times }) => `${times} ${decision} ${subject}`)).toEqual([
    ...Array.from({ length: 8 }, (_, n) => `1 ${n % 2 === 0 ? "denied" : "allowed"} ${n}.example:443`),
    "4996 denied others",
    "4996 allowed others",
  ]);
});

test("what was counted is due after ten minutes, and then records are written again as far as the share has grown", () => {
  const flood = new Flood();
  judged(flood, 1_001, 0);
  expect(flood.overdue(10 * MINUTE_MS - 1)).toEqual([]);
  expect(flood.overdue(10 * MINUTE_MS)).toHaveLength(1);
  expect(judged(flood, 500, 10 * MINUTE_MS)).toEqual({ write: 100, begin: 1, count: 399 });
});

test("a day of flooding by one group leaves some twenty thousand records, a tenth of the log", () => {
  const flood = new Flood();
  let records = 0;
  for (let minute = 0; minute < 1_440; minute++) {
    const now = minute * MINUTE_MS;
    records += flood.overdue(now).length;
    const { write, begin } = judged(flood, 60, now);
    records += write + begin;
  }
  expect(records).toBeGreaterThan(10_000);
  expect(records).toBeLessThan(20_000);
});

test("a clock that is set back gives nothing and takes nothing", () => {
  const flood = new Flood();
  judged(flood, 990, 100 * MINUTE_MS);
  expect(judged(flood, 20, 0)).toEqual({ write: 10, begin: 1, count: 9 });
});
