/**
 * What tasks need beside the baseline's tables, and what becomes of the messages of a turn that was given up. An occurrence waits while it has no turn, as a message does in the inbox; the
 * partial unique index is what makes a second claim of the same task impossible.
 */
export const taskTables = `
ALTER TABLE hermit_turns ADD COLUMN task_id TEXT;
ALTER TABLE hermit_turns ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hermit_turns ADD COLUMN retook INTEGER NOT NULL DEFAULT 0;
CREATE TABLE hermit_tasks (
  task_id TEXT PRIMARY KEY,
  time_zone TEXT,
  catch_up TEXT NOT NULL DEFAULT 'once' CHECK (catch_up IN ('skip', 'once', 'all')),
  failures INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE hermit_occurrences (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  task_id TEXT NOT NULL,
  group_folder TEXT NOT NULL,
  due_at INTEGER NOT NULL,
  claimed_at INTEGER NOT NULL,
  turn_id INTEGER,
  ended_at INTEGER
);
CREATE UNIQUE INDEX hermit_occurrences_open ON hermit_occurrences(task_id) WHERE ended_at IS NULL;
CREATE INDEX hermit_occurrences_waiting ON hermit_occurrences(group_folder, seq) WHERE turn_id IS NULL AND ended_at IS NULL;
`;
