/**
 * Group queue: which turn runs next.
 *
 * Promise: a group runs at most one turn at a time and its turns start in arrival order; across groups at most `slots` run.
 * The queue holds folder names, the store holds messages: a lost wake-up costs latency, never a message.
 * Elsewhere: how a turn runs (runs/run-turn.ts), how long to wait before a retry (domain/retry.ts).
 *
 * A group is in one of four states:
 *
 *   idle         nothing known to do. `wake` → waiting.
 *   waiting      one entry in the shared queue, never two. A slot frees up → running. `wake` changes nothing.
 *   running      holds a slot. `wake` is remembered. The run ends → waiting where it was woken or says there may be more,
 *                → backing-off where it asks to be tried later, else → idle.
 *   backing-off  holds no slot; a timer → waiting. `wake` changes nothing: the unfinished turn comes first anyway. `wakeForTask` →
 *                waiting, for tasks only, while the timer goes on.
 *
 * Order under contention is first come, first served, with one exception carried over from the baseline: a group that has more
 * to do when its turn ends goes before groups that wait (golden/tables/queue-order). `MAX_CONSECUTIVE` bounds it.
 * Memory is bounded by construction: a group has one entry however often it is woken.
 */
import PQueue from "p-queue";
import type { Verdict } from "../domain/turn.ts";
import type { Clock, Timer } from "../ports/clock.ts";

export type GroupState = "idle" | "waiting" | "running" | "backing-off";

/** Turns a busy group may take in a row while others wait; then it goes to the end of the line. */
export const MAX_CONSECUTIVE = 8;

const FIRST_COME = 0;
const GOES_ON = 1;

export interface GroupQueueOptions {
  readonly slots: number;
  readonly clock: Clock;
  /**
   * Runs the group's next turn; what is due goes before what was said. `tasks`: its messages back off, only a due task may run. Must
   * not reject; the signal's reason says why it is to end early.
   */
  readonly run: (folder: string, signal: AbortSignal, only?: "tasks") => Promise<Verdict>;
}

interface Entry {
  state: "waiting" | "running" | "resting";
  /** It was woken since its last run began. */
  woken: boolean;
  /** As `woken`, for a task. */
  taskWoken: boolean;
  /** Armed: its unfinished turn is tried again then, and not before. */
  retry?: Timer;
  run?: { readonly abort: AbortController; readonly ended: Promise<void> };
}

export class GroupQueue {
  readonly #options: GroupQueueOptions;
  readonly #slots: PQueue;
  /** Absent means idle. A resting entry has an armed retry. */
  readonly #groups = new Map<string, Entry>();
  readonly #consecutive = new Map<string, number>();
  #closed = false;
  #quiet = Promise.withResolvers<void>();

  constructor(options: GroupQueueOptions) {
    this.#options = options;
    this.#slots = new PQueue({ concurrency: options.slots });
    this.#quiet.resolve();
  }

  /** There may be something to do for this group. Idempotent, cheap, never throws; ignored after close. */
  wake(folder: string): void {
    if (this.#closed) return;
    const entry = this.#entry(folder);
    if (entry.retry !== undefined) return;
    entry.woken = true;
    if (entry.state === "resting") this.#setWaiting(folder, entry, FIRST_COME);
  }

  /** As `wake`, and a task is due: it does not wait for messages that back off. */
  wakeForTask(folder: string): void {
    if (this.#closed) return;
    const entry = this.#entry(folder);
    entry.taskWoken = true;
    if (entry.state === "resting") this.#setWaiting(folder, entry, FIRST_COME);
  }

  state(folder: string): GroupState {
    const state = this.#groups.get(folder)?.state ?? "idle";
    return state === "resting" ? "backing-off" : state;
  }

  get running(): number {
    return this.#slots.pending;
  }

  /** Ends the group's running turn, if any, with `reason`; resolves when its run is over. False: it was not running. */
  async stop(folder: string, reason: unknown): Promise<boolean> {
    const run = this.#groups.get(folder)?.run;
    if (run === undefined) return false;
    run.abort.abort(reason);
    await run.ended;
    return true;
  }

  /** Resolves when no group waits, runs or backs off. */
  quiet(): Promise<void> {
    return this.#quiet.promise;
  }

  /** Starts nothing more. Running turns have `graceMs` to end; what remains is aborted with `reason`. */
  async close(graceMs: number, reason: unknown): Promise<void> {
    this.#closed = true;
    this.#slots.pause();
    this.#slots.clear();
    const ending: Promise<void>[] = [];
    for (const [folder, entry] of this.#groups) {
      entry.retry?.cancel();
      if (entry.run === undefined) this.#setIdle(folder);
      else ending.push(entry.run.ended);
    }
    if (ending.length === 0) return;
    const ended = Promise.all(ending);
    if (graceMs > 0) {
      const grace = Promise.withResolvers<void>();
      const timer = this.#options.clock.setTimer(graceMs, grace.resolve);
      await Promise.race([ended, grace.promise]);
      timer.cancel();
    }
    for (const { run } of this.#groups.values()) run?.abort.abort(reason);
    await ended;
  }

  /** Given back with nothing to do and no timer only to a caller who adds work at once. */
  #entry(folder: string): Entry {
    const known = this.#groups.get(folder);
    if (known !== undefined) return known;
    if (this.#groups.size === 0) this.#quiet = Promise.withResolvers<void>();
    const entry: Entry = { state: "resting", woken: false, taskWoken: false };
    this.#groups.set(folder, entry);
    return entry;
  }

  #setWaiting(folder: string, entry: Entry, priority: number): void {
    entry.state = "waiting";
    // Failures of `run` cannot reach here by contract; a rejected add would mean the queue itself is broken.
    void this.#slots.add(() => this.#runOne(folder, entry), { priority });
  }

  #setIdle(folder: string): void {
    this.#groups.delete(folder);
    this.#consecutive.delete(folder);
    if (this.#groups.size === 0) this.#quiet.resolve();
  }

  #armRetry(folder: string, entry: Entry, retryInMs: number): void {
    entry.woken = false;
    entry.retry?.cancel();
    entry.retry = this.#options.clock.setTimer(retryInMs, () => {
      delete entry.retry;
      this.wake(folder);
    });
  }

  async #runOne(folder: string, entry: Entry): Promise<void> {
    // What a channel offers in one go is one batch, not a turn and its follow-ups.
    await Promise.resolve();
    const abort = new AbortController();
    const ended = Promise.withResolvers<void>();
    const only = entry.retry === undefined ? undefined : "tasks";
    entry.state = "running";
    entry.woken = false;
    entry.taskWoken = false;
    entry.run = { abort, ended: ended.promise };
    const verdict = await this.#options.run(folder, abort.signal, only);
    delete entry.run;
    ended.resolve();
    entry.state = "resting";
    if (this.#closed) {
      this.#setIdle(folder);
      return;
    }
    if (verdict.next === "retry") this.#armRetry(folder, entry, verdict.retryInMs);
    const goesOn = verdict.next === "again" || entry.woken || entry.taskWoken;
    if (goesOn) this.#setWaiting(folder, entry, this.#priorityToGoOn(folder));
    else if (entry.retry === undefined) this.#setIdle(folder);
  }

  #priorityToGoOn(folder: string): number {
    const turns = (this.#consecutive.get(folder) ?? 0) + 1;
    const yields = turns >= MAX_CONSECUTIVE;
    this.#consecutive.set(folder, yields ? 0 : turns);
    return yields ? FIRST_COME : GOES_ON;
  }
}
