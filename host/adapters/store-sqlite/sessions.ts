import { readJournal } from "./journal.ts";
import { freshSessionNotice } from "../../domain/notice.ts";
import type { ClaimedTurn, SessionTurn } from "../../ports/store.ts";
import type { Sqlite } from "./open.ts";
import type { OutboxTable } from "./outbox.ts";

interface Row {
  id: number;
  group_folder: string;
  session_id: string;
  state: string;
  at: number;
}

/** NanoClaw's `sessions` (a group's conversation) and the session of each turn of ours. */
export function sessionTable(db: Sqlite, outbox: OutboxTable) {
  const ofGroup = db.prepare("SELECT session_id FROM sessions WHERE group_folder = ?").pluck();
  const put = db.prepare("INSERT OR REPLACE INTO sessions (group_folder, session_id) VALUES (?, ?)");
  const ofTurn = db.prepare("SELECT session_id FROM hermit_turns WHERE id = ?").pluck();
  const setOfTurn = db.prepare("UPDATE hermit_turns SET session_id = ? WHERE id = ? AND state = 'running'");
  const messagesTurn = db.prepare("SELECT group_folder FROM hermit_turns WHERE id = ? AND state = 'running' AND task_id IS NULL").pluck();
  const rowOf = db.prepare(
    `SELECT id, group_folder, session_id, state, coalesce(ended_at, started_at) AS at FROM hermit_turns
     WHERE id = ? AND session_id IS NOT NULL`,
  );
  const idsFrom = db
    .prepare(
      "SELECT id FROM hermit_turns WHERE group_folder = ? AND session_id = ? AND id >= ? AND state <> 'running' ORDER BY id DESC LIMIT 1000",
    )
    .pluck();
  const journal = db.prepare("SELECT body FROM hermit_journal WHERE turn_id = ? ORDER BY seq").pluck();

  return {
    ofGroup: (folder: string): string | null => (ofGroup.get(folder) as string | undefined) ?? null,
    claimed(turnId: number, folder: string): ClaimedTurn["session"] {
      const id = ofTurn.get(turnId) as string | null;
      return id === null ? null : { id, isNew: id !== ofGroup.get(folder) };
    },
    renew: (turnId: number, session: string | null): void => void setOfTurn.run(session, turnId),
    name: db.transaction((turnId: number, session: string): void => {
      const folder = messagesTurn.get(turnId) as string | undefined;
      if (folder === undefined) return;
      setOfTurn.run(session, turnId);
      if (ofGroup.get(folder) !== session) put.run(folder, session);
    }),
    /** The first answer given in a session makes it the group's. Who loses an earlier one by that is told. Inside a transaction of the caller. */
    establish(turn: { id: number; folder: string; chat: string; replyVia: string | null }, now: number): void {
      const session = ofTurn.get(turn.id) as string | null;
      const before = ofGroup.get(turn.folder) as string | undefined;
      if (session === null || session === before) return;
      put.run(turn.folder, session);
      if (before === undefined) return;
      outbox.put({ turnId: null, effect: null, chat: turn.chat, replyVia: turn.replyVia, text: freshSessionNotice(), now });
    },
    turn(turnId: number): SessionTurn | undefined {
      const row = rowOf.get(turnId) as Row | undefined;
      if (row === undefined) return undefined;
      const { id, group_folder: folder, session_id: session, state, at } = row;
      const entries = readJournal(journal.all(id) as string[]) ?? [];
      const isFinished = state === "done" || state === "delivering";
      return { id, session, isOver: state !== "running", isFinished, isGroups: ofGroup.get(folder) === session, at, journal: entries };
    },
    turnsFrom: (folder: string, session: string, from: number): readonly number[] => idsFrom.all(folder, session, from) as number[],
  };
}
export type SessionTable = ReturnType<typeof sessionTable>;
