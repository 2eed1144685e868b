/**
 * One HTTP/1.1 exchange on a connection that is there. Loaded at the first exchange: undici takes some 30 MB, which tunnels do without.
 * Its version 8 or later: 7 ends the whole process when a service hangs up while its answer waits to be read.
 */
import { isIP } from "node:net";
import { type Duplex, Readable } from "node:stream";
import { connect as connectTls } from "node:tls";
import { Client } from "undici";
import type { PlainAnswer, PlainRequest, Upstream } from "../../ports/outside.ts";
import { authorityOf, connected } from "./connection.ts";
import { unreachable } from "./failure.ts";

const DEFAULT_PORTS = { http: 80, https: 443 } as const;
const MAX_HEADER_BYTES = 16 * 1024;

export async function exchangeOver(
  connection: Duplex,
  upstream: Upstream,
  request: PlainRequest,
  signal: AbortSignal,
): Promise<PlainAnswer> {
  const place = authorityOf(upstream.host, upstream.port);
  let client: Client | undefined;
  const end = (): void => {
    void client?.destroy().catch(() => undefined);
    connection.destroy();
  };
  signal.addEventListener("abort", end, { once: true });
  try {
    const socket = upstream.scheme === "https" ? await secured(connection, upstream, place, signal) : connection;
    client = new Client(`${upstream.scheme}://${place}`, {
      // Later, as a connection that was still to be made would come: undici sends nothing on one that is there at once.
      connect: (_options, callback) => queueMicrotask(() => callback(null, socket as never)),
      // Whoever asks keeps the time.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const host = upstream.port === DEFAULT_PORTS[upstream.scheme] ? place.replace(/:\d+$/, "") : place;
    const answer = await client.request({
      method: request.method as "GET",
      path: request.path,
      headers: [...request.headers, ["host", host] as const].flat(),
      body: Readable.from(request.body, { objectMode: false }),
      responseHeaders: "raw",
      reset: true,
      signal,
    });
    // With `raw` they come as they were sent, names and values in turn.
    const headers = pairs(answer.headers as unknown as readonly string[]);
    return { status: answer.statusCode, headers, body: passed(answer.body, place, signal, end) };
  } catch (error) {
    end();
    throw signal.aborted ? signal.reason : unreachable(place, error);
  }
}

async function secured(connection: Duplex, { host }: Upstream, place: string, signal: AbortSignal): Promise<Duplex> {
  // A name is asked for and must be in the certificate; an address must be in it without being asked for.
  const asked = isIP(host) === 0 ? { servername: host } : {};
  const tls = connectTls({ socket: connection, host, ...asked, ALPNProtocols: ["http/1.1"], rejectUnauthorized: true });
  return connected(tls, "secureConnect", place, signal);
}

async function* passed(body: AsyncIterable<Uint8Array>, place: string, signal: AbortSignal, end: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw signal.aborted ? signal.reason : unreachable(place, error);
  } finally {
    signal.removeEventListener("abort", end);
    end();
  }
}

function pairs(raw: readonly string[]): [string, string][] {
  return raw.flatMap((name, at): [string, string][] => (at % 2 === 0 ? [[name.toLowerCase(), raw[at + 1] ?? ""]] : []));
}
