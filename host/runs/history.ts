/** How much of earlier turns a turn is given, and how much of a turn is kept for later ones. Pure. */
import type { JournalEntry } from "../../contracts/wire/turn.ts";
import { boundText } from "../domain/bounded-text.ts";

type Entries = readonly JournalEntry[];

/** Of what a turn's journal says, the part that was answered: through the last step that asked for no tool. */
export function answeredPart(journal: Entries): Entries {
  const last = journal.findLastIndex((entry) => entry.kind === "step" && entry.content.every((part) => part.type !== "tool-call"));
  return journal.slice(0, last + 1);
}

/** Largest first; a tool's result is read once, so it is what a later turn misses least. */
const RESULT_BYTES = [4_096, 1_024, 256] as const;
const TEXT_BYTES = 2_048;

/** The turn in about `maxBytes`: first its tools' results are cut, then the steps that called tools go, then long texts are cut, marked each time. */
export function condensed(entries: Entries, maxBytes: number): Entries {
  if (bytesOf(entries) <= maxBytes) return entries;
  for (const limit of RESULT_BYTES) {
    const cut = entries.map((entry) => (entry.kind === "result" ? { ...entry, text: boundText(entry.text, limit) } : entry));
    if (bytesOf(cut) <= maxBytes) return cut;
  }
  const said = entries.flatMap((entry): JournalEntry[] => {
    if (entry.kind === "input") return [{ ...entry, text: boundText(entry.text, TEXT_BYTES) }];
    if (entry.kind === "result" || entry.content.some((part) => part.type === "tool-call")) return [];
    const texts = entry.content.flatMap((part) => (part.type === "text" ? [{ ...part, text: boundText(part.text, TEXT_BYTES) }] : []));
    return [{ ...entry, content: texts }];
  });
  for (let from = 0; from < said.length; from++) {
    const rest = said.slice(from);
    if (rest[0]?.kind === "input" && bytesOf(rest) <= maxBytes) return rest;
  }
  return [];
}

/** The newest turns that fit into `maxBytes` together, oldest first; the newest of all is condensed rather than left out. */
export function fitting(turns: readonly Entries[], maxBytes: number): readonly Entries[] {
  const taken: Entries[] = [];
  let room = maxBytes;
  for (const turn of turns.toReversed()) {
    const fits = taken.length === 0 ? condensed(turn, room) : turn;
    room -= bytesOf(fits);
    if (room < 0) break;
    if (fits.length > 0) taken.unshift(fits);
  }
  return taken;
}

function bytesOf(entries: Entries): number {
  return Buffer.byteLength(JSON.stringify(entries));
}
