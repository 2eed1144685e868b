import { MAIN_FOLDER } from "../../domain/group.ts";
import type { CatchUp, ContextMode, Task, TaskOutcome, TaskStatus } from "../../domain/task.ts";
import type { DueDecision } from "../../domain/task-rules.ts";
import type { CloseTask, TaskChange } from "../../ports/task-store.ts";
import type { GroupTable } from "./groups.ts";
import type { Sqlite } from "./open.ts";
import type { OutboxTable } from "./outbox.ts";

interface TaskRow {
  id: string;
  group_folder: string;
  chat_jid: string;
  prompt: string;
  schedule_type: string;
  schedule_value: string;
  context_mode: string | null;
  next_run: string | null;
  last_run: string | null;
  last_result: string | null;
  status: string | null;
  created_at: string;
  time_zone: string | null;
  catch_up: string | null;
  failures: number | null;
}

/** Of an occurrence that waits or runs. */
export interface Occurrence {
  readonly seq: number;
  readonly task: Task;
  readonly dueAt: number;
}

const SELECT = `SELECT t.*, o.time_zone, o.catch_up, o.failures FROM scheduled_tasks t LEFT JOIN hermit_tasks o ON o.task_id = t.id`;
/** Active, dated, and neither waiting nor running. The plus keeps SQLite from the index on status, which holds nearly every task. Text compares as time: both are ISO 8601 UTC with milliseconds. */
const DUE = `+t.status = 'active' AND t.next_run IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM hermit_occurrences c WHERE c.task_id = t.id AND c.ended_at IS NULL)`;

/** Our additions of a task whose row they are; columns of theirs by ours. */
const THEIRS: Readonly<Record<string, string>> = {
  prompt: "prompt",
  scheduleType: "schedule_type",
  scheduleValue: "schedule_value",
  contextMode: "context_mode",
  nextRun: "next_run",
  lastRun: "last_run",
  lastResult: "last_result",
  status: "status",
};

export function taskTable(db: Sqlite, groups: GroupTable, outbox: OutboxTable) {
  const all = db.prepare(`${SELECT} ORDER BY t.created_at DESC, t.id DESC`);
  const ofFolder = db.prepare(`${SELECT} WHERE t.group_folder = ? ORDER BY t.created_at DESC, t.id DESC`);
  const byId = db.prepare(`${SELECT} WHERE t.id = ?`);
  const due = db.prepare(`${SELECT} WHERE ${DUE} AND t.next_run <= ? ORDER BY t.next_run, t.created_at, t.id`);
  const earliest = db.prepare(`SELECT min(t.next_run) FROM scheduled_tasks t WHERE ${DUE}`).pluck();
  const insert = db.prepare(
    `INSERT INTO scheduled_tasks (id, group_folder, chat_jid, prompt, schedule_type, schedule_value, next_run, last_run, last_result, status, created_at, context_mode)
     VALUES (@id, @folder, @chat, @prompt, @scheduleType, @scheduleValue, @nextRun, @lastRun, @lastResult, @status, @createdAt, @contextMode)`,
  );
  const putOurs = db.prepare(
    `INSERT INTO hermit_tasks (task_id, time_zone, catch_up, failures) VALUES (@id, @timeZone, @catchUp, @failures)
     ON CONFLICT(task_id) DO UPDATE SET time_zone = excluded.time_zone, catch_up = excluded.catch_up, failures = excluded.failures`,
  );
  const deleteLogs = db.prepare("DELETE FROM task_run_logs WHERE task_id = ?");
  const deleteTask = db.prepare("DELETE FROM scheduled_tasks WHERE id = ?");
  const deleteOurs = db.prepare("DELETE FROM hermit_tasks WHERE task_id = ?");
  const dropWaiting = db.prepare(
    "UPDATE hermit_occurrences SET ended_at = claimed_at WHERE task_id = ? AND turn_id IS NULL AND ended_at IS NULL",
  );
  const open = db.prepare(
    "INSERT INTO hermit_occurrences (task_id, group_folder, due_at, claimed_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
  );
  const firstWaiting = db.prepare(
    "SELECT seq, task_id, due_at FROM hermit_occurrences WHERE group_folder = ? AND turn_id IS NULL AND ended_at IS NULL ORDER BY seq LIMIT 1",
  );
  const give = db.prepare("UPDATE hermit_occurrences SET turn_id = ? WHERE seq = ?");
  const ofTurn = db.prepare("SELECT task_id, due_at FROM hermit_occurrences WHERE turn_id = ?");
  const end = db.prepare("UPDATE hermit_occurrences SET ended_at = ? WHERE turn_id = ?");
  const log = db.prepare("INSERT INTO task_run_logs (task_id, run_at, duration_ms, status, result, error) VALUES (?, ?, ?, ?, ?, ?)");

  const find = (id: string): Task | undefined => parse(byId.get(id));
  const iso = (ms: number): string => new Date(ms).toISOString();

  function change(task: Task, changes: TaskChange & { lastRun?: string; lastResult?: string }): void {
    const columns = Object.keys(changes).filter((key) => key in THEIRS);
    if (columns.length > 0) {
      const sets = columns.map((key) => `${THEIRS[key]} = @${key}`).join(", ");
      db.prepare(`UPDATE scheduled_tasks SET ${sets} WHERE id = @id`).run({ ...changes, id: task.id });
    }
    const { timeZone = task.timeZone, catchUp = task.catchUp, failures = task.failures } = changes;
    if (timeZone !== task.timeZone || catchUp !== task.catchUp || failures !== task.failures)
      putOurs.run({ id: task.id, timeZone, catchUp, failures });
  }

  return {
    list: (folder?: string): readonly Task[] => (folder === undefined ? all.all() : ofFolder.all(folder)).map((row) => parse(row) as Task),
    find,
    create: db.transaction((task: Task): void => {
      insert.run(task);
      putOurs.run(task);
    }),
    change: db.transaction((id: string, changes: TaskChange): void => {
      const task = find(id);
      if (task !== undefined) change(task, changes);
    }),
    cancel: db.transaction((id: string): void => {
      dropWaiting.run(id);
      deleteLogs.run(id);
      deleteTask.run(id);
      deleteOurs.run(id);
    }),
    runNow: db.transaction((id: string, now: number): boolean => {
      const task = find(id);
      return task !== undefined && open.run(id, task.folder, now, now).changes === 1;
    }),
    nextDue(): number | undefined {
      const next = earliest.get() as string | null;
      return next === null ? undefined : Date.parse(next);
    },
    claimDue: db.transaction((now: number, decide: (task: Task, isRegistered: boolean) => DueDecision): readonly string[] => {
      const folders = new Set<string>();
      for (const row of due.all(iso(now))) {
        const task = parse(row) as Task;
        const decision = decide(task, groups.byFolder(task.folder) !== undefined);
        if (decision.kind === "run") {
          open.run(task.id, task.folder, Date.parse(task.nextRun ?? iso(now)), now);
          folders.add(task.folder);
        } else if (decision.kind === "skip") change(task, { nextRun: decision.nextRun });
        else {
          change(task, { status: "paused", lastRun: iso(now), lastResult: `Error: ${decision.error}` });
          writeLog(task.id, now, 0, { result: null, error: decision.error });
          const main = groups.byFolder(MAIN_FOLDER);
          if (main !== undefined) outbox.put({ turnId: null, effect: null, chat: main.chat, replyVia: null, text: decision.notice, now });
        }
      }
      return [...folders];
    }),

    /** The group's oldest occurrence that waits, and whose task still exists. Inside a transaction of the caller. */
    nextWaiting(folder: string): Occurrence | undefined {
      const row = firstWaiting.get(folder) as { seq: number; task_id: string; due_at: number } | undefined;
      const task = row === undefined ? undefined : find(row.task_id);
      return row === undefined || task === undefined ? undefined : { seq: row.seq, task, dueAt: row.due_at };
    },
    give: (seq: number, turnId: number): void => void give.run(turnId, seq),
    ofTurn(turnId: number): Task | undefined {
      const row = ofTurn.get(turnId) as { task_id: string } | undefined;
      return row === undefined ? undefined : find(row.task_id);
    },
    /** Ends the turn's occurrence. A task cancelled meanwhile leaves nothing to write. Inside a transaction of the caller. */
    close(turnId: number, startedAt: number, outcome: TaskOutcome, closeTask: CloseTask, now: number): void {
      const row = ofTurn.get(turnId) as { task_id: string; due_at: number } | undefined;
      if (row === undefined) return;
      end.run(now, turnId);
      const task = find(row.task_id);
      if (task === undefined) return;
      const { notice, ...changes } = closeTask(task, row.due_at, outcome);
      change(task, { ...changes, lastRun: iso(now) });
      writeLog(task.id, now, now - startedAt, outcome);
      if (notice !== undefined) outbox.put({ turnId: null, effect: null, chat: task.chat, replyVia: null, text: notice, now });
    },
  };

  function writeLog(id: string, now: number, durationMs: number, { result, error }: TaskOutcome): void {
    log.run(id, iso(now), durationMs, error === null ? "success" : "error", result, error);
  }
}
export type TaskTable = ReturnType<typeof taskTable>;

function parse(row: unknown): Task | undefined {
  if (row === undefined) return undefined;
  const task = row as TaskRow;
  return {
    id: task.id,
    folder: task.group_folder,
    chat: task.chat_jid,
    prompt: task.prompt,
    scheduleType: task.schedule_type,
    scheduleValue: task.schedule_value,
    contextMode: (task.context_mode === "group" ? "group" : "isolated") satisfies ContextMode,
    nextRun: task.next_run,
    lastRun: task.last_run,
    lastResult: task.last_result,
    status: (task.status ?? "active") as TaskStatus,
    createdAt: task.created_at,
    timeZone: task.time_zone,
    catchUp: (task.catch_up ?? "once") as CatchUp,
    failures: task.failures ?? 0,
  };
}
