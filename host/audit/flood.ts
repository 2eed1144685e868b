/**
 * What one group may have written record by record.
 *
 * The log has room for a number of records and forgets the oldest: a sandbox that causes enough of them could wash out what it did before. A group that
 * has used up its share is counted instead: alike entries become one record with a number, at the end of its turn or after a while. That this began is a record at once, so that a
 * crash loses numbers and never the fact. The host's own entries, and the kinds that are few and matter most, are always written.
 */
import type { AuditEntry, AuditKind } from "../ports/audit.ts";
import type { WrittenEntry } from "./entry.ts";

/** An install of several hundred packages, its turn's tools, and as much again. */
const SHARE = 1_000;
/** 14,400 a day, some 4 MiB: to wash out 64 MiB takes a fortnight. */
const PER_MINUTE = 10;
const MINUTE_MS = 60_000;
/** How long numbers are held back under a turn that does not end. */
const HOLD_MS = 10 * MINUTE_MS;
/** Of each group; what else there is goes together. */
const MAX_SUBJECTS = 8;

const ALWAYS: ReadonlySet<AuditKind> = new Set(["decoy", "leak", "lease", "secret", "override", "config", "audit"]);

interface Share {
  left: number;
  /** Epoch milliseconds up to which `left` was counted. */
  at: number;
  /** When the first of `counted` came; undefined: there is none. */
  since: number | undefined;
  readonly counted: Map<string, { entry: WrittenEntry; times: number }>;
}

export class Flood {
  readonly #shares = new Map<string, Share>();

  /** `count`: not to be written, it will be in what `overdue` or `all` return. `begin`: the same, and that is to be said. */
  judge(entry: WrittenEntry, now: number): "write" | "begin" | "count" {
    if (entry.group === null || ALWAYS.has(entry.kind)) return "write";
    const share = this.#shareOf(entry.group, now);
    if (share.since === undefined && share.left >= 1) {
      share.left--;
      return "write";
    }
    const verdict = share.since === undefined ? "begin" : "count";
    share.since ??= now;
    add(share.counted, entry);
    return verdict;
  }

  /** What has been held back for long enough; it is forgotten here. */
  overdue(now: number): WrittenEntry[] {
    return this.#take((since) => now - since >= HOLD_MS);
  }

  all(): WrittenEntry[] {
    return this.#take(() => true);
  }

  #shareOf(group: string, now: number): Share {
    const share = this.#shares.get(group) ?? { left: SHARE, at: now, since: undefined, counted: new Map() };
    this.#shares.set(group, share);
    // A clock that was set back gives nothing.
    share.left = Math.min(SHARE, share.left + (Math.max(0, now - share.at) / MINUTE_MS) * PER_MINUTE);
    share.at = now;
    return share;
  }

  #take(isDue: (since: number) => boolean): WrittenEntry[] {
    const taken: WrittenEntry[] = [];
    for (const share of this.#shares.values()) {
      if (share.since === undefined || !isDue(share.since)) continue;
      for (const { entry, times } of share.counted.values()) taken.push({ ...entry, times });
      share.counted.clear();
      share.since = undefined;
    }
    return taken;
  }
}

export function beginningOfFlood(group: string | null, turn: number | null): AuditEntry {
  return {
    kind: "audit",
    decision: "noted",
    group,
    turn,
    subject: "many records",
    reason: "This group causes more records than are written one by one: alike ones are counted from here on, and written together.",
  };
}

function add(counted: Share["counted"], entry: WrittenEntry): void {
  const key = JSON.stringify([entry.kind, entry.decision, entry.subject]);
  const known = counted.get(key);
  if (known !== undefined) known.times += entry.times;
  else if (counted.size < MAX_SUBJECTS) counted.set(key, { entry, times: entry.times });
  else addOther(counted, entry);
}

/** One for each kind and decision. */
function addOther(counted: Share["counted"], entry: WrittenEntry): void {
  const key = JSON.stringify([entry.kind, entry.decision]);
  const known = counted.get(key);
  const other = { ...entry, subject: "others", reason: "Different ones, counted together." };
  if (known === undefined) counted.set(key, { entry: other, times: entry.times });
  else known.times += entry.times;
}
