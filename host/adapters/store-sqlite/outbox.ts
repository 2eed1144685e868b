import type { OutboxRow, ReplyVia } from "../../ports/store.ts";
import type { Sqlite } from "./open.ts";

interface Row {
  id: number;
  turn_id: number | null;
  chat_jid: string;
  reply_via: string | null;
  text: string;
  effect: string | null;
  attempts: number;
}

/** What the assistant says is the effect of something it did; what the host says is not, or is the notice of a failed turn. */
const NOTICE_EFFECT = "notice";

const COLUMNS = "id, turn_id, chat_jid, reply_via, text, effect, attempts";
const parse = (row: unknown): OutboxRow => {
  const { id, turn_id, chat_jid, reply_via, text, effect, attempts } = row as Row;
  const isNotice = effect === null || effect === NOTICE_EFFECT;
  return { id, turnId: turn_id, chat: chat_jid, replyVia: reply_via, text, isNotice, attempts };
};

export function outboxTable(db: Sqlite) {
  const put = db.prepare(
    `INSERT INTO hermit_outbox (turn_id, effect, chat_jid, reply_via, text, created_at) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT(turn_id, effect) DO NOTHING`,
  );
  const heads = db.prepare(
    `SELECT ${COLUMNS} FROM hermit_outbox WHERE id IN
       (SELECT min(id) FROM hermit_outbox WHERE state IN ('pending', 'sending') GROUP BY chat_jid, reply_via) ORDER BY id`,
  );
  const sending = db.prepare("UPDATE hermit_outbox SET state = 'sending' WHERE id = ?");
  const end = db.prepare("UPDATE hermit_outbox SET state = ?, attempts = attempts + 1, error = ?, ended_at = ? WHERE id = ?");
  const again = db.prepare("UPDATE hermit_outbox SET state = 'pending', attempts = attempts + 1, error = ? WHERE id = ?");
  const doubtful = db.prepare(`SELECT ${COLUMNS} FROM hermit_outbox WHERE state = 'sending' ORDER BY id`);
  const markMaybe = db.prepare("UPDATE hermit_outbox SET state = 'maybe', ended_at = ? WHERE state = 'sending'");
  const open = db.prepare("SELECT count(*) FROM hermit_outbox WHERE state IN ('pending', 'sending')").pluck();
  const openOf = db.prepare("SELECT count(*) FROM hermit_outbox WHERE turn_id = ? AND state IN ('pending', 'sending')").pluck();
  const turnOf = db.prepare("SELECT turn_id FROM hermit_outbox WHERE id = ?").pluck();
  const settle = db.prepare(
    "UPDATE hermit_turns SET state = ?, ended_at = ?, error = coalesce(error, ?) WHERE id = ? AND state = 'delivering'",
  );

  /** The last reply of a turn takes the turn with it. */
  const settleTurn = (outboxId: number, now: number, error: string | null): void => {
    const turnId = turnOf.get(outboxId) as number | null;
    if (turnId === null) return;
    if (error !== null) settle.run("failed", now, error, turnId);
    else if ((openOf.get(turnId) as number) === 0) settle.run("done", now, null, turnId);
  };

  return {
    /** Inside a transaction of the caller. `effect` makes a repeated call of the same turn a no-op. */
    put(reply: { turnId: number | null; effect: string | null; chat: string; replyVia: ReplyVia; text: string; now: number }): void {
      put.run(reply.turnId, reply.effect, reply.chat, reply.replyVia, reply.text, reply.now);
    },
    openOf: (turnId: number): number => openOf.get(turnId) as number,
    open: (): number => open.get() as number,
    heads: (): readonly OutboxRow[] => heads.all().map(parse),
    markSending: (id: number): void => void sending.run(id),
    markSent: db.transaction((id: number, now: number): void => {
      end.run("sent", null, now, id);
      settleTurn(id, now, null);
    }),
    markUndelivered: db.transaction((id: number, failure: { error: string; final: boolean; now: number }): void => {
      if (!failure.final) again.run(failure.error, id);
      else {
        end.run("failed", failure.error, failure.now, id);
        settleTurn(id, failure.now, failure.error);
      }
    }),
    takeDoubtful: db.transaction((now: number): readonly OutboxRow[] => {
      const rows = doubtful.all().map(parse);
      markMaybe.run(now);
      for (const row of rows) settleTurn(row.id, now, null);
      return rows;
    }),
  };
}
export type OutboxTable = ReturnType<typeof outboxTable>;
