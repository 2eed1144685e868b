/** What the time rules need to know of a time zone. Instants are epoch milliseconds, offsets milliseconds east of UTC. */

/** A time during which the zone's clocks ran at one offset. */
export interface Stretch {
  /** First instant of it; -Infinity where nothing came before. */
  readonly from: number;
  /** First instant after it; Infinity where no change is known to follow. */
  readonly until: number;
  readonly offset: number;
  /** The offset just before `from`; the same as `offset` where nothing changed there. */
  readonly before: number;
}

export interface Zone {
  /** As asked for, such as `Europe/Berlin`. */
  readonly name: string;
  /**
   * The stretch that holds `instant`. A zone may answer with a part of it, if at least two days of it lie on either side: the rules
   * look back at a change no farther than the clocks were moved by it, and nobody has moved them by more than a day.
   */
  stretchAt(instant: number): Stretch;
}

/** Undefined: there is no such zone. Names are exact. */
export type FindZone = (name: string) => Zone | undefined;

/** The last instant a JavaScript date can hold; no schedule reaches past it. */
export const LAST_INSTANT = 8_640_000_000_000_000;

/**
 * The instant at which clocks of the zone show `local` (milliseconds as if the clock showed UTC). Shown twice: the first. Never
 * shown, because clocks were put forward over it: as if they had been put forward a little later, so 02:30 becomes 03:30.
 */
export function instantOf(zone: Zone, local: number): number {
  const day = 24 * 60 * 60 * 1000;
  const early = local - zone.stretchAt(local - day).offset;
  const late = local - zone.stretchAt(local + day).offset;
  const shows = (instant: number): boolean => instant + zone.stretchAt(instant).offset === local;
  if (shows(Math.min(early, late))) return Math.min(early, late);
  return shows(late) ? late : early;
}
