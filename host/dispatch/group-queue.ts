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
 *   backing-off  holds no slot; a timer → waiting. `wake` changes nothing: the unfinished turn comes first anyway.
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
  /** Runs the group's next turn. Must not reject; the signal's reason says why it is to end early. */
  readonly run: (folder: string, signal: AbortSignal) => Promise<Verdict>;
}

type Entry =
  | { state: "waiting" }
  | { state: "running"; woken: boolean; abort: AbortController; ended: Promise<void> }
  | { state: "backing-off"; timer: Timer };

export class GroupQueue {
  readonly #options: GroupQueueOptions;
  readonly #slots: PQueue;
  /** Absent means idle. Kept true by the `#set…` methods only. */
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
    const entry = this.#groups.get(folder);
    if (entry === undefined) this.#setWaiting(folder, FIRST_COME);
    else if (entry.state === "running") entry.woken = true;
  }

  state(folder: string): GroupState {
    return this.#groups.get(folder)?.state ?? "idle";
  }

  get running(): number {
    return this.#slots.pending;
  }

  /** Ends the group's running turn, if any, with `reason`; resolves when its run is over. False: it was not running. */
  async stop(folder: string, reason: unknown): Promise<boolean> {
    const entry = this.#groups.get(folder);
    if (entry?.state !== "running") return false;
    entry.abort.abort(reason);
    await entry.ended;
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
      if (entry.state === "running") ending.push(entry.ended);
      else {
        if (entry.state === "backing-off") entry.timer.cancel();
        this.#setIdle(folder);
      }
    }
    if (ending.length === 0) return;
    const grace = Promise.withResolvers<void>();
    const timer = this.#options.clock.setTimer(graceMs, grace.resolve);
    const ended = Promise.all(ending);
    await Promise.race([ended, grace.promise]);
    timer.cancel();
    for (const entry of this.#groups.values()) if (entry.state === "running") entry.abort.abort(reason);
    await ended;
  }

  #setWaiting(folder: string, priority: number): void {
    if (this.#groups.size === 0) this.#quiet = Promise.withResolvers<void>();
    this.#groups.set(folder, { state: "waiting" });
    // Failures of `run` cannot reach here by contract; a rejected add would mean the queue itself is broken.
    void this.#slots.add(() => this.#runOne(folder), { priority });
  }

  #setIdle(folder: string): void {
    this.#groups.delete(folder);
    this.#consecutive.delete(folder);
    if (this.#groups.size === 0) this.#quiet.resolve();
  }

  #setBackingOff(folder: string, retryInMs: number): void {
    const timer = this.#options.clock.setTimer(retryInMs, () => this.#setWaiting(folder, FIRST_COME));
    this.#groups.set(folder, { state: "backing-off", timer });
  }

  async #runOne(folder: string): Promise<void> {
    const abort = new AbortController();
    const ended = Promise.withResolvers<void>();
    const entry = { state: "running" as const, woken: false, abort, ended: ended.promise };
    this.#groups.set(folder, entry);
    const verdict = await this.#options.run(folder, abort.signal);
    ended.resolve();
    if (this.#closed) this.#setIdle(folder);
    else if (verdict.next === "retry") this.#setBackingOff(folder, verdict.retryInMs);
    else if (verdict.next === "again" || entry.woken) this.#setWaiting(folder, this.#priorityToGoOn(folder));
    else this.#setIdle(folder);
  }

  #priorityToGoOn(folder: string): number {
    const turns = (this.#consecutive.get(folder) ?? 0) + 1;
    const yields = turns >= MAX_CONSECUTIVE;
    this.#consecutive.set(folder, yields ? 0 : turns);
    return yields ? FIRST_COME : GOES_ON;
  }
}
