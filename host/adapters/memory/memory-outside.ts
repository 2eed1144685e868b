/** A world outside without a network: names and places are what a test says they are. */
import { type Duplex, duplexPair } from "node:stream";
import { HostError } from "../../domain/errors.ts";
import type { Outside, PlainAnswer, PlainRequest, Upstream } from "../../ports/outside.ts";

export interface MemoryPlace {
  /** The other end of each connection. */
  readonly connect?: (connection: Duplex) => void;
  readonly answer?: (request: PlainRequest, upstream: Upstream, signal: AbortSignal) => Promise<PlainAnswer>;
}

export class MemoryOutside implements Outside {
  /** Where names lead; asked anew each time. */
  readonly names = new Map<string, () => readonly string[] | Promise<readonly string[]>>();
  readonly own = new Set<string>();
  /** By `address:port`. */
  readonly places = new Map<string, MemoryPlace>();
  /** What was asked of it, in order. */
  readonly resolved: string[] = [];
  readonly dialled: string[] = [];
  readonly #ends = new WeakMap<Duplex, MemoryPlace>();

  async resolve(name: string): Promise<readonly string[]> {
    this.resolved.push(name);
    const addresses = await this.names.get(name)?.();
    if (addresses === undefined || addresses.length === 0) throw notReached(name);
    return addresses;
  }

  isOwn(address: string): boolean {
    return this.own.has(address);
  }

  async dial(address: string, port: number, signal: AbortSignal): Promise<Duplex> {
    signal.throwIfAborted();
    const place = `${address}:${port}`;
    this.dialled.push(place);
    const there = this.places.get(place);
    await Promise.resolve();
    signal.throwIfAborted();
    if (there === undefined) throw notReached(place);
    const [connection, otherEnd] = duplexPair();
    for (const end of [connection, otherEnd]) end.on("error", () => undefined);
    // The two ends of a pair in memory do not know of each other's end.
    connection.once("close", () => otherEnd.destroy());
    otherEnd.once("close", () => connection.destroy());
    this.#ends.set(connection, there);
    there.connect?.(otherEnd);
    return connection;
  }

  async exchange(connection: Duplex, upstream: Upstream, request: PlainRequest, signal: AbortSignal): Promise<PlainAnswer> {
    const end = (): void => void connection.destroy();
    const aborted = abortOf(signal);
    aborted.catch(end);
    const place = `${upstream.host}:${upstream.port}`;
    try {
      const answer = this.#ends.get(connection)?.answer;
      if (answer === undefined || connection.destroyed) throw notReached(place);
      const { body, ...head } = await Promise.race([aborted, answer(request, upstream, signal)]);
      return { ...head, body: passed(body, place, aborted, end) };
    } catch (error) {
      end();
      throw error;
    }
  }
}

async function* passed(
  body: AsyncIterable<Uint8Array>,
  place: string,
  aborted: Promise<never>,
  end: () => void,
): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  const next = (): Promise<IteratorResult<Uint8Array>> =>
    chunks.next().catch((error: unknown) => {
      throw notReached(place, error);
    });
  try {
    for (let one = await Promise.race([aborted, next()]); one.done !== true; one = await Promise.race([aborted, next()])) yield one.value;
  } finally {
    end();
  }
}

/** Rejects with the signal's reason when it fires. */
function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function notReached(place: string, cause?: unknown): HostError {
  return new HostError("EGRESS_UNREACHABLE", `${place} could not be reached.`, { cause, retryable: true });
}
