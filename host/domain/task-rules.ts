/**
 * What becomes of a task: when it is made, when it falls due, and when a run of it has ended. Pure; the arithmetic is in schedule.ts.
 */
import { notice } from "./notice.ts";
import { parseSchedule, type WrittenSchedule } from "./schedule.ts";
import { afterRun } from "./schedule-after-run.ts";
import type { FindZone } from "./schedule-zone.ts";
import { FAILURES_BEFORE_PAUSE, MISSED_AFTER_MS, type Task, type TaskOutcome, type TaskStatus } from "./task.ts";

/** The first occurrence of a schedule, or why it cannot be. */
export type FirstRun = { readonly nextRun: string | null } | { readonly refusal: string };

/** What a finished run leaves on its task. */
export interface TaskClosing {
  readonly nextRun: string | null;
  readonly status: TaskStatus;
  readonly lastResult: string;
  readonly failures: number;
  /** Told to the task's chat: why it will not run again by itself. */
  readonly notice?: string;
}

/** What to do with a task that is due. `run`: an occurrence waits for its turn from now on. */
export type DueDecision =
  | { readonly kind: "run" }
  /** A missed occurrence that is not made up for. */
  | { readonly kind: "skip"; readonly nextRun: string | null }
  /** It cannot run as things are: one error row, then it rests, and the main group is told. */
  | { readonly kind: "pause"; readonly error: string; readonly notice: string };

export class TaskRules {
  readonly #findZone: FindZone;
  readonly #householdZone: string;

  /** `householdZone`: IANA name for tasks that have none of their own. */
  constructor(findZone: FindZone, householdZone: string) {
    this.#findZone = findZone;
    this.#householdZone = householdZone;
  }

  /** `id`: the task's, which decides what an `H` in a cron expression stands for. */
  firstRun(
    id: string,
    schedule: { readonly type: string; readonly value: string; readonly timeZone: string | null },
    now: number,
  ): FirstRun {
    const parsed = parseSchedule({ ...schedule, zone: schedule.timeZone ?? this.#householdZone, seed: id }, this.#findZone, now);
    return "refused" in parsed ? { refusal: parsed.refused } : { nextRun: iso(parsed.firstRun) };
  }

  /** `isRegistered`: whether the group it runs as still exists. */
  decide(task: Task, isRegistered: boolean, now: number): DueDecision {
    if (!isRegistered) {
      const error = `No group is registered in the folder ${task.folder}.`;
      return { kind: "pause", error, notice: notice(`Task ${task.id} was paused: ${error}`) };
    }
    const isMissed = task.nextRun !== null && now - Date.parse(task.nextRun) > MISSED_AFTER_MS;
    if (!isMissed || task.catchUp !== "skip" || task.scheduleType === "once") return { kind: "run" };
    const parsed = parseSchedule(this.#written(task), this.#findZone, now);
    return "refused" in parsed ? { kind: "run" } : { kind: "skip", nextRun: iso(parsed.firstRun) };
  }

  close(task: Task, dueAt: number, { result, error }: TaskOutcome, endedAt: number): TaskClosing {
    const written = { ...this.#written(task), status: task.status };
    const after = afterRun(written, { result, error }, endedAt, this.#findZone);
    const failures = error === null ? 0 : task.failures + 1;
    const { lastResult } = after;
    if (after.pausedBecause !== undefined) {
      return { nextRun: null, status: "paused", lastResult, failures, notice: paused(task, after.pausedBecause) };
    }
    const nextRun =
      after.nextRun === null ? null : iso(task.catchUp === "all" ? this.#nextAfter(written, dueAt, after.nextRun) : after.nextRun);
    if (after.status === "active" && failures >= FAILURES_BEFORE_PAUSE) {
      const why = `it failed ${failures} times in a row, last with: ${error}`;
      return { nextRun, status: "paused", lastResult, failures, notice: paused(task, why) };
    }
    return { nextRun, status: after.status, lastResult, failures };
  }

  /** Counted from the occurrence instead of from now, so that each missed one comes up in its turn. */
  #nextAfter(written: WrittenSchedule, dueAt: number, otherwise: number): number {
    const parsed = parseSchedule(written, this.#findZone, dueAt);
    return "refused" in parsed ? otherwise : parsed.firstRun;
  }

  #written(task: Task): WrittenSchedule {
    return { type: task.scheduleType, value: task.scheduleValue, zone: task.timeZone ?? this.#householdZone, seed: task.id };
  }
}

function paused(task: Task, why: string): string {
  return notice(`Task ${task.id} was paused: ${why} Resume it once that is mended.`);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
