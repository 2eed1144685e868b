/**
 * Our database as NanoClaw wants it: one file without a log, its own tables only, and cursors from which it goes on where we stopped.
 *
 * Our tables stay behind in the home. In the old folder nobody would keep them current, and the next adoption would take what they say
 * waits for the truth.
 */
import type Database from "better-sqlite3";
import { StoreError } from "../domain/errors.ts";
import { firstCharacters } from "../domain/bounded-text.ts";
import { copyDatabaseFiles, countRows, openCopy, type RowCounts } from "./adopt-database.ts";

export interface ReturnedDatabase {
  readonly rows: RowCounts;
  /** What the old program does not know, or does again. */
  readonly notes: readonly string[];
}

const GIVEN = "last_agent_timestamp";
const QUOTED_CHARACTERS = 60;

/** Turns of messages of which nothing has been said: their messages are for the old program to answer. */
const UNANSWERED = `SELECT t.id FROM hermit_turns t WHERE t.task_id IS NULL AND t.state IN ('running', 'delivering')
  AND NOT EXISTS (SELECT 1 FROM hermit_outbox o WHERE o.turn_id = t.id AND o.effect IS NOT 'notice' AND o.state IN ('sent', 'sending', 'maybe'))`;

/**
 * Copies the database `from`, which nobody may have open, to `to`, which must not be there. `canResume`: whether the old program has a
 * session's conversation; one it has not would fail with each message (contract §8.14). Throws StoreError STORE_BROKEN.
 */
export function writeReturned(from: string, to: string, canResume: (folder: string, session: string) => boolean): ReturnedDatabase {
  copyDatabaseFiles(from, to);
  const db = openCopy(to, from);
  try {
    // Out of the log into the file, and the log away.
    db.pragma("journal_mode = DELETE");
    db.pragma("foreign_keys = OFF");
    refuseEntangled(db);
    const notes = [...rewindCursors(db), ...leftBehind(db), ...dropSessions(db, canResume)];
    db.transaction(() => {
      for (const table of ourTables(db)) db.exec(`DROP TABLE "${table}"`);
    })();
    db.exec("VACUUM");
    const verdict = db.pragma("integrity_check(1)", { simple: true }) as string;
    const orphans = db.pragma("foreign_key_check") as readonly unknown[];
    if (verdict !== "ok" || orphans.length > 0) {
      throw new StoreError(
        "STORE_BROKEN",
        `The database ${from} is damaged: ${verdict === "ok" ? `${orphans.length} rows refer to nothing` : verdict}.`,
        {
          hint: "Nothing was handed back. Restore a backup of the home.",
        },
      );
    }
    return { rows: countRows(db), notes };
  } finally {
    db.close();
  }
}

function ourTables(db: Database.Database): readonly string[] {
  return db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'hermit\\_%' ESCAPE '\\'").pluck().all() as string[];
}

/** Dropping a table that something of theirs hangs on would break what is left. */
function refuseEntangled(db: Database.Database): void {
  const ours = new Set(ourTables(db));
  const parts = db.prepare("SELECT type, name, sql FROM sqlite_master").all() as { type: string; name: string; sql: string | null }[];
  const entangled = parts.find(({ type, name, sql }) =>
    type === "table"
      ? foreignTables(db, name).some((table) => ours.has(table) !== ours.has(name))
      : type !== "index" && /hermit_/i.test(sql ?? ""),
  );
  if (entangled === undefined) return;
  throw new StoreError(
    "STORE_BROKEN",
    `The ${entangled.type} ${entangled.name} ties NanoClaw's tables and ours together, and is not of our making.`,
    {
      hint: "Drop it, then try again. Nothing was handed back.",
    },
  );
}

function foreignTables(db: Database.Database, table: string): readonly string[] {
  return db.prepare('SELECT "table" FROM pragma_foreign_key_list(?)').pluck().all(table) as string[];
}

/**
 * The old program gives its agent all that is newer than a chat's cursor. So it goes back before the oldest message that nobody has
 * answered: rather is one read twice than one lost.
 */
function rewindCursors(db: Database.Database): string[] {
  const cursors = parseCursors(db.prepare("SELECT value FROM router_state WHERE key = ?").pluck().get(GIVEN));
  const oldest = db
    .prepare(
      `SELECT min(m.timestamp) FROM hermit_inbox i JOIN messages m ON m.id = i.message_id AND m.chat_jid = i.chat_jid
       WHERE i.chat_jid = ? AND i.refused = 0 AND (i.turn_id IS NULL OR i.turn_id IN (${UNANSWERED}))`,
    )
    .pluck();
  const before = db.prepare("SELECT coalesce(max(timestamp), '') FROM messages WHERE chat_jid = ? AND timestamp < ?").pluck();
  const again = db
    .prepare(
      `SELECT count(*) FROM messages m LEFT JOIN hermit_inbox i ON i.message_id = m.id AND i.chat_jid = m.chat_jid
       WHERE m.chat_jid = ? AND m.timestamp > ? AND m.timestamp <= ?
         AND (i.seq IS NULL OR i.refused = 1 OR (i.turn_id IS NOT NULL AND i.turn_id NOT IN (${UNANSWERED})))`,
    )
    .pluck();
  const notes: string[] = [];
  for (const { jid, folder } of db.prepare("SELECT jid, folder FROM registered_groups").all() as { jid: string; folder: string }[]) {
    const [cursor = "", first] = [cursors[jid], oldest.get(jid) as string | null];
    if (first === null || first > cursor) continue;
    const rewound = before.get(jid, first) as string;
    const repeated = again.get(jid, rewound, cursor) as number;
    cursors[jid] = rewound;
    if (repeated > 0) notes.push(`Messages of ${folder} that were answered and are read again, with one that was not: ${repeated}.`);
  }
  db.prepare("INSERT OR REPLACE INTO router_state (key, value) VALUES (?, ?)").run(GIVEN, JSON.stringify(cursors));
  return notes;
}

function parseCursors(json: unknown): Record<string, string> {
  try {
    const parsed: unknown = JSON.parse(String(json));
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? (parsed as Record<string, string>) : {};
  } catch {
    return {};
  }
}

function dropSessions(db: Database.Database, canResume: (folder: string, session: string) => boolean): string[] {
  const drop = db.prepare("DELETE FROM sessions WHERE group_folder = ?");
  const sessions = db.prepare("SELECT group_folder, session_id FROM sessions").raw().all() as [string, string][];
  const begun = sessions.filter(([folder, session]) => !canResume(folder, session)).map(([folder]) => folder);
  for (const folder of begun) drop.run(folder);
  const kept = sessions.length - begun.length;
  return [
    ...(kept > 0
      ? [
          "Its agent goes on with its own conversations: of what was said here it knows what it was asked itself, by the compatibility runner.",
        ]
      : []),
    ...(begun.length > 0 ? [`Conversations it has no transcript of begin anew there: ${begun.join(", ")}.`] : []),
  ];
}

function leftBehind(db: Database.Database): string[] {
  const unsent = db
    .prepare(
      `SELECT chat_jid AS chat, text FROM hermit_outbox WHERE state = 'pending' AND (turn_id IS NULL OR turn_id NOT IN (${UNANSWERED})) ORDER BY id`,
    )
    .all() as { chat: string; text: string }[];
  const doubtful = db
    .prepare("SELECT chat_jid AS chat, text FROM hermit_outbox WHERE state = 'sending' ORDER BY id")
    .all() as typeof unsent;
  const begun = db
    .prepare(`SELECT group_folder FROM hermit_turns WHERE state = 'running' AND task_id IS NULL AND id NOT IN (${UNANSWERED})`)
    .pluck()
    .all() as string[];
  const zoned = db.prepare("SELECT task_id FROM hermit_tasks WHERE time_zone IS NOT NULL").pluck().all() as string[];
  const askedFor = db
    .prepare(
      `SELECT o.task_id FROM hermit_occurrences o JOIN scheduled_tasks t ON t.id = o.task_id
       WHERE o.ended_at IS NULL AND (t.status <> 'active' OR t.next_run IS NULL OR t.next_run > strftime('%Y-%m-%dT%H:%M:%fZ', o.claimed_at / 1000.0, 'unixepoch'))`,
    )
    .pluck()
    .all() as string[];
  return [
    ...unsent.map(({ chat, text }) => `Never delivered to ${chat}: ${quoted(text)}`),
    ...doubtful.map(({ chat, text }) => `Perhaps delivered to ${chat}, perhaps not: ${quoted(text)}`),
    ...begun.map((folder) => `A turn of ${folder} had said something and was not at its end; it is not gone on with.`),
    ...zoned.map((id) => `Task ${id} had a time zone of its own; after its next run it is in that of the old program.`),
    ...askedFor.map((id) => `Task ${id} was to run once more out of its time, and does not.`),
  ];
}

function quoted(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return `“${line.length > QUOTED_CHARACTERS ? `${firstCharacters(line, QUOTED_CHARACTERS)}…` : line}”`;
}
