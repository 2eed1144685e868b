/**
 * What a run of a task took, beside its row in `task_run_logs`, whose id is `log_id`: a copy, because turns may be dropped before logs are.
 * `cost_microdollars` is null while the price of the model is not known. An occurrence that has ended is deleted from now on; its log row is what remains.
 */
export const taskRunTables = `
CREATE TABLE hermit_task_runs (
  log_id INTEGER PRIMARY KEY,
  turn_id INTEGER,
  outcome TEXT NOT NULL CHECK (outcome IN ('done', 'failed', 'stopped', 'timeout', 'interrupted')),
  runs INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost_microdollars INTEGER
);
DELETE FROM hermit_occurrences WHERE ended_at IS NOT NULL;
`;
