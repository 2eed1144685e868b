/**
 * Outside: the host's own way to the network. It dials addresses, never names, so that what was judged is what is reached.
 */
import type { Duplex } from "node:stream";

export interface PlainRequest {
  /** Upper-case. */
  readonly method: string;
  /** Path and query, beginning with `/`. */
  readonly path: string;
  /** Lower-case names, in order, repeated ones allowed; without those that belong to one connection. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: AsyncIterable<Uint8Array>;
}

export interface PlainAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Throws when the answer breaks off. Returning early ends the exchange. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** Whom an exchange is with: for the Host header and, with https, the certificate. */
export interface Upstream {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
}

/** All reject with HostError EGRESS_UNREACHABLE, or with the signal's reason. */
export interface Outside {
  /**
   * All addresses of a name, in the system's order; never empty. A look-up that has begun cannot be called back: it settles when it is over,
   * whatever the signal says, and whoever bounds look-ups counts it until then.
   */
  resolve(name: string, signal: AbortSignal): Promise<readonly string[]>;
  /** Whether a canonical address is of this machine, or of a network it stands in: public ones among them. Throws HostError EGRESS_UNREACHABLE. */
  isOwn(address: string): boolean;
  /** A TCP connection, through the upstream proxy where one is configured. Either end may end its side before the other. */
  dial(address: string, port: number, signal: AbortSignal): Promise<Duplex>;
  /**
   * One exchange over HTTP/1.1, on a connection `dial` gave, which is over with it. Redirects are answers like others. A request without
   * a body is one whose body yields nothing. The signal ends it at any time, the answer's body included.
   */
  exchange(connection: Duplex, upstream: Upstream, request: PlainRequest, signal: AbortSignal): Promise<PlainAnswer>;
}
