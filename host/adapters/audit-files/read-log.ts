/** The audit log read from outside, beside a host that writes it or without one. Nothing is changed, made or locked. */
import { ChainCheck, type Expected, type Verdict } from "../../audit/chain-check.ts";
import { type AuditRecord, parseLine } from "../../audit/record.ts";
import { HostError, isHostError } from "../../domain/errors.ts";
import { listFiles, type LogFile, readLines } from "./log-files.ts";

/** A host that rotates may remove a file between listing and reading. */
const ATTEMPTS = 5;
const NEWLINE = 0x0a;

export interface CheckedLog extends Verdict {
  readonly files: number;
}

/** `expected.head` must have been read before: what was added since is then no fault. Throws HostError AUDIT_BROKEN. */
export function checkLog(folder: string, expected: Expected): CheckedLog {
  return again(folder, (files) => {
    const check = new ChainCheck(expected);
    for (const { name, path } of files) checkFile(check, name, path);
    return { ...check.end(), files: files.length };
  });
}

function checkFile(check: ChainCheck, name: string, path: string): void {
  check.openFile(name);
  try {
    const reading = readLines(path, (line) => check.line(line));
    if (reading !== undefined) check.closeFile(reading.sha256, reading.torn);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw error;
    check.unreadable((error as Error).message);
  }
}

export interface NewestRecords {
  /** Oldest first. */
  readonly records: readonly AuditRecord[];
  /** Lines that were read and are no records: what they are is the check's to tell. */
  readonly strange: number;
}

/** The newest `count` that `matches`. */
export function newestRecords(folder: string, count: number, matches: (record: AuditRecord) => boolean): NewestRecords {
  return again(folder, (files) => {
    let newest: AuditRecord[] = [];
    let strange = 0;
    for (const { path } of files.toReversed()) {
      const found: AuditRecord[] = [];
      readLines(path, (line) => {
        const record = parseLine(line);
        if (record === undefined) strange++;
        else if (matches(record)) found.push(record);
        // No more than is asked for is held, but not moved at each line either.
        if (found.length > count * 2) found.splice(0, found.length - count);
      });
      newest = [...found, ...newest].slice(-count);
      if (newest.length === count) break;
    }
    return { records: newest, strange };
  });
}

/** Every whole line with its newline, in order. Throws HostError AUDIT_BROKEN, also where the host removed a file meanwhile: then start again. */
export function eachLine(folder: string, onLine: (line: Buffer) => void): void {
  again(
    folder,
    (files) => {
      for (const { path } of files) readLines(path, (line) => onLine(Buffer.concat([line, Buffer.of(NEWLINE)])));
    },
    1,
  );
}

function again<Result>(folder: string, read: (files: readonly LogFile[]) => Result, attempts = ATTEMPTS): Result {
  for (let attempt = 1; ; attempt++) {
    try {
      return read(listFiles(folder));
    } catch (cause) {
      if (isHostError(cause)) throw cause;
      if ((cause as NodeJS.ErrnoException).code === "ENOENT" && attempt < attempts) continue;
      throw new HostError("AUDIT_BROKEN", `The audit log in ${folder} cannot be read: ${(cause as Error).message}.`, {
        cause,
        hint: "Read it as the user Hermit runs as.",
      });
    }
  }
}
