/**
 * For engine tests of the way out: services on this machine's loopback under names of their own, and a door that knows no more than which
 * of them may be reached. What is served comes from a folder; `/big` is 100 MB, `/echo` gives back what it was sent.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SERVICE_CERTIFICATE } from "../../contracts/suites/test-certificates.ts";
import { HostError, RefusedError } from "../../host/domain/errors.ts";
import type { EgressDoor } from "../../host/ports/link.ts";

export const BIG_BYTES = 100_000_000;

export interface LoopbackWorld extends AsyncDisposable {
  readonly door: EgressDoor;
  /** What reached the services, as `scheme method host path`. */
  readonly served: readonly string[];
}

/** `allowed`: names with their ports; `name.door` is always one. */
export async function openLoopbackWorld(folder: string, allowed: readonly string[]): Promise<LoopbackWorld> {
  const served: string[] = [];
  const serve = (scheme: string) => (asked: IncomingMessage, answer: ServerResponse) => {
    served.push(`${scheme} ${asked.method} ${asked.headers.host} ${asked.url}`);
    answerFrom(folder, asked, answer).catch(() => answer.destroy());
  };
  const secure = await listening(createTlsServer(SERVICE_CERTIFICATE, serve("https")));
  const plain = await listening(createServer(serve("http")));
  const judge = (authority: string): void => {
    if (!allowed.includes(authority)) throw new RefusedError("EGRESS_DENIED", `${authority} is not on the allowlist of this test.`);
  };
  const door: EgressDoor = {
    async tunnel(authority) {
      judge(authority);
      const upstream = connect({ port: secure.port, host: "127.0.0.1", allowHalfOpen: true });
      await once(upstream, "connect");
      return {
        close: () => void upstream.destroy(),
        join: async (client) => {
          await Promise.allSettled([pipeline(client, upstream), pipeline(upstream, client)]);
        },
      };
    },
    async exchange(authority, { method, path, headers, body }, signal) {
      if (authority !== "name.door") judge(authority.includes(":") ? authority : `${authority}:80`);
      const passed = [...headers.flat(), "host", authority];
      const call = request({ port: plain.port, host: "127.0.0.1", method, path, headers: passed, agent: false, signal });
      const sending = pipeline(Readable.from(body), call);
      try {
        const [[answer]] = (await Promise.all([once(call, "response"), sending])) as unknown as [[IncomingMessage]];
        const named = Object.entries(answer.headers).filter(([name]) => !["connection", "keep-alive", "transfer-encoding"].includes(name));
        return { status: answer.statusCode ?? 502, headers: named.map(([name, value]) => [name, String(value)] as const), body: answer };
      } catch (cause) {
        throw new HostError("EGRESS_UNREACHABLE", "The place outside broke the connection off.", { cause });
      }
    },
  };
  return {
    door,
    served,
    async [Symbol.asyncDispose]() {
      for (const { server } of [secure, plain]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}

async function listening(server: Server): Promise<{ readonly server: Server; readonly port: number }> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

async function answerFrom(folder: string, asked: IncomingMessage, answer: ServerResponse): Promise<void> {
  const { pathname } = new URL(asked.url ?? "/", "http://service.test");
  if (pathname === "/echo") {
    await pipeline(asked, answer);
    return;
  }
  if (pathname === "/digest") {
    const hash = createHash("sha256");
    for await (const chunk of asked) hash.update(chunk as Buffer);
    answer.end(hash.digest("hex"));
    return;
  }
  if (pathname === "/big") {
    answer.writeHead(200, { "content-length": BIG_BYTES });
    const chunk = Buffer.alloc(100_000, "x");
    await pipeline(
      Readable.from(
        (function* () {
          for (let sent = 0; sent < BIG_BYTES; sent += chunk.length) yield chunk;
        })(),
      ),
      answer,
    );
    return;
  }
  try {
    const content = readFileSync(join(folder, pathname));
    answer.writeHead(200, pathname.endsWith(".json") ? { "content-type": "application/json" } : {});
    answer.end(content);
  } catch {
    answer.writeHead(404).end("there is no such file\n");
  }
}
