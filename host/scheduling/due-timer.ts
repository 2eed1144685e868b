/**
 * Due timer: wakes the groups whose tasks fall due.
 *
 * Promise: one armed timer, for the earliest occurrence; no polling of the store. An occurrence is claimed in the store before anybody
 * is woken, so a task never runs twice, and a lost wake-up costs latency only: what was claimed is found at the next start.
 *
 * The wall clock and the clock of timers are two. Three cases:
 *   set back        the timer fires early by the wall clock: nothing is due yet, it is armed again.
 *   set forward     the timer would fire late. It never sleeps longer than `LONGEST_SLEEP_MS`, so it is late by that at most.
 *   suspended       timers stand still while the wall clock goes on: the same as set forward.
 * That sleep is one comparison of numbers, without the store, and there is none while no task is active.
 */
import type { Clock, Timer } from "../ports/clock.ts";
import type { Task } from "../domain/task.ts";
import type { DueDecision } from "../domain/task-rules.ts";
import type { TaskStore } from "../ports/task-store.ts";

/** Cron's own grain. */
const LONGEST_SLEEP_MS = 60_000;

export interface DueTimerOptions {
  readonly store: TaskStore;
  readonly clock: Clock;
  readonly decide: (task: Task, isRegistered: boolean, now: number) => DueDecision;
  readonly onDue: (folder: string) => void;
  /** Something was put in the outbox. */
  readonly onNotice: () => void;
}

export class DueTimer {
  readonly #o: DueTimerOptions;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: DueTimerOptions) {
    this.#o = options;
  }

  /** Looks at what is due now and arms for what comes next. Call it at the start and whenever a task changed; throws StoreError. */
  arm(): void {
    if (this.#closed) return;
    this.#claim();
    this.#sleepUntil(this.#o.store.nextDue());
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #claim(): void {
    const { store, clock, decide, onDue, onNotice } = this.#o;
    const now = clock.now();
    const next = store.nextDue();
    if (next === undefined || next > now) return;
    const folders = store.claimDue(now, (task, isRegistered) => decide(task, isRegistered, now));
    onNotice();
    for (const folder of folders) onDue(folder);
  }

  #sleepUntil(due: number | undefined): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (due === undefined) return;
    const sleep = Math.min(Math.max(0, due - this.#o.clock.now()), LONGEST_SLEEP_MS);
    this.#timer = this.#o.clock.setTimer(sleep, () => (this.#o.clock.now() < due ? this.#sleepUntil(due) : this.#wake()));
  }

  #wake(): void {
    // A store that fails here has reported its fault, which stops the host.
    try {
      this.arm();
    } catch {
      this.close();
    }
  }
}
