/** A connection through an HTTP proxy: it is asked to CONNECT to the address that was judged. */
import { type IncomingMessage, request } from "node:http";
import { connect, isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { HostError } from "../../domain/errors.ts";
import { authorityOf, connected } from "./connection.ts";
import { unreachable } from "./failure.ts";

const PROXY = "The proxy this host goes out through";
const DEFAULT_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

export async function dialThrough(proxy: URL, address: string, port: number, signal: AbortSignal): Promise<Duplex> {
  const socket = await dialProxy(proxy, signal);
  try {
    return await askFor(authorityOf(address, port), socket, signal);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function dialProxy(proxy: URL, signal: AbortSignal): Promise<Socket> {
  const host = proxy.hostname.replace(/^\[|\]$/g, "");
  const port = proxy.port === "" ? DEFAULT_PORTS[proxy.protocol] : Number(proxy.port);
  const where = { host, port: port ?? 0, allowHalfOpen: true, noDelay: true };
  if (proxy.protocol === "http:") return connected(connect(where), "connect", PROXY, signal);
  const tls = connectTls({ ...where, ...(isIP(host) === 0 ? { servername: host } : {}), ALPNProtocols: ["http/1.1"] });
  return connected(tls, "secureConnect", PROXY, signal);
}

function askFor(place: string, socket: Socket, signal: AbortSignal): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const asked = request({
    method: "CONNECT",
    path: place,
    setHost: false,
    headers: { host: place },
    createConnection: () => socket,
    signal,
  });
  asked.once("error", (error) => reject(signal.aborted ? signal.reason : unreachable(PROXY, error)));
  asked.once("connect", ({ statusCode = 0 }: IncomingMessage, _socket: Duplex, head: Buffer) => {
    if (statusCode < 200 || statusCode > 299) {
      reject(new HostError("EGRESS_UNREACHABLE", `${PROXY} refuses ${place} (${statusCode}).`, { retryable: true }));
      return;
    }
    if (head.length > 0) socket.unshift(head);
    resolve(socket);
  });
  asked.end();
  return promise;
}
