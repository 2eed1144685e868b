/**
 * Finding values in what leaves: secrets that must not, decoys that tell of a thief.
 *
 * Promise: a value is found in each of its forms (leak-forms.ts) however the bytes are cut into chunks; what holds no value passes unchanged,
 * byte for byte. How much of a value is enough depends on who reads what comes of it.
 * - `isWhole`: all of it, and only where it has SHORTEST_FOUND characters. For whatever a sandbox, a model, a service or a chat may read:
 *   who sees that twelve characters were hidden could guess the thirteenth, and the next, until he has all (leak-whole.ts).
 * - otherwise: any stretch of twelve characters, and a value of fewer from SHORTEST_STRETCHED on whole. For what the reader has anyway, and for
 *   what only the owner reads. Those longer than LONGEST_STRETCHED are looked for whole.
 * A value that was changed on its way (encrypted, compressed, turned around, spread with other characters between, encoded in lines) is not
 * found: this stops accidents and the careless, not somebody who knows it is there.
 */
import { LONGEST_STRETCHED, SHORTEST_FOUND, SHORTEST_STRETCHED } from "./leak-forms.ts";
import { LeakIndex } from "./leak-index.ts";
import { WholeIndex, WholeSearch } from "./leak-whole.ts";

export interface LeakEntry {
  readonly kind: "secret" | "decoy";
  readonly name: string;
  readonly value: string;
  /** Only all of it is a find, never a stretch. */
  readonly isWhole: boolean;
}

export type Found = Pick<LeakEntry, "kind" | "name">;

export interface LeakScanner {
  /** There is nothing to look for. */
  readonly isEmpty: boolean;
  /** Each once, those looked for whole first. Of several with the same value the first. */
  finds(text: string): readonly Found[];
  redact(text: string): string;
  stream(): LeakStream;
}

/**
 * Bytes on their way. What may be the start of a value waits for what follows it: where stretches are looked for less than 36 bytes, or 144
 * where a value has letters outside ASCII; for whole values see leak-whole.ts.
 */
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
  const marked = Buffer.from(mark);
  const isStretched = ({ isWhole, value }: LeakEntry): boolean => !isWhole && value.length <= LONGEST_STRETCHED;
  const whole = entries.filter((entry) => !isStretched(entry) && entry.value.length >= SHORTEST_FOUND);
  const stretched = entries.filter((entry) => isStretched(entry) && entry.value.length >= SHORTEST_STRETCHED);
  // The whole ones first: a stretch inside of one would hide no more than itself.
  return bothScanners(wholeScanner(whole, marked), stretchScanner(stretched, marked));
}

function wholeScanner(entries: readonly LeakEntry[], mark: Uint8Array): LeakScanner {
  if (entries.length === 0) return EMPTY;
  const index = new WholeIndex(entries.map(({ value }) => value));
  return scannerOf(() => new WholeStream(index, entries, mark), SHORTEST_FOUND);
}

function stretchScanner(entries: readonly LeakEntry[], mark: Uint8Array): LeakScanner {
  if (entries.length === 0) return EMPTY;
  const index = new LeakIndex(entries.map(({ value }) => value));
  return scannerOf(() => new StretchStream(index, entries, mark), SHORTEST_STRETCHED);
}

const EMPTY: LeakScanner = {
  isEmpty: true,
  finds: () => [],
  redact: (text) => text,
  stream: () => ({ push: (chunk) => chunk, end: () => NOTHING, found: [] }),
};

interface UsedAgain extends LeakStream {
  /** As it was made. */
  reset(): void;
}

/** No form of a value has fewer characters than the value, so that a text with fewer than `shortest` holds none. */
function scannerOf(stream: () => UsedAgain, shortest: number): LeakScanner {
  // One for all texts: a call of a sandbox may have half a million.
  let whole: UsedAgain | undefined;
  const pass = (text: string): { found: readonly Found[]; passed: readonly Uint8Array[] } => {
    if (text.length < shortest) return { found: [], passed: [] };
    whole ??= stream();
    const passed = [whole.push(Buffer.from(text)), whole.end()];
    const { found } = whole;
    whole.reset();
    return { found, passed };
  };
  return {
    isEmpty: false,
    finds: (text) => pass(text).found,
    redact(text) {
      const { found, passed } = pass(text);
      return found.length === 0 ? text : Buffer.concat(passed).toString();
    },
    stream,
  };
}

/** Looks for what either looks for; `second` in what `first` leaves. */
export function bothScanners(first: LeakScanner, second: LeakScanner): LeakScanner {
  if (first.isEmpty) return second;
  if (second.isEmpty) return first;
  return {
    isEmpty: false,
    finds: (text) => eachOnce([...first.finds(text), ...second.finds(text)]),
    redact: (text) => second.redact(first.redact(text)),
    stream: () => new BothStreams(first.stream(), second.stream()),
  };
}

/** For words that may hold the keys a service was called with. `isWhole` as in LeakEntry. */
export function createScrubber(keys: readonly string[], isWhole: boolean): (text: string) => string {
  return createLeakScanner(
    keys.map((value) => ({ kind: "secret", name: "key", value, isWhole })),
    KEY_MARK,
  ).redact;
}

function eachOnce(found: readonly Found[]): readonly Found[] {
  return [...new Map(found.map((one) => [`${one.kind} ${one.name}`, one])).values()];
}

/** What was found of `entries`, by their numbers. */
class Finds {
  readonly #entries: readonly LeakEntry[];
  readonly #found = new Map<number, Found>();

  constructor(entries: readonly LeakEntry[]) {
    this.#entries = entries;
  }

  get all(): readonly Found[] {
    return this.#found.size === 0 ? [] : [...this.#found.values()];
  }

  clear(): void {
    if (this.#found.size > 0) this.#found.clear();
  }

  note(value: number): void {
    const entry = this.#entries[value];
    if (entry !== undefined && !this.#found.has(value)) this.#found.set(value, { kind: entry.kind, name: entry.name });
  }
}

class WholeStream implements UsedAgain {
  readonly #finds: Finds;
  readonly #search: WholeSearch;
  readonly #mark: Uint8Array;

  constructor(index: WholeIndex, entries: readonly LeakEntry[], mark: Uint8Array) {
    const finds = new Finds(entries);
    this.#finds = finds;
    this.#search = new WholeSearch(index, (value) => finds.note(value));
    this.#mark = mark;
  }

  get found(): readonly Found[] {
    return this.#finds.all;
  }

  push(chunk: Uint8Array): Uint8Array {
    return this.#search.push(chunk, this.#mark);
  }

  end(): Uint8Array {
    return this.#search.end(this.#mark);
  }

  reset(): void {
    this.#search.reset();
    this.#finds.clear();
  }
}

class StretchStream implements UsedAgain {
  readonly #index: LeakIndex;
  readonly #finds: Finds;
  readonly #mark: Uint8Array;
  /** Not passed on yet; a value may begin anywhere in it. */
  #held: Uint8Array = NOTHING;
  /** Up to here, counted from the start of what is held, a mark stands in place of it already; -1: no mark ends there or later. */
  #hiddenTo = -1;

  constructor(index: LeakIndex, entries: readonly LeakEntry[], mark: Uint8Array) {
    this.#index = index;
    this.#finds = new Finds(entries);
    this.#mark = mark;
  }

  get found(): readonly Found[] {
    return this.#finds.all;
  }

  push(chunk: Uint8Array): Uint8Array {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    return this.#pass(bytes, this.#index.openFrom(bytes));
  }

  end(): Uint8Array {
    return this.#pass(this.#held, this.#held.length);
  }

  reset(): void {
    this.#held = NOTHING;
    this.#hiddenTo = -1;
    this.#finds.clear();
  }

  /** Everything in front of `to` is decided on; the rest is held. */
  #pass(bytes: Uint8Array, to: number): Uint8Array {
    const passed: Uint8Array[] = [];
    let done = Math.max(0, this.#hiddenTo);
    this.#index.search(bytes, to, (start, length, value) => {
      this.#finds.note(value);
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
}

class BothStreams implements LeakStream {
  readonly #first: LeakStream;
  readonly #second: LeakStream;

  constructor(first: LeakStream, second: LeakStream) {
    this.#first = first;
    this.#second = second;
  }

  get found(): readonly Found[] {
    return eachOnce([...this.#first.found, ...this.#second.found]);
  }

  push(chunk: Uint8Array): Uint8Array {
    return this.#second.push(this.#first.push(chunk));
  }

  end(): Uint8Array {
    return Buffer.concat([this.#second.push(this.#first.end()), this.#second.end()]);
  }
}
