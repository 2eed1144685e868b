/** Tasks on disk. The same contract as Store: each method is one transaction, synchronous, durable when it returns. */
import type { Task, TaskOutcome, TaskRun, TaskStatus } from "../domain/task.ts";
import type { DueDecision, TaskClosing } from "../domain/task-rules.ts";

export interface TaskChange {
  readonly prompt?: string;
  readonly scheduleType?: string;
  readonly scheduleValue?: string;
  readonly contextMode?: Task["contextMode"];
  readonly timeZone?: string | null;
  readonly catchUp?: Task["catchUp"];
  readonly nextRun?: string | null;
  readonly status?: TaskStatus;
  readonly failures?: number;
}

/** Pure; called inside the transaction that ends the run, with the task as it is then: a pause made during the run survives. */
export type CloseTask = (task: Task, dueAt: number, outcome: TaskOutcome) => TaskClosing;

export interface TaskStore {
  /** Newest first; of one group, or all. */
  tasks(folder?: string): readonly Task[];
  task(id: string): Task | undefined;
  createTask(task: Task): void;
  /**
   * Paused, or given another next run, it loses the scheduled occurrence that waits; one somebody asked for stays. No such task: nothing
   * happens.
   */
  changeTask(id: string, change: TaskChange): void;
  /** Its run log and whatever of it waits go too; a run under way ends by itself. */
  cancelTask(id: string): void;
  /** An occurrence now, whatever the schedule says; false: one waits or runs already. */
  runTaskNow(id: string, now: number): boolean;
  /** Its newest logged runs, newest first, at most `limit`. Only so many are kept of each task. */
  taskRuns(id: string, limit: number): readonly TaskRun[];
  /** Epoch milliseconds of the earliest occurrence of an active task that neither waits nor runs; 0: one that cannot be read, which claimDue pauses. */
  nextDue(): number | undefined;
  /**
   * Pauses what is dated by no time, claims what is due, and does with the rest what `decide` says; a notice goes to the main group's chat. Each such task gets one occurrence that waits, and is not due again until that has ended. Returns the folders to wake.
   * Claimed before it is dispatched: whatever happens in between, it cannot be claimed twice.
   */
  claimDue(now: number, decide: (task: Task, isRegistered: boolean) => DueDecision): readonly string[];
}
