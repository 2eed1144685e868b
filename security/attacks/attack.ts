/**
 * Attacks: what a hostile agent, tool, message or neighbour tries, as data. The suite carries them out on a real host and says of each what
 * stopped it and where that was written down.
 */
import type { AuditKind } from "../../host/ports/audit.ts";
import type { AttackRig, TurnSeen } from "../harness/attack-rig.ts";
import type { GroupName } from "../harness/attacked-household.ts";
import type { ServiceStep } from "../harness/scripted-service.ts";

export const FAMILIES = ["network", "secrets", "link", "mounts", "resources", "privilege", "injection"] as const;
export type Family = (typeof FAMILIES)[number];

export interface Attack {
  /** Unique. */
  readonly id: string;
  readonly family: Family;
  /** What is tried, in one plain sentence without its subject: "sends a datagram to the host". */
  readonly tried: string;
  readonly way: Way;
  /** Default: the attack's own word, on a line of what it printed: `STOPPED by what` or `PASSED what came of it`. */
  readonly judge?: (seen: Seen, rig: AttackRig) => Verdict | Promise<Verdict>;
  /** Default: the turn's journal holds what the command came to; of a hostile runner, the turn's run record. */
  readonly recorded?: Recorded;
  /** Not an attack: what must go well, or the attacks around it prove nothing. */
  readonly isControl?: true;
}

export type Way =
  /** Run by our own runner's `exec`, many in one turn. `alone`: in a turn of its own, of this group. */
  | { readonly kind: "command"; readonly command: (rig: AttackRig) => string; readonly alone?: GroupName; readonly seconds?: number }
  /** JavaScript in the runner's place. `first`: another such turn before it. */
  | {
      readonly kind: "runner";
      readonly program: (rig: AttackRig) => string;
      readonly first?: (rig: AttackRig) => string;
      readonly steps?: readonly ServiceStep[];
    }
  /** A turn whose model was talked into this. */
  | {
      readonly kind: "turn";
      readonly group?: GroupName;
      readonly words?: string;
      readonly steps: (rig: AttackRig) => readonly ServiceStep[];
    }
  /** From outside the sandbox; `group`: whose turns it takes, and nobody else meanwhile. */
  | {
      readonly kind: "host";
      readonly group?: GroupName;
      readonly look: (rig: AttackRig) => Promise<Verdict & { readonly turn?: TurnSeen }>;
    };

export interface Seen {
  /** What the attack printed or reported. */
  readonly output: string;
  readonly turn: TurnSeen;
}

export interface Verdict {
  readonly stopped: boolean;
  /** What stopped it; where nothing did, what came of it. */
  readonly by: string;
}

export type Recorded =
  | { readonly in: "audit"; readonly kind: AuditKind; readonly subject?: RegExp | ((rig: AttackRig) => string) }
  | { readonly in: "run"; readonly error?: RegExp }
  | { readonly in: "journal" };

const OWN_WORD = /^(STOPPED|PASSED) (.*)$/m;

/** Begins what is said of an attack that was broken off. */
export const UNFINISHED = "it did not come to its end";

/** An attack that did not come to its end has proven nothing, so it counts as not stopped. */
export function ownWord({ output, turn }: Seen): Verdict {
  const [, word, what = ""] = OWN_WORD.exec(output) ?? [];
  if (word !== undefined) return { stopped: word === "STOPPED", by: what.slice(0, 300) };
  const said = output.trim().slice(-300) || turn.error || "it said nothing";
  return { stopped: false, by: `${UNFINISHED}: ${said}` };
}
