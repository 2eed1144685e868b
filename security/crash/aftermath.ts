/** What a kill -9 campaign left in its home. The host must not be running. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { HOST_TOOLS } from "../../contracts/wire/tools.ts";
import type { Reply, TemporaryHome } from "../harness/temporary-home.ts";
import { CHATS, type Message, writtenFile } from "./feed.ts";
import { askWitness, type LoggedRun, type Occurrence } from "./witness.ts";

/** Times are epoch milliseconds. */
export interface TaskRow {
  readonly id: string;
  readonly folder: string;
  readonly prompt: string;
  readonly status: string;
  readonly createdAt: number;
  readonly nextRun: number | null;
}

export interface Aftermath {
  readonly messages: readonly Message[];
  /** The console's delivery journal: the truth about what was said. */
  readonly replies: readonly Reply[];
  readonly tasks: readonly TaskRow[];
  /** Oldest first. */
  readonly occurrences: readonly Occurrence[];
  readonly runs: readonly LoggedRun[];
  /** Chat → lines that its commands appended. */
  readonly effects: ReadonlyMap<string, readonly string[]>;
  /** Message number → what its `write` left. */
  readonly files: ReadonlyMap<number, string>;
  /** Rows of any table that are not at their end, in words. */
  readonly unfinished: readonly string[];
  /** What SQLite finds wrong with the file. */
  readonly damage: readonly string[];
}

/** How hard the campaign was, all of it counted in the database. */
export interface Hardness {
  /** Times a host, or the campaign itself, got as far as opening the store. */
  readonly opened: number;
  /** Inputs that a live turn took in after its first. */
  readonly followUps: number;
  readonly sandboxToolCalls: number;
  readonly hostToolCalls: number;
  /** Of the host's, those between whose step and result the host was killed. */
  readonly hostToolCallsCutOff: number;
  readonly sentByTool: number;
  /** Turns that took more than one host to finish. */
  readonly turnsResumed: number;
  readonly taskTurnsResumed: number;
  /** Hosts the longest of them took. */
  readonly mostRuns: number;
  /** Occurrences claimed well after they were due: no host lived then, or an earlier one was to be made up for first. */
  readonly claimedLate: number;
}

/** A host that lives claims an occurrence when it is due; one that starts takes longer than this. */
const ON_TIME_MS = 50;

const UNFINISHED = {
  "a turn": "SELECT id || ' of ' || group_folder || ' is ' || state || coalesce(': ' || error, '') FROM hermit_turns WHERE state <> 'done'",
  "a run": "SELECT id || ' of turn ' || turn_id FROM hermit_runs WHERE ended_at IS NULL",
  "an occurrence": "SELECT seq || ' of ' || task_id FROM hermit_occurrences WHERE ended_at IS NULL",
  "a message": "SELECT message_id || ' of ' || chat_jid FROM hermit_inbox WHERE turn_id IS NULL OR refused <> 0",
  "a reply": "SELECT id || ' for ' || chat_jid || ' is ' || state FROM hermit_outbox WHERE state <> 'sent'",
  "a task's turn that took in messages":
    "SELECT turn_id FROM hermit_journal JOIN hermit_turns t ON t.id = turn_id WHERE kind = 'input' AND t.task_id IS NOT NULL GROUP BY turn_id HAVING count(*) > 1",
};

export function readAftermath(home: TemporaryHome, messages: readonly Message[]): { aftermath: Aftermath; hardness: Hardness } {
  const db = new Database(home.database, { readonly: true });
  try {
    const rows = <Row>(sql: string): Row[] => db.prepare(sql).all() as Row[];
    const values = (sql: string): string[] => (db.prepare(sql).pluck().all() as unknown[]).map(String);
    const aftermath = {
      messages,
      replies: home.journal(),
      tasks: rows<Omit<TaskRow, "createdAt" | "nextRun"> & { createdAt: string; nextRun: string | null }>(
        `SELECT id, group_folder AS folder, prompt, status, created_at AS createdAt, next_run AS nextRun FROM scheduled_tasks`,
      ).map((task) => ({
        ...task,
        createdAt: Date.parse(task.createdAt),
        nextRun: task.nextRun === null ? null : Date.parse(task.nextRun),
      })),
      ...askWitness(db),
      effects: new Map(CHATS.map((chat) => [chat, linesOf(join(home.workspace(chat), "effects.txt"))])),
      files: new Map(
        messages.flatMap(({ kind, number, chat }) => {
          const path = join(home.workspace(chat), writtenFile(number));
          return kind === "write" && existsSync(path) ? [[number, readFileSync(path, "utf8")] as const] : [];
        }),
      ),
      unfinished: Object.entries(UNFINISHED).flatMap(([what, sql]) => values(sql).map((row) => `${what}: ${row}`)),
      damage: [...values("PRAGMA integrity_check").filter((verdict) => verdict !== "ok"), ...values("PRAGMA foreign_key_check")],
    };
    return { aftermath, hardness: hardnessOf(db) };
  } finally {
    db.close();
  }
}

function hardnessOf(db: Database.Database): Hardness {
  const count = (sql: string): number => Number(db.prepare(sql).pluck().get());
  const hostTools = `(${Object.keys(HOST_TOOLS)
    .map((name) => `'${name}'`)
    .join(", ")})`;
  const results = "SELECT count(*) FROM hermit_journal r WHERE r.kind = 'result' AND json_extract(r.body, '$.toolName')";
  const resumed = "SELECT count(*) FROM hermit_turns t WHERE (SELECT count(*) FROM hermit_runs WHERE turn_id = t.id) > 1";
  return {
    opened: count("SELECT value FROM hermit_meta WHERE key = 'generation'"),
    followUps: count("SELECT count(*) - count(DISTINCT turn_id) FROM hermit_journal WHERE kind = 'input'"),
    sandboxToolCalls: count(`${results} NOT IN ${hostTools}`),
    hostToolCalls: count(`${results} IN ${hostTools}`),
    hostToolCallsCutOff: count(
      `${results} IN ${hostTools} AND EXISTS (
         SELECT 1 FROM hermit_journal s JOIN hermit_runs u ON u.turn_id = s.turn_id
         WHERE s.turn_id = r.turn_id AND s.kind = 'step' AND s.step = r.step AND u.started_at > s.at AND u.started_at <= r.at)`,
    ),
    sentByTool: count("SELECT count(*) FROM hermit_outbox WHERE effect LIKE 'tool.%'"),
    turnsResumed: count(resumed),
    taskTurnsResumed: count(`${resumed} AND t.task_id IS NOT NULL`),
    mostRuns: count("SELECT max(attempt) FROM hermit_runs"),
    claimedLate: count(`SELECT count(*) FROM witnessed_occurrences WHERE claimed_at - due_at > ${ON_TIME_MS}`),
  };
}

function linesOf(path: string): readonly string[] {
  return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : [];
}
