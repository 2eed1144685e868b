/** The files of an audit log: `audit-00000001.jsonl` and so on in one folder, read a block at a time. */
import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, fsyncSync, lstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { MAX_LINE_BYTES, NOTHING_BEFORE, parseLine } from "../../audit/record.ts";

export interface LogFile {
  readonly name: string;
  readonly path: string;
  readonly number: number;
  readonly size: number;
  /** False: a folder, a link or something else was put in its place. */
  readonly isRegular: boolean;
}

const NAME = /^audit-(\d{8,12})\.jsonl$/;
/** Far from where names end, and never reached by us. */
const MAX_NUMBER = 500_000_000_000;
const BLOCK_BYTES = 64 * 1_024;
const NEWLINE = 0x0a;
/** A pipe or a link in a file's place is not followed, and does not hold us. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export function auditFolder(home: string): string {
  return join(home, "audit");
}

export function nameOf(number: number): string {
  return `audit-${String(number).padStart(8, "0")}.jsonl`;
}

/** Oldest first; none where there is no folder. */
export function listFiles(folder: string): LogFile[] {
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  const files = names.flatMap((name): LogFile[] => {
    const [, number] = NAME.exec(name) ?? [];
    if (number === undefined) return [];
    const path = join(folder, name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    return [{ name, path, number: Number(number), size: found?.size ?? 0, isRegular: found?.isFile() === true }];
  });
  return files.sort((a, b) => a.number - b.number);
}

/** Behind the newest, or where somebody put one of a number we never reach, the first that is free: no record goes where nobody looks. */
export function nextNumber(files: readonly LogFile[]): number {
  const next = (files.at(-1)?.number ?? 0) + 1;
  if (next <= MAX_NUMBER) return next;
  const taken = new Set(files.map(({ number }) => number));
  let free = 1;
  while (taken.has(free)) free++;
  return free;
}

export interface Reading {
  /** Of all bytes read. */
  readonly sha256: string;
  /** Bytes behind the last newline. */
  readonly torn: number;
}

/**
 * Gives `onLine` each line without its newline, valid until it returns, and of an endless one its beginning, once. A host may write
 * meanwhile. Returns undefined when `onLine` said false.
 */
export function readLines(path: string, onLine: (line: Buffer) => boolean | void): Reading | undefined {
  const file = openToRead(path);
  try {
    const sha256 = createHash("sha256");
    const block = Buffer.alloc(BLOCK_BYTES);
    let pending = Buffer.alloc(0);
    let pendingBytes = 0;
    for (;;) {
      const length = readSync(file, block, 0, block.length, null);
      if (length === 0) break;
      const read = block.subarray(0, length);
      sha256.update(read);
      let from = 0;
      for (let end = read.indexOf(NEWLINE); end >= 0; end = read.indexOf(NEWLINE, from)) {
        const part = read.subarray(from, end);
        if (onLine(pendingBytes === 0 ? part : Buffer.concat([pending, part])) === false) return undefined;
        pending = Buffer.alloc(0);
        pendingBytes = 0;
        from = end + 1;
      }
      const rest = read.subarray(from);
      pendingBytes += rest.length;
      if (pending.length <= MAX_LINE_BYTES) pending = Buffer.concat([pending, rest]);
    }
    return { sha256: sha256.digest("hex"), torn: pendingBytes };
  } finally {
    closeSync(file);
  }
}

export interface LastLines {
  /** Oldest first. */
  readonly lines: readonly Buffer[];
  /** These are all there are. */
  readonly isWhole: boolean;
  /** What stands behind the last newline. */
  readonly torn: Buffer;
}

/** Lines at the end of a file, back to the newest one that `isEnough`, or all of them. Reads back in growing stretches. */
export function readLastLines(path: string, isEnough: (line: Buffer) => boolean): LastLines {
  const file = openToRead(path);
  try {
    const { size } = fstatSync(file);
    for (let length = BLOCK_BYTES; ; length *= 4) {
      const from = Math.max(0, size - length);
      const bytes = Buffer.alloc(size - from);
      const read = bytes.subarray(0, readSync(file, bytes, 0, bytes.length, from));
      const lines = splitLines(from === 0 ? read : read.subarray(read.indexOf(NEWLINE) + 1));
      const torn = lines.pop() ?? Buffer.alloc(0);
      const found = lines.findLastIndex(isEnough);
      if (found >= 0) return { lines: lines.slice(found), isWhole: false, torn };
      if (from === 0) return { lines, isWhole: true, torn };
    }
  } finally {
    closeSync(file);
  }
}

/** What the first record of a file follows; where that cannot be read, nothing. */
export function firstPlace(path: string): { readonly seq: number; readonly hash: string } {
  let place = { seq: 0, hash: NOTHING_BEFORE };
  readLines(path, (line) => {
    const record = parseLine(line);
    if (record !== undefined) place = { seq: record.seq - 1, hash: record.prev };
    return false;
  });
  return place;
}

/** Hex; null: it cannot be read. */
export function hashOf(path: string): string | null {
  try {
    return readLines(path, () => {})?.sha256 ?? null;
  } catch {
    return null;
  }
}

export function syncFolder(folder: string): void {
  const entry = openSync(folder, constants.O_RDONLY);
  try {
    fsyncSync(entry);
  } finally {
    closeSync(entry);
  }
}

/** What stands behind the last newline is the last. */
function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let from = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
    lines.push(bytes.subarray(from, end));
    from = end + 1;
  }
  return [...lines, bytes.subarray(from)];
}

function openToRead(path: string): number {
  const file = openSync(path, READ);
  if (fstatSync(file).isFile()) return file;
  closeSync(file);
  throw new Error(`${path} is not a regular file`);
}
