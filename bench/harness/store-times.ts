/** Times the host itself wrote into its store: epoch milliseconds, read after it has ended. */
import Database from "better-sqlite3";
import { BenchError } from "./bench-error.ts";

/** Message stored → first streamed token, a value a turn, in the order of the turns. A turn that needed a second attempt is an error. */
export function storedToFirstToken(database: string): readonly number[] {
  const rows = select<{ attempt: number; ms: number | null }>(
    database,
    `SELECT r.attempt, r.first_token_at - (SELECT min(i.received_at) FROM hermit_inbox i WHERE i.turn_id = r.turn_id) AS ms
     FROM hermit_runs r ORDER BY r.id`,
  );
  return rows.map(({ attempt, ms }) => {
    if (attempt > 1 || ms === null) throw new BenchError(`A turn needed ${attempt} attempts or streamed nothing; its time means nothing.`);
    return ms;
  });
}

/** When the first message since then was stored. */
export function firstStoredAt(database: string, since: number): number {
  const [row] = select<{ at: number | null }>(database, "SELECT min(received_at) AS at FROM hermit_inbox WHERE received_at >= ?", since);
  if (row === undefined || row.at === null) throw new BenchError("The host stored no message.");
  return row.at;
}

/** When each reply was stored, a list a turn. A reply and the follow-up taken after it are stored in one transaction. */
export function replyTimes(database: string): readonly (readonly number[])[] {
  const rows = select<{ turn: number; at: number }>(
    database,
    "SELECT turn_id AS turn, created_at AS at FROM hermit_outbox WHERE turn_id IS NOT NULL ORDER BY id",
  );
  return [...Map.groupBy(rows, ({ turn }) => turn).values()].map((replies) => replies.map(({ at }) => at));
}

/** First message stored → last reply delivered. */
export function wholeSpanMs(database: string): number {
  const [row] = select<{ ms: number | null }>(
    database,
    "SELECT (SELECT max(ended_at) FROM hermit_outbox WHERE state = 'sent') - (SELECT min(received_at) FROM hermit_inbox) AS ms",
  );
  if (row === undefined || row.ms === null) throw new BenchError("The host delivered no reply.");
  return row.ms;
}

/** Label of this home's sandboxes. Undefined: the home has no store. */
export function instanceOf(database: string): string | undefined {
  try {
    return select<{ value: string }>(database, "SELECT value FROM hermit_meta WHERE key = 'instance'")[0]?.value;
  } catch {
    return undefined;
  }
}

function select<Row>(database: string, sql: string, ...values: readonly number[]): readonly Row[] {
  const db = new Database(database, { readonly: true, fileMustExist: true });
  try {
    return db.prepare(sql).all(...values) as Row[];
  } finally {
    db.close();
  }
}
