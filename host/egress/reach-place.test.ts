/** From a name that is allowed to the place it leads to: looked up, judged, dialled, given up. */
import { expect, test } from "vitest";
import { HostError } from "../domain/errors.ts";
import { allowed, NAME, NEVER, openDoor, OTHER_PUBLIC, PLACE, PUBLIC, settled } from "./egress-door-harness.ts";

const denied = (words: string) =>
  expect.objectContaining({ name: "RefusedError", code: "EGRESS_DENIED", message: expect.stringContaining(words) });

test("of several addresses the next is tried where one is dead", async () => {
  const { door, outside, place } = allowed();
  outside.names.set(NAME, () => ["2606:2800::1", PUBLIC, OTHER_PUBLIC]);
  place(OTHER_PUBLIC, 443);
  (await door.tunnel(PLACE, NEVER)).close();
  expect(outside.dialled).toEqual(["2606:2800::1:443", `${PUBLIC}:443`, `${OTHER_PUBLIC}:443`]);
  outside.places.clear();
  await expect(door.tunnel(PLACE, NEVER)).rejects.toMatchObject({ code: "EGRESS_UNREACHABLE", retryable: true });
});

test("an address that swallows everything leaves time for the next", async () => {
  const { door, clock, outside } = allowed();
  outside.names.set(NAME, () => [PUBLIC, OTHER_PUBLIC]);
  const there = openDoor().outside;
  outside.dial = async (address, port, signal) => {
    if (address === OTHER_PUBLIC) return there.dial(address, port, signal);
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  there.places.set(`${OTHER_PUBLIC}:443`, {});
  const opened = door.tunnel(PLACE, NEVER);
  await settled();
  clock.advance(7_500);
  (await opened).close();
  expect(clock.armed).toBe(0);
});

test("a name server or a place that never answers is given up in time", async () => {
  const { door, clock, outside } = allowed();
  outside.names.set(NAME, () => new Promise(() => undefined));
  const opened = door.tunnel(PLACE, NEVER);
  await settled();
  clock.advance(15_000);
  await expect(opened).rejects.toMatchObject({
    message: "The place outside was not reached within 15 s.",
    cause: { name: "TimeoutError" },
  });
});

test("sixty names that no name server answers leave the turn four look-ups, and nothing more until those are over", async () => {
  const { door, outside, place, told } = openDoor({ allow: ["*.example.org"], limits: { connections: 100, connectionsPerMinute: 600 } });
  place(PUBLIC, 443);
  const silent = Promise.withResolvers<string[]>();
  const leaving = new AbortController();
  const asked = Array.from({ length: 60 }, (_, n) => {
    outside.names.set(`n${n}.example.org`, () => silent.promise);
    return door.tunnel(`n${n}.example.org:443`, leaving.signal);
  });
  outside.names.set(NAME, () => [PUBLIC]);
  const all = Promise.allSettled(asked);
  await settled();
  leaving.abort(new Error("gone"));
  const reasons = (await all).map((one) => (one.status === "rejected" ? (one.reason.code ?? one.reason.message) : ""));
  expect(reasons).toEqual([...Array.from({ length: 4 }, () => "gone"), ...Array.from({ length: 56 }, () => "EGRESS_LIMIT")]);
  // Nobody waits for them any more, and still they are under way.
  await expect(door.tunnel(PLACE, NEVER)).rejects.toMatchObject({ name: "RefusedError", code: "EGRESS_LIMIT" });
  expect(outside.resolved).toHaveLength(4);
  expect(told()[0]).toContain("limit denied n4.example.org:443: 4 names are being looked up for this turn");
  silent.resolve([]);
  await settled();
  (await door.tunnel(PLACE, NEVER)).close();
});

test("a name that leads to a public address of this machine is refused; a rule about that address opens it", async () => {
  const { door, outside, place, told } = allowed();
  place(PUBLIC, 443);
  outside.own.add(PUBLIC);
  await expect(door.tunnel(PLACE, NEVER)).rejects.toEqual(denied(`${NAME} leads to ${PUBLIC}, a public address of this machine`));
  expect([outside.dialled, told()]).toEqual([[], [expect.stringContaining(`egress denied ${PLACE}: `)]]);
  const opened = allowed({ allow: [NAME, PUBLIC] });
  opened.place(PUBLIC, 443);
  opened.outside.own.add(PUBLIC);
  (await opened.door.tunnel(PLACE, NEVER)).close();
});

test("a machine whose own addresses cannot be read reaches nothing, and an open connection breaks off when it is looked at again", async () => {
  const { door, join, outside, place } = allowed();
  const there = place(PUBLIC, 443);
  const one = await join(PLACE);
  outside.isOwn = () => {
    throw new HostError("EGRESS_UNREACHABLE", "The host cannot read its own addresses.");
  };
  await expect(door.tunnel(PLACE, NEVER)).rejects.toMatchObject({ code: "EGRESS_UNREACHABLE" });
  door.recheck();
  await one.over;
  expect(there.map(({ connection }) => connection.destroyed)).toEqual([true]);
});

test("whoever stops waiting leaves no connection behind, even one that comes late", async () => {
  const { door, outside, place } = allowed();
  const there = place(PUBLIC, 443);
  const leaving = new AbortController();
  const late = Promise.withResolvers<void>();
  const dial = outside.dial.bind(outside);
  outside.dial = async (address, port) => {
    await late.promise;
    return dial(address, port, NEVER);
  };
  const opened = door.tunnel(PLACE, leaving.signal);
  await settled();
  leaving.abort(new Error("gone"));
  await expect(opened).rejects.toThrow("gone");
  late.resolve();
  await settled();
  expect(there[0]?.connection.destroyed).toBe(true);
});
