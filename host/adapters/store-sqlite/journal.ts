import { JournalEntry } from "../../../contracts/wire/turn.ts";

/** The stored bodies of a turn's journal; undefined: one of them cannot be read, and without it the others mean something else. */
export function readJournal(bodies: readonly string[]): readonly JournalEntry[] | undefined {
  try {
    return bodies.map((body) => JournalEntry.parse(JSON.parse(body)));
  } catch {
    return undefined;
  }
}
