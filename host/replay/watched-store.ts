/**
 * The store as a replay sees it: what is claimed and made can be watched, and tasks fall due on the recorded host's grid.
 *
 * The old program looked for due tasks right after its start and then every minute; ours has a timer for each. So that an interval
 * task runs as often as recorded, nothing is due here between two of those looks.
 */
import type { ClaimedTurn, Store } from "../ports/store.ts";

const FIRST_LOOK_MS = 50;
const LOOK_EVERY_MS = 60_000;

export interface WatchOptions {
  /** Start of this host, epoch milliseconds. */
  readonly startedAt: number;
  /** The recorded host had a timer as well. */
  readonly isExact: boolean;
  readonly onClaim: (claim: ClaimedTurn) => void;
  readonly onTask: (id: string) => void;
}

export function watchStore(store: Store, { startedAt, isExact, onClaim, onTask }: WatchOptions): Store {
  const firstLook = startedAt + FIRST_LOOK_MS;
  /** The look that finds what is due at `ms`. */
  const lookFor = (ms: number): number =>
    isExact ? ms : firstLook + Math.max(0, Math.ceil((ms - firstLook) / LOOK_EVERY_MS)) * LOOK_EVERY_MS;
  return {
    ...store,
    nextDue() {
      const due = store.nextDue();
      return due === undefined ? undefined : lookFor(due);
    },
    claimDue: (now, decide) => (lookFor(now) === now ? store.claimDue(now, decide) : []),
    createTask(task) {
      store.createTask(task);
      onTask(task.id);
    },
    claimTurn(folder, rules, only) {
      const claim = store.claimTurn(folder, rules, only);
      if (claim !== undefined) onClaim(claim);
      return claim;
    },
  };
}
