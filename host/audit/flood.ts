/**
 * What one group may have written record by record.
 *
 * The log has room for a number of records and forgets the oldest: a sandbox that causes enough of them could wash out what it did before.
 * Where a group has used up its share, alike entries become one record with a number, at the end of its turn or after a while. That this
 * began is a record at once, so that a crash loses numbers and never the fact. What was tried in vain, what was done, what leaked and which
 * decoy was taken have shares of their own, and of all but the first each new name is still written at once: thousands of tries hide no
 * place that was reached. The host's own entries, and kinds no sandbox can cause many of, are always written.
 */
import type { AuditKind } from "../ports/audit.ts";
import type { WrittenEntry } from "./entry.ts";

const MINUTE_MS = 60_000;
/** How long numbers are held back under a turn that does not end. */
const HOLD_MS = 10 * MINUTE_MS;

type Sort = "tried" | "done" | "leak" | "decoy";

/**
 * `singles`: written whatever they are. `names`: thereafter, different ones. Both grow again by `perMinute`.
 *
 * `tried`: an install of several hundred packages, and as much again. All together some 50,000 records a day, 16 MiB: to wash out 64 MiB
 * takes days.
 */
const SHARES: Readonly<Record<Sort, { readonly singles: number; readonly names: number; readonly perMinute: number }>> = {
  tried: { singles: 1_000, names: 0, perMinute: 10 },
  done: { singles: 1_000, names: 1_000, perMinute: 10 },
  leak: { singles: 200, names: 100, perMinute: 2 },
  decoy: { singles: 200, names: 100, perMinute: 2 },
};
/** Kept by name whenever counting begins; what else there is goes together. */
const MIN_NAMES = 8;

const ALWAYS: ReadonlySet<AuditKind> = new Set(["lease", "secret", "override", "config", "audit"]);

interface Share {
  readonly sort: Sort;
  singles: number;
  names: number;
  /** Epoch milliseconds up to which both were counted. */
  at: number;
  /** When counting began; undefined: each is written. */
  since: number | undefined;
  /** `times`: not written yet. */
  readonly counted: Map<string, { readonly entry: WrittenEntry; times: number }>;
}

export class Flood {
  readonly #write: (entry: WrittenEntry) => void;
  readonly #shares = new Map<string, Share>();

  /** `write` may throw: then what it was given counts as not written, and what was counted stays so. */
  constructor(write: (entry: WrittenEntry) => void) {
    this.#write = write;
  }

  /** Writes it or counts it. */
  record(entry: WrittenEntry, now: number): void {
    if (entry.group === null || ALWAYS.has(entry.kind)) return this.#write(entry);
    const share = this.#shareOf(entry.group, sortOf(entry), now);
    if (share.since !== undefined || share.singles < 1) return this.#count(share, entry, now);
    this.#write(entry);
    share.singles--;
  }

  /** Writes what has been held back for long enough. */
  tellOverdue(now: number): void {
    for (const share of this.#shares.values()) {
      if (share.since !== undefined && now - share.since >= HOLD_MS) this.#tell(share);
    }
  }

  tellAll(): void {
    for (const share of this.#shares.values()) this.#tell(share);
  }

  #count(share: Share, entry: WrittenEntry, now: number): void {
    if (share.since === undefined) {
      this.#write(beginning(entry));
      share.since = now;
      share.names = Math.max(share.names, MIN_NAMES);
    }
    const known = share.counted.get(keyOf(entry));
    if (known !== undefined) known.times += entry.times;
    else if (share.names >= 1) this.#name(share, entry);
    else addOther(share.counted, entry);
  }

  #name(share: Share, entry: WrittenEntry): void {
    const isTold = share.sort !== "tried";
    if (isTold) this.#write(entry);
    share.names--;
    share.counted.set(keyOf(entry), { entry, times: isTold ? 0 : entry.times });
  }

  /** What is written is no longer counted, one by one: none is lost or told twice where this ends half way. */
  #tell(share: Share): void {
    for (const [key, { entry, times }] of share.counted) {
      if (times > 0) this.#write({ ...entry, times });
      share.counted.delete(key);
    }
    share.since = undefined;
  }

  #shareOf(group: string, sort: Sort, now: number): Share {
    const { singles, names, perMinute } = SHARES[sort];
    const key = `${sort} ${group}`;
    const share = this.#shares.get(key) ?? { sort, singles, names, at: now, since: undefined, counted: new Map() };
    this.#shares.set(key, share);
    // A clock that was set back gives nothing.
    const more = (Math.max(0, now - share.at) / MINUTE_MS) * perMinute;
    share.singles = Math.min(singles, share.singles + more);
    share.names = Math.max(share.names, Math.min(names, share.names + more));
    share.at = now;
    return share;
  }
}

function sortOf({ kind, decision }: WrittenEntry): Sort {
  if (kind === "leak" || kind === "decoy") return kind;
  return decision === "denied" ? "tried" : "done";
}

function beginning({ group, turn }: WrittenEntry): WrittenEntry {
  return {
    kind: "audit",
    decision: "noted",
    group,
    turn,
    subject: "many records",
    reason: "This group causes more records than are written one by one: alike ones are counted from here on, and written together.",
    times: 1,
  };
}

function keyOf({ kind, decision, subject }: WrittenEntry): string {
  return JSON.stringify([kind, decision, subject]);
}

/** One for each kind and decision. */
function addOther(counted: Share["counted"], entry: WrittenEntry): void {
  const key = JSON.stringify([entry.kind, entry.decision]);
  const known = counted.get(key);
  if (known !== undefined) known.times += entry.times;
  else counted.set(key, { entry: { ...entry, subject: "others", reason: "Different ones, counted together." }, times: entry.times });
}
