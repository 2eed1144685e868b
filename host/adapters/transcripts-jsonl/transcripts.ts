/**
 * Transcripts as files: `sessions/<folder>/<session>.jsonl` in the home, a line a turn, a first line that says whose it is.
 *
 * A line counts once its newline is there. Lines are not synced to disk: what a power cut takes is added again from the journal.
 */
import { mkdir, open, rename, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { JournalEntry, SessionId } from "../../../contracts/wire/turn.ts";
import { StoreError } from "../../domain/errors.ts";
import { isValidFolder } from "../../domain/group.ts";
import type { TranscriptReading, Transcripts, TranscriptTurn } from "../../ports/transcripts.ts";

const VERSION = 1;
const NEWLINE = 0x0a;
const HEADER_BYTES = 4_096;

const Header = z.object({ v: z.literal(VERSION), session: SessionId, group: z.string() });
const Line = z.object({ turn: z.int().nullable(), at: z.iso.datetime(), entries: z.array(JournalEntry) });

/** `home`: absolute path. */
export function createTranscripts(home: string): Transcripts {
  const folderOf = (folder: string): string => join(home, "sessions", folder);
  const pathOf = (folder: string, session: string): string | undefined =>
    isValidFolder(folder) && SessionId.safeParse(session).success ? join(folderOf(folder), `${session}.jsonl`) : undefined;

  return {
    async read(folder, session, maxBytes) {
      const path = pathOf(folder, session);
      const file = path === undefined ? undefined : await openIfThere(path);
      if (file === undefined) return { state: "missing" };
      try {
        const { size } = await file.stat();
        const head = await readAt(file, 0, Math.min(size, HEADER_BYTES));
        const headerEnd = head.indexOf(NEWLINE);
        // Cut off in its very beginning: nothing was written yet.
        if (headerEnd < 0 && size < HEADER_BYTES) return { state: "readable", turns: [], isWhole: true };
        if (!isHeaderOf(head.toString("utf8", 0, headerEnd), folder, session)) return damaged(1, "it does not say whose it is");
        const from = Math.max(headerEnd + 1, size - maxBytes);
        const tail = await readAt(file, from, size - from);
        // Begun in the middle of a line, unless right after the first one.
        const begin = from === headerEnd + 1 ? 0 : tail.indexOf(NEWLINE) + 1;
        const end = tail.lastIndexOf(NEWLINE) + 1;
        return parseLines(tail.toString("utf8", begin, Math.max(begin, end)), from === headerEnd + 1);
      } finally {
        await file.close();
      }
    },

    async append(folder, session, turns) {
      const path = pathOf(folder, session);
      if (path === undefined) return;
      await makeFolder(join(home, "sessions"));
      await makeFolder(folderOf(folder));
      const file = await open(path, "a+", 0o600).catch((cause: unknown) => Promise.reject(unusable(path, cause)));
      try {
        const size = await mend(file);
        const header = size > 0 ? "" : `${JSON.stringify({ v: VERSION, session, group: folder })}\n`;
        await file.appendFile(header + turns.map(lineOf).join(""));
        // Once in its life: a transcript that is missing was deleted by a person.
        if (size === 0) await syncNew(file, folderOf(folder));
      } catch (cause) {
        throw unusable(path, cause);
      } finally {
        await file.close();
      }
    },

    async remove(folder, session) {
      const path = pathOf(folder, session);
      if (path !== undefined) await rm(path, { force: true });
    },

    async setAside(folder, session) {
      const path = pathOf(folder, session);
      if (path !== undefined) await rename(path, `${path}.damaged`).catch((cause: unknown) => Promise.reject(unusable(path, cause)));
    },
  };
}

function lineOf({ turn, at, entries }: TranscriptTurn): string {
  return `${JSON.stringify({ turn, at: new Date(at).toISOString(), entries })}\n`;
}

function isHeaderOf(line: string, folder: string, session: string): boolean {
  try {
    const header = Header.parse(JSON.parse(line));
    return header.session === session && header.group === folder;
  } catch {
    return false;
  }
}

function parseLines(text: string, isWhole: boolean): TranscriptReading {
  const turns: TranscriptTurn[] = [];
  for (const [n, line] of text.split("\n").entries()) {
    if (line === "") continue;
    try {
      const { turn, at, entries } = Line.parse(JSON.parse(line));
      turns.push({ turn, at: Date.parse(at), entries });
    } catch {
      return damaged(n + 1, "it cannot be read");
    }
  }
  return { state: "readable", turns, isWhole };
}

function damaged(line: number, what: string): TranscriptReading {
  return { state: "damaged", reason: `line ${line} of what was read: ${what}` };
}

/** Cuts off a last line without its newline. Returns the size then. */
async function mend(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  for (let end = size; end > 0; ) {
    const from = Math.max(0, end - HEADER_BYTES);
    const last = (await readAt(file, from, end - from)).lastIndexOf(NEWLINE);
    if (last >= 0) {
      const whole = from + last + 1;
      if (whole < size) await file.truncate(whole);
      return whole;
    }
    end = from;
  }
  if (size > 0) await file.truncate(0);
  return 0;
}

async function syncNew(file: FileHandle, folder: string): Promise<void> {
  await file.sync();
  await using entry = await open(folder, "r");
  await entry.sync();
}

async function readAt(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, from);
  return buffer.subarray(0, bytesRead);
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unusable(path, cause);
  }
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 }).catch((cause: unknown) => Promise.reject(unusable(path, cause)));
}

function unusable(path: string, cause: unknown): StoreError {
  const isFull = (cause as NodeJS.ErrnoException).code === "ENOSPC";
  return new StoreError(isFull ? "STORE_FULL" : "HOME_UNUSABLE", `The transcript ${path} cannot be used: ${(cause as Error).message}.`, {
    cause,
    retryable: true,
    hint: isFull ? "Free some space." : "Mend its permissions, or move it away to begin a new conversation.",
  });
}
