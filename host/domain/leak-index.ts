/**
 * Every telling stretch of every form of a set of values, for finding them in bytes.
 *
 * A *window* is such a stretch: twelve units of a form (leak-forms.ts), or a shorter form whole. A text is sampled: of each so many places one
 * is looked at, and only where the four bytes there (a *gram*) are in some window are the places around it tried. Samples stand so close
 * that no window lies between two. A place costs the same whatever stands there, so the time is linear in the text, whoever wrote it.
 */
import { Filter } from "./leak-filter.ts";
import { type Form, formsOf, TELLING_UNITS } from "./leak-forms.ts";

const GRAM_BYTES = 4;

export class LeakIndex {
  /** All forms, one behind the other. */
  readonly #forms: Buffer;
  /** Where the forms of each value end. */
  readonly #ends: readonly number[];
  readonly #windows: Windows;
  /** Windows by their first bytes, as many as the shortest has: a number plus one; 0: free. Probed in order. */
  readonly #slots: Int32Array;
  readonly #grams: Filter;
  /** The first one, two and three bytes of every window. */
  readonly #heads: Filter;
  /** How far samples are apart. */
  readonly #stride: number;

  constructor(values: readonly string[]) {
    const forms: Form[] = [];
    const ends: number[] = [];
    for (const value of values) {
      forms.push(...formsOf(value));
      ends.push(forms.length);
    }
    this.#forms = Buffer.from(forms.map((form) => form.join("")).join(""));
    this.#windows = windowsOf(forms);
    this.#ends = ends.map((count) => this.#windows.ends[count - 1] ?? 0);
    this.#stride = this.#windows.shortest - GRAM_BYTES + 1;
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(this.#windows.places.length * 2 + 1)));
    this.#grams = new Filter(this.#forms.length);
    this.#heads = new Filter(this.#windows.places.length);
    for (let window = 0; window < this.#windows.places.length; window++) this.#enter(window);
  }

  /** Calls `found` for each window that begins in `bytes` before `to`, in order of its start; `value` counts from 0. */
  search(bytes: Uint8Array, to: number, found: (start: number, length: number, value: number) => void): void {
    const stride = this.#stride;
    const grams = this.#grams;
    const last = Math.min(to, bytes.length - this.#windows.shortest + 1);
    for (let from = 0; from < last; from += stride) {
      if (!grams.has(gramAt(bytes, Math.min(from + stride - 1, bytes.length - GRAM_BYTES)))) continue;
      const end = Math.min(from + stride, last);
      for (let start = from; start < end; start++) if (grams.has(gramAt(bytes, start))) this.#tryAt(bytes, start, found);
    }
  }

  /** The first place from which on `bytes` may be the start of a window that goes on behind them; their length where there is none. */
  openFrom(bytes: Uint8Array): number {
    let from = Math.max(0, bytes.length - this.#windows.longest + 1);
    while (from < bytes.length && !this.#mayGoOn(bytes, from)) from++;
    return from;
  }

  #mayGoOn(bytes: Uint8Array, from: number): boolean {
    const left = bytes.length - from;
    if (left < GRAM_BYTES) return this.#heads.has(headAt(bytes, from, left));
    for (let at = from; at <= bytes.length - GRAM_BYTES; at++) if (!this.#grams.has(gramAt(bytes, at))) return false;
    return true;
  }

  #tryAt(bytes: Uint8Array, start: number, found: (start: number, length: number, value: number) => void): void {
    const { places, lengths, shortest } = this.#windows;
    const mask = this.#slots.length - 1;
    for (let slot = hashAt(bytes, start, shortest) & mask; ; slot = (slot + 1) & mask) {
      const window = (this.#slots[slot] ?? 0) - 1;
      if (window < 0) return;
      const place = places[window] ?? 0;
      const length = lengths[window] ?? 0;
      if (start + length <= bytes.length && isSame(bytes, start, this.#forms, place, length)) found(start, length, this.#valueAt(place));
    }
  }

  #valueAt(place: number): number {
    let value = 0;
    while (place >= (this.#ends[value] ?? Infinity)) value++;
    return value;
  }

  /** Of windows with the same bytes the first is kept. */
  #enter(window: number): void {
    const forms = this.#forms;
    const { places, lengths, shortest } = this.#windows;
    const place = places[window] ?? 0;
    const length = lengths[window] ?? 0;
    const mask = this.#slots.length - 1;
    let slot = hashAt(forms, place, shortest) & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const other = (this.#slots[slot] ?? 0) - 1;
      if (lengths[other] === length && isSame(forms, place, forms, places[other] ?? 0, length)) return;
    }
    this.#slots[slot] = window + 1;
    for (let at = place; at <= place + length - GRAM_BYTES; at++) this.#grams.add(gramAt(forms, at));
    for (let head = 1; head < GRAM_BYTES; head++) this.#heads.add(headAt(forms, place, head));
  }
}

interface Windows {
  /** Where each begins in the forms, in bytes. */
  readonly places: Int32Array;
  readonly lengths: Int32Array;
  /** In bytes. */
  readonly shortest: number;
  readonly longest: number;
  /** Where each form ends. */
  readonly ends: readonly number[];
}

function windowsOf(forms: readonly Form[]): Windows {
  const places: number[] = [];
  const lengths: number[] = [];
  const ends: number[] = [];
  let shortest = Infinity;
  let longest = 0;
  let base = 0;
  for (const form of forms) {
    const starts = unitStarts(form, base);
    const units = Math.min(form.length, TELLING_UNITS);
    for (let first = 0; first + units <= form.length; first++) {
      const place = starts[first] ?? 0;
      const length = (starts[first + units] ?? 0) - place;
      places.push(place);
      lengths.push(length);
      shortest = Math.min(shortest, length);
      longest = Math.max(longest, length);
    }
    base = starts[form.length] ?? base;
    ends.push(base);
  }
  return {
    places: Int32Array.from(places),
    lengths: Int32Array.from(lengths),
    shortest: Math.min(shortest, TELLING_UNITS),
    longest,
    ends,
  };
}

/** Where each unit begins, in bytes from `base`, and where the last one ends. */
function unitStarts(form: Form, base: number): number[] {
  const starts = [base];
  let at = base;
  for (const unit of form) {
    at += unit.length === 1 && unit.charCodeAt(0) < 0x80 ? 1 : Buffer.byteLength(unit);
    starts.push(at);
  }
  return starts;
}

function gramAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
}

/** With its length, so that heads of different lengths are told apart. */
function headAt(bytes: Uint8Array, at: number, length: number): number {
  let head = length;
  for (let offset = 0; offset < length; offset++) head = (head << 8) | (bytes[at + offset] ?? 0);
  return head;
}

function hashAt(bytes: Uint8Array, at: number, length: number): number {
  let hash = 0x811c9dc5;
  for (let offset = 0; offset < length; offset++) hash = Math.imul(hash ^ (bytes[at + offset] ?? 0), 0x01000193);
  return hash ^ (hash >>> 15);
}

function isSame(a: Uint8Array, atA: number, b: Uint8Array, atB: number, length: number): boolean {
  for (let offset = 0; offset < length; offset++) if (a[atA + offset] !== b[atB + offset]) return false;
  return true;
}
