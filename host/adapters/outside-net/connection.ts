/** Connections that are being made: there, or failed in words, or given up. */
import { isIPv6 } from "node:net";
import type { Duplex } from "node:stream";
import { unreachable } from "./failure.ts";

/** Resolves at `event`. A connection that fails later tells whoever holds it by its `close`, and never ends the host. */
export function connected<S extends Duplex>(socket: S, event: "connect" | "secureConnect", place: string, signal: AbortSignal): Promise<S> {
  const { promise, resolve, reject } = Promise.withResolvers<S>();
  const stop = (): void => {
    reject(signal.reason);
    socket.destroy();
  };
  socket.on("error", (error) => reject(unreachable(place, error)));
  socket.once("close", () => reject(unreachable(place, undefined)));
  socket.once(event, () => resolve(socket));
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  return promise.finally(() => signal.removeEventListener("abort", stop));
}

/** As a URL and a CONNECT name it. */
export function authorityOf(host: string, port: number): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
