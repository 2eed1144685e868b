/**
 * What becomes of a task: when it is made, when it falls due, and when a run of it has ended. Pure; the arithmetic is in schedule.ts.
 *
 * A failing task tells its chat twice a streak: at the first failure, and when it is paused. The failures in between would only repeat
 * what is known; they are in its log. Told in any case: the failure of a run somebody asked for, and one after which none comes.
 */
import { firstCharacters } from "./bounded-text.ts";
import { notice } from "./notice.ts";
import { parseSchedule, type WrittenSchedule } from "./schedule.ts";
import { afterRun, heldBack, pauseAfterFailures } from "./schedule-after-run.ts";
import { type FindZone, LAST_INSTANT } from "./schedule-zone.ts";
import { MISSED_AFTER_MS, type Task, type TaskOutcome, type TaskStatus } from "./task.ts";

/** The next occurrence of a schedule, or why it cannot be. */
export type NextRun = { readonly nextRun: string | null } | { readonly refusal: string };

/** What a finished run leaves on its task. */
export interface TaskClosing {
  readonly nextRun: string | null;
  readonly status: TaskStatus;
  readonly lastResult: string;
  readonly failures: number;
  /** Told to the task's chat. */
  readonly notice?: string;
}

/** What to do with a task that is due. `run`: an occurrence waits for its turn from now on. */
export type DueDecision =
  | { readonly kind: "run" }
  /** A missed occurrence that is not made up for. */
  | { readonly kind: "skip"; readonly nextRun: string | null }
  /** It cannot run as things are: one error row, then it rests, and the main group is told. */
  | { readonly kind: "pause"; readonly error: string; readonly notice: string };

/** Of a prompt in a notice: enough to know the task by. */
const PROMPT_LENGTH = 60;

export class TaskRules {
  readonly #findZone: FindZone;
  readonly #householdZone: string;
  readonly #maxFailures: number;

  /** `householdZone`: IANA name for tasks that have none of their own. `maxFailures`: in a row; at that many a task is paused. */
  constructor(findZone: FindZone, householdZone: string, maxFailures: number) {
    this.#findZone = findZone;
    this.#householdZone = householdZone;
    this.#maxFailures = maxFailures;
  }

  /** `id`: the task's, which decides what an `H` in a cron expression stands for. */
  firstRun(
    id: string,
    schedule: { readonly type: string; readonly value: string; readonly timeZone: string | null },
    now: number,
  ): NextRun {
    const parsed = parseSchedule({ ...schedule, zone: schedule.timeZone ?? this.#householdZone, seed: id }, this.#findZone, now);
    return "refused" in parsed ? { refusal: parsed.refused } : { nextRun: iso(parsed.firstRun) };
  }

  /**
   * The next run once its failures are forgotten: what was held back comes in its ordinary time, what is overdue stays so, and what was
   * paused because its schedule could not be read is read again.
   */
  nextAfterRelease(task: Task, now: number): NextRun {
    const { id, scheduleType: type, scheduleValue: value, timeZone } = task;
    if (task.nextRun === null && task.status !== "paused") return { nextRun: null };
    const planned = timeOf(task.nextRun);
    if (Number.isNaN(planned)) return this.firstRun(id, { type, value, timeZone }, now);
    if (pauseAfterFailures(task.failures) === 0) return { nextRun: task.nextRun };
    const parsed = parseSchedule(this.#written(task), this.#findZone, now);
    return { nextRun: "refused" in parsed ? task.nextRun : iso(Math.min(parsed.firstRun, planned)) };
  }

  /** `isRegistered`: whether the group it runs as still exists. */
  decide(task: Task, isRegistered: boolean, now: number): DueDecision {
    if (!isRegistered) {
      const error = `No group is registered in the folder ${task.folder}.`;
      return { kind: "pause", error, notice: paused(task, error) };
    }
    const isMissed = task.nextRun !== null && now - Date.parse(task.nextRun) > MISSED_AFTER_MS;
    if (!isMissed || task.catchUp !== "skip" || task.scheduleType === "once") return { kind: "run" };
    const parsed = parseSchedule(this.#written(task), this.#findZone, now);
    return "refused" in parsed ? { kind: "run" } : { kind: "skip", nextRun: iso(parsed.firstRun) };
  }

  /** `dueAt`: of the occurrence that ran, or when its run was asked for. What is planned beside it stays planned. */
  close(task: Task, dueAt: number, outcome: TaskOutcome, endedAt: number): TaskClosing {
    const written = { ...this.#written(task), status: task.status };
    const { lastResult, pausedBecause, completedBecause, ...counted } = afterRun(written, outcome, endedAt, this.#findZone);
    const planned = this.#stillPlanned(task, dueAt, counted.nextRun, endedAt);
    const after = planned === undefined ? counted : { nextRun: planned, status: task.status };
    const { error } = outcome;
    const isFailure = error !== null && outcome.outcome !== "stopped";
    const failures = error === null ? 0 : task.failures + (isFailure ? 1 : 0);
    const because = pausedBecause ?? completedBecause;
    if (because !== undefined) {
      const why = isFailure ? `${because} Its run failed as well: ${sentence(error)}` : because;
      const said = pausedBecause === undefined ? notice(`${named(task)} does not run again: ${why}`) : paused(task, why);
      return { nextRun: null, status: after.status, lastResult, failures, notice: said };
    }
    const isMadeUpFor = planned === undefined && task.catchUp === "all";
    const next = isMadeUpFor && after.nextRun !== null ? this.#nextAfter(written, dueAt, after.nextRun) : after.nextRun;
    const closing = { nextRun: next === null ? null : iso(next), status: after.status, lastResult, failures };
    if (error === null) return closing;
    if (!isFailure) return { ...closing, notice: notice(error) };
    if (after.status === "active" && failures >= this.#maxFailures) {
      const why = `it failed ${failures} ${failures === 1 ? "time" : "times in a row"}, last with: ${sentence(error)}`;
      return { ...closing, status: "paused", notice: paused(task, why) };
    }
    const pauseMs = pauseAfterFailures(failures);
    const held = next === null || pauseMs === 0 ? next : heldBack(written, next, endedAt + pauseMs, this.#findZone);
    const wasAskedFor = timeOf(task.nextRun) !== dueAt;
    const isTold = failures === 1 || wasAskedFor || after.status === "completed";
    return {
      ...closing,
      nextRun: held === null ? null : iso(held),
      ...(isTold ? { notice: notice(`${named(task)} failed: ${sentence(error)} ${this.#whatNow(task, after.status, held)}`) } : {}),
    };
  }

  /**
   * Its next run where that is another than the one that ran: the run was asked for beside the schedule, or somebody moved the task
   * meanwhile, perhaps itself. What was only held back comes in its ordinary time, `counted`, at the latest.
   */
  #stillPlanned(task: Task, dueAt: number, counted: number | null, endedAt: number): number | undefined {
    const planned = timeOf(task.nextRun);
    // Nothing else would bring a task back that runs once, also where its time came while the run took place.
    if (task.scheduleType === "once") return planned > dueAt ? planned : undefined;
    if (counted === null || planned === dueAt || !(planned > endedAt)) return undefined;
    return pauseAfterFailures(task.failures) === 0 ? planned : Math.min(planned, counted);
  }

  /** Counted from the occurrence instead of from now, so that each missed one comes up in its turn. */
  #nextAfter(written: WrittenSchedule, dueAt: number, otherwise: number): number {
    const parsed = parseSchedule(written, this.#findZone, dueAt);
    return "refused" in parsed ? otherwise : parsed.firstRun;
  }

  #whatNow(task: Task, status: TaskStatus, next: number | null): string {
    if (status === "completed" || next === null) return "It does not run again by itself.";
    if (status === "paused") return "It is paused.";
    const when = this.#wallClock(next, task.timeZone ?? this.#householdZone);
    return `It runs next at ${when}. This is not repeated for each failure; after ${this.#maxFailures} in a row it is paused.`;
  }

  /** To the minute, as people in the task's zone read it. */
  #wallClock(at: number, zoneName: string): string {
    const zone = this.#findZone(zoneName);
    const [date, time = ""] = iso(Math.min(at + (zone?.stretchAt(at).offset ?? 0), LAST_INSTANT)).split("T");
    return `${date} ${time.slice(0, "hh:mm".length)} (${zone?.name ?? "UTC"})`;
  }

  #written(task: Task): WrittenSchedule {
    return { type: task.scheduleType, value: task.scheduleValue, zone: task.timeZone ?? this.#householdZone, seed: task.id };
  }
}

/** A next run that a hand has written into the database and no clock can read: counted anew when the task is resumed. */
export function undated(task: Task): { readonly error: string; readonly notice: string } {
  const error = `Its next run is stored as "${task.nextRun?.slice(0, PROMPT_LENGTH)}", which is not a time as the host writes it.`;
  return { error, notice: notice(`${named(task)} was paused. ${error} Resume it, and it follows its schedule again.`) };
}

function paused(task: Task, why: string): string {
  return notice(`${named(task)} was paused: ${why} Resume it once that is mended.`);
}

/** An id alone says nothing to people. */
function named({ id, prompt }: Task): string {
  const line = prompt.replace(/\s+/g, " ").trim();
  return `Task ${id} (“${line.length > PROMPT_LENGTH ? `${firstCharacters(line, PROMPT_LENGTH)}…` : line}”)`;
}

function sentence(text: string): string {
  return /[.!?)]$/.test(text) ? text : `${text}.`;
}

/** Epoch milliseconds; NaN: none, or none that can be read. */
function timeOf(nextRun: string | null): number {
  return nextRun === null ? Number.NaN : Date.parse(nextRun);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
