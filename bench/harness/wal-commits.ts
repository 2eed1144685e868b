/** Counts the transactions in an SQLite write-ahead log (https://www.sqlite.org/fileformat2.html#walformat). */
import type { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";

const HEADER = 32;
const FRAME_HEADER = 24;
const MAGIC = new Set([0x377f0682, 0x377f0683]);

export interface WalState {
  /** Changes whenever the log starts anew; counts of two different logs cannot be compared. */
  readonly salt: string;
  readonly commits: number;
  /** Of valid frames, their headers included. */
  readonly bytes: number;
}

/** Undefined: there is no log, or not yet. Frames left over from before the log started anew carry another salt and end the count. */
export function parseWal(wal: Buffer): WalState | undefined {
  if (wal.length < HEADER || !MAGIC.has(wal.readUInt32BE(0))) return undefined;
  const pageSize = wal.readUInt32BE(8);
  const salt = wal.toString("hex", 16, 24);
  let commits = 0;
  let at = HEADER;
  for (; at + FRAME_HEADER + pageSize <= wal.length; at += FRAME_HEADER + pageSize) {
    if (wal.toString("hex", at + 8, at + 16) !== salt) break;
    // The last frame of a transaction holds the database's size in pages, the others zero.
    if (wal.readUInt32BE(at + 4) !== 0) commits += 1;
  }
  return { salt, commits, bytes: at - HEADER };
}

export function walOf(databasePath: string): WalState | undefined {
  try {
    return parseWal(readFileSync(`${databasePath}-wal`));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
