import type { RunOutcome } from "./turn.ts";

/** A task: a stored prompt with a schedule. Field for field NanoClaw's `scheduled_tasks` (contract §1), then what we add. */
export interface Task {
  readonly id: string;
  /** The group it runs as. */
  readonly folder: string;
  /** The chat its output goes to. */
  readonly chat: string;
  readonly prompt: string;
  readonly scheduleType: string;
  readonly scheduleValue: string;
  readonly contextMode: ContextMode;
  /** ISO 8601 UTC; null: never due. */
  readonly nextRun: string | null;
  readonly lastRun: string | null;
  readonly lastResult: string | null;
  readonly status: TaskStatus;
  readonly createdAt: string;
  /** IANA name; null: the household's. */
  readonly timeZone: string | null;
  readonly catchUp: CatchUp;
  /** Failures in a row: since the last run that worked, and since somebody last changed or resumed it. */
  readonly failures: number;
}

export const CONTEXT_MODES = ["group", "isolated"] as const;
export type ContextMode = (typeof CONTEXT_MODES)[number];

export type TaskStatus = "active" | "paused" | "completed";

/** What becomes of occurrences missed while the host was away: none is made up for, one is, or each is. */
export const CATCH_UPS = ["skip", "once", "all"] as const;
export type CatchUp = (typeof CATCH_UPS)[number];

/** How a run of a task ended, for its row and its log. */
export interface TaskOutcome {
  /** The last thing it said, unstripped; null: nothing. */
  readonly result: string | null;
  /** Null: it worked. */
  readonly error: string | null;
  /** Of the turn's last run. `stopped`, by the owner, is no failure of the task. */
  readonly outcome: RunOutcome;
}

/** One run of a task, as it is logged. */
export interface TaskRun {
  /** ISO 8601 UTC. */
  readonly endedAt: string;
  readonly durationMs: number;
  readonly outcome: RunOutcome;
  readonly error: string | null;
  /** Undefined: logged by NanoClaw, which counted nothing. */
  readonly figures: TaskRunFigures | undefined;
}

/** What a run of a task took. */
export interface TaskRunFigures {
  /** Runs of its turn: one, and one more for each that was begun again. */
  readonly runs: number;
  readonly steps: number;
  /** What a killed host had used by then is known to nobody. */
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Later than this an occurrence counts as missed: a minute is cron's own grain. */
export const MISSED_AFTER_MS = 60_000;
