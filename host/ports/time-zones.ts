/** Time zones: the rules of every zone known here. The time rules of the domain compute with them. */
import type { FindZone } from "../domain/schedule-zone.ts";

export interface TimeZones {
  /**
   * Undefined: no zone of that name. Never throws, also where the name is hostile. The same rules for the life of the host: an update
   * of the zone data counts from the next start.
   */
  readonly find: FindZone;
  /** Name of the zone this machine is set to, `UTC` where it says nothing; a configured zone goes before it. */
  local(): string;
}
