/** A clock that moves only when told. Timers fire in due order, each at its own time. */
import type { Clock } from "../../ports/clock.ts";

interface Pending {
  /** By the timers' own clock, which a jump of the wall clock does not move. */
  readonly due: number;
  readonly order: number;
  readonly callback: () => void;
}

export class FakeClock implements Clock {
  #now: number;
  #wallAhead = 0;
  #order = 0;
  readonly #pending = new Set<Pending>();

  /** `start`: epoch milliseconds. */
  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start;
  }

  now(): number {
    return this.#now + this.#wallAhead;
  }

  setTimer(ms: number, callback: () => void): { cancel(): void } {
    const entry = { due: this.#now + Math.max(0, ms), order: this.#order++, callback };
    this.#pending.add(entry);
    return { cancel: () => void this.#pending.delete(entry) };
  }

  /** The wall clock is set; timers do not notice. */
  jump(ms: number): void {
    this.#wallAhead += ms;
  }

  /** Timers not yet fired. */
  get armed(): number {
    return this.#pending.size;
  }

  /** When the next timer fires, epoch milliseconds; undefined: none is armed. */
  get nextDue(): number | undefined {
    return this.#next()?.due;
  }

  /** Moves time forward by `ms`, firing what falls due on the way, also what those set. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.due > until) break;
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.due);
      next.callback();
    }
    this.#now = until;
  }

  #next(): Pending | undefined {
    let first: Pending | undefined;
    for (const one of this.#pending) {
      if (first === undefined || one.due < first.due || (one.due === first.due && one.order < first.order)) first = one;
    }
    return first;
  }
}
