/**
 * Inbox, turns, runs, journal, outbox. Additive: no foreign key to, and no trigger on, the baseline's tables.
 * A message waits while its inbox row has no turn. Times are epoch milliseconds.
 */
export const turnTables = `
CREATE TABLE hermit_inbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  chat_jid TEXT NOT NULL,
  message_id TEXT NOT NULL,
  reply_via TEXT,
  received_at INTEGER NOT NULL,
  turn_id INTEGER,
  refused INTEGER NOT NULL DEFAULT 0,
  UNIQUE (chat_jid, message_id)
);
CREATE INDEX hermit_inbox_waiting ON hermit_inbox(chat_jid, seq) WHERE turn_id IS NULL AND refused = 0;
CREATE TABLE hermit_turns (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  group_folder TEXT NOT NULL,
  chat_jid TEXT NOT NULL,
  reply_via TEXT,
  state TEXT NOT NULL CHECK (state IN ('running', 'delivering', 'done', 'failed')),
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  error TEXT
);
CREATE INDEX hermit_turns_unfinished ON hermit_turns(group_folder) WHERE state = 'running';
CREATE TABLE hermit_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  turn_id INTEGER NOT NULL REFERENCES hermit_turns(id),
  attempt INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  first_token_at INTEGER,
  ended_at INTEGER,
  outcome TEXT CHECK (outcome IN ('done', 'failed', 'stopped', 'timeout', 'interrupted')),
  error TEXT,
  steps INTEGER NOT NULL DEFAULT 0,
  tool_calls INTEGER NOT NULL DEFAULT 0,
  input_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX hermit_runs_turn ON hermit_runs(turn_id);
CREATE INDEX hermit_runs_open ON hermit_runs(id) WHERE ended_at IS NULL;
CREATE TABLE hermit_journal (
  turn_id INTEGER NOT NULL REFERENCES hermit_turns(id),
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('input', 'step', 'result')),
  step INTEGER,
  call_id TEXT,
  at INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (turn_id, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX hermit_journal_step ON hermit_journal(turn_id, step) WHERE kind = 'step';
CREATE UNIQUE INDEX hermit_journal_result ON hermit_journal(turn_id, step, call_id) WHERE kind = 'result';
CREATE TABLE hermit_outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  turn_id INTEGER REFERENCES hermit_turns(id),
  effect TEXT,
  chat_jid TEXT NOT NULL,
  reply_via TEXT,
  text TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sending', 'sent', 'maybe', 'failed')),
  attempts INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  UNIQUE (turn_id, effect)
);
CREATE INDEX hermit_outbox_open ON hermit_outbox(chat_jid, id) WHERE state IN ('pending', 'sending');
CREATE TABLE hermit_meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
`;
