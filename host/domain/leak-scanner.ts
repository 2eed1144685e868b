/**
 * Finding values in what leaves: secrets that must not, decoys that tell of a thief.
 *
 * Promise: no stretch of twelve characters of a value, in any of its forms (leak-forms.ts), gets through, however the bytes are cut into
 * chunks; what holds no value passes unchanged, byte for byte. A value shorter than twelve characters is found where it stands whole; one
 * shorter than six (SHORTEST_FOUND) is not looked for at all, and whoever takes a secret in says so then.
 * A value that was changed on its way (encrypted, compressed, turned around, spread with other characters between) is not found: this
 * stops accidents and the careless, not somebody who knows it is there.
 */
import { LeakIndex } from "./leak-index.ts";

export interface LeakEntry {
  readonly kind: "secret" | "decoy";
  readonly name: string;
  readonly value: string;
}

export type Found = Pick<LeakEntry, "kind" | "name">;

export interface LeakScanner {
  /** There is nothing to look for. */
  readonly isEmpty: boolean;
  /** Each once, in the order they were met. Of several with the same value the first. */
  finds(text: string): readonly Found[];
  redact(text: string): string;
  stream(): LeakStream;
}

/** Bytes on their way. What may be the start of a value waits for what follows it: less than 36 bytes, or 144 where a value has letters outside ASCII. */
export interface LeakStream {
  /** What may be passed on; it may be a part of `chunk` itself. */
  push(chunk: Uint8Array): Uint8Array;
  /** The rest, once no chunk follows. */
  end(): Uint8Array;
  /** So far. */
  readonly found: readonly Found[];
}

const MARK = "[secret]";
const KEY_MARK = "[key]";
const NOTHING = new Uint8Array(0);

export function createLeakScanner(entries: readonly LeakEntry[], mark = MARK): LeakScanner {
  const index = new LeakIndex(entries.map(({ value }) => value));
  const stream = (): LeakStream => new IndexedStream(index, entries, Buffer.from(mark));
  const pass = (text: string): { found: readonly Found[]; passed: readonly Uint8Array[] } => {
    const whole = stream();
    const passed = [whole.push(Buffer.from(text)), whole.end()];
    return { found: whole.found, passed };
  };
  return {
    isEmpty: index.isEmpty,
    finds: (text) => (index.isEmpty ? [] : pass(text).found),
    redact(text) {
      if (index.isEmpty) return text;
      const { found, passed } = pass(text);
      return found.length === 0 ? text : Buffer.concat(passed).toString();
    },
    stream,
  };
}

/** Looks for what either looks for. */
export function bothScanners(first: LeakScanner, second: LeakScanner): LeakScanner {
  if (first.isEmpty) return second;
  if (second.isEmpty) return first;
  return {
    isEmpty: false,
    finds: (text) => [...first.finds(text), ...second.finds(text)],
    redact: (text) => second.redact(first.redact(text)),
    stream: () => new BothStreams(first.stream(), second.stream()),
  };
}

/** For words of a service that may hold the keys it was called with. */
export function createScrubber(keys: readonly string[]): (text: string) => string {
  return createLeakScanner(
    keys.map((value) => ({ kind: "secret", name: "key", value })),
    KEY_MARK,
  ).redact;
}

class IndexedStream implements LeakStream {
  readonly #index: LeakIndex;
  readonly #entries: readonly LeakEntry[];
  readonly #mark: Uint8Array;
  readonly #found = new Map<number, Found>();
  /** Not passed on yet; a value may begin anywhere in it. */
  #held: Uint8Array = NOTHING;
  /** Up to here, counted from the start of what is held, a mark stands in place of it already; -1: no mark ends there or later. */
  #hiddenTo = -1;

  constructor(index: LeakIndex, entries: readonly LeakEntry[], mark: Uint8Array) {
    this.#index = index;
    this.#entries = entries;
    this.#mark = mark;
  }

  get found(): readonly Found[] {
    return [...this.#found.values()];
  }

  push(chunk: Uint8Array): Uint8Array {
    if (this.#index.isEmpty) return chunk;
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    return this.#pass(bytes, this.#index.openFrom(bytes));
  }

  end(): Uint8Array {
    return this.#pass(this.#held, this.#held.length);
  }

  /** Everything in front of `to` is decided on; the rest is held. */
  #pass(bytes: Uint8Array, to: number): Uint8Array {
    const passed: Uint8Array[] = [];
    let done = Math.max(0, this.#hiddenTo);
    this.#index.search(bytes, to, (start, length, value) => {
      this.#note(value);
      if (start > this.#hiddenTo) passed.push(bytes.subarray(done, start), this.#mark);
      this.#hiddenTo = Math.max(this.#hiddenTo, start + length);
      done = this.#hiddenTo;
    });
    if (done < to) passed.push(bytes.subarray(done, to));
    this.#hiddenTo = done < to ? -1 : this.#hiddenTo - to;
    // A copy: the chunk is the caller's.
    this.#held = bytes.slice(to);
    return passed.length === 1 ? (passed[0] ?? NOTHING) : Buffer.concat(passed);
  }

  #note(value: number): void {
    const entry = this.#entries[value];
    if (entry !== undefined && !this.#found.has(value)) this.#found.set(value, { kind: entry.kind, name: entry.name });
  }
}

class BothStreams implements LeakStream {
  readonly #first: LeakStream;
  readonly #second: LeakStream;

  constructor(first: LeakStream, second: LeakStream) {
    this.#first = first;
    this.#second = second;
  }

  get found(): readonly Found[] {
    return [...this.#first.found, ...this.#second.found];
  }

  push(chunk: Uint8Array): Uint8Array {
    return this.#second.push(this.#first.push(chunk));
  }

  end(): Uint8Array {
    return Buffer.concat([this.#second.push(this.#first.end()), this.#second.end()]);
  }
}
