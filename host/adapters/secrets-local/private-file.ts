/** Files that matter: read from what was opened, replaced whole or not at all. */
import {
  closeSync,
  constants,
  fsyncSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { HostError } from "../../domain/errors.ts";

const PRIVATE_FILE = 0o600;
const PRIVATE_FOLDER = 0o700;

export interface ReadFile {
  /** The caller's, to zero. */
  readonly bytes: Buffer;
  readonly mode: number;
  readonly uid: number;
  /** Names it has. */
  readonly links: number;
  readonly stamp: string;
}

/** Two alike: the same file, unchanged. Undefined: there is none, or it cannot be looked at. */
export function stampOf(path: string): string | undefined {
  try {
    return stamp(lstatSync(path, { bigint: true }));
  } catch {
    return undefined;
  }
}

/** Undefined: there is none. `fault` reads on from "the file …". What is checked is what was opened; a pipe with nobody at its other end does not hold us. */
export function readWhole(path: string, maxBytes: number): ReadFile | { readonly fault: string } | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    return { fault: code === "ELOOP" ? "is a link" : `cannot be read (${code})` };
  }
  try {
    const stat = fstatSync(descriptor, { bigint: true });
    if (!stat.isFile()) return { fault: "is not a regular file" };
    if (stat.size > BigInt(maxBytes)) return { fault: "is too large" };
    // One more than it has: it may have grown since.
    const room = Buffer.alloc(Number(stat.size) + 1);
    let length = 0;
    for (let got = -1; got !== 0 && length < room.length; length += got)
      got = readSync(descriptor, room, length, room.length - length, null);
    if (length === room.length) return { fault: "is being written to" };
    return {
      bytes: room.subarray(0, length),
      mode: Number(stat.mode) & 0o777,
      uid: Number(stat.uid),
      links: Number(stat.nlink),
      stamp: stamp(stat),
    };
  } catch (error) {
    return { fault: `cannot be read (${(error as NodeJS.ErrnoException).code})` };
  } finally {
    closeSync(descriptor);
  }
}

/** Ours, or root's, who may read and replace anything anyway. */
export function isOwned({ uid }: ReadFile): boolean {
  const own = process.getuid?.();
  return uid === 0 || own === undefined || uid === own;
}

/** On disk when it returns; whatever happens on the way, the old file or the new one stands there. One writer at a time. */
export function replaceFile(path: string, text: string): void {
  const coming = `${path}.new`;
  try {
    // Of a writer that was cut off.
    rmSync(coming, { force: true });
    createFile(coming, text);
    renameSync(coming, path);
    syncFolder(dirname(path));
  } catch (cause) {
    try {
      rmSync(coming, { force: true });
    } catch {}
    throw writeFault(path, cause);
  }
}

/** A file that is not there yet, and the folders on the way; on disk when it returns. */
export function makeFile(path: string, text: string): void {
  const folder = dirname(path);
  try {
    const made = mkdirSync(folder, { recursive: true, mode: PRIVATE_FOLDER });
    createFile(path, text);
    syncFolder(folder);
    for (let below = folder; made !== undefined && below.length >= made.length; below = dirname(below)) syncFolder(dirname(below));
  } catch (cause) {
    throw writeFault(path, cause);
  }
}

function createFile(path: string, text: string): void {
  const descriptor = openSync(path, "wx", PRIVATE_FILE);
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } catch (error) {
    rmSync(path);
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

function syncFolder(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function writeFault(path: string, cause: unknown): HostError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new HostError("STORE_FULL", `The disk is full: ${path} cannot be written.`, { cause, hint: "Free some space and try again." });
  }
  return new HostError("SECRET_STORE_UNUSABLE", `${path} cannot be written: ${message}.`, {
    cause,
    hint: "Mend its folder's permissions, or run this as the user Hermit runs as.",
  });
}

function stamp({ dev, ino, size, mtimeNs, ctimeNs }: Record<"dev" | "ino" | "size" | "mtimeNs" | "ctimeNs", bigint>): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(":");
}
