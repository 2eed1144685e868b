/**
 * For engine tests of the way out: services on this machine's loopback under names of their own, and the real door with a policy of which
 * of them may be reached. What is served comes from a folder; `/big` is 100 MB, `/echo` gives back what it was sent.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SERVICE_CERTIFICATE } from "../../contracts/suites/test-certificates.ts";
import { createOutsideNet } from "../../host/adapters/outside-net/index.ts";
import type { Route } from "../../host/domain/policy.ts";
import { openDoor } from "../../host/egress/egress-door-harness.ts";
import type { EgressDoor } from "../../host/ports/link.ts";

export const BIG_BYTES = 100_000_000;

export interface LoopbackWorld extends AsyncDisposable {
  readonly door: EgressDoor;
  /** What reached the services, as `scheme method host path`. */
  readonly served: readonly string[];
}

const LOOPBACK = "127.0.0.1";

function routeTo(port: number): Route {
  const upstream = { scheme: "http", host: LOOPBACK, port } as const;
  const methods = ["GET", "HEAD", "POST", "PUT"];
  return { name: "name", upstream, secret: "made-up", inject: { as: "bearer" }, methods, paths: ["/**"], groups: "all" };
}

/** `allowed`: rules. `name.door` is a route to the plain service. */
export async function openLoopbackWorld(folder: string, allowed: readonly string[]): Promise<LoopbackWorld> {
  const served: string[] = [];
  const serve = (scheme: string) => (asked: IncomingMessage, answer: ServerResponse) => {
    served.push(`${scheme} ${asked.method} ${asked.headers.host} ${asked.url}`);
    answerFrom(folder, asked, answer).catch(() => answer.destroy());
  };
  const secure = await listening(createTlsServer(SERVICE_CERTIFICATE, serve("https")));
  const plain = await listening(createServer(serve("http")));
  const net = createOutsideNet({ proxy: undefined, lookup: async () => [LOOPBACK] });
  const { door } = openDoor({
    allow: [...allowed, `${LOOPBACK}:443`, `${LOOPBACK}:80`],
    routes: [routeTo(plain.port)],
    secrets: new Map([["made-up", "made-up-secret-of-a-test"]]),
    // The ports names are known by are not a test's to listen on.
    outside: { ...net, dial: (address, port, signal) => net.dial(address, { 443: secure.port, 80: plain.port }[port] ?? port, signal) },
    limits: { connections: 64, connectionsPerMinute: 10_000, turnBytes: 10 * BIG_BYTES },
  });
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
