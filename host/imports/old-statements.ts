/**
 * What NanoClaw 1.0.0 asks of and writes into its database, in our own words: one statement for each operation on each table
 * (contract §1 "Write semantics", §3.2–3.4, §5, §6). Parameters by name.
 *
 * It opens the file with foreign keys on and no other setting, so these must hold on a file we have used, as it lies there.
 */

/** As it begins: every start makes what is missing, and tries to add the one column it had forgotten. */
export const OLD_START = {
  "chats table": "CREATE TABLE IF NOT EXISTS chats (jid TEXT PRIMARY KEY, name TEXT, last_message_time TEXT)",
  "messages table":
    "CREATE TABLE IF NOT EXISTS messages (id TEXT, chat_jid TEXT, sender TEXT, sender_name TEXT, content TEXT, timestamp TEXT, is_from_me INTEGER, PRIMARY KEY (id, chat_jid), FOREIGN KEY (chat_jid) REFERENCES chats(jid))",
  "messages by time": "CREATE INDEX IF NOT EXISTS idx_timestamp ON messages(timestamp)",
  "tasks table":
    "CREATE TABLE IF NOT EXISTS scheduled_tasks (id TEXT PRIMARY KEY, group_folder TEXT NOT NULL, chat_jid TEXT NOT NULL, prompt TEXT NOT NULL, schedule_type TEXT NOT NULL, schedule_value TEXT NOT NULL, next_run TEXT, last_run TEXT, last_result TEXT, status TEXT DEFAULT 'active', created_at TEXT NOT NULL)",
  "tasks by next run": "CREATE INDEX IF NOT EXISTS idx_next_run ON scheduled_tasks(next_run)",
  "tasks by status": "CREATE INDEX IF NOT EXISTS idx_status ON scheduled_tasks(status)",
  "task runs table":
    "CREATE TABLE IF NOT EXISTS task_run_logs (id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, run_at TEXT NOT NULL, duration_ms INTEGER NOT NULL, status TEXT NOT NULL, result TEXT, error TEXT, FOREIGN KEY (task_id) REFERENCES scheduled_tasks(id))",
  "task runs by time": "CREATE INDEX IF NOT EXISTS idx_task_run_logs ON task_run_logs(task_id, run_at)",
  "router state table": "CREATE TABLE IF NOT EXISTS router_state (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
  "sessions table": "CREATE TABLE IF NOT EXISTS sessions (group_folder TEXT PRIMARY KEY, session_id TEXT NOT NULL)",
  "groups table":
    "CREATE TABLE IF NOT EXISTS registered_groups (jid TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL UNIQUE, trigger_pattern TEXT NOT NULL, added_at TEXT NOT NULL, container_config TEXT, requires_trigger INTEGER DEFAULT 1)",
} as const;

/** Tried at each start too. It fails where the column is there already, and that is ignored. */
export const OLD_MIGRATION = "ALTER TABLE scheduled_tasks ADD COLUMN context_mode TEXT DEFAULT 'isolated'";

export const OLD_READS = {
  chats: "SELECT jid, name, last_message_time FROM chats ORDER BY last_message_time DESC",
  "last sync of names": "SELECT last_message_time FROM chats WHERE jid = '__group_sync__'",
  /** `@chats`: JSON list. What the loop looks at every two seconds. */
  "new messages":
    "SELECT id, chat_jid, sender, sender_name, content, timestamp FROM messages WHERE timestamp > @cursor AND chat_jid IN (SELECT value FROM json_each(@chats)) AND content NOT LIKE @own ORDER BY timestamp",
  "messages of a chat":
    "SELECT id, chat_jid, sender, sender_name, content, timestamp FROM messages WHERE chat_jid = @chat AND timestamp > @cursor AND content NOT LIKE @own ORDER BY timestamp",
  "due tasks": "SELECT * FROM scheduled_tasks WHERE status = 'active' AND next_run IS NOT NULL AND next_run <= @now ORDER BY next_run",
  task: "SELECT * FROM scheduled_tasks WHERE id = @id",
  "tasks of a group": "SELECT * FROM scheduled_tasks WHERE group_folder = @folder ORDER BY created_at DESC",
  "all tasks": "SELECT * FROM scheduled_tasks ORDER BY created_at DESC",
  "runs of a task":
    "SELECT run_at, duration_ms, status, result, error FROM task_run_logs WHERE task_id = @id ORDER BY run_at DESC LIMIT 10",
  state: "SELECT value FROM router_state WHERE key = @key",
  session: "SELECT session_id FROM sessions WHERE group_folder = @folder",
  sessions: "SELECT group_folder, session_id FROM sessions",
  group: "SELECT * FROM registered_groups WHERE jid = @chat",
  groups: "SELECT * FROM registered_groups",
} as const;

export const OLD_WRITES = {
  "chat seen":
    "INSERT INTO chats (jid, name, last_message_time) VALUES (@chat, @chat, @at) ON CONFLICT(jid) DO UPDATE SET last_message_time = MAX(last_message_time, excluded.last_message_time)",
  "chat seen with its name":
    "INSERT INTO chats (jid, name, last_message_time) VALUES (@chat, @name, @at) ON CONFLICT(jid) DO UPDATE SET name = excluded.name, last_message_time = MAX(last_message_time, excluded.last_message_time)",
  "chat named":
    "INSERT INTO chats (jid, name, last_message_time) VALUES (@chat, @name, @at) ON CONFLICT(jid) DO UPDATE SET name = excluded.name",
  "names synchronised": "INSERT OR REPLACE INTO chats (jid, name, last_message_time) VALUES ('__group_sync__', '__group_sync__', @at)",
  "message stored":
    "INSERT OR REPLACE INTO messages (id, chat_jid, sender, sender_name, content, timestamp, is_from_me) VALUES (@id, @chat, @sender, @name, @text, @at, @fromMe)",
  "task made":
    "INSERT INTO scheduled_tasks (id, group_folder, chat_jid, prompt, schedule_type, schedule_value, context_mode, next_run, status, created_at) VALUES (@id, @folder, @chat, @text, @type, @value, @mode, @at, 'active', @at)",
  "task changed":
    "UPDATE scheduled_tasks SET prompt = @text, schedule_type = @type, schedule_value = @value, next_run = @at, status = @status WHERE id = @id",
  "task paused or resumed": "UPDATE scheduled_tasks SET status = @status WHERE id = @id",
  "task run":
    "UPDATE scheduled_tasks SET next_run = @next, last_run = @at, last_result = @text, status = CASE WHEN @next IS NULL THEN 'completed' ELSE status END WHERE id = @id",
  "task run logged":
    "INSERT INTO task_run_logs (task_id, run_at, duration_ms, status, result, error) VALUES (@id, @at, @durationMs, @status, @text, @error)",
  "task's runs deleted": "DELETE FROM task_run_logs WHERE task_id = @id",
  "task deleted": "DELETE FROM scheduled_tasks WHERE id = @id",
  "state kept": "INSERT OR REPLACE INTO router_state (key, value) VALUES (@key, @value)",
  "session kept": "INSERT OR REPLACE INTO sessions (group_folder, session_id) VALUES (@folder, @value)",
  "group registered":
    "INSERT OR REPLACE INTO registered_groups (jid, name, folder, trigger_pattern, added_at, container_config, requires_trigger) VALUES (@chat, @name, @folder, @trigger, @at, @config, @needsTrigger)",
} as const;
