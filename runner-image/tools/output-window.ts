/**
 * The part of an output the model gets to see: its head and its tail, of a stream of any length.
 *
 * Holds at most `maxBytes` and one copy of it at the end, and copies at most `maxBytes` of each chunk, so that a command
 * printing gigabytes costs what reading them costs.
 */
export class OutputWindow {
  private readonly head: Buffer;
  private headBytes = 0;
  /** A ring: the oldest byte is at `tailAt` once it has been filled. */
  private readonly tail: Buffer;
  private tailAt = 0;
  private tailBytes = 0;
  private total = 0;

  constructor(maxBytes: number) {
    this.head = Buffer.allocUnsafe(Math.ceil(maxBytes / 2));
    this.tail = Buffer.allocUnsafe(Math.floor(maxBytes / 2));
  }

  push(chunk: Buffer): void {
    this.total += chunk.length;
    const toHead = Math.min(chunk.length, this.head.length - this.headBytes);
    if (toHead > 0) {
      chunk.copy(this.head, this.headBytes, 0, toHead);
      this.headBytes += toHead;
    }
    if (toHead < chunk.length && this.tail.length > 0) this.pushTail(chunk.subarray(Math.max(toHead, chunk.length - this.tail.length)));
  }

  /** Text with `[… N bytes cut …]` where the middle is missing; invalid UTF-8 is replaced, characters are not split. */
  text(): string {
    const head = this.head.subarray(0, this.headBytes);
    const tail = this.tailInOrder();
    if (this.total <= head.length + tail.length) return Buffer.concat([head, tail]).toString("utf8");
    const cleanHead = withoutSplitEnd(head);
    const cleanTail = withoutSplitStart(tail);
    const cut = this.total - cleanHead.length - cleanTail.length;
    return `${cleanHead.toString("utf8")}\n[… ${cut} bytes cut …]\n${cleanTail.toString("utf8")}`;
  }

  private tailInOrder(): Buffer {
    if (this.tailBytes < this.tail.length) return this.tail.subarray(0, this.tailBytes);
    return Buffer.concat([this.tail.subarray(this.tailAt), this.tail.subarray(0, this.tailAt)]);
  }

  private pushTail(piece: Buffer): void {
    const first = Math.min(piece.length, this.tail.length - this.tailAt);
    piece.copy(this.tail, this.tailAt, 0, first);
    piece.copy(this.tail, 0, first);
    this.tailAt = (this.tailAt + piece.length) % this.tail.length;
    this.tailBytes = Math.min(this.tail.length, this.tailBytes + piece.length);
  }
}

/** Cuts text that is already in memory the same way. */
export function boundOutput(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const window = new OutputWindow(maxBytes);
  window.push(Buffer.from(text));
  return window.text();
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

/** At most three bytes are dropped: what is longer is not a split character but binary. */
function withoutSplitStart(bytes: Buffer): Buffer {
  let from = 0;
  while (from < 3 && isContinuation(bytes[from])) from++;
  return bytes.subarray(from);
}

function withoutSplitEnd(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (isContinuation(byte)) continue;
    const width = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return width > back ? bytes.subarray(0, bytes.length - back) : bytes;
  }
  return bytes;
}
