import type { PlatformGroup } from "../../ports/channel.ts";
import type { KnownChat } from "../../ports/chat-store.ts";
import type { Sqlite } from "./open.ts";

/** No chat: the baseline keeps here when names were last synchronised (contract §1). */
const SYNC_ROW = "__group_sync__";

/** NanoClaw's chats, apart from what a message does to its own (inbox.ts). */
export function chatTable(db: Sqlite) {
  const name = db.prepare(
    `INSERT INTO chats (jid, name, last_message_time) VALUES (?, ?, ?)
     ON CONFLICT(jid) DO UPDATE SET name = excluded.name WHERE name IS NOT excluded.name`,
  );
  const markSynced = db.prepare(
    `INSERT INTO chats (jid, name, last_message_time) VALUES ('${SYNC_ROW}', '${SYNC_ROW}', ?)
     ON CONFLICT(jid) DO UPDATE SET last_message_time = excluded.last_message_time`,
  );
  const syncedAt = db.prepare(`SELECT last_message_time FROM chats WHERE jid = '${SYNC_ROW}'`).pluck();
  const list = db.prepare(
    `SELECT g.jid AS chat, ifnull(c.name, g.jid) AS name, c.last_message_time AS lastActivity
     FROM registered_groups g LEFT JOIN chats c ON c.jid = g.jid
     UNION ALL SELECT * FROM (
       SELECT jid, ifnull(name, jid), last_message_time FROM chats
       WHERE jid <> '${SYNC_ROW}' AND jid NOT IN (SELECT jid FROM registered_groups)
       ORDER BY last_message_time DESC, jid LIMIT ?)
     ORDER BY lastActivity DESC, chat`,
  );

  return {
    name: db.transaction((groups: readonly PlatformGroup[], now: number): number => {
      const at = new Date(now).toISOString();
      return groups.reduce((changed, group) => changed + (group.name === "" ? 0 : name.run(group.chat, group.name, at).changes), 0);
    }),
    markSynced: (now: number): void => void markSynced.run(new Date(now).toISOString()),
    syncedAt(): number | undefined {
      const at = Date.parse(String(syncedAt.get()));
      return Number.isNaN(at) ? undefined : at;
    },
    list: (maxOthers: number) => list.all(maxOthers) as KnownChat[],
  };
}
