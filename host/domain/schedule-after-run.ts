/**
 * What the end of a run leaves on its task (contract §5). A failed run is like any other: no retry, the next occurrence comes in its
 * time. A task whose schedule cannot be read is paused with the reason; NanoClaw left it due, and ran it again at every look.
 */
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
}

/** UTF-16 units of a result that the task keeps; its log keeps all of it. */
const LAST_RESULT_LENGTH = 200;

/**
 * `status`: the task's when the run ends, so that a pause made in the meantime survives. `endedAt`: epoch milliseconds, and what the
 * next run is counted from. Stored types that no task can be made with any more are completed, as recorded.
 */
export function afterRun(
  task: WrittenSchedule & { readonly status: TaskStatus },
  outcome: TaskOutcome,
  endedAt: number,
  findZone: FindZone,
): AfterRun {
  const lastResult = describeOutcome(outcome);
  if (task.type !== "cron" && task.type !== "interval") return { status: "completed", nextRun: null, lastResult };
  const parsed = parseSchedule(task, findZone, endedAt);
  if ("refused" in parsed) {
    return { status: "paused", nextRun: null, lastResult: `Error: ${parsed.refused}`, pausedBecause: parsed.refused };
  }
  return { status: task.status, nextRun: parsed.firstRun, lastResult };
}

function describeOutcome({ result, error }: TaskOutcome): string {
  if (error !== null) return `Error: ${error}`;
  return result === null || result === "" ? "Completed" : firstCharacters(result);
}

/** Never half a character. */
function firstCharacters(text: string): string {
  return text.slice(0, LAST_RESULT_LENGTH).replace(/[\uD800-\uDBFF]$/, "");
}
