/**
 * Delivery journal: the console's memory of what it has said, one JSON object a line.
 *
 * Promise: an id stands in it at most once, and when `append` has resolved it is on disk. This is what makes the console
 * idempotent: standard output alone could not tell a repeated reply from a new one.
 *
 * Only the end of the file can be unsure. Every append is flushed before the next begins, so a crash or a full disk leaves
 * at most one torn line there, and it is cut off before anything else is written. Its reply was never confirmed and is
 * offered again by the outbox.
 *
 * Of the ids only the last `MAX_KNOWN_IDS` are known. That is enough: the outbox delivers in order and forgets a reply once
 * `deliver` has resolved, so the ids it may offer again after a crash are the very last ones.
 */
import type { FileHandle } from "node:fs/promises";
import { mkdir, open } from "node:fs/promises";
import { constants } from "node:fs";
import { dirname } from "node:path";
import { ConsoleReply } from "../../../contracts/wire/console.ts";
import { HostError } from "../../domain/errors.ts";

export const MAX_KNOWN_IDS = 65_536;
/** Opening stops reading back after this many bytes, if it has `ENOUGH_IDS`: a journal of years must not delay the start. */
const ENOUGH_BYTES = 16 * 1024 * 1024;
const ENOUGH_IDS = 1_024;
const BLOCK_BYTES = 64 * 1024;
const LF = 0x0a;

export class DeliveryJournal {
  readonly #path: string;
  readonly #file: FileHandle;
  /** In the order they were appended; the first is forgotten first. */
  readonly #ids: Set<string>;
  /** Length of the sound part of the file; kept by `append`. */
  #size: number;
  /** Bytes beyond `#size` may exist. Cleared by `#repair` alone. */
  #torn = false;
  /** How many bytes of a half-written line `open` cut off. */
  readonly cutBytes: number;

  private constructor(path: string, file: FileHandle, tail: Tail) {
    this.#path = path;
    this.#file = file;
    this.#ids = new Set(tail.idsNewestFirst.toReversed());
    this.#size = tail.soundBytes;
    this.cutBytes = tail.tornBytes;
  }

  /** Creates the file (0600) and its folder (0700) where missing; repairs the end. Rejects with HostError HOME_UNUSABLE. */
  static async open(path: string): Promise<DeliveryJournal> {
    let file: FileHandle | undefined;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
      const info = await file.stat();
      if (!info.isFile()) throw new Error("it is not a regular file");
      if ((info.mode & 0o077) !== 0) await file.chmod(0o600);
      const tail = await readTail(file, info.size);
      if (tail.tornBytes > 0) await file.truncate(tail.soundBytes);
      await file.datasync();
      await syncFolder(dirname(path));
      return new DeliveryJournal(path, file, tail);
    } catch (cause) {
      await file?.close();
      throw new HostError("HOME_UNUSABLE", `The console's delivery journal ${path} cannot be opened: ${reason(cause)}.`, {
        hint: "Make its folder writable for the user the host runs as.",
        cause,
      });
    }
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /**
   * Adds a reply whose id is not in the journal and waits until it is on disk. One at a time: the caller waits for each.
   * Rejects with HostError DELIVERY_FAILED, retryable; nothing of the reply is then in the journal.
   */
  async append(reply: ConsoleReply): Promise<void> {
    const line = Buffer.from(replyLine(reply));
    try {
      if (this.#torn) await this.#repair();
      this.#torn = true;
      await writeAll(this.#file, line, this.#size);
      await this.#file.datasync();
      this.#torn = false;
    } catch (cause) {
      // At once and not only before the next append, so that nobody reading the file meets half a line for long.
      await this.#repair().catch(() => undefined);
      throw new HostError("DELIVERY_FAILED", `A reply could not be written to ${this.#path}: ${reason(cause)}.`, {
        hint: isFull(cause)
          ? "Free space on the disk that holds it; the reply is kept and offered again."
          : "Check the disk that holds it; the reply is kept and offered again.",
        retryable: true,
        cause,
      });
    }
    this.#size += line.length;
    this.#ids.add(reply.id);
    const [oldest] = this.#ids;
    if (this.#ids.size > MAX_KNOWN_IDS && oldest !== undefined) this.#ids.delete(oldest);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #repair(): Promise<void> {
    await this.#file.truncate(this.#size);
    this.#torn = false;
  }
}

/**
 * A reply as one line of JSONL. Line ends JSON leaves as they are but some readers split at (Python's `splitlines`) are
 * escaped, so that a reply is one line for everybody; so are C1 controls, which a terminal that shows the line might obey.
 */
export function replyLine(reply: ConsoleReply): string {
  const json = JSON.stringify(reply).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${json}\n`;
}

interface Tail {
  readonly idsNewestFirst: readonly string[];
  readonly soundBytes: number;
  readonly tornBytes: number;
}

/** Reads lines from the end backwards until enough ids are known. */
async function readTail(file: FileHandle, size: number): Promise<Tail> {
  const ids: string[] = [];
  let soundBytes = size;
  await readLinesBackwards(file, size, (line) => {
    // Only the last line can be torn. An unreadable one further up was no crash: it is left for a person to look at.
    if (line.end === size && !(line.complete && isJson(line.text))) soundBytes = line.start;
    else {
      const id = readId(line.text);
      if (id !== undefined) ids.push(id);
    }
    return ids.length < MAX_KNOWN_IDS && (ids.length < ENOUGH_IDS || size - line.start < ENOUGH_BYTES);
  });
  return { idsNewestFirst: ids, soundBytes, tornBytes: size - soundBytes };
}

interface BackwardLine {
  readonly text: string;
  readonly start: number;
  /** Offset after its newline, or of the end of the file where it has none. */
  readonly end: number;
  readonly complete: boolean;
}

/** Until `onLine` returns false. Calls back and does not generate: a start may have to look at 65,536 lines. */
async function readLinesBackwards(file: FileHandle, size: number, onLine: (line: BackwardLine) => boolean): Promise<void> {
  /** What was read of the line whose start is not found yet, the last part first. */
  let parts: Buffer[] = [];
  let end = size;
  let complete = false;
  for (let blockStart = size; blockStart > 0; ) {
    const length = Math.min(BLOCK_BYTES, blockStart);
    blockStart -= length;
    let block = await readAt(file, blockStart, length);
    for (let newline = block.lastIndexOf(LF); newline !== -1; newline = block.lastIndexOf(LF)) {
      const start = blockStart + newline + 1;
      if (start < size && !onLine({ text: joined(block.subarray(newline + 1), parts), start, end, complete })) return;
      parts = [];
      end = start;
      complete = true;
      block = block.subarray(0, newline);
    }
    parts.push(block);
  }
  if (end > 0) onLine({ text: joined(Buffer.alloc(0), parts), start: 0, end, complete });
}

function joined(first: Buffer, lastFirst: readonly Buffer[]): string {
  return lastFirst.length === 0 ? first.toString("utf8") : Buffer.concat([first, ...lastFirst.toReversed()]).toString("utf8");
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  for (let filled = 0; filled < length; ) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) throw new Error("it became shorter while it was read");
    filled += bytesRead;
  }
  return buffer;
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** A new file survives a power cut only once its folder's entry is on disk too. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** How every line we write begins, where the id needs no escape. */
const PLAIN_ID = /^\{"id":"([^"\\]*)","chat":/;

/** Undefined: not a reply. Most lines are not parsed, for speed: what begins as ours and is not torn is ours. */
function readId(line: string): string | undefined {
  const plain = PLAIN_ID.exec(line)?.[1];
  if (plain !== undefined) return plain;
  return isJson(line) ? ConsoleReply.safeParse(JSON.parse(line)).data?.id : undefined;
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

function isFull(cause: unknown): boolean {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
