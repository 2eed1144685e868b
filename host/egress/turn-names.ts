/** The names one turn has looked up at the same time: a look-up cannot be called back, so one that nobody waits for any more counts too. */
import { RefusedError } from "../domain/errors.ts";
import type { Outside } from "../ports/outside.ts";

/** Half of what the host looks up at once (host/adapters/outside-net/name-lookups.ts), so that no turn takes it all. */
const MOST_AT_ONCE = 4;

export class TurnNames {
  #underWay = 0;

  /** As the port; rejects with RefusedError EGRESS_LIMIT where too many are under way. */
  async resolve(name: string, signal: AbortSignal, outside: Outside): Promise<readonly string[]> {
    if (this.#underWay >= MOST_AT_ONCE) {
      throw new RefusedError(
        "EGRESS_LIMIT",
        `${MOST_AT_ONCE} names are being looked up for this turn and have no answer yet; wait until they have, or have none.`,
      );
    }
    this.#underWay++;
    try {
      return await outside.resolve(name, signal);
    } finally {
      this.#underWay--;
    }
  }
}
