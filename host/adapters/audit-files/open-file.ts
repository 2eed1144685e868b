/**
 * The file that is written: whole lines only, each in one write at the end.
 *
 * What a full disk left of a line is cut off at once, or before the next write if that fails too.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { nameOf, syncFolder } from "./log-files.ts";

const WRITE = constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW;

export class OpenFile {
  readonly name: string;
  readonly number: number;
  readonly #path: string;
  readonly #file: number;
  readonly #device: number;
  readonly #inode: number;
  /** Of whole lines; kept by `append` and `cut`. */
  #size: number;
  /** Bytes behind `#size` may exist. */
  #isTorn = false;

  private constructor(path: string, name: string, number: number, file: number) {
    this.name = name;
    this.number = number;
    this.#path = path;
    this.#file = file;
    const { dev, ino, size } = fstatSync(file);
    this.#device = dev;
    this.#inode = ino;
    this.#size = size;
  }

  /** Throws where it exists. */
  static make(folder: string, number: number): OpenFile {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const name = nameOf(number);
    const path = join(folder, name);
    const file = openSync(path, WRITE | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      syncFolder(folder);
      return new OpenFile(path, name, number, file);
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  static open(folder: string, number: number): OpenFile {
    const name = nameOf(number);
    const path = join(folder, name);
    const file = openSync(path, WRITE);
    fchmodSync(file, 0o600);
    return new OpenFile(path, name, number, file);
  }

  get size(): number {
    return this.#size;
  }

  /** Whether the file under its name is still this one and as long as it was left. */
  isAsLeft(): boolean {
    if (this.#isTorn) this.#repair();
    const found = statSync(this.#path, { throwIfNoEntry: false });
    return found !== undefined && found.ino === this.#inode && found.dev === this.#device && found.size === this.#size;
  }

  /** The line is whole, or it threw and nothing of it is there. */
  append(line: string): void {
    if (this.#isTorn) this.#repair();
    const bytes = Buffer.from(line);
    this.#isTorn = true;
    try {
      // A write that is cut short has met a full disk: the next one says so.
      for (let written = 0; written < bytes.length; ) written += writeSync(this.#file, bytes, written);
    } catch (error) {
      try {
        this.#repair();
      } catch {}
      throw error;
    }
    this.#size += bytes.length;
    this.#isTorn = false;
  }

  /** Takes away what stands behind the first `size` bytes. */
  cut(size: number): void {
    ftruncateSync(this.#file, size);
    fdatasyncSync(this.#file);
    this.#size = size;
  }

  sync(): void {
    fdatasyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }

  #repair(): void {
    ftruncateSync(this.#file, this.#size);
    this.#isTorn = false;
  }
}
