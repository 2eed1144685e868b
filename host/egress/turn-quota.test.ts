import { expect, test } from "vitest";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { type EgressLimits, TurnQuota } from "./turn-quota.ts";

const NEVER = new AbortController().signal;
const LIMIT = expect.objectContaining({ name: "RefusedError", code: "EGRESS_LIMIT" });
const TIMED_OUT = { cause: { name: "TimeoutError" } };

function start(limits: Partial<EgressLimits> = {}) {
  const clock = new FakeClock();
  const all = { connections: 4, connectionsPerMinute: 10, turnBytes: 1_000, connectTimeoutMs: 15_000, idleTimeoutMs: 60_000, ...limits };
  return { clock, quota: new TurnQuota(all, clock) };
}

test("connections at once are bounded, and one that is over makes room", () => {
  const { quota } = start({ connections: 2 });
  const [first] = [quota.open(NEVER), quota.open(NEVER)];
  expect(() => quota.open(NEVER)).toThrow(LIMIT);
  first.end();
  first.end();
  quota.open(NEVER);
  expect(() => quota.open(NEVER)).toThrow(LIMIT);
});

test("connections of any sixty seconds are bounded, refused ones counted", () => {
  const { clock, quota } = start({ connections: 1, connectionsPerMinute: 3, connectTimeoutMs: 3_600_000 });
  quota.open(NEVER);
  clock.advance(30_000);
  for (let tries = 0; tries < 2; tries++) expect(() => quota.open(NEVER)).toThrow("may be at once");
  expect(() => quota.open(NEVER)).toThrow("within a minute");
  clock.advance(30_000);
  expect(() => quota.open(NEVER)).not.toThrow("within a minute");
  expect(() => quota.open(NEVER)).toThrow("within a minute");
  clock.advance(3_600_000);
  for (let tries = 0; tries < 2; tries++) quota.open(NEVER).end();
});

test("a clock that is set back takes no longer than a minute all the same", () => {
  const { clock, quota } = start({ connectionsPerMinute: 1 });
  quota.open(NEVER).end();
  clock.jump(-3_600_000);
  quota.open(NEVER).end();
  expect(() => quota.open(NEVER)).toThrow(LIMIT);
});

test("the turn's bytes are one sum over all connections and both ways, and the one that goes past it fails", () => {
  const { quota } = start();
  const [one, other] = [quota.open(NEVER), quota.open(NEVER)];
  one.countSent(600);
  other.countReceived(400);
  expect([one.sent, other.received, other.isOver]).toEqual([600, 400, false]);
  expect(() => other.countReceived(1)).toThrow(LIMIT);
  expect(other.signal.reason).toEqual(LIMIT);
  expect(one.isOver).toBe(false);
  expect(() => one.countSent(1)).toThrow(LIMIT);
  expect(() => quota.open(NEVER)).toThrow(LIMIT);
});

test("what is not reached in time, and what falls silent, fails and says so", () => {
  const { clock, quota } = start();
  const [unreached, silent] = [quota.open(NEVER), quota.open(NEVER)];
  clock.advance(10_000);
  silent.stir();
  clock.advance(5_000);
  expect(unreached.signal.reason).toMatchObject({
    code: "EGRESS_UNREACHABLE",
    message: expect.stringContaining("within 15 s"),
    ...TIMED_OUT,
  });
  clock.advance(54_999);
  silent.stir();
  clock.advance(59_999);
  expect(silent.isOver).toBe(false);
  clock.advance(1);
  expect(silent.signal.reason).toMatchObject({
    code: "EGRESS_UNREACHABLE",
    message: "Nothing moved on the connection within 60 s.",
    ...TIMED_OUT,
  });
  expect(clock.armed).toBe(0);
});

test("what must be whole in time is not helped by moving", () => {
  const { clock, quota } = start();
  const passage = quota.open(NEVER);
  passage.awaitWhole("The request");
  for (let second = 0; second < 60; second++) {
    passage.countSent(1);
    clock.advance(1_000);
  }
  expect(passage.signal.reason).toMatchObject({
    name: "RefusedError",
    code: "EGRESS_PROTOCOL",
    message: "The request was not whole within 60 s.",
    ...TIMED_OUT,
  });
});

test("whoever asked and is gone, and the end of the turn, end what is open", async () => {
  const { clock, quota } = start();
  const leaving = new AbortController();
  const [one, other, orderly] = [quota.open(leaving.signal), quota.open(NEVER), quota.open(NEVER)];
  const told: unknown[] = [];
  for (const passage of [one, other, orderly]) passage.onFault((reason) => told.push(reason));
  const waiting = one.until(new Promise(() => undefined));
  orderly.end();
  leaving.abort(new Error("gone"));
  await expect(waiting).rejects.toThrow("gone");
  await expect(one.until(Promise.resolve(1))).rejects.toThrow("gone");
  quota.close();
  expect(told).toEqual([new Error("gone"), expect.objectContaining({ code: "EGRESS_DENIED" })]);
  expect(() => quota.open(NEVER)).toThrow("The turn is over");
  expect(() => start().quota.open(leaving.signal)).toThrow("gone");
  expect(clock.armed).toBe(0);
});
