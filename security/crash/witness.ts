/**
 * A witness in the database itself: what was claimed and what was logged of tasks, written down by triggers in the transactions that did
 * it. The host may drop its own rows once it needs them no more; these stay. For campaigns only: a host has no triggers.
 */
import Database from "better-sqlite3";

const TABLES = `
CREATE TABLE witnessed_occurrences (seq INTEGER PRIMARY KEY, task_id TEXT, due_at INTEGER, claimed_at INTEGER);
CREATE TABLE witnessed_runs (seq INTEGER PRIMARY KEY, task_id TEXT, run_at TEXT, status TEXT);
CREATE TRIGGER witness_occurrence AFTER INSERT ON hermit_occurrences BEGIN
  INSERT INTO witnessed_occurrences (task_id, due_at, claimed_at) VALUES (new.task_id, new.due_at, new.claimed_at);
END;
CREATE TRIGGER witness_run AFTER INSERT ON task_run_logs BEGIN
  INSERT INTO witnessed_runs (task_id, run_at, status) VALUES (new.task_id, new.run_at, new.status);
END;
`;

/** One occurrence that was claimed. Times are epoch milliseconds. */
export interface Occurrence {
  readonly taskId: string;
  readonly dueAt: number;
  readonly claimedAt: number;
}

/** One row of the run log. */
export interface LoggedRun {
  readonly taskId: string;
  readonly endedAt: number;
  readonly status: string;
}

/** Once, before any task; the host must not be running. */
export function placeWitness(database: string): void {
  const db = new Database(database);
  try {
    db.exec(TABLES);
  } finally {
    db.close();
  }
}

/** Everything since `placeWitness`, oldest first. */
export function askWitness(db: Database.Database): { readonly occurrences: readonly Occurrence[]; readonly runs: readonly LoggedRun[] } {
  const runs = db.prepare("SELECT task_id AS taskId, run_at AS runAt, status FROM witnessed_runs ORDER BY seq").all() as {
    taskId: string;
    runAt: string;
    status: string;
  }[];
  return {
    occurrences: db
      .prepare("SELECT task_id AS taskId, due_at AS dueAt, claimed_at AS claimedAt FROM witnessed_occurrences ORDER BY seq")
      .all() as Occurrence[],
    runs: runs.map(({ taskId, runAt, status }) => ({ taskId, endedAt: Date.parse(runAt), status })),
  };
}
