/** The whole way, from a program's TLS on a sandbox's link to a service on loopback: real sockets, real TLS, a name server of the test's own. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { ClientHttp2Stream } from "node:http2";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { text } from "node:stream/consumers";
import { type ConnectionOptions, connect as connectTls, type TlsOptions } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readAnswer, serveLink } from "../../contracts/suites/served-link.ts";
import { SERVICE_CERTIFICATE, TEST_CA, trustTestCa } from "../../contracts/suites/test-certificates.ts";
import { createLinkServer } from "../adapters/link-http2/index.ts";
import { createOutsideNet } from "../adapters/outside-net/index.ts";
import { openDoor } from "./egress-door-harness.ts";

const SECRET = "ghx81lmvt0wxyq7r4";
const closing: (() => unknown)[] = [];
beforeEach(() => {
  const trusted = trustTestCa();
  closing.push(() => trusted[Symbol.dispose]());
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  closing.push(() => server.close());
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Answers over TLS with what it was asked, and with how. */
function startService(options: TlsOptions = {}): Promise<number> {
  const answer = (request: IncomingMessage): string =>
    `${request.method} ${request.headers.host} ${request.headers.authorization} ${request.url}`;
  return listen(createHttpsServer({ ...SERVICE_CERTIFICATE, ...options }, (request, response) => response.end(answer(request))));
}

/** A sandbox that may reach the service by its name, and on loopback because a rule says so. */
async function openSandbox(port: number, lookup: () => string[] = () => ["127.0.0.1"]) {
  const upstream = { scheme: "https", host: "service.test", port } as const;
  const stage = openDoor({
    allow: [`service.test:${port}`, `127.0.0.1:${port}`],
    routes: [{ name: "service", upstream, secret: "token", inject: { as: "bearer" }, methods: ["GET"], paths: ["/**"], groups: "all" }],
    secrets: new Map([["token", SECRET]]),
    limits: { turnBytes: 100_000_000 },
    outside: createOutsideNet({ proxy: undefined, lookup: async () => lookup() }),
  });
  const link = await serveLink(createLinkServer(), { egress: stage.door });
  closing.push(() => link[Symbol.asyncDispose]());
  const tunnel = (authority = `service.test:${port}`): ClientHttp2Stream =>
    link.client.request({ ":method": "CONNECT", ":authority": authority }, { endStream: false }).on("error", () => undefined);
  const overTls = async (options: ConnectionOptions = {}) => {
    const stream = tunnel();
    await once(stream, "response");
    const socket = connectTls({ socket: stream, servername: "service.test", ca: TEST_CA, ...options });
    socket.on("error", () => undefined);
    return socket;
  };
  const get = async (options: ConnectionOptions = {}) => {
    const socket = await overTls(options);
    await once(socket, "secureConnect");
    socket.write("GET /a HTTP/1.1\r\nhost: service.test\r\nconnection: close\r\n\r\n");
    return { answer: await text(socket), protocol: socket.getProtocol(), socket };
  };
  const ask = (authority: string, path = "/") => readAnswer(link.client.request({ ":authority": authority, ":path": path }));
  return { ...stage, link, tunnel, overTls, get, ask };
}

test.each<[string, TlsOptions, ConnectionOptions, string]>([
  ["TLS 1.3", {}, {}, "TLSv1.3"],
  ["TLS 1.2", {}, { maxVersion: "TLSv1.2" }, "TLSv1.2"],
  ["TLS 1.3 with a second hello, because the server wants other keys", { ecdhCurve: "P-384" }, { ecdhCurve: "X25519:P-384" }, "TLSv1.3"],
])("a program speaks %s with an allowed service as if nobody were between", async (_, server, client, protocol) => {
  const { get } = await openSandbox(await startService(server));
  expect(await get(client)).toMatchObject({ answer: expect.stringContaining("GET service.test undefined /a"), protocol });
});

test("a session is taken up again through a second tunnel", async () => {
  const { overTls, get } = await openSandbox(await startService());
  const first = await overTls();
  const [session] = (await once(first, "session")) as [Buffer];
  first.destroy();
  const { socket } = await get({ session });
  expect(socket.isSessionReused()).toBe(true);
});

test("a program that asks for another host inside its tunnel is told that access is denied", async () => {
  const { overTls, told } = await openSandbox(await startService());
  const [error] = (await once(await overTls({ servername: "other.service.test" }), "error")) as [Error];
  expect(error.message).toContain("access denied");
  expect(told().at(-1)).toContain("asks for other.service.test; the tunnel was opened for service.test.");
});

test("a name that leads to the service first and to this machine's other ports never reaches those", async () => {
  const port = await startService();
  const other = await startService();
  const { tunnel, outside } = await openSandbox(port, () => ["127.0.0.1", "127.0.0.2"]);
  expect(await readAnswer(tunnel())).toMatchObject({ status: 403, text: expect.stringContaining("service.test leads to 127.0.0.2") });
  expect((await readAnswer(tunnel(`127.0.0.1:${other}`))).status).toBe(403);
  expect(outside.dialled).toEqual([]);
});

test("a service that is not there is told from one that is not allowed", async () => {
  const { tunnel, ask } = await openSandbox(1);
  const told = {
    status: 502,
    headers: { "hermit-refusal": "EGRESS_UNREACHABLE" },
    text: "127.0.0.1:1 could not be reached: nothing listens there.\n",
  };
  expect(await readAnswer(tunnel("service.test:1"))).toMatchObject(told);
  expect(await ask("service.test:1")).toMatchObject(told);
});

test("an injection route adds the secret over TLS, and what comes back does not show it", async () => {
  const port = await startService();
  const { ask } = await openSandbox(port);
  expect(await ask("service.door", "/user?x=1")).toMatchObject({ status: 200, text: `GET service.test:${port} Bearer [secret] /user?x=1` });
});

test("an upstream whose certificate nobody known vouches for gets no request", async () => {
  const { ask } = await openSandbox(await startService());
  await closing.shift()?.();
  const answer = await ask("service.door");
  expect(answer).toMatchObject({ status: 502, text: expect.stringContaining("nobody known vouches for its certificate") });
});

test("plain HTTP goes out and comes back as it is, redirects included", async () => {
  const port = await listen(
    createHttpServer((request, response) => {
      void text(request).then((body) => {
        response.writeHead(body === "" ? 302 : 200, { location: "http://127.0.0.1:1/", "x-heard": JSON.stringify(request.rawHeaders) });
        response.end(body.toUpperCase());
      });
    }),
  );
  const { ask, link } = await openSandbox(port);
  expect(await ask(`service.test:${port}`)).toMatchObject({ status: 302, headers: { location: "http://127.0.0.1:1/" } });
  expect((await ask("127.0.0.1:1")).status).toBe(403);
  const put = link.client.request({ ":method": "PUT", ":authority": `service.test:${port}`, ":path": "/", te: "trailers", accept: "*/*" });
  put.end("hello");
  const answer = await readAnswer(put);
  expect([answer.status, answer.text]).toEqual([200, "HELLO"]);
  const heard = ["accept", "*/*", "content-length", "5", "host", `service.test:${port}`, "connection", "close"];
  expect(JSON.parse(String(answer.headers["x-heard"])).toSorted()).toEqual(heard.toSorted());
});
