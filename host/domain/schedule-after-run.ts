/**
 * What the end of a run leaves on its task (contract §5). A failed run is like any other: no retry, the next occurrence comes in its
 * time; from the second failure in a row on, not before a pause has passed. A task whose schedule cannot be read is paused with the reason; NanoClaw left it due, and ran it again at every look.
 */
import { firstCharacters } from "./bounded-text.ts";
import { parseSchedule, type WrittenSchedule } from "./schedule.ts";
import type { FindZone } from "./schedule-zone.ts";
import type { TaskOutcome, TaskStatus } from "./task.ts";

export interface AfterRun {
  readonly status: TaskStatus;
  /** Epoch milliseconds; null: none. */
  readonly nextRun: number | null;
  readonly lastResult: string;
  /** Why the host paused it, for the person who made it. */
  readonly pausedBecause?: string;
  /** Why it is over although nobody meant it to be, for the same person. */
  readonly completedBecause?: string;
}

/** UTF-16 units of a result that the task keeps; its log keeps all of it. */
const LAST_RESULT_LENGTH = 200;

const MINUTE_MS = 60_000;
/**
 * A judgement: five failures of a task that runs each minute are half an hour apart then, first to last, so that a router's restart or
 * a provider's bad moment does not pause it.
 */
const FIRST_PAUSE_MS = 5 * MINUTE_MS;
/** Below a day, so that no daily task misses one for it. */
const LONGEST_PAUSE_MS = 12 * 60 * MINUTE_MS;

/**
 * `status`: the task's when the run ends, so that a pause made in the meantime survives. `endedAt`: epoch milliseconds, and what the
 * next run is counted from. Stored types that no task can be made with any more are completed, as recorded, and the reason is given.
 */
export function afterRun(
  task: WrittenSchedule & { readonly status: TaskStatus },
  outcome: Pick<TaskOutcome, "result" | "error">,
  endedAt: number,
  findZone: FindZone,
): AfterRun {
  const lastResult = describeOutcome(outcome);
  if (task.type === "once") return { status: "completed", nextRun: null, lastResult };
  const parsed = parseSchedule(task, findZone, endedAt);
  if ("refused" in parsed && task.type !== "cron" && task.type !== "interval") {
    return { status: "completed", nextRun: null, lastResult, completedBecause: parsed.refused };
  }
  if ("refused" in parsed) {
    return { status: "paused", nextRun: null, lastResult: `Error: ${parsed.refused}`, pausedBecause: parsed.refused };
  }
  return { status: task.status, nextRun: parsed.firstRun, lastResult };
}

/**
 * Milliseconds that must pass between the end of a run and the next one: 0 after the first failure in a row, as recorded; then 5, 10,
 * 20, … minutes, at most 12 hours.
 */
export function pauseAfterFailures(failures: number): number {
  return failures < 2 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (failures - 2), LONGEST_PAUSE_MS);
}

/**
 * The first occurrence at or after `earliest`, where `next` would be sooner: of cron the next on its own grid; an interval has none,
 * it counts from there. Those in between are skipped. Epoch milliseconds.
 */
export function heldBack(task: WrittenSchedule, next: number, earliest: number, findZone: FindZone): number {
  if (next >= earliest) return next;
  if (task.type === "interval") return earliest;
  const parsed = parseSchedule(task, findZone, earliest - 1);
  return "refused" in parsed ? next : parsed.firstRun;
}

function describeOutcome({ result, error }: Pick<TaskOutcome, "result" | "error">): string {
  if (error !== null) return `Error: ${error}`;
  return result === null || result === "" ? "Completed" : firstCharacters(result, LAST_RESULT_LENGTH);
}
