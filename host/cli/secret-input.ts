/**
 * A secret's value from the owner: typed twice without being shown, or all of standard input.
 *
 * What was read is zeroed; the value itself is a string, which this runtime cannot overwrite, and lives as long as the command.
 */
import type { Readable, Writable } from "node:stream";
import { MAX_VALUE_BYTES, parseValue } from "../adapters/secrets-local/index.ts";
import { RefusedError } from "../domain/errors.ts";

export interface SecretStreams {
  readonly input: Readable & { readonly isTTY?: boolean; setRawMode?(on: boolean): unknown };
  readonly output: Writable;
  readonly errors: Writable;
}

/** A newline of an editor on Windows. */
const NEWLINE_BYTES = 2;
const CTRL_C = 0x03;
const CTRL_D = 0x04;
const BACKSPACE = 0x08;
const TAB = 0x09;
const NEWLINE = 0x0a;
const ENTER = 0x0d;
const CTRL_U = 0x15;
const SPACE = 0x20;
const DELETE = 0x7f;

/** Undefined: the owner thought better of it. Rejects with RefusedError INPUT_MALFORMED, which quotes nothing. */
export async function readSecret({ input, errors }: SecretStreams, name: string): Promise<string | undefined> {
  return input.isTTY === true ? await askTwice(input, errors, name) : toValue(await readAll(input));
}

async function askTwice(input: SecretStreams["input"], errors: Writable, name: string): Promise<string | undefined> {
  const keys = new Keys();
  // Raw: nothing is echoed, and Ctrl-C is a key, so that we are still there to put the terminal back.
  input.setRawMode?.(true);
  try {
    const typed: Buffer[] = [];
    for (const question of [`Value of ${name} (not shown): `, "The same again: "]) {
      errors.write(question);
      const line = await keys.line(input);
      errors.write("\n");
      if (line === undefined) return undefined;
      typed.push(line);
    }
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = typed;
    const isSame = first.equals(second);
    second.fill(0);
    if (!isSame) {
      first.fill(0);
      throw refused("The two were not the same.", "A value of several lines comes through standard input.");
    }
    return toValue(first);
  } finally {
    input.setRawMode?.(false);
    input.pause();
  }
}

/** What is typed, a line at a time. */
class Keys {
  readonly #line = Buffer.alloc(MAX_VALUE_BYTES + NEWLINE_BYTES);
  #length = 0;
  #isOdd = false;
  /** Typed ahead, or pasted. */
  #ahead: Buffer = Buffer.alloc(0);

  /** Undefined: Ctrl-C, Ctrl-D at the beginning, or the terminal is gone. */
  async line(input: Readable): Promise<Buffer | undefined> {
    this.#length = 0;
    this.#isOdd = false;
    for (;;) {
      for (const [at, key] of this.#ahead.entries()) {
        if (key === CTRL_C || (key === CTRL_D && this.#length === 0)) return this.#end(undefined);
        if (key === ENTER || key === NEWLINE) {
          const rest = Buffer.from(this.#ahead.subarray(at + 1));
          this.#ahead.fill(0);
          this.#ahead = rest;
          return this.#end(Buffer.from(this.#line.subarray(0, this.#length)));
        }
        this.#press(key);
      }
      this.#ahead.fill(0);
      const more = await nextChunk(input);
      if (more === undefined) return this.#end(undefined);
      this.#ahead = more;
    }
  }

  #press(key: number): void {
    if (key === BACKSPACE || key === DELETE) {
      // A character of several bytes goes as a whole.
      do this.#length = Math.max(0, this.#length - 1);
      while (((this.#line[this.#length] ?? 0) & 0xc0) === 0x80 && this.#length > 0);
    } else if (key === CTRL_U) this.#length = 0;
    else if (key < SPACE && key !== TAB) this.#isOdd = true;
    else if (this.#length < this.#line.length) this.#line[this.#length++] = key;
  }

  #end(line: Buffer | undefined): Buffer | undefined {
    this.#line.fill(0);
    if (line !== undefined && this.#isOdd) {
      line.fill(0);
      throw refused("Keys were pressed that are no characters.", "Type or paste the value alone; with arrows it cannot be edited unseen.");
    }
    return line;
  }
}

/** Undefined: there will be none. */
async function nextChunk(input: Readable): Promise<Buffer | undefined> {
  if (input.readableEnded || input.destroyed) return undefined;
  return await new Promise((resolve) => {
    const settle = (chunk?: Buffer | string): void => {
      input.off("data", settle).off("end", settle).off("error", fail).off("close", settle);
      input.pause();
      resolve(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
    };
    // A terminal that is hung up fails with EIO.
    const fail = (): void => settle();
    input.on("data", settle).on("end", settle).on("error", fail).on("close", settle);
    input.resume();
  });
}

async function readAll(input: Readable): Promise<Buffer> {
  const room = Buffer.alloc(MAX_VALUE_BYTES + NEWLINE_BYTES + 1);
  let length = 0;
  while (length < room.length) {
    const chunk = await nextChunk(input);
    if (chunk === undefined) break;
    length += chunk.copy(room, length);
    chunk.fill(0);
  }
  return room.subarray(0, length);
}

function toValue(bytes: Buffer): string {
  const parsed = parseValue(bytes);
  bytes.fill(0);
  if ("value" in parsed) return parsed.value;
  throw refused(`The value ${parsed.fault}.`, "A secret is UTF-8 text of 1 byte to 16 KiB.");
}

function refused(message: string, hint: string): RefusedError {
  return new RefusedError("INPUT_MALFORMED", `${message} Nothing was stored.`, { hint });
}
