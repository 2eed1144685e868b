/** The whole sandbox is the adversary: what a hijacked runner may try on the link. */
import { expect, test, vi } from "vitest";
import { createLinkServer, type LinkLimits } from "./index.ts";
import { TURN_PATH } from "../../../contracts/wire/turn.ts";
import { readAnswer, serveLink as serveLinkOn } from "../../../contracts/suites/served-link.ts";
import { openSocketPair } from "../../../contracts/suites/socket-pair.ts";
import { frame, headerBlock, PING, PREFACE, requestFrame, SETTINGS } from "./frames-harness.ts";
import type { TurnDoors } from "../../ports/link.ts";

const serveLink = (doors: Partial<TurnDoors> = {}, limits: Partial<LinkLimits> = {}) => serveLinkOn(createLinkServer(limits), doors);
const FEED = { ":path": TURN_PATH };
const BREACH = { code: "LINK_PROTOCOL" };
const NO_DOORS = {} as TurnDoors;

const REQUEST = (streamId: number) =>
  requestFrame(streamId, { ":method": "POST", ":scheme": "http", ":authority": "host", ":path": TURN_PATH });
const EMPTY_DATA = (streamId: number) => frame(0, 0, streamId, Buffer.alloc(0));

/** Writes until the host has had enough, reading what it answers, as an attacker would to keep its own buffers empty. */
async function flood(pieces: (round: number) => Buffer): Promise<Error | undefined> {
  await using pair = await openSocketPair();
  const link = createLinkServer().serve(pair.host, NO_DOORS);
  pair.sandbox.on("error", () => undefined);
  pair.sandbox.resume();
  let open = true;
  pair.sandbox.once("close", () => {
    open = false;
  });
  pair.sandbox.write(Buffer.concat([PREFACE, SETTINGS]));
  for (let round = 0; open && round < 5_000; round++) {
    const flowing = pair.sandbox.write(pieces(round));
    if (!flowing) await new Promise<void>((resolve) => pair.sandbox.once("drain", resolve).once("close", () => resolve()));
    else await new Promise((resolve) => setImmediate(resolve));
  }
  expect(open).toBe(false);
  return link.closed;
}

test("bytes that are not HTTP/2 end the link with a fault", async () => {
  await using pair = await openSocketPair();
  const link = createLinkServer().serve(pair.host, NO_DOORS);
  pair.sandbox.on("error", () => undefined);
  pair.sandbox.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  expect(await link.closed).toMatchObject(BREACH);
});

test("a flood of requests reset at once ends the link", async () => {
  const reset = Buffer.alloc(4);
  reset.writeUInt32BE(8);
  const one = (round: number) => Buffer.concat([REQUEST(2 * round + 1), frame(3, 0, 2 * round + 1, reset)]);
  expect(await flood(one)).toMatchObject(BREACH);
});

test("a flood of requests left open ends the link, though the limit was never acknowledged", async () => {
  expect(await flood((round) => REQUEST(2 * round + 1))).toMatchObject(BREACH);
});

test("a flood of pings ends the link", async () => {
  expect(await flood(() => Buffer.concat([PING, PING, PING, PING]))).toMatchObject(BREACH);
});

test("a flood of settings ends the link", async () => {
  expect(await flood(() => Buffer.concat([SETTINGS, SETTINGS]))).toMatchObject(BREACH);
});

test("a flood of empty data frames ends the link", async () => {
  expect(await flood((round) => (round === 0 ? REQUEST(1) : EMPTY_DATA(1)))).toMatchObject(BREACH);
});

test("a flood of continuation frames ends the link", async () => {
  const open = frame(1, 0, 1, headerBlock({ ":method": "POST", ":scheme": "http", ":authority": "host" }));
  const more = frame(9, 0, 1, Buffer.from([0x84]));
  expect(await flood((round) => (round === 0 ? open : more))).toMatchObject(BREACH);
});

test("a malformed line on the feed ends the link, and lines before it have been heard", async () => {
  for (const bad of ["{", '"text"', '{"type":"text","step":0}', '{"type":"text","step":0,"delta":"x","turn":3}', '{"type":"made-up"}']) {
    await using served = await serveLink();
    const { stream } = await served.open(FEED);
    stream.write(`{"type":"text","step":0,"delta":"ok"}\n${bad}\n{"type":"text","step":0,"delta":"after"}\n`);
    expect({ bad, fault: await served.link.closed }).toMatchObject({ bad, fault: BREACH });
    expect(served.recorded.events).toEqual([{ type: "text", step: 0, delta: "ok" }]);
  }
});

test("a feed that ends inside a line ends the link", async () => {
  await using served = await serveLink();
  const { stream } = await served.open(FEED);
  stream.end('{"type":"te');
  expect(await served.link.closed).toMatchObject(BREACH);
});

test("a line that never ends is cut off at its limit", async () => {
  await using served = await serveLink({}, { lineBytes: 100_000 });
  const { stream } = await served.open(FEED);
  stream.write("x".repeat(200_000));
  expect(await served.link.closed).toMatchObject({ ...BREACH, message: expect.stringContaining("100000 bytes") });
});

test("events beyond the link's total end it, however small each is", async () => {
  await using served = await serveLink({}, { eventBytes: 10_000 });
  const { stream } = await served.open(FEED);
  const one = '{"type":"text","step":0,"delta":"x"}\n';
  for (let bytes = 0; bytes <= 10_000; bytes += one.length) stream.write(one);
  expect(await served.link.closed).toMatchObject(BREACH);
});

test("requests beyond the link's total end it", async () => {
  await using served = await serveLink({}, { requests: 20 });
  const answers = await Promise.allSettled(Array.from({ length: 21 }, () => served.post("/nowhere")));
  expect(answers).toHaveLength(21);
  expect(await served.link.closed).toMatchObject(BREACH);
});

test("a body beyond its limit is refused 413 without being read to its end, and the link goes on", async () => {
  await using served = await serveLink({}, { bodyBytes: 100_000 });
  const stream = served.client.request({ ":method": "POST", ":path": "/v1/turn/finish" }, { endStream: false });
  // Never ended: only the host's answer can end this request.
  stream.write("x".repeat(150_000));
  expect(await readAnswer(stream)).toMatchObject({ status: 413 });
  expect((await served.post("/v1/turn/finish", { text: "x" })).status).toBe(200);
});

test("bodies held open together are bounded, and what they held is given back", async () => {
  await using served = await serveLink({}, { bodyBytes: 60_000, bodyBytesInFlight: 100_000 });
  const half = "x".repeat(50_000);
  const held = ["a", "b"].map(() => {
    const stream = served.client.request({ ":method": "POST", ":path": "/v1/turn/finish" }, { endStream: false });
    stream.on("error", () => undefined);
    stream.write(half);
    return stream;
  });
  await vi.waitFor(() => expect(held.every((stream) => stream.bufferSize === 0)).toBe(true));
  await vi.waitFor(async () => expect((await served.post("/v1/turn/finish", { text: "now?" })).status).toBe(429));
  for (const stream of held) stream.destroy(new Error("broken off"));
  await vi.waitFor(async () => expect((await served.post("/v1/turn/finish", { text: "now?" })).status).toBe(200));
});

test("headers beyond their limit are refused by the session, and the link goes on", async () => {
  await using served = await serveLink();
  // The first answer proves that the client knows the limit, from which moment it is enforced.
  await served.post("/v1/turn/boundary");
  const large = await served.post("/v1/turn/finish", { text: "x" }, { "x-large": "y".repeat(40_000) }).catch(() => ({ status: 0 }));
  expect(large.status).not.toBe(200);
  expect(served.recorded.finishes).toEqual([]);
  expect((await served.post("/v1/turn/finish", { text: "x" })).status).toBe(200);
});

test("deeply nested JSON is refused or passed, and never ends the host", async () => {
  await using served = await serveLink();
  const deep = `{"step":0,"toolCallId":"c","input":${"[".repeat(200_000)}${"]".repeat(200_000)}}`;
  expect([200, 400, 500]).toContain((await served.post("/v1/tool/send_message", deep)).status);
  expect((await served.post("/v1/turn/finish", { text: "x" })).status).toBe(200);
});
