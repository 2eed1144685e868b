/** Plain HTTP through the door: what is made of a request, what of its answer, and what is not sent at all. */
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import type { PlainAnswer, PlainRequest } from "../ports/outside.ts";
import { type DoorOptions, NEVER, openDoor, plain, PUBLIC, settled } from "./egress-door-harness.ts";

const NAME = "www.example.org";
const SECRET = "ghx81lmvt0wxyq7r4";
const DECOY = "akx93hgq2ndzpw5ty";

interface Sent {
  readonly request: Omit<PlainRequest, "body">;
  body: string;
  fault?: unknown;
}

/** A door that may ask one service, which answers what it is told; what reached it is kept. */
function open(answer: Partial<Omit<PlainAnswer, "body">> & { readonly chunks?: readonly string[] } = {}, options: DoorOptions = {}) {
  const stage = openDoor({
    allow: [`${NAME}:80`, `${NAME}:8080`],
    secrets: new Map([["github-token", SECRET]]),
    decoys: new Map([["aws", DECOY]]),
    ...options,
  });
  const sent: Sent[] = [];
  stage.outside.names.set(NAME, () => [PUBLIC]);
  for (const port of [80, 8080]) {
    stage.outside.places.set(`${PUBLIC}:${port}`, {
      answer: async ({ body, ...request }) => {
        const one: Sent = { request, body: "" };
        sent.push(one);
        for await (const chunk of body) one.body += Buffer.from(chunk).toString();
        const { status = 200, headers = [], chunks = ["fine"] } = answer;
        return { status, headers, body: plain({ body: chunks }).body };
      },
    });
  }
  const ask = (request: Parameters<typeof plain>[0] = {}, authority = NAME, gone = NEVER) =>
    stage.door.exchange(authority, plain(request), gone);
  return { ...stage, sent, ask };
}

const refused = (code: string, words = "") =>
  expect.objectContaining({ name: "RefusedError", code, message: expect.stringContaining(words) });

test("what is said in paths and headers counts as the turn's bytes, both ways", async () => {
  const { ask, sent, told, door } = open({ headers: [["x-data", "z".repeat(9_990)]], chunks: [] }, { limits: { turnBytes: 100_000 } });
  const long: Parameters<typeof plain>[0] = { path: `/${"x".repeat(9_996)}`, headers: [["x-data", "y".repeat(9_990)]] };
  for (let times = 0; times < 3; times++) await text((await ask(long)).body);
  await expect(ask(long)).rejects.toEqual(refused("EGRESS_LIMIT"));
  expect(sent).toHaveLength(3);
  door.close();
  expect(told().at(-1)).toContain("Connections: 3; bytes sent: 60000, received: 30000.");
});

test("headers that programs behind a server read as those of a connection or a proxy stay behind too", async () => {
  const { ask, sent } = open();
  const names = ["transfer_encoding", "content_length", "proxy_authorization", "keep.alive", "x_private", "x_kept"];
  await text((await ask({ headers: [["connection", "x-private"], ...names.map((name) => [name, "1"] as const)] })).body);
  expect(sent[0]?.request.headers).toEqual([["x_kept", "1"]]);
});

test("a request is made anew: what belongs to one connection or to a proxy stays behind, the rest goes on", async () => {
  const { ask, sent, told, door } = open();
  const headers = [
    ["host", "evil.example.org"],
    ["connection", "keep-alive, x-private"],
    ["x-private", "1"],
    ["keep-alive", "timeout=5"],
    ["proxy-authorization", "Basic eDp5"],
    ["proxy-connection", "keep-alive"],
    ["transfer-encoding", "chunked"],
    ["te", "trailers"],
    ["trailer", "x"],
    ["expect", "100-continue"],
    ["content-length", "5"],
    ["accept", "text/html"],
    ["x-twice", "1"],
    ["x-twice", "2"],
  ] as const;
  const answer = await ask({ method: "POST", path: "/a?b=c", headers, body: ["he", "llo"] }, `${NAME}:8080`);
  expect(await text(answer.body)).toBe("fine");
  const kept = [
    ["accept", "text/html"],
    ["x-twice", "1"],
    ["x-twice", "2"],
    ["content-length", "5"],
  ];
  expect(sent).toEqual([{ request: { method: "POST", path: "/a?b=c", headers: kept }, body: "hello" }]);
  expect(told()).toEqual([`egress allowed ${NAME}:8080: By ${NAME}:8080; it leads to ${PUBLIC} (a public address).`]);
  door.close();
  const head = `POST/a?b=c${kept.map((header) => header.join(": ") + "\r\n").join("")}`.length - "content-length: 5\r\n".length;
  expect(told().at(-1)).toContain(`bytes sent: ${head + 5}, received: 4`);
});

test("an answer comes back without what belongs to its connection, and without what only the host says", async () => {
  const headers = [
    ["connection", "close, x-private"],
    ["x-private", "1"],
    ["transfer-encoding", "chunked"],
    ["upgrade", "h2c"],
    ["proxy-authenticate", "Basic"],
    ["hermit-refusal", "EGRESS_DENIED"],
    ["content-length", "4"],
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
    ["x-broken", "a\r\nb: c"],
    ["x broken", "1"],
  ] as const;
  const { ask } = open({ status: 404, headers });
  const answer = await ask();
  expect([answer.status, answer.headers]).toEqual([
    404,
    [
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
      ["content-length", "4"],
    ],
  ]);
  expect(await text(answer.body)).toBe("fine");
});

test("a redirect is handed back, and where it leads is judged like any other place", async () => {
  const { ask, outside } = open({ status: 302, headers: [["location", "http://169.254.169.254/latest/meta-data/"]], chunks: [] });
  const answer = await ask();
  expect([answer.status, answer.headers]).toEqual([302, [["location", "http://169.254.169.254/latest/meta-data/"]]]);
  await expect(ask({ path: "/latest/meta-data/" }, "169.254.169.254")).rejects.toEqual(refused("EGRESS_DENIED", "metadata"));
  await expect(ask({}, "localhost")).rejects.toEqual(refused("EGRESS_DENIED"));
  expect(outside.dialled).toEqual([`${PUBLIC}:80`]);
});

test.each<[string, Parameters<typeof plain>[0]]>([
  ["a websocket", { headers: [["sec-websocket-key", "x"]] }],
  ["a websocket in other letters", { headers: [["sec_websocket_key", "x"]] }],
  ["an upgrade", { headers: [["upgrade", "h2c"]] }],
  ["TRACE", { method: "TRACE" }],
  ["CONNECT", { method: "CONNECT" }],
  ["a method with a space", { method: "GET / HTTP/1.1" }],
  ["a method in lower case", { method: "get" }],
  ["a whole URL as path", { path: "http://evil.example.org/" }],
  ["a path that is none", { path: "*" }],
  ["a path with a space", { path: "/a HTTP/1.1" }],
  ["a path with a line break", { path: "/a\r\nhost: evil.example.org" }],
  ["a path with a fragment", { path: "/a#b" }],
  ["a path outside ASCII", { path: "/ä" }],
  ["a header with a line break", { headers: [["x", "a\r\nhost: evil.example.org"]] }],
  ["a header with a zero", { headers: [["x", "a\0"]] }],
  ["a header name with a colon", { headers: [["host:", "evil"]] }],
  ["a header name in capitals", { headers: [["Host", "evil"]] }],
  ["a header without a name", { headers: [["", "evil"]] }],
  [
    "two lengths",
    {
      headers: [
        ["content-length", "1"],
        ["content-length", "2"],
      ],
      body: ["x"],
    },
  ],
  ["a length that is no number", { headers: [["content-length", "+1"]], body: ["x"] }],
  ["a length that is not the body's", { headers: [["content-length", "2"]], body: ["x"] }],
  ["too many headers", { headers: Array.from({ length: 101 }, (_, n) => [`x-${n}`, "1"] as const) }],
  ["headers that are too long", { headers: [["x", "y".repeat(17_000)]] }],
])("%s is refused as malformed and reaches nobody", async (_, request) => {
  const { ask, outside, told } = open();
  await expect(ask(request)).rejects.toEqual(refused("EGRESS_PROTOCOL"));
  expect([outside.resolved, outside.dialled]).toEqual([[], []]);
  expect(told()).toEqual([expect.stringContaining(`egress denied ${NAME}:80: `)]);
});

test.each<[string, Parameters<typeof plain>[0]]>([
  ["its path", { path: `/?q=${SECRET}` }],
  ["a header", { headers: [["x", SECRET]] }],
  ["a header that would stay behind", { headers: [["proxy-authorization", `Bearer ${SECRET}`]] }],
  ["its body, in pieces", { method: "POST", body: [...SECRET] }],
  ["its body, in base64", { method: "POST", body: [Buffer.from(`x:${SECRET}`).toString("base64")] }],
])("a request with a secret in %s is refused before anything leaves, and recorded without the secret", async (_, request) => {
  const { ask, outside, told } = open();
  await expect(ask(request)).rejects.toEqual(refused("SECRET_SHOWN", "A secret was about to leave the sandbox."));
  expect(outside.resolved).toEqual([]);
  expect(told()).toEqual([`leak denied ${NAME}:80: The secret github-token was about to leave the sandbox.`]);
});

test("a decoy in a request is refused, recorded and told to the owner", async () => {
  const { ask, outside, told, taken } = open();
  await expect(ask({ method: "POST", body: [`key=${DECOY}&also=${SECRET}`] })).rejects.toEqual(refused("DECOY_TAKEN"));
  expect([outside.resolved, taken]).toEqual([[], [`${NAME}:80`]]);
  expect(told()).toEqual([`decoy denied ${NAME}:80: The decoy aws was about to leave the sandbox.`]);
});

test("a secret far inside a long body ends the request; its beginning has left, the secret has not", async () => {
  const { ask, sent, told } = open();
  const body = ["x".repeat(100_000), "y".repeat(100_000), `z${SECRET.slice(0, 9)}`, `${SECRET.slice(9)}${"z".repeat(100_000)}`];
  await expect(ask({ method: "PUT", body })).rejects.toEqual(refused("SECRET_SHOWN"));
  expect(sent[0]?.body).toMatch(/^x{100000}y{1,100000}z?$/);
  expect(told().at(-1)).toContain("leak denied");
});

test("a long body goes on as it comes, with the length it was said to have or none", async () => {
  const { ask, sent } = open();
  const chunks = ["x".repeat(70_000), "y".repeat(10_000)];
  await text((await ask({ method: "PUT", body: chunks, headers: [["content-length", "80000"]] })).body);
  await text((await ask({ method: "PUT", body: chunks })).body);
  expect(sent.map(({ body, request }) => [body.length, request.headers])).toEqual([
    [80_000, [["content-length", "80000"]]],
    [80_000, []],
  ]);
});

test("a request that trickles in is given up, however often it moves", async () => {
  const { ask, clock, outside, told } = open();
  async function* trickle() {
    for (;;) {
      await settled();
      clock.advance(10_000);
      yield Buffer.from("x");
    }
  }
  await expect(ask({ method: "POST", body: trickle() })).rejects.toMatchObject({
    code: "EGRESS_PROTOCOL",
    cause: { name: "TimeoutError" },
  });
  expect(outside.dialled).toEqual([]);
  expect(told()).toEqual([expect.stringContaining("was not whole within 60 s")]);
});

test("a service that does not answer, or stops in its answer, is given up", async () => {
  const { ask, clock, outside } = open();
  const hanging = new Promise<never>(() => undefined);
  outside.places.set(`${PUBLIC}:80`, { answer: () => hanging });
  const silent = ask();
  await settled();
  clock.advance(60_000);
  await expect(silent).rejects.toMatchObject({ code: "EGRESS_UNREACHABLE", cause: { name: "TimeoutError" } });
  async function* half() {
    yield Buffer.from("half");
    await hanging;
  }
  outside.places.set(`${PUBLIC}:80`, { answer: async () => ({ status: 200, headers: [], body: half() }) });
  const stopped = text((await ask()).body);
  await settled();
  clock.advance(60_000);
  await expect(stopped).rejects.toMatchObject({ code: "EGRESS_UNREACHABLE" });
  expect(clock.armed).toBe(0);
});

test("an answer larger than the turn may receive breaks off at the limit", async () => {
  const { ask, told } = open({ chunks: Array.from({ length: 100 }, () => "x".repeat(1_000)) }, { limits: { turnBytes: 50_000 } });
  let received = 0;
  const { body } = await ask();
  const reading = (async () => {
    for await (const chunk of body) received += chunk.length;
  })();
  await expect(reading).rejects.toEqual(refused("EGRESS_LIMIT"));
  expect(received).toBe(49_000);
  expect(told().at(-1)).toContain(`limit denied ${NAME}:80: This turn has sent and received`);
});

test("an exchange counts as open until its answer is read, left, or nobody waits for it any more", async () => {
  const { ask, clock } = open({ chunks: ["a", "b"] }, { limits: { connections: 1 } });
  await text((await ask()).body);
  for await (const _ of (await ask()).body) break;
  const leaving = new AbortController();
  await ask({}, NAME, leaving.signal);
  await expect(ask()).rejects.toEqual(refused("EGRESS_LIMIT"));
  leaving.abort(new Error("gone"));
  await text((await ask()).body);
  expect(clock.armed).toBe(0);
});
