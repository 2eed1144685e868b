/**
 * NanoClaw's two cursors (contract §1). Our truth is the inbox; these are kept current beside it, so that the old program, given
 * the home back, neither repeats nor skips a message.
 */
import type { Sqlite } from "./open.ts";

const SEEN = "last_timestamp";
const GIVEN = "last_agent_timestamp";

export function routerState(db: Sqlite) {
  const get = db.prepare("SELECT value FROM router_state WHERE key = ?").pluck();
  const put = db.prepare("INSERT OR REPLACE INTO router_state (key, value) VALUES (?, ?)");
  const read = (key: string): string => (get.get(key) as string | undefined) ?? "";

  return {
    /** Leaves what is stored: an empty set of cursors is one, too. */
    begin: (): void => void db.prepare("INSERT OR IGNORE INTO router_state (key, value) VALUES (?, '{}')").run(GIVEN),
    /** A message of a registered chat is stored. Inside a transaction of the caller, as the other one. */
    seen(timestamp: string): void {
      if (timestamp > read(SEEN)) put.run(SEEN, timestamp);
    },
    /** A message is part of a turn. A late one does not take the cursor back. */
    given(chat: string, timestamp: string): void {
      const cursors = parseCursors(read(GIVEN));
      if (timestamp <= (cursors[chat] ?? "")) return;
      put.run(GIVEN, JSON.stringify({ ...cursors, [chat]: timestamp }));
    },
  };
}

/**
 * Into the inbox: what the old program had stored and not yet given to its agent, oldest first. Its own replies are among its
 * messages, told apart only by `name:` in front, so what begins like that stays out, as it did there (contract §3.2).
 */
export function adoptWaiting(db: Sqlite, chats: readonly string[], assistantName: string, now: number): void {
  const cursors = parseCursors((db.prepare("SELECT value FROM router_state WHERE key = ?").pluck().get(GIVEN) as string | undefined) ?? "");
  const adopt = db.prepare(
    `INSERT OR IGNORE INTO hermit_inbox (chat_jid, message_id, received_at)
     SELECT chat_jid, id, @now FROM messages
     WHERE chat_jid = @chat AND timestamp > @cursor AND content NOT LIKE @own ESCAPE '\\' ORDER BY timestamp, rowid`,
  );
  const own = `${assistantName.replace(/[\\%_]/g, "\\$&")}:%`;
  for (const chat of chats) {
    adopt.run({ now, chat, cursor: cursors[chat] ?? "", own });
  }
}

/** What cannot be read counts as nothing given yet (contract §1). */
function parseCursors(json: string): Record<string, string> {
  try {
    const parsed: unknown = JSON.parse(json);
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return {};
    return Object.fromEntries(Object.entries(parsed).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
  } catch {
    return {};
  }
}
