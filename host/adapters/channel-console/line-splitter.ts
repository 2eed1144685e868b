/**
 * Splits a byte stream into lines without ever holding more than `maxBytes` of one.
 *
 * Works on bytes, so a character cut in two by a chunk border comes out whole. Ends of line: LF or CRLF. A line over the
 * bound is given up as soon as that is known; what follows up to its newline is dropped unread.
 */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

export interface SplitLine {
  /** 1 for the first line of the stream; blank and overlong lines count. */
  readonly number: number;
  /** Without its end of line; undefined: it was longer than the bound. Valid until the next line is asked for. */
  readonly bytes: Buffer | undefined;
}

const LF = 0x0a;
const CR = 0x0d;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const FIRST_CAPACITY = 4096;

export class LineSplitter {
  readonly #maxBytes: number;
  /** The unfinished line, `#held` bytes of it used. One growing buffer and no list of chunks: one-byte chunks would cost a hundred times their size. */
  #partial = Buffer.alloc(0);
  #held = 0;
  #dropping = false;
  #number = 1;

  constructor(maxBytes = MAX_LINE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Lazily: run each result to its end before the next `push`. */
  *push(chunk: Uint8Array): Generator<SplitLine> {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    while (from < bytes.length) {
      const newline = bytes.indexOf(LF, from);
      const piece = bytes.subarray(from, newline === -1 ? bytes.length : newline);
      from += piece.length + 1;
      if (!this.#dropping && this.#held + piece.length > this.#maxBytes) {
        this.#dropping = true;
        this.#release();
        yield { number: this.#number, bytes: undefined };
      }
      if (newline === -1) {
        if (!this.#dropping) this.#hold(piece);
        return;
      }
      if (!this.#dropping) yield { number: this.#number, bytes: this.#trimmed(this.#complete(piece)) };
      this.#dropping = false;
      this.#number++;
    }
  }

  /** The last line, if the stream did not end with a newline. */
  *end(): Generator<SplitLine> {
    if (this.#held > 0) yield { number: this.#number, bytes: this.#trimmed(this.#complete(Buffer.alloc(0))) };
  }

  #complete(piece: Buffer): Buffer {
    if (this.#held === 0) return piece;
    this.#hold(piece);
    const line = this.#partial.subarray(0, this.#held);
    this.#release();
    return line;
  }

  #hold(piece: Buffer): void {
    const needed = this.#held + piece.length;
    if (needed > this.#partial.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#maxBytes, Math.max(FIRST_CAPACITY, 2 * needed)));
      this.#partial.copy(grown, 0, 0, this.#held);
      this.#partial = grown;
    }
    piece.copy(this.#partial, this.#held);
    this.#held = needed;
  }

  /** Without the CR of a CRLF and, at the very start, the byte order mark some editors write. */
  #trimmed(line: Buffer): Buffer {
    const from = this.#number === 1 && line.indexOf(BYTE_ORDER_MARK) === 0 ? BYTE_ORDER_MARK.length : 0;
    return line.subarray(from, line.at(-1) === CR ? -1 : undefined);
  }

  #release(): void {
    this.#partial = Buffer.alloc(0);
    this.#held = 0;
  }
}
