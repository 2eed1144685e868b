/**
 * Clean hands: may a sandbox serve its group's next turn?
 *
 * Only where it was seen from outside that the last turn left nothing in it, and where that turn held nothing that must end with it. In any
 * doubt it is discarded: a new one costs a quarter of a second. That the runner's own memory is clean cannot be seen; so what a turn was
 * lent, or read from outside, ends the sandbox whatever else is seen.
 */
import type { SandboxRest } from "../ports/sandbox-runtime.ts";

export interface LastTurn {
  /** Of the paused sandbox; undefined where it could not be seen. */
  readonly rest: SandboxRest | undefined;
  /** A secret was lent to the turn. */
  readonly leased: boolean;
  /** The turn was let out, or was shown what came from elsewhere than its own group. */
  readonly sawOutside: boolean;
}

/** `reason`: for the log, in words. */
export type Reuse = { readonly reuse: true } | { readonly reuse: false; readonly reason: string };

export function mayReuse({ rest, leased, sawOutside }: LastTurn): Reuse {
  if (leased) return discard("a secret was lent to it");
  if (sawOutside) return discard("it has seen content from outside");
  if (rest === undefined) return discard("what is left in it cannot be seen from here");
  if (rest.processes > 0) return discard(`${rest.processes} ${rest.processes === 1 ? "process was" : "processes were"} left in it`);
  if (rest.leftovers.length > 0)
    return discard(`something was left in it: ${rest.leftovers.map((path) => JSON.stringify(path)).join(", ")}`);
  return { reuse: true };
}

function discard(reason: string): Reuse {
  return { reuse: false, reason };
}
