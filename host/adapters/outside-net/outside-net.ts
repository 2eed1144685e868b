/**
 * The host's way out over its own network, or through the HTTP proxy it is told.
 *
 * Whoever dials has an address, judged: nothing here looks a name up on the way, tries another address, or follows an answer elsewhere.
 */
import { lookup as lookupName } from "node:dns/promises";
import { connect } from "node:net";
import type { Outside } from "../../ports/outside.ts";
import { authorityOf, connected, unlessAborted } from "./connection.ts";
import { unreachable } from "./failure.ts";

export interface OutsideNetOptions {
  /** `http://` or `https://`; undefined: none. It is asked for addresses. */
  readonly proxy: string | undefined;
  /** All addresses of a name. Default: as the system looks it up. */
  readonly lookup?: (name: string) => Promise<readonly string[]>;
}

export function createOutsideNet({ proxy, lookup = bySystem }: OutsideNetOptions): Outside {
  const viaProxy = proxy === undefined ? undefined : new URL(proxy);
  return {
    async resolve(name, signal) {
      const addresses = await unlessAborted(
        lookup(name).catch((error: unknown) => {
          throw unreachable(name, error);
        }),
        signal,
      );
      if (addresses.length === 0) throw unreachable(name, { code: "ENODATA" });
      return addresses;
    },
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
