/**
 * The host's way out over its own network, or through the HTTP proxy it is told.
 *
 * Whoever dials has an address, judged: nothing here looks a name up on the way, tries another address, or follows an answer elsewhere.
 */
import { lookup as lookupName } from "node:dns/promises";
import { connect } from "node:net";
import type { Outside } from "../../ports/outside.ts";
import { authorityOf, connected } from "./connection.ts";
import { type Lookup, NameLookups } from "./name-lookups.ts";
import { isOwnAddress } from "./own-networks.ts";

export interface OutsideNetOptions {
  /** `http://` or `https://`; undefined: none. It is asked for addresses. */
  readonly proxy: string | undefined;
  /** All addresses of a name. Default: as the system looks it up. */
  readonly lookup?: Lookup;
  /** How many threads libuv gives to look-ups: half of UV_THREADPOOL_SIZE, rounded up. Default: 2, as where that is not set. */
  readonly lookupThreads?: number;
}

const DEFAULT_LOOKUP_THREADS = 2;

export function createOutsideNet({ proxy, lookup = bySystem, lookupThreads = DEFAULT_LOOKUP_THREADS }: OutsideNetOptions): Outside {
  const names = new NameLookups(lookup, lookupThreads);
  const viaProxy = proxy === undefined ? undefined : new URL(proxy);
  return {
    resolve: (name, signal) => names.resolve(name, signal),
    isOwn: (address) => isOwnAddress(address),
    async dial(address, port, signal) {
      signal.throwIfAborted();
      if (viaProxy === undefined)
        return connected(
          connect({ host: address, port, allowHalfOpen: true, noDelay: true }),
          "connect",
          authorityOf(address, port),
          signal,
        );
      const { dialThrough } = await import("./proxy.ts");
      return dialThrough(viaProxy, address, port, signal);
    },
    async exchange(connection, upstream, request, signal) {
      const { exchangeOver } = await import("./http-exchange.ts");
      return exchangeOver(connection, upstream, request, signal);
    },
  };
}

async function bySystem(name: string): Promise<readonly string[]> {
  return (await lookupName(name, { all: true, order: "verbatim" })).map(({ address }) => address);
}
