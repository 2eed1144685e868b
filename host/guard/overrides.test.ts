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

  test("ends at its time also where the clock was set back, the last of several no later than the first", () => {
    desk.allow(request);
    desk.allow({ ...request, forMs: 2 * HOUR_MS });
    desk.allow({ ...request, forMs: 30 * DAY_MS });
    clock.advance(HOUR_MS / 2);
    clock.jump(-DAY_MS);
    const good = () => desk.all().flatMap(({ id, until }) => (until > clock.now() ? [id] : []));
    const shown = () => desk.list().flatMap(({ id, expired }) => (expired ? [] : [id]));
    clock.advance(HOUR_MS / 2);
    expect([good(), shown(), ended]).toEqual([[2, 3], [2, 3], 1]);
    clock.advance(HOUR_MS);
    expect([good(), shown(), ended]).toEqual([[3], [3], 2]);
    clock.advance(30 * DAY_MS - 2 * HOUR_MS);
    clock.jump(-40 * DAY_MS);
    expect([good(), shown(), ended]).toEqual([[], [], 3]);
    expect(desk.list()[0]?.until).toBe(new Date(rows[0]?.until ?? 0).toISOString());
  });

  test("kept from an earlier host ends by itself, and one that had ended needs no timer", () => {
    const now = clock.now();
    const row = { folder: null, rule: "example.org", reason: "", createdAt: now };
    rows = [
      { ...row, id: 4, until: now + HOUR_MS },
      { ...row, id: 5, until: now },
    ];
    desk.start();
    expect(clock.armed).toBe(1);
    clock.advance(HOUR_MS);
    expect([desk.list().map(({ expired }) => expired), ended]).toEqual([[true, true], 1]);
  });

  test("no longer holds a timer when it is taken back or the host ends", () => {
    desk.allow(request);
    desk.allow(request);
    desk.revoke(1);
    expect(clock.armed).toBe(1);
    desk.stop();
    expect(clock.armed).toBe(0);
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
