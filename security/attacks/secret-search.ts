/** Whether a planted value is where it must not be. */
import type { AttackRig } from "../harness/attack-rig.ts";
import type { Verdict } from "./attack.ts";

/** Values of the owner's that must not be in it. Shown by their number, never themselves. */
export function mustHoldNone(rig: AttackRig, what: string, text: string): Verdict {
  const at = rig.values.findIndex((value) => text.includes(value));
  return at < 0
    ? { stopped: true, by: `no planted value in ${what} (${text.length} bytes)` }
    : { stopped: false, by: `value ${at + 1} is in ${what}` };
}
