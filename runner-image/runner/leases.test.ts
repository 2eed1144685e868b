import nacl from "tweetnacl";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Redeem } from "../../contracts/wire/secrets.ts";
import { LEASE as GITHUB, sealed } from "./lease-harness.ts";
import { redeemLeases } from "./leases.ts";
import { LinkRefusal } from "./link-client.ts";

const NOW = 1_700_000_000_000;
const MINUTE_MS = 60_000;
const LATER = NOW + MINUTE_MS;
const MAPS = { name: "maps", env: "MAPS_KEY", ticket: Buffer.alloc(32, 2).toString("base64") };

beforeEach(() => void vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"], now: NOW }));
afterEach(() => void vi.useRealTimers());

test("each lease is redeemed once, with its ticket and one key of this turn, and found in its variable", async () => {
  const asked: Redeem[] = [];
  const leases = await redeemLeases([GITHUB, MAPS], async (request) => {
    asked.push(request);
    return sealed(request.ticket === GITHUB.ticket ? "ghp_grün" : "map", request, LATER);
  });
  expect(leases.variables()).toEqual({ GITHUB_TOKEN: "ghp_grün", MAPS_KEY: "map" });
  expect(leases.variables()).toEqual({ GITHUB_TOKEN: "ghp_grün", MAPS_KEY: "map" });
  expect(asked.map(({ ticket }) => ticket)).toEqual([GITHUB.ticket, MAPS.ticket]);
  expect(new Set(asked.map(({ publicKey }) => publicKey)).size).toBe(1);
  expect(leases.takeNotes()).toEqual([]);
});

test("another turn has another key", async () => {
  const keys: string[] = [];
  for (const _ of [1, 2]) await redeemLeases([GITHUB], async (request) => (keys.push(request.publicKey), sealed("x", request, LATER)));
  expect(keys[0]).not.toBe(keys[1]);
});

test("a lease that has ended is gone from the environment and said once; the others stay", async () => {
  const leases = await redeemLeases([GITHUB, MAPS], async (request) =>
    sealed("value", request, NOW + (request.ticket === GITHUB.ticket ? 1 : 2) * MINUTE_MS),
  );
  vi.advanceTimersByTime(MINUTE_MS);
  expect(leases.variables()).toEqual({ MAPS_KEY: "value" });
  expect(leases.takeNotes()).toEqual(["[the lease of github has ended: GITHUB_TOKEN is not set any more]"]);
  expect(leases.takeNotes()).toEqual([]);
});

test("a lease that ended while the machine slept is gone before its timer has fired", async () => {
  const leases = await redeemLeases([GITHUB], async (request) => sealed("value", request, LATER));
  vi.setSystemTime(NOW + MINUTE_MS);
  expect(leases.variables()).toEqual({});
});

test("a refused ticket leaves its variable unset, says so in the host's words, and the next ticket is redeemed", async () => {
  const leases = await redeemLeases([GITHUB, MAPS], async (request) => {
    if (request.ticket === GITHUB.ticket) throw new LinkRefusal(403, "LEASE_REFUSED", "The ticket was used.");
    return sealed("map", request, LATER);
  });
  expect(leases.variables()).toEqual({ MAPS_KEY: "map" });
  expect(leases.takeNotes()).toEqual(["[the lease of github was refused: The ticket was used.]"]);
});

test("an answer sealed to another key is none", async () => {
  const other = Buffer.from(nacl.box.keyPair().publicKey).toString("base64");
  const leases = await redeemLeases([GITHUB], async () => sealed("value", { publicKey: other }, LATER));
  expect(leases.variables()).toEqual({});
  expect(leases.takeNotes()).toEqual(["[the lease of github was refused: what the host sent is not sealed to this turn.]"]);
});

test("a value no variable can hold is refused here, where only the lease is lost", async () => {
  for (const value of ["a\0b", "x".repeat(65_537)]) {
    const leases = await redeemLeases([GITHUB], async (request) => sealed(value, request, LATER));
    expect(leases.variables()).toEqual({});
    expect(leases.takeNotes()).toEqual([expect.stringContaining("cannot be a variable")]);
  }
});

test("what was opened is overwritten when the lease ends and when the turn does", async () => {
  const opened: Uint8Array[] = [];
  const open = nacl.box.open;
  using _ = vi.spyOn(nacl.box, "open").mockImplementation((...sealedParts) => {
    const bytes = open(...sealedParts);
    if (bytes !== null) opened.push(bytes);
    return bytes;
  });
  const leases = await redeemLeases([GITHUB, MAPS], async (request) =>
    sealed("value", request, NOW + (request.ticket === GITHUB.ticket ? 1 : 2) * MINUTE_MS),
  );
  const isOverwritten = (): boolean[] => opened.map((bytes) => bytes.every((byte) => byte === 0));
  expect(isOverwritten()).toEqual([false, false]);
  vi.advanceTimersByTime(MINUTE_MS);
  expect(isOverwritten()).toEqual([true, false]);
  leases.close();
  expect(isOverwritten()).toEqual([true, true]);
  expect(leases.variables()).toEqual({});
});

test("this turn's private key is overwritten once the tickets are redeemed", async () => {
  const pairs: nacl.BoxKeyPair[] = [];
  const keyPair = nacl.box.keyPair;
  using _ = vi.spyOn(nacl.box, "keyPair").mockImplementation(() => {
    const pair = keyPair();
    pairs.push(pair);
    return pair;
  });
  await redeemLeases([GITHUB], async () => {
    throw new LinkRefusal(403, "LEASE_REFUSED", "no");
  });
  expect(pairs[0]?.secretKey.every((byte) => byte === 0)).toBe(true);
});
