/**
 * Values that are found only where they stand whole, in any of their forms (leak-forms.ts).
 *
 * For values the writer of a text must not learn by writing: whoever guesses has to guess all of one at once. Nothing else tells him whether
 * a guess was nearly right, so neither what waits in a stream nor what a text costs depends on how much of a value is in it.
 * - The search goes by ends. At each byte it knows the hash of the last sixteen, and that of any longer stretch, with random numbers drawn at
 *   the start. Only where the sixteen have the hash of a form's end is more asked: whether all of it has the form's. Both are of 32 bits, so
 *   that what is no value is taken for one once in 10^19 bytes.
 * - What waits is decided by blanks alone. No more than the longest form waits: six times the bytes of a value, 96 KiB of one of 16 KiB. Of
 *   that only what follows the last blank or control character, where no value has one; where one has (a key file has lines), always so much.
 */
import { Filter } from "./leak-filter.ts";
import { wholeFormsOf } from "./leak-forms.ts";

/** Every form of a value that is long enough has as many (leak-forms.ts, SHORTEST_FOUND). */
const TAIL_BYTES = 16;
const LAST_BLANK = 0x20;
/** So seldom is a place looked at in vain that it costs nothing. */
const ROOM_IN_FILTER = 16;
/** Longer chunks are taken in pieces, so that what is kept of them stays small. */
const PIECE_BYTES = 16 * 1024;

const [RANDOM = 0] = crypto.getRandomValues(new Int32Array(1));
const BASE = RANDOM | 1;
/** What each byte counts. */
const WORTH = crypto.getRandomValues(new Int32Array(256));

/** Of the base. */
function power(times: number): number {
  let result = 1;
  for (let left = times, square = BASE; left > 0; left >>>= 1, square = Math.imul(square, square)) {
    if ((left & 1) === 1) result = Math.imul(result, square);
  }
  return result;
}

const TAIL_POWER = power(TAIL_BYTES);

interface KnownForm {
  readonly value: number;
  readonly length: number;
  readonly hash: number;
  /** Of the base, as often as it has bytes. */
  readonly power: number;
}

export class WholeIndex {
  /** By the hash of their last bytes. No form itself is kept. */
  readonly #forms = new Map<number, KnownForm[]>();
  /** May a form end in bytes with this hash? */
  readonly tails: Filter;
  /** The longest form without a blank, and the longest with one, in bytes. 0: there is none. */
  readonly longestSolid: number = 0;
  readonly longestBlank: number = 0;

  /** Each of SHORTEST_FOUND characters or more. */
  constructor(values: readonly string[]) {
    for (const [value, text] of values.entries()) {
      for (const form of wholeFormsOf(text)) {
        const bytes = Buffer.from(form.text);
        if (this.#enter(bytes, form.isOpen, value)) this.longestBlank = Math.max(this.longestBlank, bytes.length);
        else this.longestSolid = Math.max(this.longestSolid, bytes.length);
      }
    }
    this.tails = new Filter(this.#forms.size * ROOM_IN_FILTER);
    for (const tail of this.#forms.keys()) this.tails.add(tail);
  }

  /** That may end in bytes with this hash. */
  endingIn(tail: number): readonly KnownForm[] {
    return this.#forms.get(tail) ?? [];
  }

  /** Whether it has a blank. */
  #enter(bytes: Uint8Array, isOpen: boolean, value: number): boolean {
    const hashes = new Int32Array(bytes.length + 1);
    let least = 0xff;
    for (let at = 0, hash = 0; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0;
      least = Math.min(least, byte);
      hash = (Math.imul(hash, BASE) + (WORTH[byte] ?? 0)) | 0;
      hashes[at + 1] = hash;
    }
    for (const length of isOpen ? [bytes.length - 1, bytes.length] : [bytes.length]) {
      const hash = hashes[length] ?? 0;
      const tail = (hash - Math.imul(hashes[length - TAIL_BYTES] ?? 0, TAIL_POWER)) | 0;
      const alike = this.#forms.get(tail) ?? [];
      this.#forms.set(tail, alike);
      alike.push({ value, length, hash, power: power(length) });
    }
    return least <= LAST_BLANK;
  }
}

/** Bytes on their way; every place is a number of bytes from the start of what is kept. */
export class WholeSearch {
  readonly #index: WholeIndex;
  readonly #onFound: (value: number) => void;
  #bytes = new Uint8Array(0);
  /** The hash of all bytes in front of each place. */
  #hashes = new Int32Array(1);
  /** What is in front has been passed on. */
  #from = 0;
  #to = 0;
  #afterBlank = 0;
  /** Stretches to hide, apart from each other, in order. */
  #hidden: { start: number; end: number }[] = [];
  /** Where the last mark that was passed on ends. */
  #markedTo = -1;

  constructor(index: WholeIndex, onFound: (value: number) => void) {
    this.#index = index;
    this.#onFound = onFound;
  }

  /** As in LeakStream; `mark` stands in the place of each find. */
  push(chunk: Uint8Array, mark: Uint8Array): Uint8Array {
    const passed: Uint8Array[] = [];
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      this.#take(chunk.subarray(at, at + PIECE_BYTES));
      this.#pass(this.#openFrom(), mark, passed);
    }
    return joined(passed);
  }

  end(mark: Uint8Array): Uint8Array {
    const passed: Uint8Array[] = [];
    this.#pass(this.#to, mark, passed);
    return joined(passed);
  }

  /** For another text. */
  reset(): void {
    this.#from = this.#to = this.#afterBlank = 0;
    this.#hidden = [];
    this.#markedTo = -1;
    this.#hashes[0] = 0;
  }

  #take(piece: Uint8Array): void {
    this.#makeRoom(piece.length);
    this.#bytes.set(piece, this.#to);
    const [bytes, hashes, start, end] = [this.#bytes, this.#hashes, this.#to, this.#to + piece.length];
    const { tails } = this.#index;
    const firstEnd = this.#from + TAIL_BYTES;
    let hash = hashes[start] ?? 0;
    for (let at = start + 1; at <= end; at++) {
      hash = (Math.imul(hash, BASE) + (WORTH[bytes[at - 1] ?? 0] ?? 0)) | 0;
      hashes[at] = hash;
      if (at < firstEnd) continue;
      const tail = (hash - Math.imul(hashes[at - TAIL_BYTES] ?? 0, TAIL_POWER)) | 0;
      if (tails.has(tail)) this.#lookAt(at, tail);
    }
    this.#to = end;
    let afterBlank = end;
    while (afterBlank > start && (bytes[afterBlank - 1] ?? 0) > LAST_BLANK) afterBlank--;
    if (afterBlank > start) this.#afterBlank = afterBlank;
  }

  /** All that end like this are asked, whichever is found: how long it takes tells nothing. */
  #lookAt(end: number, tail: number): void {
    const hash = this.#hashes[end] ?? 0;
    for (const form of this.#index.endingIn(tail)) {
      const start = end - form.length;
      if (start < this.#from) continue;
      const rest = Math.imul(this.#hashes[start] ?? 0, form.power);
      if (((hash - rest) | 0) === form.hash) this.#hide(start, end, form.value);
    }
  }

  #hide(from: number, end: number, value: number): void {
    this.#onFound(value);
    let start = from;
    for (let last = this.#hidden.at(-1); last !== undefined && last.end >= start; last = this.#hidden.at(-1)) {
      start = Math.min(start, last.start);
      this.#hidden.pop();
    }
    this.#hidden.push({ start, end });
  }

  #openFrom(): number {
    const { longestSolid, longestBlank } = this.#index;
    const solid = Math.max(this.#afterBlank, this.#to - Math.max(0, longestSolid - 1));
    const blank = this.#to - Math.max(0, longestBlank - 1);
    return Math.max(this.#from, Math.min(solid, blank));
  }

  /** Everything in front of `to` is decided on. */
  #pass(to: number, mark: Uint8Array, passed: Uint8Array[]): void {
    let at = this.#from;
    for (let next = this.#hidden[0]; next !== undefined && next.start < to; next = this.#hidden[0]) {
      if (at < next.start) passed.push(this.#bytes.slice(at, next.start));
      if (next.start > this.#markedTo) passed.push(mark);
      this.#markedTo = next.end;
      at = Math.min(next.end, to);
      next.start = at;
      if (next.end > to) break;
      this.#hidden.shift();
    }
    if (at < to) passed.push(this.#bytes.slice(at, to));
    this.#from = to;
  }

  /** What was passed on makes room first. Doubled where that would be little: a byte is moved a few times, however small the pieces are. */
  #makeRoom(more: number): void {
    const kept = this.#to - this.#from;
    if (this.#to + more <= this.#bytes.length) return;
    const gone = this.#from;
    const room = Math.max(this.#bytes.length, (kept + more) * 2);
    const [bytes, hashes] = [this.#bytes, this.#hashes];
    if (room > bytes.length) {
      this.#bytes = new Uint8Array(room);
      this.#hashes = new Int32Array(room + 1);
    }
    this.#bytes.set(bytes.subarray(gone, this.#to));
    this.#hashes.set(hashes.subarray(gone, this.#to + 1));
    this.#hidden = this.#hidden.map(({ start, end }) => ({ start: start - gone, end: end - gone }));
    this.#from = 0;
    this.#to = kept;
    this.#afterBlank = Math.max(0, this.#afterBlank - gone);
    this.#markedTo -= gone;
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] ?? Buffer.concat(parts)) : Buffer.concat(parts);
}
