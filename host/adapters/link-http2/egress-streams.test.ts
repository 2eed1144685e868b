/** The link's part of the egress door: what reaches the door, and what becomes of its answers. Attacks are in egress-attacks.test.ts. */
import { once } from "node:events";
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { expect, test, vi } from "vitest";
import { readAnswer, serveLink as serveLinkOn, type ServedLink } from "../../../contracts/suites/served-link.ts";
import { HostError, RefusedError, StoreError } from "../../domain/errors.ts";
import type { EgressDoor } from "../../ports/link.ts";
import type { PlainAnswer, PlainRequest } from "../../ports/outside.ts";
import { createLinkServer, type LinkLimits } from "./index.ts";

const shut = (): Promise<never> => Promise.reject(new RefusedError("EGRESS_DENIED", "No."));
const serve = (door: Partial<EgressDoor>, limits: Partial<LinkLimits> = {}) =>
  serveLinkOn(createLinkServer(limits), { egress: { tunnel: shut, exchange: shut, ...door } });

function request(served: ServedLink, headers: OutgoingHttpHeaders, body?: string | Buffer): ClientHttp2Stream {
  const stream = served.client.request(
    { ":authority": "www.example.org", ":scheme": "http", ":path": "/", ...headers },
    { endStream: false },
  );
  stream.on("error", () => undefined);
  stream.end(body);
  return stream;
}
const connect = (served: ServedLink, authority: string): ClientHttp2Stream => {
  const stream = served.client.request({ ":method": "CONNECT", ":authority": authority });
  return stream.on("error", () => undefined);
};
async function* chunks(...all: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of all) yield Buffer.from(chunk);
}
const answered =
  (answer: Partial<PlainAnswer> = {}) =>
  async (): Promise<PlainAnswer> => ({ status: 200, headers: [], body: chunks(), ...answer });

test("a tunnel is asked for by name and port, and carries what comes after the 200, also what was sent before it", async () => {
  const asked: string[] = [];
  const reached = Promise.withResolvers<void>();
  await using served = await serve({
    tunnel: async (authority) => {
      asked.push(authority);
      await reached.promise;
      return { join: async (client) => void client.pipe(client), close: () => undefined };
    },
  });
  const stream = connect(served, "example.org:443");
  stream.write("early ");
  await vi.waitFor(() => expect(asked).toEqual(["example.org:443"]));
  reached.resolve();
  const [head] = (await once(stream, "response")) as [Record<string, unknown>];
  expect(head[":status"]).toBe(200);
  stream.end("late");
  expect(await text(stream)).toBe("early late");
});

test("an exchange is asked for as it was sent, its body as it comes, and answered as the door answers", async () => {
  const asked: (readonly [string, Omit<PlainRequest, "body">, string])[] = [];
  await using served = await serve({
    exchange: async (authority, { body, ...rest }) => {
      asked.push([authority, rest, (await buffer(body)).toString()]);
      const headers = [
        ["x-twice", "1"],
        ["x-twice", "2"],
        ["set-cookie", "a"],
        ["set-cookie", "b"],
        ["content-type", "text/plain"],
      ] as const;
      return { status: 418, headers, body: chunks("short", " and stout") };
    },
  });
  const headers = { ":method": "PUT", ":path": "/a?b=c", "x-one": ["1", "2"], cookie: ["a=b", "c=d"], host: "other.example.org" };
  const answer = await readAnswer(request(served, headers, "hello"));
  expect(answer).toMatchObject({ status: 418, text: "short and stout", headers: { "x-twice": "1, 2", "set-cookie": ["a", "b"] } });
  const pairs = [
    ["x-one", "1"],
    ["x-one", "2"],
    ["host", "other.example.org"],
    ["cookie", "a=b; c=d"],
  ];
  expect(asked).toEqual([["www.example.org", { method: "PUT", path: "/a?b=c", headers: pairs }, "hello"]]);
});

test.each<[Error, number, string, string]>([
  [new RefusedError("EGRESS_PROTOCOL", "No place.", { hint: "Name one." }), 400, "EGRESS_PROTOCOL", "No place. Name one.\n"],
  [new RefusedError("EGRESS_DENIED", "Not allowed."), 403, "EGRESS_DENIED", "Not allowed.\n"],
  [new RefusedError("SECRET_SHOWN", "A secret."), 403, "SECRET_SHOWN", "A secret.\n"],
  [new RefusedError("DECOY_TAKEN", "A decoy."), 403, "DECOY_TAKEN", "A decoy.\n"],
  [new RefusedError("SECRET_UNKNOWN", "Set it."), 403, "SECRET_UNKNOWN", "Set it.\n"],
  [new RefusedError("EGRESS_LIMIT", "Enough."), 429, "EGRESS_LIMIT", "Enough.\n"],
  [new HostError("EGRESS_UNREACHABLE", "Nobody there."), 502, "EGRESS_UNREACHABLE", "Nobody there.\n"],
  [
    new HostError("EGRESS_UNREACHABLE", "Too slow.", { cause: new DOMException("", "TimeoutError") }),
    504,
    "EGRESS_UNREACHABLE",
    "Too slow.\n",
  ],
  [new Error("secret /etc/path"), 500, "INTERNAL", "The host could not do this.\n"],
  [new StoreError("STORE_FULL", "secret /var/db"), 500, "INTERNAL", "The host could not do this.\n"],
  [new HostError("AUDIT_BROKEN", "secret /home/owner/audit"), 500, "INTERNAL", "The host could not do this.\n"],
])("%s is told as a status, a code and words, to whoever asked for a tunnel or an exchange", async (error, status, code, words) => {
  await using served = await serve({ tunnel: () => Promise.reject(error), exchange: () => Promise.reject(error) });
  const told = { status, text: words, headers: { "hermit-refusal": code, "content-type": "text/plain; charset=utf-8" } };
  expect(await readAnswer(connect(served, "example.org:443"))).toMatchObject(told);
  expect(await readAnswer(request(served, {}))).toMatchObject(told);
});

test("only the host's own name leads to its doors; every other is outside, whatever the path", async () => {
  const asked: string[] = [];
  await using served = await serve({
    exchange: (authority) => {
      asked.push(authority);
      return shut();
    },
    tunnel: (authority) => {
      asked.push(authority);
      return shut();
    },
  });
  const finish = (authority: string) =>
    readAnswer(request(served, { ":method": "POST", ":path": "/v1/turn/finish", ":authority": authority }, '{"text":"x"}'));
  const others = ["HOST", "host.", "host:8080", "host.evil.example.org", "www.example.org"];
  for (const authority of others) expect([authority, (await finish(authority)).status]).toEqual([authority, 403]);
  for (const authority of ["host", "host:80"]) expect((await finish(authority)).status).toBe(200);
  expect((await readAnswer(connect(served, "host"))).status).toBe(403);
  expect([asked, served.recorded.finishes]).toEqual([
    [...others, "host"],
    ["x", "x"],
  ]);
});

test("https is not asked for in the clear", async () => {
  const exchange = vi.fn<EgressDoor["exchange"]>(shut);
  await using served = await serve({ exchange });
  expect(await readAnswer(request(served, { ":scheme": "https" }))).toMatchObject({
    status: 400,
    text: expect.stringContaining("CONNECT"),
  });
  expect(exchange).not.toHaveBeenCalled();
});

test("answers without a body have none, and an answer HTTP/2 has no form for is refused", async () => {
  const answers: Partial<PlainAnswer>[] = [
    { status: 204 },
    { status: 304 },
    { status: 200 },
    { status: 999 },
    { status: 101 },
    { headers: [["x y", "1"]] },
  ];
  await using served = await serve({ exchange: () => answered(answers.shift())() });
  for (const [method, status] of [
    ["GET", 204],
    ["GET", 304],
    ["HEAD", 200],
    ["GET", 502],
    ["GET", 502],
    ["GET", 502],
  ] as const) {
    const answer = await readAnswer(request(served, { ":method": method }));
    expect([answer.status, answer.headers["hermit-refusal"]]).toEqual([status, status === 502 ? "EGRESS_UNREACHABLE" : undefined]);
  }
});

test("an answer that breaks off is not passed off as whole", async () => {
  async function* half() {
    yield Buffer.from("half");
    throw new HostError("EGRESS_UNREACHABLE", "broken off");
  }
  await using served = await serve({ exchange: answered({ body: half() }) });
  const stream = request(served, {});
  await expect(text(stream)).rejects.toThrow("NGHTTP2_INTERNAL_ERROR");
  expect(stream.rstCode).not.toBe(0);
});

test("a request that is broken off is told to the door, and its answer is not waited for", async () => {
  const bodies: unknown[] = [];
  const asked = Promise.withResolvers<AbortSignal>();
  await using served = await serve({
    exchange: async (_, { body }, gone) => {
      asked.resolve(gone);
      bodies.push(await text(body).catch((error: unknown) => error));
      return shut();
    },
  });
  const stream = served.client.request({ ":method": "POST", ":authority": "www.example.org", ":path": "/" }, { endStream: false });
  stream.on("error", () => undefined).write("half");
  const gone = await asked.promise;
  // Closed in order it would end its body first.
  stream.destroy(new Error("broken off"));
  await vi.waitFor(() => expect(bodies).toEqual([expect.any(Error)]));
  expect(gone.aborted).toBe(true);
});

test("a request that is answered before it is whole is done with then", async () => {
  await using served = await serve({ exchange: answered({ status: 413 }) });
  const stream = served.client.request({ ":method": "POST", ":authority": "www.example.org", ":path": "/" }, { endStream: false });
  stream.write("half");
  // Never ended: only the host can end this request.
  expect(await readAnswer(stream)).toMatchObject({ status: 413 });
});

test("a tunnel that is reached when nobody waits any more is closed unused", async () => {
  const asked = Promise.withResolvers<AbortSignal>();
  const reached = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const join = vi.fn<(client: Duplex) => Promise<void>>();
  await using served = await serve({
    tunnel: async (_, gone) => {
      asked.resolve(gone);
      await reached.promise;
      return { join, close: () => closed.resolve() };
    },
  });
  const stream = connect(served, "example.org:443");
  const gone = await asked.promise;
  stream.close(8);
  await vi.waitFor(() => expect(gone.aborted).toBe(true));
  reached.resolve();
  await closed.promise;
  expect(join).not.toHaveBeenCalled();
});

test("the end of the link ends what is under way on it", async () => {
  const signals: AbortSignal[] = [];
  const hanging = (_: string, second: PlainRequest | AbortSignal, third?: AbortSignal) => {
    signals.push(third ?? (second as AbortSignal));
    return new Promise<never>(() => undefined);
  };
  await using served = await serve({ tunnel: hanging, exchange: hanging });
  connect(served, "example.org:443");
  request(served, {});
  await vi.waitFor(() => expect(signals).toHaveLength(2));
  served.sandboxSocket.destroy();
  await served.link.closed;
  await vi.waitFor(() => expect(signals.every(({ aborted }) => aborted)).toBe(true));
});

test("an answer nobody reads holds the place outside back, and so does a request body nobody takes", async () => {
  const piece = Buffer.alloc(16 * 1024);
  let pulled = 0;
  async function* endless() {
    for (;;) {
      pulled += piece.length;
      yield piece;
    }
  }
  const never = new Promise<never>(() => undefined);
  await using served = await serve({ exchange: (authority) => (authority === "endless.org" ? answered({ body: endless() })() : never) });
  const unread = request(served, { ":authority": "endless.org" });
  await once(unread, "response");
  const untaken = served.client.request({ ":method": "POST", ":authority": "deaf.org", ":path": "/" }, { endStream: false });
  untaken.on("error", () => undefined);
  let sent = 0;
  while (untaken.write(piece) || sent < 200_000) sent += piece.length;
  // Round trips on the same link: by then everything the windows allow has been written.
  for (let round = 0; round < 20; round++) await served.post("/v1/turn/boundary");
  const [wasPulled, waits] = [pulled, untaken.writableLength];
  for (let round = 0; round < 20; round++) await served.post("/v1/turn/boundary");
  expect([pulled, untaken.writableLength]).toEqual([wasPulled, waits]);
  expect(pulled).toBeLessThan(1_000_000);
  expect(waits).toBeGreaterThan(0);
});

test("streams outside beyond their bound are refused as passing; the host's own doors stay open beside them", async () => {
  const gate = Promise.withResolvers<void>();
  await using served = await serve({ exchange: () => gate.promise.then(answered()) }, { egressStreams: 2 });
  const held = [request(served, {}), request(served, {})].map(readAnswer);
  await vi.waitFor(async () => expect((await readAnswer(request(served, {}))).status).toBe(429));
  expect(await readAnswer(connect(served, "example.org:443"))).toMatchObject({
    status: 429,
    headers: { "hermit-refusal": "EGRESS_LIMIT" },
  });
  expect((await served.post("/v1/turn/finish", { text: "x" })).status).toBe(200);
  gate.resolve();
  expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200]);
  expect((await readAnswer(request(served, {}))).status).toBe(200);
});

test("requests for the host beyond their bound are refused as passing, and freed when one ends", async () => {
  const gate = Promise.withResolvers<void>();
  await using served = await serveLinkOn(createLinkServer({ doorStreams: 1 }), {
    tool: () => gate.promise.then(() => ({ text: "ok", isError: false })),
  });
  const first = served.post("/v1/tool/send_message", { step: 0, toolCallId: "c", input: {} });
  await vi.waitFor(async () => expect((await served.post("/v1/turn/boundary")).status).toBe(429));
  gate.resolve();
  expect((await first).status).toBe(200);
  expect((await served.post("/v1/turn/boundary")).status).toBe(200);
});
