/**
 * What was typed at the prompt in earlier sessions, oldest first, one entry a line.
 *
 * A convenience: no fault of this file may keep the console from working, so loading falls back to nothing and saving tells
 * whether it worked.
 */
import { mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { neutralise } from "./terminal-text.ts";

export const MAX_HISTORY_LINES = 1_000;
/** Longer entries are pasted texts, not something to come back to with an arrow key. */
const MAX_ENTRY_LENGTH = 2_000;
const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** Newest first, as node:readline wants it. */
export async function loadHistory(path: string): Promise<string[]> {
  try {
    const file = await open(path, "r");
    try {
      const info = await file.stat();
      if (!info.isFile() || info.size > MAX_FILE_BYTES) return [];
      // Neutralised because readline prints an entry as it stands.
      const entries = neutralise(await file.readFile("utf8")).split("\n");
      return bounded(entries.filter((entry) => entry !== "").toReversed());
    } finally {
      await file.close();
    }
  } catch {
    return [];
  }
}

/** Replaces the file (0600) as a whole: a crash leaves the old one or the new one. Rejects with the file system's error. */
export async function saveHistory(path: string, newestFirst: readonly string[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.new`;
  const file = await open(draft, "w", 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(
      bounded(newestFirst)
        .toReversed()
        .map((entry) => `${entry}\n`)
        .join(""),
    );
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}

function bounded(newestFirst: readonly string[]): string[] {
  return newestFirst.filter((entry) => entry.length <= MAX_ENTRY_LENGTH && !entry.includes("\n")).slice(0, MAX_HISTORY_LINES);
}
