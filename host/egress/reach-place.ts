/** The way from a place that is allowed to a connection with it: its name looked up here, where it leads judged, that very address dialled. */
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { HostError } from "../domain/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Outside } from "../ports/outside.ts";
import type { TurnNames } from "./turn-names.ts";
import type { Passage } from "./turn-quota.ts";

/** Tried one after the other. A name with more has them for its own balance of load, and any few of them will do. */
const MAX_ADDRESSES = 8;

export interface Place {
  readonly host: string;
  readonly port: number;
}

export interface Ways {
  readonly outside: Outside;
  readonly names: TurnNames;
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
}

/**
 * `onResolved` hears where the name leads before anything is sent there, and throws when that may not be. Rejects with what it throws,
 * HostError EGRESS_UNREACHABLE, RefusedError EGRESS_LIMIT, or what the passage fails with.
 */
export async function reachPlace(
  { host, port }: Place,
  onResolved: (addresses: readonly string[]) => void,
  passage: Passage,
  { outside, names, clock, connectTimeoutMs }: Ways,
): Promise<Duplex> {
  passage.awaitPlace();
  const addresses = isIP(host) === 0 ? await passage.until(names.resolve(host, passage.signal, outside)) : [host];
  onResolved(addresses);
  const tried = [...new Set(addresses)].slice(0, MAX_ADDRESSES);
  let failure: unknown;
  for (const address of tried) {
    const attempt = new AbortController();
    // One that swallows everything must leave time for the others.
    const timer = clock.setTimer(connectTimeoutMs / tried.length, () => attempt.abort());
    const dialled = outside.dial(address, port, AbortSignal.any([passage.signal, attempt.signal]));
    try {
      return await passage.until(dialled);
    } catch (error) {
      if (passage.isOver) {
        // The connection may come all the same.
        void dialled.then(
          (late) => late.destroy(),
          () => undefined,
        );
        throw error;
      }
      failure = attempt.signal.aborted
        ? new HostError("EGRESS_UNREACHABLE", `${host}:${port} does not answer.`, { retryable: true })
        : error;
    } finally {
      timer.cancel();
    }
  }
  throw failure;
}
