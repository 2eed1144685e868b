import { beforeEach, describe, expect, test } from "vitest";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import type { Override } from "../domain/policy.ts";
import { OverrideDesk } from "./overrides.ts";

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

let clock: FakeClock;
let audit: MemoryAudit;
let rows: Override[];
/** How often what is open was looked at again. */
let ended: number;
let desk: OverrideDesk;

beforeEach(() => {
  clock = new FakeClock();
  audit = new MemoryAudit();
  rows = [];
  ended = 0;
  desk = new OverrideDesk({
    store: {
      overrides: () => rows,
      addOverride: (override) => rows.push({ id: rows.length + 1, ...override }),
      removeOverride: (id) => {
        const before = rows.length;
        rows = rows.filter((row) => row.id !== id);
        return rows.length < before;
      },
    },
    audit,
    clock,
    hasGroup: (folder) => folder === "family",
    onEnded: () => ended++,
  });
});

const request = { rule: "example.org", group: null, forMs: HOUR_MS, reason: "a test" };

describe("a rule for a while", () => {
  test("is recorded with its reason and its end before it is kept", () => {
    const shown = desk.allow(request);
    const until = new Date(clock.now() + HOUR_MS).toISOString();
    expect(shown).toEqual({ id: 1, rule: "example.org", group: null, reason: "a test", until, expired: false });
    expect(audit.entries).toMatchObject([{ kind: "override", decision: "allowed", subject: "example.org" }]);
    expect(audit.entries[0]?.reason).toContain(until);
    expect(audit.entries[0]?.reason).toContain("a test");
  });

  test("that cannot be recorded is not kept", () => {
    audit.isBroken = true;
    expect(() => desk.allow(request)).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
    expect(rows).toEqual([]);
  });

  test("ends by itself, stays in the list for a week, and goes", () => {
    desk.allow(request);
    clock.advance(HOUR_MS - 1);
    expect([desk.list()[0]?.expired, ended]).toEqual([false, 0]);
    clock.advance(1);
    expect([desk.list()[0]?.expired, ended]).toEqual([true, 1]);
    clock.advance(7 * DAY_MS + 1);
    desk.allow({ ...request, rule: "example.net" });
    expect(desk.list()).toMatchObject([{ rule: "example.net", expired: false }]);
  });

  test.each([
    ["no rule", { ...request, rule: "*" }, "CONFIG_INVALID"],
    ["an address with a path", { ...request, rule: "https://example.org/a" }, "CONFIG_INVALID"],
    ["longer than a month", { ...request, forMs: 32 * DAY_MS }, "CONFIG_INVALID"],
    ["of a group that is not registered", { ...request, group: "nobody" }, "GROUP_UNKNOWN"],
  ])("that is %s is refused, and nothing is kept or recorded", (_what, wrong, code) => {
    expect(() => desk.allow(wrong)).toThrow(expect.objectContaining({ code }));
    expect([rows, audit.entries]).toEqual([[], []]);
  });

  test("beyond the hundredth is refused", () => {
    for (let n = 0; n < 100; n++) desk.allow({ ...request, group: "family" });
    expect(() => desk.allow(request)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  test("taken back is gone at once, and what it allowed is looked at again", () => {
    desk.allow(request);
    desk.revoke(1);
    expect([desk.list(), ended]).toEqual([[], 1]);
    expect(audit.entries.at(-1)).toMatchObject({ kind: "override", decision: "noted", subject: "example.org" });
    expect(() => desk.revoke(1)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  test("is taken back also where that cannot be recorded", () => {
    desk.allow(request);
    audit.isBroken = true;
    expect(() => desk.revoke(1)).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
    expect([rows, ended]).toEqual([[], 1]);
  });
});
