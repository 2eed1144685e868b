/**
 * What a home's database tells of a stretch of the past, row by row as it is stored. Only reads, and all of it of one moment: beside a
 * host that runs as well as of a home where none does.
 */
import { join } from "node:path";
import Database from "better-sqlite3";
import { HostError } from "../../domain/errors.ts";
import { type Sqlite, storeFault } from "./open.ts";

/** Columns as in the migrations; times are epoch milliseconds unless they are NanoClaw's, which are ISO 8601. */
export type Row = Readonly<Record<string, string | number | null>>;

export type TurnRow = Row & {
  readonly id: number;
  readonly group_folder: string;
  readonly chat_jid: string;
  readonly state: string;
  readonly started_at: number;
  readonly task_id: string | null;
  readonly session_id: string | null;
};
export type RunRow = Row & {
  readonly id: number;
  readonly turn_id: number;
  readonly generation: number;
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly outcome: string | null;
  readonly error: string | null;
  readonly steps: number;
};
export type JournalRow = Row & { readonly turn_id: number; readonly at: number; readonly body: string };
export type OutboxRow = Row & {
  readonly turn_id: number | null;
  readonly effect: string | null;
  readonly chat_jid: string;
  readonly text: string;
  readonly created_at: number;
};
/** A message with its place in the inbox. */
export type InboxRow = Row & {
  readonly chat_jid: string;
  readonly message_id: string;
  readonly received_at: number;
  readonly refused: number;
  readonly sender: string;
  readonly sender_name: string;
  readonly content: string;
  readonly timestamp: string;
  readonly is_from_me: number;
};
export type GroupRow = Row & { readonly jid: string; readonly folder: string; readonly trigger_pattern: string };
export type ChatRow = Row & { readonly jid: string; readonly name: string | null };
export type TaskRow = Row & {
  readonly id: string;
  readonly group_folder: string;
  readonly prompt: string;
  readonly schedule_type: string;
  readonly schedule_value: string;
  readonly next_run: string | null;
  readonly last_run: string | null;
  readonly last_result: string | null;
  readonly status: string;
  readonly created_at: string;
};
export type TaskLogRow = Row & {
  readonly task_id: string;
  readonly run_at: string;
  readonly status: string;
  readonly error: string | null;
};
/** Ours beside a task's row. */
export type TaskSettingsRow = Row & {
  readonly task_id: string;
  readonly time_zone: string | null;
  readonly catch_up: string;
  readonly failures: number;
};

export type SessionRow = Row & { readonly group_folder: string; readonly session_id: string };

/** How the tables stand at the moment of reading, whatever stretch is asked for. */
export interface Standing {
  readonly groups: readonly GroupRow[];
  readonly chats: readonly ChatRow[];
  readonly tasks: readonly TaskRow[];
  readonly taskSettings: readonly TaskSettingsRow[];
  /** Newest first. */
  readonly taskLogs: readonly TaskLogRow[];
  readonly sessions: readonly SessionRow[];
  readonly routerState: readonly Row[];
}

/** In the order things happened. */
export interface Past {
  /** As asked for, or the start of the run that was under way then. */
  readonly from: number;
  readonly until: number;
  /** Those of the runs. */
  readonly turns: readonly TurnRow[];
  /** Begun in the stretch. */
  readonly runs: readonly RunRow[];
  /** Of the turns, from their beginning on. */
  readonly journal: readonly JournalRow[];
  readonly outbox: readonly OutboxRow[];
  /** What came in the stretch, and what its turns took. */
  readonly inbox: readonly InboxRow[];
  /** Those that wait or run; of one that has ended the turn is what remains. */
  readonly occurrences: readonly Row[];
  /** Of each group the conversation of its last turn before the stretch. */
  readonly sessionsBefore: readonly SessionRow[];
  readonly standing: Standing;
}

/** `from`, `until`: epoch milliseconds, both inclusive. Throws HostError: HOME_UNUSABLE where no host of ours has been; STORE_BROKEN. */
export function readPast(home: string, stretch: { readonly from: number; readonly until: number }): Past {
  const path = join(home, "store", "messages.db");
  let db: Sqlite | undefined;
  try {
    db = openToRead(path, home);
    return db.transaction(read)(db, stretch);
  } catch (cause) {
    throw storeFault(cause, path);
  } finally {
    db?.close();
  }
}

function openToRead(path: string, home: string): Sqlite {
  let db: Sqlite | undefined;
  try {
    db = new Database(path, { readonly: true, fileMustExist: true });
    db.prepare("SELECT task_id, session_id FROM hermit_turns LIMIT 0");
    return db;
  } catch (cause) {
    db?.close();
    const isElsewhere = cause instanceof TypeError || /no such (table|column)|unable to open/.test((cause as Error).message);
    if (!isElsewhere) throw cause;
    throw new HostError("HOME_UNUSABLE", `In ${home} no host of this version has run: there is nothing to tell.`, {
      cause,
      hint: "Name the home with --home. One of an older version can be read once this version has been started on it.",
    });
  }
}

function read(db: Sqlite, { from: asked, until }: { from: number; until: number }): Past {
  const all = <R extends Row>(sql: string, ...values: unknown[]): R[] => db.prepare(sql).all(...values) as R[];
  const from = startOfRunsAt(db, asked);
  const runs = "SELECT turn_id FROM hermit_runs WHERE started_at BETWEEN ? AND ?";
  return {
    from,
    until,
    turns: all(`SELECT * FROM hermit_turns WHERE id IN (${runs}) ORDER BY id`, from, until),
    runs: all("SELECT * FROM hermit_runs WHERE started_at BETWEEN ? AND ? ORDER BY id", from, until),
    journal: all(`SELECT * FROM hermit_journal WHERE turn_id IN (${runs}) AND at <= ? ORDER BY turn_id, seq`, from, until, until),
    outbox: all("SELECT * FROM hermit_outbox WHERE created_at BETWEEN ? AND ? ORDER BY id", from, until),
    inbox: all(
      `SELECT i.*, m.sender, m.sender_name, m.content, m.timestamp, m.is_from_me
       FROM hermit_inbox i JOIN messages m ON m.chat_jid = i.chat_jid AND m.id = i.message_id
       WHERE i.received_at BETWEEN ? AND ? OR i.turn_id IN (${runs}) ORDER BY i.seq`,
      from,
      until,
      from,
      until,
    ),
    occurrences: all("SELECT * FROM hermit_occurrences ORDER BY seq"),
    sessionsBefore: all(
      `SELECT group_folder, session_id FROM hermit_turns WHERE id IN
         (SELECT max(id) FROM hermit_turns WHERE started_at < ? AND session_id IS NOT NULL AND task_id IS NULL AND state <> 'failed' GROUP BY group_folder)`,
      from,
    ),
    standing: {
      groups: all("SELECT * FROM registered_groups ORDER BY added_at, jid"),
      chats: all("SELECT * FROM chats ORDER BY jid"),
      tasks: all("SELECT * FROM scheduled_tasks ORDER BY created_at, id"),
      taskSettings: all("SELECT * FROM hermit_tasks ORDER BY task_id"),
      taskLogs: all("SELECT * FROM task_run_logs ORDER BY id DESC"),
      sessions: all("SELECT * FROM sessions ORDER BY group_folder"),
      routerState: all("SELECT * FROM router_state ORDER BY key"),
    },
  };
}

/** Half a run says nothing: the stretch begins where no run is under way. One whose host was killed has the end of its beginning; it went on for longer. */
function startOfRunsAt(db: Sqlite, asked: number): number {
  const earliest = db
    .prepare(
      `SELECT min(r.started_at) FROM hermit_runs r WHERE r.started_at < @at AND (r.ended_at IS NULL OR r.ended_at >= @at
         OR (r.outcome = 'interrupted' AND r.ended_at = r.started_at AND NOT EXISTS
           (SELECT 1 FROM hermit_runs next WHERE next.turn_id = r.turn_id AND next.id > r.id AND next.started_at < @at)))`,
    )
    .pluck();
  for (let at = asked; ; ) {
    const start = earliest.get({ at }) as number | null;
    if (start === null) return at;
    at = start;
  }
}
