/** A clock that moves only when told. Timers fire in due order, each at its own time. */
import type { Clock } from "../../ports/clock.ts";

interface Pending {
  readonly due: number;
  readonly order: number;
  readonly callback: () => void;
}

export class FakeClock implements Clock {
  #now: number;
  #order = 0;
  readonly #pending = new Set<Pending>();

  /** `start`: epoch milliseconds. */
  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  setTimer(ms: number, callback: () => void): { cancel(): void } {
    const entry = { due: this.#now + Math.max(0, ms), order: this.#order++, callback };
    this.#pending.add(entry);
    return { cancel: () => void this.#pending.delete(entry) };
  }

  /** Timers not yet fired. */
  get armed(): number {
    return this.#pending.size;
  }

  /** Moves time forward by `ms`, firing what falls due on the way, also what those set. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = [...this.#pending].toSorted((a, b) => a.due - b.due || a.order - b.order)[0];
      if (next === undefined || next.due > until) break;
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.due);
      next.callback();
    }
    this.#now = until;
  }
}
