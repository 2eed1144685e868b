/** What a hijacked runner may try to get outside: on a real socket, against the real door with a real policy, over a world in memory. */
import { once } from "node:events";
import type { ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test, vi } from "vitest";
import { readAnswer, serveLink } from "../../../contracts/suites/served-link.ts";
import { openSocketPair } from "../../../contracts/suites/socket-pair.ts";
import { type DoorOptions, openDoor, plain, PUBLIC } from "../../egress/egress-door-harness.ts";
import { helloFor, serverHello } from "../../egress/hello-harness.ts";
import type { EgressDoor, TurnDoors } from "../../ports/link.ts";
import { frame, PING, PREFACE, requestFrame, SETTINGS } from "./frames-harness.ts";
import { createLinkServer, type LinkLimits } from "./index.ts";

const NAME = "www.example.org";
const BREACH = { code: "LINK_PROTOCOL" };
const RST_STREAM = 3;
const PING_TYPE = 6;
const NO_DOORS = {} as TurnDoors;
/** For all that will ever come, of the whole connection. */
const LARGE_WINDOW = frame(8, 0, 0, Buffer.from([0x3f, 0xff, 0xff, 0xff]));
const HEADERS = 1;

/** One allowed service, by TLS and in the clear; everything a sandbox says arrives at the real door. */
async function open(options: DoorOptions = {}, limits: Partial<LinkLimits> = {}) {
  const stage = openDoor({ allow: [NAME, `${NAME}:80`], limits: { connections: 32, connectionsPerMinute: 600 }, ...options });
  const asked: string[] = [];
  stage.outside.names.set(NAME, () => [PUBLIC]);
  const there = stage.place(PUBLIC, 443);
  stage.outside.places.set(`${PUBLIC}:80`, {
    answer: async ({ method, path, headers }, { host }) => {
      asked.push([method, host, path, ...headers.map((pair) => pair.join("="))].join(" "));
      return { status: 200, headers: [], body: plain({ body: ["fine"] }).body };
    },
  });
  const link = await serveLink(createLinkServer(limits), { egress: stage.door });
  const connect = (authority: string): ClientHttp2Stream =>
    link.client.request({ ":method": "CONNECT", ":authority": authority }, { endStream: false }).on("error", () => undefined);
  return Object.assign(link, { ...stage, asked, there, connect });
}

/** Of this thread alone, and without what is garbage already. */
function liveHeapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

/** Each frame the host sends. */
function onFrames(socket: Socket, onFrame: (type: number, stream: number, payload: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      onFrame(rest.readUInt8(3), rest.readUInt32BE(5), rest.subarray(9, end));
      rest = rest.subarray(end);
    }
  });
}

/** Raw frames on a link of their own: the type of the first frame the host says on each stream, and whether the link lives on. */
async function sendRaw(egress: EgressDoor, streams: readonly number[], ...frames: readonly Buffer[]) {
  await using pair = await openSocketPair();
  const link = createLinkServer().serve(pair.host, { ...NO_DOORS, egress });
  const said = new Map<number, number>();
  const pinged = Promise.withResolvers<boolean>();
  pair.sandbox.once("close", () => pinged.resolve(false));
  onFrames(pair.sandbox, (type, stream) => {
    if (type === PING_TYPE) pinged.resolve(true);
    if (stream > 0 && !said.has(stream)) said.set(stream, type);
    if (streams.every((one) => said.has(one))) pair.sandbox.write(PING);
  });
  pair.sandbox.write(Buffer.concat([PREFACE, SETTINGS, ...frames]));
  const lives = await pinged.promise;
  link.close();
  await link.closed;
  return { said, lives };
}

test.each([
  "169.254.169.254:80",
  "[::ffff:169.254.169.254]:443",
  "127.0.0.1:443",
  "0x7f.1:443",
  "2130706433:443",
  "017700000001:443",
  "127.1:443",
  "[::1]:443",
  "localhost:443",
  "host:80",
  "evil.example.org:443",
  `${NAME}:22`,
  `${NAME}:0443`,
  `${NAME}:443:443`,
  `evil.example.org#@${NAME}:443`,
  `${NAME}\\@evil.example.org:443`,
  `${NAME}/../evil:443`,
  `https://${NAME}:443`,
  NAME,
  ":443",
  "%77ww.example.org:443",
  `${NAME}%00.evil.example.org:443`,
  "github.door:443",
])("a tunnel to %s is refused, and nothing is dialled", async (authority) => {
  await using served = await open();
  const answer = await readAnswer(served.connect(authority)).catch(() => undefined);
  // What HTTP/2 itself takes for malformed it resets.
  if (answer !== undefined && !Number.isNaN(answer.status)) {
    expect([400, 403]).toContain(answer.status);
    expect(answer.headers["hermit-refusal"]).toMatch(/^EGRESS_(PROTOCOL|DENIED)$/);
    expect(served.audit.entries.at(-1)).toMatchObject({ decision: "denied" });
  }
  expect([served.outside.resolved, served.outside.dialled]).toEqual([[], []]);
  expect((await served.post("/v1/turn/boundary")).status).toBe(200);
});

test("a host header beside another authority changes nothing: what was judged is what is told the service", async () => {
  await using served = await open();
  const stream = served.client.request({ ":authority": NAME, ":path": "/", host: "evil.example.org" });
  expect(await text(stream)).toBe("fine");
  expect(served.asked).toEqual([`GET ${NAME} /`]);
});

test.each<[string, Record<string, string>]>([
  ["a connection header", { ":method": "GET", ":scheme": "http", ":authority": NAME, ":path": "/", connection: "x-private" }],
  ["a transfer encoding", { ":method": "POST", ":scheme": "http", ":authority": NAME, ":path": "/", "transfer-encoding": "chunked" }],
  ["te other than trailers", { ":method": "GET", ":scheme": "http", ":authority": NAME, ":path": "/", te: "gzip" }],
  ["an upgrade", { ":method": "GET", ":scheme": "http", ":authority": NAME, ":path": "/", upgrade: "websocket" }],
  ["CONNECT with a path", { ":method": "CONNECT", ":authority": `${NAME}:443`, ":path": "/v1/turn" }],
  ["CONNECT with a scheme", { ":method": "CONNECT", ":authority": `${NAME}:443`, ":scheme": "https" }],
  ["CONNECT of another protocol", { ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":authority": NAME, ":path": "/" }],
  ["CONNECT to nobody", { ":method": "CONNECT" }],
  ["no authority and no host", { ":method": "GET", ":scheme": "http", ":path": "/" }],
  ["no path", { ":method": "GET", ":scheme": "http", ":authority": NAME }],
  ["a header name in capitals", { ":method": "GET", ":scheme": "http", ":authority": NAME, ":path": "/", Host: "evil" }],
  ["an authority with a line break", { ":method": "GET", ":scheme": "http", ":authority": `${NAME}\r\nx: y`, ":path": "/" }],
  ["a path with a line break", { ":method": "GET", ":scheme": "http", ":authority": NAME, ":path": "/ HTTP/1.1\r\nx: y" }],
  ["a whole URL as path", { ":method": "GET", ":scheme": "http", ":authority": NAME, ":path": "http://evil.example.org/" }],
  ["a method with a space", { ":method": "GET /x", ":scheme": "http", ":authority": NAME, ":path": "/" }],
])("a request with %s is reset or refused, reaches nobody, and the link goes on", async (_, headers) => {
  const { door, outside } = openDoor({ allow: [NAME, `${NAME}:80`] });
  outside.names.set(NAME, () => [PUBLIC]);
  const { said, lives } = await sendRaw(door, [1], requestFrame(1, headers));
  expect(lives).toBe(true);
  expect([HEADERS, RST_STREAM]).toContain(said.get(1));
  expect(outside.dialled).toEqual([]);
});

test("two authorities, and a host header in the place of one, are no way to the host's own doors or to another place", async () => {
  const { door, outside } = openDoor({ allow: [`${NAME}:80`] });
  const base = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/v1/turn/finish"],
  ] as const;
  const { said, lives } = await sendRaw(
    door,
    [1, 3],
    requestFrame(1, [...base, [":authority", NAME], [":authority", "host"]]),
    requestFrame(3, [...base, ["host", "host"]]),
  );
  expect([lives, said.get(1), said.get(3)]).toEqual([true, RST_STREAM, HEADERS]);
  expect(outside.dialled).toEqual([]);
});

test("a header that is none is left out by HTTP/2 itself: nothing of it reaches the service", async () => {
  const { door, outside } = openDoor({ allow: [`${NAME}:80`] });
  const asked: (readonly (readonly [string, string])[])[] = [];
  outside.names.set(NAME, () => [PUBLIC]);
  outside.places.set(`${PUBLIC}:80`, {
    answer: async ({ headers }) => {
      asked.push(headers);
      return { status: 200, headers: [], body: plain().body };
    },
  });
  const evil = requestFrame(1, { ":method": "GET", ":scheme": "http", ":authority": NAME, ":path": "/", x: "a\r\nhost: evil", y: "b" });
  const { lives } = await sendRaw(door, [1], evil, frame(0, 1, 1, Buffer.alloc(0)));
  expect([lives, asked]).toEqual([true, [[["y", "b"]]]]);
});

test("ten thousand tunnels, as many at once as the link has, are all answered, a few opened and the rest refused, in flat memory", async () => {
  const stage = openDoor({ allow: [NAME], limits: { connections: 32, connectionsPerMinute: 600 } });
  stage.outside.names.set(NAME, () => [PUBLIC]);
  const there = stage.place(PUBLIC, 443);
  await using pair = await openSocketPair();
  const link = createLinkServer().serve(pair.host, { ...NO_DOORS, egress: stage.door });
  const tunnel = (n: number) => requestFrame(2 * n + 1, { ":method": "CONNECT", ":authority": `${NAME}:443` });
  const statuses = new Map<string, number>();
  let [asked, answered] = [0, 0];
  const before = liveHeapBytes();
  const all = Promise.withResolvers<void>();
  onFrames(pair.sandbox, (type, _, payload) => {
    if (type !== HEADERS) return;
    // The first byte of the head is its status: 200 stands in HPACK's table, others do not.
    const status = payload.readUInt8(0) === 0x88 ? "opened" : "refused";
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (++answered === 10_000) all.resolve();
    if (asked < 10_000) pair.sandbox.write(tunnel(asked++));
  });
  pair.sandbox.write(Buffer.concat([PREFACE, SETTINGS, LARGE_WINDOW, ...Array.from({ length: 250 }, () => tunnel(asked++))]));
  await all.promise;
  expect(statuses).toEqual(
    new Map([
      ["opened", 32],
      ["refused", 9_968],
    ]),
  );
  expect(there).toHaveLength(32);
  expect(stage.audit.entries.length).toBeLessThan(80);
  expect(stage.clock.armed).toBe(32);
  expect(liveHeapBytes() - before).toBeLessThan(4 * 1024 * 1024);
  link.close();
  await link.closed;
  await vi.waitFor(() => expect(there.every(({ connection }) => connection.destroyed)).toBe(true));
});

test("a sandbox that ignores how many streams it may open loses its link", async () => {
  const { door } = openDoor({ allow: [NAME] });
  await using pair = await openSocketPair();
  const link = createLinkServer().serve(pair.host, { ...NO_DOORS, egress: door });
  pair.sandbox.on("error", () => undefined).resume();
  const head = { ":method": "CONNECT", ":authority": "evil.example.org:443" };
  pair.sandbox.write(Buffer.concat([PREFACE, SETTINGS, ...Array.from({ length: 10_000 }, (_, n) => requestFrame(2 * n + 1, head))]));
  expect(await link.closed).toMatchObject(BREACH);
});

test("tunnels opened and reset in a flood end the link", async () => {
  const { door } = openDoor({ allow: [NAME] });
  await using pair = await openSocketPair();
  const link = createLinkServer().serve(pair.host, { ...NO_DOORS, egress: door });
  pair.sandbox.on("error", () => undefined).resume();
  const reset = Buffer.alloc(4);
  reset.writeUInt32BE(8);
  const head = { ":method": "CONNECT", ":authority": `${NAME}:443` };
  pair.sandbox.write(Buffer.concat([PREFACE, SETTINGS]));
  let open = true;
  pair.sandbox.once("close", () => {
    open = false;
  });
  for (let round = 0; open && round < 5_000; round++) {
    pair.sandbox.write(Buffer.concat([requestFrame(2 * round + 1, head), frame(RST_STREAM, 0, 2 * round + 1, reset)]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await link.closed).toMatchObject(BREACH);
});

test("requests outside beyond the link's total end it; they do not count as requests for the host", async () => {
  await using served = await open({}, { egressRequests: 30, requests: 5 });
  for (let round = 0; round < 30; round++) expect((await readAnswer(served.connect("evil.example.org:443"))).status).toBe(403);
  expect((await served.post("/v1/turn/boundary")).status).toBe(200);
  served.connect("evil.example.org:443");
  expect(await served.link.closed).toMatchObject(BREACH);
});

test("tunnels left half open, on either side, are closed when nothing moves", async () => {
  await using served = await open();
  const [silent, halfClosed, unread] = [served.connect(`${NAME}:443`), served.connect(`${NAME}:443`), served.connect(`${NAME}:443`)];
  await Promise.all([silent, halfClosed, unread].map((stream) => once(stream, "response")));
  halfClosed.end(helloFor(NAME));
  unread.write(helloFor(NAME));
  await vi.waitFor(() => expect(served.there.filter(({ heard }) => heard !== "")).toHaveLength(2));
  for (const { connection } of served.there) connection.write(Buffer.concat([serverHello(), Buffer.alloc(200_000)]));
  await vi.waitFor(() => expect(served.audit.entries).toHaveLength(3));
  served.clock.advance(60_000);
  await vi.waitFor(() => expect(served.there.every(({ connection }) => connection.destroyed)).toBe(true));
  for (const stream of [silent, halfClosed, unread]) if (!stream.closed) await once(stream.resume(), "close");
});

test("a plain request that is never finished is given up, and its stream is free again", async () => {
  await using served = await open({}, { egressStreams: 1 });
  const slow = served.client.request({ ":method": "POST", ":authority": NAME, ":path": "/" }, { endStream: false });
  slow.on("error", () => undefined).write("x");
  await vi.waitFor(() => expect(served.clock.armed).toBe(1));
  served.clock.advance(60_000);
  expect(await readAnswer(slow)).toMatchObject({ status: 504, headers: { "hermit-refusal": "EGRESS_PROTOCOL" } });
  const next = served.client.request({ ":authority": NAME, ":path": "/" });
  expect((await readAnswer(next)).status).toBe(200);
});
