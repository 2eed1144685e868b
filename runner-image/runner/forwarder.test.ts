import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { REFUSAL_HEADER } from "../../contracts/wire/egress.ts";
import { type Door, echo, openOutside, type Outside } from "./outside-harness.ts";

const refuses =
  (status: number, code: string, sentence: string): Door =>
  (stream) => {
    stream.respond({ ":status": status, [REFUSAL_HEADER]: code, "content-type": "text/plain" });
    stream.end(sentence);
  };

/** Asks as a program does that heeds HTTP_PROXY. */
function ask(outside: Outside, url: string, options: { method?: string; headers?: Record<string, string | string[]> } = {}): ClientRequest {
  return request({
    port: outside.port,
    host: "127.0.0.1",
    agent: false,
    path: url,
    headers: { host: "forged.example", ...options.headers },
    method: options.method ?? "GET",
  });
}

async function answerOf(call: ClientRequest): Promise<IncomingMessage & { text: string }> {
  const [response] = (await once(call, "response")) as [IncomingMessage];
  return Object.assign(response, { text: await text(response) });
}

describe("a plain request", () => {
  test("arrives as it was sent, to the address it names, without what belongs to one connection", async () => {
    const seen = Promise.withResolvers<{ headers: Record<string, unknown>; body: string }>();
    await using outside = await openOutside((stream, headers) => {
      void text(stream).then((body) => seen.resolve({ headers: Object.fromEntries(Object.entries(headers)), body }));
      stream.respond({ ":status": 201, "set-cookie": ["a=1", "b=2"], "x-of": "there" });
      stream.end("made");
    });
    const call = ask(outside, "http://Example.org:8080?q=1", {
      method: "POST",
      headers: {
        "x-one": ["a", "b"],
        connection: "close, x-hop",
        "x-hop": "1",
        "proxy-authorization": "Basic eA==",
        "proxy-connection": "close",
        te: "trailers",
        expect: "100-continue",
      },
    });
    call.end("body");
    const answer = await answerOf(call);
    expect(answer).toMatchObject({ statusCode: 201, text: "made" });
    expect(answer.headers).toMatchObject({ "set-cookie": ["a=1", "b=2"], "x-of": "there" });
    const { headers, body } = await seen.promise;
    expect(body).toBe("body");
    expect(headers).toEqual({
      ":method": "POST",
      ":scheme": "http",
      ":authority": "Example.org:8080",
      ":path": "/?q=1",
      "x-one": "a, b",
    });
  });

  test("answers of every form keep it: without a body, without a length, to HEAD", async () => {
    await using outside = await openOutside((stream, headers) => {
      if (headers[":path"] === "/none") return stream.respond({ ":status": 204 }, { endStream: true });
      if (headers[":method"] === "HEAD") return stream.respond({ ":status": 200, "content-length": "1000" }, { endStream: true });
      stream.respond({ ":status": 200 });
      stream.write("a");
      stream.end("b");
    });
    expect(await answerOf(ask(outside, "http://example.org/none").end())).toMatchObject({ statusCode: 204, text: "" });
    const head = await answerOf(ask(outside, "http://example.org/", { method: "HEAD" }).end());
    expect(head).toMatchObject({ statusCode: 200, text: "", headers: { "content-length": "1000" } });
    const chunked = await answerOf(ask(outside, "http://example.org/").end());
    expect(chunked).toMatchObject({ text: "ab", headers: { "transfer-encoding": "chunked" } });
  });

  test("an answer that breaks off is broken off, not ended", async () => {
    await using outside = await openOutside((stream) => {
      stream.respond({ ":status": 200 });
      stream.write("half", () => stream.destroy(new Error("broken off")));
    });
    const [response] = (await once(ask(outside, "http://example.org/").end(), "response")) as [IncomingMessage];
    await expect(text(response)).rejects.toThrow("aborted");
  });

  test("a program that gives up on the answer ends it at the host", async () => {
    const gone = Promise.withResolvers<void>();
    await using outside = await openOutside((stream) => {
      stream.respond({ ":status": 200 });
      stream.write("first");
      stream.once("close", () => gone.resolve());
    });
    const call = ask(outside, "http://example.org/").end();
    const [response] = (await once(call, "response")) as [IncomingMessage];
    response.on("error", () => undefined);
    call.destroy();
    await gone.promise;
    expect(outside.forwarder.takeRefusals()).toEqual([]);
  });

  test("one that gives up before there is an answer was refused nothing", async () => {
    const asked = Promise.withResolvers<ServerHttp2Stream>();
    await using outside = await openOutside((stream) => asked.resolve(stream));
    const call = ask(outside, "http://example.org/").end();
    call.on("error", () => undefined);
    const stream = await asked.promise;
    call.destroy();
    await once(stream, "close");
    // What follows on the same link comes after what was said of the first.
    await answerOf(ask(outside, "http://user@example.org/").end());
    expect(outside.forwarder.takeRefusals()).toEqual([]);
  });

  test("the host's own doors are no place outside", async () => {
    await using outside = await openOutside(refuses(403, "EGRESS_DENIED", "no"));
    for (const url of ["http://host/v1/turn/finish", "http://HOST/v1/turn"]) await answerOf(ask(outside, url, { method: "POST" }).end());
    expect(outside.asked).toEqual(["POST host:80 /v1/turn/finish", "POST HOST:80 /v1/turn"]);
  });

  test("what is no request for a proxy is told how to ask, and the host never hears of it", async () => {
    await using outside = await openOutside(echo);
    for (const [url, words] of [
      ["/", "This is a proxy"],
      ["https://example.org/", "CONNECT"],
      ["http://user:pw@example.org/", "credentials"],
      ["http://a%20b/", "ASCII"],
    ] as const) {
      const socket = await outside.dial();
      socket.write(`GET ${url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      const answer = await text(socket);
      expect(answer).toMatch(/^HTTP\/1.1 400 /);
      expect(answer).toContain(words);
    }
    for (const authority of ["example.org", "example.org:99999x", "a b:443"]) {
      const { head } = await outside.tunnel(authority);
      expect(head).toMatch(/^HTTP\/1.1 400 /);
    }
    expect(outside.asked).toEqual([]);
  });

  test("more header fields than the link takes are refused here, where only the request is lost", async () => {
    await using outside = await openOutside(echo);
    const many = Object.fromEntries(Array.from({ length: 70 }, (_, n) => [`x-${n}`, "1"]));
    expect(await answerOf(ask(outside, "http://example.org/", { headers: many }).end())).toMatchObject({ statusCode: 431 });
    const large = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`x-${n}`, "x".repeat(780)]));
    expect(await answerOf(ask(outside, "http://example.org/", { headers: large }).end())).toMatchObject({ statusCode: 431 });
    expect(outside.asked).toEqual([]);
  });
});

describe("plain HTTP inside a tunnel, as Node's fetch asks for it", () => {
  const told: Door = (stream, headers) => {
    if (headers[":method"] === "CONNECT") return stream.respond({ ":status": 200 });
    stream.respond({ ":status": 200 });
    stream.end(`${headers[":method"]} ${headers[":authority"]} ${headers[":path"]}`);
  };
  const get = "GET /x HTTP/1.1\r\nhost: forged.example\r\n\r\n";
  const lastGet = get.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");

  test("becomes a plain request to where the tunnel was opened, whatever its Host says", async () => {
    await using outside = await openOutside(told);
    for (const [authority, asked] of [
      ["name.door:80", ["GET name.door /x"]],
      ["example.org:80", ["GET example.org:80 /x"]],
      ["host:80", ["GET host:80 /x"]],
      ["example.org:8080", ["CONNECT example.org:8080", "GET example.org:8080 /x"]],
    ] as const) {
      const before = outside.asked.length;
      const { socket, head } = await outside.tunnel(authority);
      expect(head).toContain("200");
      socket.write(get);
      const [first] = (await once(socket, "data")) as [Buffer];
      expect(first.toString()).toContain(asked.at(-1));
      // The connection goes on, as it does with a server.
      socket.write(lastGet);
      expect(await text(socket)).toContain(asked.at(-1));
      expect(outside.asked.slice(before)).toEqual([...asked, asked.at(-1)]);
    }
  });

  test("a refusal has its sentence in the answer", async () => {
    await using outside = await openOutside(refuses(403, "EGRESS_DENIED", "name.door is no route of this group."));
    const { socket } = await outside.tunnel("name.door:80");
    socket.write(lastGet);
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1.1 403 Egress refused\r\n/);
    expect(answer).toContain("name.door is no route of this group.");
  });

  test("no tunnel leads into another", async () => {
    await using outside = await openOutside(told);
    const { socket } = await outside.tunnel("example.org:80");
    socket.write("CONNECT inner.example:443 HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(await text(socket)).toMatch(/^HTTP\/1.1 400 /);
    expect(outside.asked).toEqual([]);
  });
});

describe("what the host refuses", () => {
  const sentence = "example.org:443 is not on the allowlist of family.";

  test("is an answer with its status and sentence, of a tunnel and of a plain request, and is remembered once", async () => {
    await using outside = await openOutside(refuses(403, "EGRESS_DENIED", sentence));
    const { socket } = await outside.tunnel("example.org:443");
    socket.end();
    const plain = await answerOf(ask(outside, "http://example.org/").end());
    expect(plain).toMatchObject({ statusCode: 403, statusMessage: "Egress refused", text: `${sentence}\n` });
    expect(plain.headers[REFUSAL_HEADER]).toBe("EGRESS_DENIED");
    expect(outside.forwarder.takeRefusals()).toEqual([`[egress refused: ${sentence}]`]);
    expect(outside.forwarder.takeRefusals()).toEqual([]);
  });

  test("a place that was not reached has failed; nothing was refused", async () => {
    await using outside = await openOutside(refuses(502, "EGRESS_UNREACHABLE", "example.org cannot be resolved."));
    const { head } = await outside.tunnel("example.org:443");
    expect(head).toMatch(/^HTTP\/1.1 502 Egress failed\r\n/);
    expect(outside.forwarder.takeRefusals()).toEqual(["[egress failed: example.org cannot be resolved.]"]);
  });

  test("an upload that is refused on its way reads the refusal, and the connection serves the next request", async () => {
    await using outside = await openOutside((stream) => {
      refuses(403, "EGRESS_DENIED", sentence)(stream, {});
      stream.once("finish", () => stream.close(constants.NGHTTP2_NO_ERROR));
    });
    const socket = await outside.dial();
    const size = 8 * 1024 * 1024;
    socket.write(`POST http://example.org/ HTTP/1.1\r\nhost: x\r\ncontent-length: ${size}\r\n\r\n`);
    socket.write(Buffer.alloc(size));
    socket.write("GET http://example.org/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    expect((await text(socket)).match(/HTTP\/1.1 403/g)).toHaveLength(2);
  });

  test("an upstream's own 403 passes as it is and is nobody's refusal", async () => {
    await using outside = await openOutside((stream) => {
      stream.respond({ ":status": 403 });
      stream.end("members only");
    });
    expect(await answerOf(ask(outside, "http://example.org/").end())).toMatchObject({ statusCode: 403, text: "members only" });
    expect(outside.forwarder.takeRefusals()).toEqual([]);
  });

  test("a link that breaks off is said to, to whoever waits and whoever comes", async () => {
    await using outside = await openOutside((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM));
    expect((await outside.tunnel("example.org:443")).head).toMatch(/^HTTP\/1.1 502 /);
    outside.session.destroy();
    await once(outside.session, "close");
    await expect.poll(async () => (await outside.tunnel("example.org:443")).head).toMatch(/^HTTP\/1.1 502 /);
  });
});

describe("limits", () => {
  const few = { open: 3, requests: 100, connections: 100 };

  test("past its bound of open ones the next is refused at once, and served again when one has ended", async () => {
    const streams: ServerHttp2Stream[] = [];
    await using outside = await openOutside((stream) => {
      streams.push(stream);
      stream.respond({ ":status": 200 });
    }, few);
    const open = [await outside.tunnel("a.example:443"), await outside.tunnel("b.example:443"), await outside.tunnel("c.example:443")];
    expect((await outside.tunnel("d.example:443")).head).toMatch(/^HTTP\/1.1 503 /);
    expect(await answerOf(ask(outside, "http://example.org/").end())).toMatchObject({ statusCode: 503 });
    expect(outside.forwarder.takeRefusals()).toEqual([
      "[egress refused: More than 3 connections to the outside at once. Wait for one to end.]",
    ]);
    open[0]?.socket.destroy();
    await once(streams[0] as ServerHttp2Stream, "close");
    expect((await outside.tunnel("e.example:443")).head).toContain(" 200 ");
    expect(streams).toHaveLength(4);
  });

  test("past its bound of requests none is passed on, so that the link does not end with the host's own", async () => {
    await using outside = await openOutside(refuses(403, "EGRESS_DENIED", "no"), { ...few, requests: 2 });
    for (const status of [403, 403, 503]) {
      expect(await answerOf(ask(outside, "http://example.org/").end())).toMatchObject({ statusCode: status });
    }
    expect(outside.asked).toHaveLength(2);
  });

  test("connections past its bound are closed, and it is said why", async () => {
    await using outside = await openOutside(echo, { ...few, connections: 2 });
    await outside.dial();
    await outside.dial();
    expect(await text(await outside.dial())).toBe("");
    expect(outside.forwarder.takeRefusals()).toEqual(["[egress refused: More than 2 connections to the proxy at once.]"]);
  });

  test("closing it ends every connection at once", async () => {
    await using outside = await openOutside(echo);
    const { socket } = await outside.tunnel("example.org:443");
    const idle = await outside.dial();
    const ends = [text(socket), text(idle)];
    outside.forwarder.close();
    expect(await Promise.all(ends)).toEqual(["", ""]);
  });
});
