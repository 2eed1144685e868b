import { type Group, isMain, MAIN_FOLDER } from "../../domain/group.ts";
import type { InboundMessage, StoredMessage } from "../../domain/message.ts";
import type { BatchRules, ReplyVia } from "../../ports/store.ts";
import type { GroupTable } from "./groups.ts";
import type { Sqlite } from "./open.ts";
import { routerState } from "./router-state.ts";

interface WaitingRow {
  seq: number;
  reply_via: string | null;
  id: string;
  sender: string;
  sender_name: string;
  content: string;
  timestamp: string;
  is_from_me: number;
}

export interface Arrival {
  readonly now: number;
  readonly replyVia: ReplyVia;
  readonly register?: Group;
}

export interface Batch {
  readonly messages: readonly StoredMessage[];
  readonly replyVia: ReplyVia;
}

/** Messages kept as context for the next trigger of a group that needs one; older ones stay in the chat's history only. */
const CONTEXT_MESSAGES = 500;
/** In place of a turn's number: no turn will take it any more. */
const PASSED_OVER = 0;

export function inboxTable(db: Sqlite, groups: GroupTable) {
  const cursors = routerState(db);
  // In `messages`, not in the inbox: what the old program had answered is known as well.
  const known = db.prepare("SELECT 1 FROM messages WHERE chat_jid = ? AND id = ?").pluck();
  // The newest time wins; a chat's name is never overwritten by a message (contract §1). What changes nothing writes nothing.
  const touchChat = db.prepare(
    `INSERT INTO chats (jid, name, last_message_time) VALUES (?, ?, ?)
     ON CONFLICT(jid) DO UPDATE SET last_message_time = excluded.last_message_time WHERE excluded.last_message_time > last_message_time`,
  );
  const putMessage = db.prepare(
    "INSERT INTO messages (id, chat_jid, sender, sender_name, content, timestamp, is_from_me) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const editMessage = db.prepare("UPDATE messages SET content = @text WHERE chat_jid = @chat AND id = @id AND content <> @text");
  const putInbox = db.prepare("INSERT INTO hermit_inbox (chat_jid, message_id, reply_via, received_at, refused) VALUES (?, ?, ?, ?, ?)");
  const waitingOf = db.prepare(
    `SELECT i.seq, i.reply_via, m.id, m.sender, m.sender_name, m.content, m.timestamp, m.is_from_me
     FROM hermit_inbox i JOIN messages m ON m.id = i.message_id AND m.chat_jid = i.chat_jid
     WHERE i.chat_jid = ? AND i.turn_id IS NULL AND i.refused = 0 ORDER BY i.seq`,
  );
  const assign = db.prepare("UPDATE hermit_inbox SET turn_id = ? WHERE seq = ?");
  const passOver = db.prepare(
    `UPDATE hermit_inbox SET turn_id = ${PASSED_OVER} WHERE seq IN
       (SELECT seq FROM hermit_inbox WHERE chat_jid = ? AND turn_id IS NULL AND refused = 0 ORDER BY seq DESC LIMIT -1 OFFSET ${CONTEXT_MESSAGES})`,
  );
  // Talk that waits for a trigger is no work that waits: it must not keep other chats out.
  const countAll = db
    .prepare(
      `SELECT count(*) FROM hermit_inbox i JOIN registered_groups g ON g.jid = i.chat_jid
       WHERE i.turn_id IS NULL AND i.refused = 0 AND (g.requires_trigger = 0 OR g.folder = '${MAIN_FOLDER}')`,
    )
    .pluck();
  const countIn = db.prepare("SELECT count(*) FROM hermit_inbox WHERE chat_jid = ? AND turn_id IS NULL AND refused = 0").pluck();
  const countOf = db
    .prepare(
      "SELECT count(*) FROM hermit_inbox WHERE chat_jid = (SELECT jid FROM registered_groups WHERE folder = ?) AND turn_id IS NULL AND refused = 0",
    )
    .pluck();

  return {
    /** Inside a transaction of the caller. */
    put(message: InboundMessage, { now, replyVia, register }: Arrival, refused: boolean): "new" | "known" | "ignored" {
      touchChat.run(message.chat, message.chat, message.timestamp);
      if (groups.byChat(message.chat) === undefined) {
        if (register === undefined) return "ignored";
        groups.register(register, now);
      }
      if (known.get(message.chat, message.id) !== undefined) {
        editMessage.run({ chat: message.chat, id: message.id, text: message.text });
        return "known";
      }
      putMessage.run(
        message.id,
        message.chat,
        message.sender,
        message.senderName,
        message.text,
        message.timestamp,
        message.isFromMe ? 1 : 0,
      );
      putInbox.run(message.chat, message.id, replyVia, now, refused ? 1 : 0);
      const group = groups.byChat(message.chat);
      if (group?.requiresTrigger === true && !isMain(group)) passOver.run(message.chat);
      cursors.seen(message.timestamp);
      return "new";
    },

    /**
     * The batch a turn would take now, or undefined where the trigger rule says no. A batch has one way back for its replies, so
     * it ends where that changes. Groups that need a trigger are given all that waits: what was said before it is its context.
     */
    batch(group: Group, rules: BatchRules): Batch | undefined {
      const rows = waitingOf.all(group.chat) as WaitingRow[];
      const first = rows[0];
      if (first === undefined) return undefined;
      if (
        !rules.starts(
          group,
          rows.map((row) => row.content),
        )
      )
        return undefined;
      const bounded = !group.requiresTrigger;
      const messages: StoredMessage[] = [];
      let bytes = 0;
      for (const row of rows) {
        if (row.reply_via !== first.reply_via) break;
        bytes += Buffer.byteLength(row.content);
        if (bounded && messages.length > 0 && (messages.length >= rules.maxMessages || bytes > rules.maxBytes)) break;
        messages.push({
          seq: row.seq,
          id: row.id,
          chat: group.chat,
          sender: row.sender,
          senderName: row.sender_name,
          text: row.content,
          timestamp: row.timestamp,
          isFromMe: row.is_from_me === 1,
        });
      }
      // The agent reads them as they were said, whatever the order they arrived in; of the same time, as they arrived.
      messages.sort((a, b) => (a.timestamp === b.timestamp ? a.seq - b.seq : a.timestamp < b.timestamp ? -1 : 1));
      return { messages, replyVia: first.reply_via };
    },

    assign(turnId: number, messages: readonly StoredMessage[]): void {
      for (const { seq } of messages) assign.run(turnId, seq);
      const newest = messages
        .map(({ timestamp }) => timestamp)
        .toSorted()
        .at(-1);
      if (newest !== undefined && messages[0] !== undefined) cursors.given(messages[0].chat, newest);
    },

    waitingIn: (chat: string): number => countIn.get(chat) as number,
    waiting: (folder?: string): number => (folder === undefined ? countAll.get() : countOf.get(folder)) as number,
  };
}
export type InboxTable = ReturnType<typeof inboxTable>;
