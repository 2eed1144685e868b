/** Proxies, certificates, and what is said of a failure. What every way out keeps is in the suite. */
import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, expect, test } from "vitest";
import { bytes } from "../../../contracts/suites/outside.ts";
import { SERVICE_CERTIFICATE, trustTestCa } from "../../../contracts/suites/test-certificates.ts";
import { unreachable } from "./failure.ts";
import { createOutsideNet } from "./index.ts";

const NEVER = new AbortController().signal;
const GET = { method: "GET", path: "/", headers: [], body: bytes() } as const;

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function listen(server: Server): Promise<number> {
  server.on("connection", (socket) => {
    socket.on("error", () => undefined);
    closing.push(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  closing.push(() => server.close());
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Passes on what it is asked for, and remembers it. */
async function startProxy(kind: "http" | "https", status = 200) {
  const asked: (string | undefined)[][] = [];
  const server = kind === "http" ? createHttpServer() : createHttpsServer(SERVICE_CERTIFICATE);
  server.on("connect", ({ url = "", headers }: IncomingMessage, client: Socket) => {
    asked.push([url, headers.host]);
    client.on("error", () => undefined);
    if (status !== 200) return client.end(`HTTP/1.1 ${status} No\r\n\r\n`);
    const upstream = connect(Number(url.split(":").at(-1)), "127.0.0.1", () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
    upstream.on("error", () => client.destroy());
    upstream.pipe(client).pipe(upstream);
    return undefined;
  });
  return { asked, url: `${kind}://${kind === "http" ? "127.0.0.1" : "localhost"}:${await listen(server)}` };
}

test.each(["http", "https"] as const)(
  "with an %s proxy the address that was judged is asked for, and reached by no other way",
  async (kind) => {
    using _trusted = trustTestCa();
    // Speaks first, so that its words may come with the proxy's answer.
    const port = await listen(createServer((socket) => socket.end("hello")));
    const { asked, url } = await startProxy(kind);
    const outside = createOutsideNet({ proxy: url });
    expect(await text(await outside.dial("127.0.0.1", port, NEVER))).toBe("hello");
    const toV6 = await outside.dial("2001:db8::1", port, NEVER);
    toV6.destroy();
    expect(asked).toEqual([
      [`127.0.0.1:${port}`, `127.0.0.1:${port}`],
      [`[2001:db8::1]:${port}`, `[2001:db8::1]:${port}`],
    ]);
  },
);

test("a proxy that refuses, hangs up, speaks something else or is not there is told from the place behind it", async () => {
  const port = await listen(createServer());
  const { url } = await startProxy("http", 403);
  const hangsUp = await listen(createServer((socket) => socket.destroy()));
  const speaksSmtp = await listen(createServer((socket) => socket.end("220 mail.test\r\n")));
  for (const [proxy, words] of [
    [url, `refuses 127.0.0.1:${port} (403)`],
    [`http://127.0.0.1:${hangsUp}`, "could not be reached: it broke the connection off"],
    [`http://127.0.0.1:${speaksSmtp}`, "could not be reached"],
    ["http://127.0.0.1:1", "could not be reached: nothing listens there"],
  ] as const) {
    const dialled = createOutsideNet({ proxy }).dial("127.0.0.1", port, NEVER);
    const message = expect.stringMatching(new RegExp(`^The proxy this host goes out through ${words.replace(/[()]/g, "\\$&")}`));
    await expect(dialled).rejects.toMatchObject({ code: "EGRESS_UNREACHABLE", message });
  }
});

test.each(["http", "https"])("an %s proxy that does not answer is waited for as long as the signal says, and left then", async (kind) => {
  const asked = Promise.withResolvers<unknown>();
  const left = Promise.withResolvers<unknown>();
  const silent = await listen(createServer((socket) => socket.once("data", asked.resolve).once("close", left.resolve)));
  const leaving = new AbortController();
  const dialled = createOutsideNet({ proxy: `${kind}://127.0.0.1:${silent}` }).dial("127.0.0.1", 1, leaving.signal);
  await asked.promise;
  leaving.abort(new Error("enough"));
  await expect(dialled).rejects.toThrow("enough");
  await left.promise;
});

/** Says whom the client asked for, where it speaks TLS. */
async function askTls(host: string, connectTo = "127.0.0.1"): Promise<string> {
  const server = createHttpsServer(SERVICE_CERTIFICATE, (request, response) => {
    const { servername } = request.socket as { servername?: string | false };
    response.end(`${servername} ${request.headers.host}`);
  });
  const port = await listen(server);
  const outside = createOutsideNet({ proxy: undefined });
  const connection = await outside.dial(connectTo, port, NEVER);
  const { body } = await outside.exchange(connection, { scheme: "https", host, port }, GET, NEVER);
  return (await text(body)).replace(String(port), "<port>");
}

test("over TLS the service must show a certificate for the very host", async () => {
  await expect(askTls("service.test")).rejects.toThrow("nobody known vouches for its certificate");
  using _trusted = trustTestCa();
  expect(await askTls("service.test")).toBe("service.test service.test:<port>");
  expect(await askTls("a.service.test")).toBe("a.service.test a.service.test:<port>");
  expect(await askTls("127.0.0.1")).toBe("false 127.0.0.1:<port>");
  await expect(askTls("other.test")).rejects.toThrow("its certificate is for another host");
  await expect(askTls("127.0.0.2")).rejects.toThrow("its certificate is for another host");
});

test("a service that answers with something else than HTTP, or with endless headers, is not reached", async () => {
  for (const answer of [
    "SSH-2.0-test\r\n",
    `HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}\r\n\r\n`,
    "HTTP/1.1 101 Up\r\nupgrade: x\r\n\r\n",
  ]) {
    const port = await listen(createServer((socket) => socket.end(answer)));
    const outside = createOutsideNet({ proxy: undefined });
    const connection = await outside.dial("127.0.0.1", port, NEVER);
    const exchange = outside.exchange(connection, { scheme: "http", host: "service.test", port }, GET, NEVER);
    await expect(exchange).rejects.toMatchObject({ code: "EGRESS_UNREACHABLE", retryable: true });
  }
});

test("an answer whose sender has hung up before anybody reads it arrives whole, and harms nothing", async () => {
  const body = "x".repeat(64 * 1024);
  const head = `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
  const port = await listen(createServer((socket) => socket.once("data", () => socket.end(head + body))));
  const outside = createOutsideNet({ proxy: undefined });
  const connection = await outside.dial("127.0.0.1", port, NEVER);
  const answer = await outside.exchange(connection, { scheme: "http", host: "service.test", port }, GET, NEVER);
  for (let turns = 0; turns < 200; turns++) await new Promise((resolve) => setImmediate(resolve));
  expect((await text(answer.body)).length).toBe(body.length);
});

test("of a system's error only the code is said, and a code only when it is one", () => {
  const error = (code: unknown): Error => Object.assign(new Error("open /home/owner/.config/key failed"), { code });
  expect(unreachable("service.test", error("ENOTFOUND")).message).toBe("service.test could not be reached: there is no such name.");
  expect(unreachable("service.test", error("EMFILE")).message).toBe("service.test could not be reached: EMFILE.");
  for (const code of ["/home/owner", undefined, 7, "A b"]) {
    expect(unreachable("service.test", error(code)).message).toBe("service.test could not be reached.");
  }
});

test("a name without addresses leads nowhere", async () => {
  const outside = createOutsideNet({ proxy: undefined, lookup: async () => [] });
  await expect(outside.resolve("empty.test", NEVER)).rejects.toThrow("empty.test could not be reached: the name has no address.");
});

test("of the threads that look-ups may have one is left to others", async () => {
  const begun: string[] = [];
  const silent = new Promise<never>(() => undefined);
  const lookup = (name: string): Promise<never> => (begun.push(name), silent);
  const outside = createOutsideNet({ proxy: undefined, lookup, lookupThreads: 4 });
  for (let n = 0; n < 6; n++) void outside.resolve(`n${n}.test`, NEVER);
  expect(begun).toEqual(["n0.test", "n1.test", "n2.test"]);
});
