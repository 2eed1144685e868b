import { SessionId } from "../../../contracts/wire/turn.ts";
import type { Transcripts, TranscriptTurn } from "../../ports/transcripts.ts";

/** Transcripts without a disk; `damage` makes one unreadable. */
export class MemoryTranscripts implements Transcripts {
  readonly #kept = new Map<string, readonly TranscriptTurn[] | "damaged">();

  async read(folder: string, session: string, maxBytes: number) {
    const kept = this.#kept.get(keyOf(folder, session));
    if (kept === undefined) return { state: "missing" } as const;
    if (kept === "damaged") return { state: "damaged", reason: "it was damaged" } as const;
    let room = maxBytes;
    const first = kept.findLastIndex((turn) => (room -= Buffer.byteLength(JSON.stringify(turn))) < 0) + 1;
    return { state: "readable", turns: kept.slice(first), isWhole: first === 0 } as const;
  }

  async append(folder: string, session: string, turns: readonly TranscriptTurn[]) {
    if (!SessionId.safeParse(session).success) return;
    const kept = this.#kept.get(keyOf(folder, session)) ?? [];
    if (kept !== "damaged") this.#kept.set(keyOf(folder, session), [...kept, ...turns]);
  }

  async setAside(folder: string, session: string) {
    this.#kept.delete(keyOf(folder, session));
  }

  async remove(folder: string, session: string) {
    this.#kept.delete(keyOf(folder, session));
  }

  damage(folder: string, session: string): void {
    this.#kept.set(keyOf(folder, session), "damaged");
  }
}

function keyOf(folder: string, session: string): string {
  return `${folder}/${session}`;
}
