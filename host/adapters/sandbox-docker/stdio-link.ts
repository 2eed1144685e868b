/**
 * The link over the container's stdin and stdout, where a host socket cannot cross into it.
 *
 * The engine sends both outputs on one stream, in frames: one byte for which output, three zeros, four bytes of length, then that many bytes.
 * stdout is the link. stderr is kept as diagnosis, its last bytes only. Nothing is buffered but what the stream itself holds: a frame's bytes
 * are passed on as they come, and a slow reader slows the container.
 */
import { Duplex } from "node:stream";

const HEADER_BYTES = 8;
const STDOUT = 1;
const STDERR = 2;
/** Enough for a stack trace. */
const TAIL_BYTES = 4 * 1024;

export class StdioLink extends Duplex {
  /** Resolves with the first byte the container writes; never rejects. */
  readonly connected: Promise<void>;
  /** Resolves when the engine's stream is over: nothing will be added to the tail. Never rejects. */
  readonly detached: Promise<void>;
  readonly #attached: Duplex;
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  #header: Buffer = Buffer.alloc(0);
  #output = 0;
  /** Bytes of the current frame still to come. */
  #left = 0;
  #tail: Buffer = Buffer.alloc(0);

  constructor(attached: Duplex) {
    // The end of the output is the end of the container: there is nobody left to write to.
    super({ allowHalfOpen: false });
    this.#attached = attached;
    this.connected = this.#opened.promise;
    this.detached = this.#closed.promise;
    this.on("error", () => {});
    attached.on("data", (chunk: Buffer) => this.#demux(chunk));
    attached.once("end", () => {
      this.#closed.resolve();
      this.push(null);
    });
    attached.once("error", (error) => this.destroy(error));
    attached.once("close", () => {
      this.#closed.resolve();
      if (!this.readableEnded && !this.destroyed) this.push(null);
    });
  }

  /** The last 4 KiB the container wrote to stderr. */
  get stderrTail(): string {
    return this.#tail.toString("utf8");
  }

  override _read(): void {
    this.#attached.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#attached.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#attached.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#attached.destroy();
    done(error);
  }

  #demux(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) {
        const missing = HEADER_BYTES - this.#header.length;
        this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (this.#header.length < HEADER_BYTES) return;
        this.#output = this.#header[0] ?? 0;
        this.#left = this.#header.readUInt32BE(4);
        this.#header = Buffer.alloc(0);
        if (this.#output !== STDOUT && this.#output !== STDERR) {
          this.destroy(new Error(`the container engine sent output ${this.#output}, which does not exist`));
          return;
        }
        continue;
      }
      const part = rest.subarray(0, this.#left);
      rest = rest.subarray(part.length);
      this.#left -= part.length;
      if (this.#output === STDERR) this.#tail = Buffer.concat([this.#tail, part]).subarray(-TAIL_BYTES);
      else this.#receive(part);
    }
  }

  #receive(part: Buffer): void {
    this.#opened.resolve();
    if (!this.push(part)) this.#attached.pause();
  }
}
