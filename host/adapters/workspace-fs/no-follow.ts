/**
 * Folders a sandbox may be changing at this very moment, opened so that no link is followed: each from the open folder above it, by its
 * bare name. What is moved or swapped meanwhile leads nowhere else, because no path is looked up twice.
 *
 * On Linux an open folder has a path of its own, /proc/self/fd/<n>, which stands in for openat's first argument. Elsewhere paths are all
 * there is: the last part of each is never a link, but one above it may become one between two looks.
 */
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  open as openWithCallback,
  readFileSync,
  type StatsFs,
} from "node:fs";
import { lstat, opendir, statfs } from "node:fs/promises";
import { posix } from "node:path";
import { promisify } from "node:util";

/** What may wait for the disk is asynchronous; what only asks the kernel about an open handle, or closes it, is not. */
const open = promisify(openWithCallback);

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
/** Opens nothing, holds the place only: no waiting for a FIFO, no right to read needed. Linux's O_PATH, which Node does not name. */
export const HANDLE_ONLY = 0o10000000;

const HANDLES_HAVE_PATHS = process.platform === "linux";
/** What its owner needs to look into a folder. */
const TO_LOOK = 0o500;
const TO_OWN = 0o700;
const PERMISSIONS = 0o7777;
/** Names read at a time: a few system calls' worth of the event loop, a few kilobytes. */
const NAMES_AT_ONCE = 128;

/** A name, byte for byte: what a sandbox calls its files need not be text. */
export type RawName = string;

/**
 * Opens the folder `names` lead to from `root`, which is trusted as a path. Rejects with ENOTDIR or ELOOP where one of them is a link, or
 * anything else that is no folder; nothing is opened then.
 */
export async function openBelow(root: string, names: readonly string[], byHandle = HANDLES_HAVE_PATHS): Promise<OpenFolder> {
  let folder = await OpenFolder.open(root, byHandle);
  for (const name of names) {
    const above = folder;
    try {
      folder = await above.folder(rawName(name));
    } finally {
      above.close();
    }
  }
  return folder;
}

export class OpenFolder {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly #handle: number;
  /** Where it is found from now on, byte for byte. */
  readonly #at: string;
  readonly #byHandle: boolean;
  #isClosed = false;

  /** Takes the handle; closes it where that fails. */
  private constructor(handle: number, path: string, byHandle: boolean) {
    try {
      const { dev, ino, uid, mode } = fstatSync(handle, { bigint: true });
      const isOwn = uid === BigInt(process.getuid?.() ?? 0);
      if (isOwn && (Number(mode) & TO_LOOK) !== TO_LOOK) fchmodSync(handle, (Number(mode) & PERMISSIONS) | TO_OWN);
      this.dev = dev;
      this.ino = ino;
    } catch (error) {
      closeSync(handle);
      throw error;
    }
    this.#handle = handle;
    this.#at = byHandle ? `/proc/self/fd/${handle}` : path;
    this.#byHandle = byHandle;
  }

  /** `path` itself may be reached through links. */
  static async open(path: string, byHandle: boolean): Promise<OpenFolder> {
    return new OpenFolder(await open(path, O_RDONLY | O_DIRECTORY), rawName(path), byHandle);
  }

  /** Rejects as open does: ENOENT, ENOTDIR or ELOOP where there is no such folder now, EACCES where it is shut and not our own. */
  async folder(name: RawName): Promise<OpenFolder> {
    if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) throw new Error("that is no name of a folder");
    const path = `${this.#at}/${name}`;
    return new OpenFolder(await openShut(path, this.#byHandle), path, this.#byHandle);
  }

  /** The folder that holds it now, wherever that is: a sandbox may have moved it. */
  async above(): Promise<OpenFolder> {
    const path = this.#byHandle ? `${this.#at}/..` : posix.dirname(this.#at);
    return new OpenFolder(await open(bytes(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW), path, this.#byHandle);
  }

  /** In no order. What is made or deleted meanwhile may be missing or not; what is there all the time is not missing. */
  async *names(): AsyncGenerator<RawName> {
    const list = await opendir(bytes(this.#at), { encoding: "latin1", bufferSize: NAMES_AT_ONCE });
    try {
      for (let entry = await list.read(); entry !== null; entry = await list.read()) yield entry.name;
    } finally {
      list.closeSync();
    }
  }

  /** Of a link itself, never of what it leads to. */
  look(name: RawName): Promise<BigIntStats> {
    return lstat(bytes(`${this.#at}/${name}`), { bigint: true });
  }

  /** Which of the machine's mounts it lies in; undefined: nobody can tell. */
  mount(): string | undefined {
    if (!this.#byHandle) return undefined;
    return /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${this.#handle}`, "utf8"))?.[1];
  }

  /** Of the file system it lies on. */
  disk(): Promise<StatsFs> {
    return statfs(bytes(this.#at));
  }

  /** Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    closeSync(this.#handle);
  }
}

/** A folder its owner has shut to itself is opened again where that is us, or what a sandbox hides in one would not be counted. */
async function openShut(path: string, byHandle: boolean): Promise<number> {
  const flags = O_DIRECTORY | O_NOFOLLOW;
  try {
    return await open(bytes(path), O_RDONLY | flags);
  } catch (error) {
    if (!byHandle || (error as NodeJS.ErrnoException).code !== "EACCES") throw error;
  }
  const place = await open(bytes(path), HANDLE_ONLY | flags);
  try {
    chmodSync(`/proc/self/fd/${place}`, (fstatSync(place).mode & PERMISSIONS) | TO_OWN);
    return await open(`/proc/self/fd/${place}`, O_RDONLY | O_DIRECTORY);
  } finally {
    closeSync(place);
  }
}

function rawName(text: string): RawName {
  return Buffer.from(text).toString("latin1");
}

function bytes(path: string): Buffer {
  return Buffer.from(path, "latin1");
}
