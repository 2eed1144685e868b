/** What every way to the world outside must keep, as facts. Each adapter's test runs it on its real self, the in-memory twin included. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { afterEach, describe, expect, test } from "vitest";
import type { Outside, PlainAnswer, PlainRequest } from "../../host/ports/outside.ts";

export interface HeardRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

export interface ScriptedAnswer {
  readonly status: number;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly chunks?: readonly string[];
  /** After the last chunk. Default: it is whole. */
  readonly ending?: "breaks-off" | "hangs";
}

export interface Listening {
  readonly address: string;
  readonly port: number;
  /** Resolves when a connection to it is over, seen from there. */
  readonly ended: Promise<unknown>;
}

export interface OutsideHarness {
  readonly outside: Outside;
  /** A name, and where it leads. */
  readonly known: { readonly name: string; readonly addresses: readonly string[] };
  /** An address of the machine itself. */
  readonly own: string;
  listen(onConnection: (connection: Duplex) => void): Promise<Listening>;
  listenHttp(answer: (request: HeardRequest) => ScriptedAnswer): Promise<Listening>;
  dispose(): Promise<void>;
}

const NEVER = new AbortController().signal;
const NOT_REACHED = { code: "EGRESS_UNREACHABLE", retryable: true };
const GET: PlainRequest = { method: "GET", path: "/", headers: [], body: bytes() };

export async function* bytes(...chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

export function runOutsideSuite(name: string, makeHarness: () => Promise<OutsideHarness>): void {
  describe(`outside suite: ${name}`, () => {
    const held: OutsideHarness[] = [];
    afterEach(async () => {
      for (const harness of held.splice(0)) await harness.dispose();
    });
    const stage = async (): Promise<OutsideHarness> => {
      const harness = await makeHarness();
      held.push(harness);
      return harness;
    };
    const ask = async (answer: ScriptedAnswer, request: Partial<PlainRequest> = {}, signal = NEVER) => {
      const { outside, listenHttp } = await stage();
      const heard: HeardRequest[] = [];
      const place = await listenHttp((one) => {
        heard.push(one);
        return answer;
      });
      const connection = await outside.dial(place.address, place.port, NEVER);
      const upstream = { scheme: "http", host: "service.test", port: place.port } as const;
      const got: PlainAnswer = await outside.exchange(connection, upstream, { ...GET, body: bytes(), ...request }, signal);
      return { heard, got, place };
    };

    test("a name gives every address it leads to, in order", async () => {
      const { outside, known } = await stage();
      expect(await outside.resolve(known.name, NEVER)).toEqual(known.addresses);
    });

    test("a name that leads nowhere is not reached", async () => {
      const { outside } = await stage();
      await expect(outside.resolve("nowhere.test", NEVER)).rejects.toMatchObject(NOT_REACHED);
    });

    test("this machine's own addresses are told from others'", async () => {
      const { outside, own } = await stage();
      expect([outside.isOwn(own), outside.isOwn("93.184.215.14")]).toEqual([true, false]);
    });

    test("a connection carries bytes both ways, and either end may end first", async () => {
      const { outside, listen } = await stage();
      const { address, port } = await listen((connection) => {
        connection.write("hello ");
        void buffer(connection).then((all) => connection.end(all));
      });
      const connection = await outside.dial(address, port, NEVER);
      connection.end("world");
      expect(await text(connection)).toBe("hello world");
    });

    test("where nothing listens is not reached", async () => {
      const { outside, listen } = await stage();
      const { address, port } = await listen(() => undefined);
      await expect(outside.dial(address, port === 1 ? 2 : 1, NEVER)).rejects.toMatchObject(NOT_REACHED);
    });

    test("whoever no longer waits for a connection is told why", async () => {
      const { outside, listen } = await stage();
      const { address, port } = await listen(() => undefined);
      const leaving = new AbortController();
      const dialled = outside.dial(address, port, leaving.signal);
      leaving.abort(new Error("enough"));
      await expect(dialled).rejects.toThrow("enough");
      await expect(outside.dial(address, port, leaving.signal)).rejects.toThrow("enough");
    });

    test("a connection the other end breaks off ends nobody else", async () => {
      const { outside, listen } = await stage();
      const { address, port } = await listen((connection) => connection.destroy());
      const connection = await outside.dial(address, port, NEVER);
      connection.resume().write("anybody there?");
      connection.end();
      if (!connection.closed) await once(connection, "close");
    });

    test("a request arrives as it was given, with the host it is for, and its answer comes back", async () => {
      const request = {
        method: "POST",
        path: "/a/b?c=d",
        headers: [
          ["x-one", "1"],
          ["x-one", "2"],
          ["content-length", "10"],
        ],
        body: bytes("hello", "world"),
      } as const;
      const headers = [
        ["x-two", "1"],
        ["x-two", "2"],
        ["x-three", "ä"],
      ] as const;
      const { heard, got, place } = await ask({ status: 201, headers, chunks: ["made ", "it"] }, request);
      const [{ headers: heardHeaders, ...rest } = { headers: [] }] = heard;
      expect(rest).toEqual({ method: "POST", path: "/a/b?c=d", body: "helloworld" });
      expect(heardHeaders).toEqual(expect.arrayContaining([...request.headers, ["host", `service.test:${place.port}`]]));
      expect(got.status).toBe(201);
      expect(got.headers.filter(([header]) => header.startsWith("x-"))).toEqual(headers);
      expect(await text(got.body)).toBe("made it");
      await place.ended;
    });

    test("a body of unknown length arrives whole, and a request without one has none", async () => {
      const long = await ask({ status: 200 }, { method: "PUT", body: bytes("a".repeat(50_000), "b".repeat(50_000)) });
      expect(long.heard[0]?.body).toHaveLength(100_000);
      const none = await ask({ status: 200 });
      expect(none.heard[0]?.headers.map(([header]) => header)).not.toContain("transfer-encoding");
    });

    test("a redirect is an answer, and what cannot have a body has none", async () => {
      const { got } = await ask({ status: 302, headers: [["location", "http://127.0.0.1:1/"]] });
      expect([got.status, new Map(got.headers).get("location")]).toEqual([302, "http://127.0.0.1:1/"]);
      for (const [status, method] of [
        [204, "GET"],
        [304, "GET"],
        [200, "HEAD"],
      ] as const) {
        const answer = await ask({ status }, { method });
        expect([answer.got.status, await text(answer.got.body)]).toEqual([status, ""]);
      }
    });

    test("an answer that breaks off is not passed off as whole", async () => {
      const { got } = await ask({ status: 200, chunks: ["half"], ending: "breaks-off" });
      await expect(text(got.body)).rejects.toMatchObject(NOT_REACHED);
    });

    test("an answer nobody reads to its end is ended at the other end too", async () => {
      const { got, place } = await ask({ status: 200, chunks: ["some"], ending: "hangs" });
      for await (const chunk of got.body) {
        expect(String(chunk)).toBe("some");
        break;
      }
      await place.ended;
    });

    test("the signal ends an exchange while its answer is awaited, and while it is read or left unread", async () => {
      for (const when of ["awaited", "read", "unread"]) {
        const leaving = new AbortController();
        const { outside, listenHttp } = await stage();
        const place = await listenHttp(() => {
          if (when === "awaited") setImmediate(() => leaving.abort(new Error("enough")));
          return { status: 200, chunks: when === "awaited" ? [] : ["some"], ending: "hangs" };
        });
        const connection = await outside.dial(place.address, place.port, NEVER);
        const upstream = { scheme: "http", host: "service.test", port: place.port } as const;
        const exchange = outside.exchange(connection, upstream, { ...GET, body: bytes() }, leaving.signal);
        if (when === "awaited") await expect(exchange).rejects.toThrow("enough");
        else {
          const { body } = await exchange;
          setImmediate(() => leaving.abort(new Error("enough")));
          if (when === "read") await expect(text(body)).rejects.toThrow("enough");
        }
        await place.ended;
      }
    });
  });
}
