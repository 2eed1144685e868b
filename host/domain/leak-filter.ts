/** Bits of a filter for each thing in it: one lookup in so many is wrong, and costs a closer look. */
const FILTER_SHARE = 32;
const SMALLEST_FILTER_BITS = 10;
const LARGEST_FILTER_BITS = 23;

/** Says of a number whether it may have been added: always where it was, now and then where it was not. */
export class Filter {
  readonly #bits: Uint8Array;
  readonly #shift: number;

  constructor(expected: number) {
    const wanted = Math.ceil(Math.log2(Math.max(1, expected * FILTER_SHARE)));
    const bits = Math.min(LARGEST_FILTER_BITS, Math.max(SMALLEST_FILTER_BITS, wanted));
    this.#bits = new Uint8Array(2 ** (bits - 3));
    this.#shift = 32 - bits;
  }

  add(number: number): void {
    const bit = Math.imul(number, 0x9e3779b1) >>> this.#shift;
    this.#bits[bit >>> 3] = (this.#bits[bit >>> 3] ?? 0) | (1 << (bit & 7));
  }

  has(number: number): boolean {
    const bit = Math.imul(number, 0x9e3779b1) >>> this.#shift;
    return (((this.#bits[bit >>> 3] ?? 0) >>> (bit & 7)) & 1) === 1;
  }
}
