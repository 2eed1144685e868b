/** TLS records, cut out of a stream of bytes without waiting for whole ones: type, version, length, content. */
import { RefusedError } from "../domain/errors.ts";

export const ALERT = 21;
export const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const CHANGE_CIPHER_SPEC = 20;
const TYPES: ReadonlySet<number> = new Set([CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA]);
export const HEAD_BYTES = 5;
const MAJOR_VERSION = 3;
/** With what encryption may add in TLS 1.2. */
const MAX_CONTENT_BYTES = 2 ** 14 + 2048;
const NOTHING = Buffer.alloc(0);

/** A record's head, or some of its content. */
export interface RecordPiece {
  readonly type: number;
  readonly bytes: Buffer;
  readonly isHead: boolean;
  /** The record is whole with it. */
  readonly isLast: boolean;
}

export class RecordCutter {
  /** Of a head that is not whole. */
  #kept = NOTHING;
  #type = 0;
  /** Of the content of the record that has begun. */
  #left = 0;

  /** Throws RefusedError EGRESS_PROTOCOL at the first byte that cannot be TLS. */
  *cut(chunk: Buffer): Generator<RecordPiece> {
    let rest = Buffer.concat([this.release(), chunk]);
    while (rest.length > 0) {
      const isHead = this.#left === 0;
      if (isHead && !TYPES.has(rest.readUInt8(0))) throw notTls();
      if (isHead && rest.length < HEAD_BYTES) {
        this.#kept = rest;
        return;
      }
      const bytes = rest.subarray(0, isHead ? HEAD_BYTES : this.#left);
      if (isHead) this.#begin(bytes);
      else this.#left -= bytes.length;
      yield { type: this.#type, bytes, isHead, isLast: this.#left === 0 };
      rest = rest.subarray(bytes.length);
    }
  }

  /** What has been taken and not given, once records no longer matter. */
  release(): Buffer {
    const kept = this.#kept;
    this.#kept = NOTHING;
    return kept;
  }

  #begin(head: Buffer): void {
    this.#type = head.readUInt8(0);
    this.#left = head.readUInt16BE(3);
    if (head.readUInt8(1) !== MAJOR_VERSION || this.#left > MAX_CONTENT_BYTES) throw notTls();
  }
}

function notTls(): RefusedError {
  return new RefusedError("EGRESS_PROTOCOL", "What was sent into the tunnel is not TLS, and only TLS passes.");
}
