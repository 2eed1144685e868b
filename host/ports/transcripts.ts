/**
 * Transcripts: what was said in a group's conversation, kept from turn to turn.
 *
 * Append-only. The journal in the store is the truth about a turn; a transcript is what a later turn is given of it, and what a person can read.
 */
import type { JournalEntry } from "../../contracts/wire/turn.ts";

export interface TranscriptTurn {
  /** Number of the turn in the store; null: taken over from another program. */
  readonly turn: number | null;
  /** When it ended, epoch milliseconds. */
  readonly at: number;
  readonly entries: readonly JournalEntry[];
}

/** `isWhole`: there are no older turns. `damaged`: something in it cannot be read, so nothing of it is used. `missing` also stands for a name no transcript can have. */
export type TranscriptReading =
  | { readonly state: "readable"; readonly turns: readonly TranscriptTurn[]; readonly isWhole: boolean }
  | { readonly state: "missing" }
  | { readonly state: "damaged"; readonly reason: string };

export interface Transcripts {
  /** The newest turns, oldest of them first, as many as fit into about `maxBytes`. What a crash left half-written at the end is passed over. */
  read(folder: string, session: string, maxBytes: number): Promise<TranscriptReading>;
  /** Begins the transcript if there is none, on disk when this resolves; mends a half-written end; adds the turns. Rejects when the disk does. */
  append(folder: string, session: string, turns: readonly TranscriptTurn[]): Promise<void>;
  /** Out of the way, under another name, for a person to look at. */
  setAside(folder: string, session: string): Promise<void>;
  /** Gone, if it is there. */
  remove(folder: string, session: string): Promise<void>;
}
