import { MAIN_FOLDER } from "../../domain/group.ts";
import type { CatchUp, ContextMode, Task, TaskOutcome, TaskRun, TaskStatus } from "../../domain/task.ts";
import { type DueDecision, undated } from "../../domain/task-rules.ts";
import type { RunOutcome } from "../../domain/turn.ts";
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

interface RunRow {
  run_at: string;
  duration_ms: number;
  status: string;
  error: string | null;
  outcome: string | null;
  runs: number;
  steps: number;
  input_tokens: number;
  output_tokens: number;
}

/** Logged runs kept of each task, the newest: a week of an hourly one. Without a bound a task that runs each minute leaves half a million rows a year. */
const RUNS_KEPT = 200;
/** Tasks of one group that are over, the newest. A household is reminded of something a few times a day: some weeks. */
const COMPLETED_KEPT = 200;

/** By id, not by time: somebody may have set the clock back. */
const RUNS_PAST = "SELECT id FROM task_run_logs WHERE task_id = ? ORDER BY id DESC LIMIT -1 OFFSET ?";

/** Of an occurrence that waits or runs. */
export interface Occurrence {
  readonly seq: number;
  readonly task: Task;
  readonly dueAt: number;
}

const SELECT = `SELECT t.*, o.time_zone, o.catch_up, o.failures FROM scheduled_tasks t LEFT JOIN hermit_tasks o ON o.task_id = t.id`;
/** Active, dated, and neither waiting nor running. The plus keeps SQLite from the index on status, which holds nearly every task. Text compares as time: both are ISO 8601 UTC with milliseconds; only years past 9999 begin with a plus, which a comma is next to, and would be the past. */
const DUE = `+t.status = 'active' AND t.next_run >= ','
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
  // SQLite writes the time it has read as the host would have, or nothing.
  const notOurs = db.prepare(
    `${SELECT} WHERE t.status = 'active' AND t.next_run IS NOT NULL AND strftime('%Y-%m-%dT%H:%M:%fZ', t.next_run) IS NOT t.next_run`,
  );
  const earliest = db.prepare(`SELECT min(t.next_run) FROM scheduled_tasks t WHERE ${DUE}`).pluck();
  const insert = db.prepare(
    `INSERT INTO scheduled_tasks (id, group_folder, chat_jid, prompt, schedule_type, schedule_value, next_run, last_run, last_result, status, created_at, context_mode)
     VALUES (@id, @folder, @chat, @prompt, @scheduleType, @scheduleValue, @nextRun, @lastRun, @lastResult, @status, @createdAt, @contextMode)`,
  );
  const putOurs = db.prepare(
    `INSERT INTO hermit_tasks (task_id, time_zone, catch_up, failures) VALUES (@id, @timeZone, @catchUp, @failures)
     ON CONFLICT(task_id) DO UPDATE SET time_zone = excluded.time_zone, catch_up = excluded.catch_up, failures = excluded.failures`,
  );
  const deleteFigures = db.prepare(`DELETE FROM hermit_task_runs WHERE log_id IN (${RUNS_PAST})`);
  const deleteLogs = db.prepare(`DELETE FROM task_run_logs WHERE id IN (${RUNS_PAST})`);
  const completedPast = db
    .prepare(
      "SELECT id FROM scheduled_tasks WHERE group_folder = ? AND status = 'completed' ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?",
    )
    .pluck();
  const deleteTask = db.prepare("DELETE FROM scheduled_tasks WHERE id = ?");
  const deleteOurs = db.prepare("DELETE FROM hermit_tasks WHERE task_id = ?");
  const deleteOccurrences = db.prepare("DELETE FROM hermit_occurrences WHERE task_id = ?");
  const deleteOrphans = db.prepare("DELETE FROM hermit_occurrences WHERE task_id NOT IN (SELECT id FROM scheduled_tasks)");
  const dropScheduled = db.prepare(
    "DELETE FROM hermit_occurrences WHERE task_id = ? AND due_at = ? AND turn_id IS NULL AND ended_at IS NULL",
  );
  const open = db.prepare(
    "INSERT INTO hermit_occurrences (task_id, group_folder, due_at, claimed_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
  );
  const firstWaiting = db.prepare(
    `SELECT c.seq, c.task_id, c.due_at FROM hermit_occurrences c JOIN scheduled_tasks t ON t.id = c.task_id
     WHERE c.group_folder = ? AND c.turn_id IS NULL AND c.ended_at IS NULL ORDER BY c.seq LIMIT 1`,
  );
  const give = db.prepare("UPDATE hermit_occurrences SET turn_id = ? WHERE seq = ?");
  const ofTurn = db.prepare("SELECT task_id, due_at FROM hermit_occurrences WHERE turn_id = ?");
  const end = db.prepare("DELETE FROM hermit_occurrences WHERE turn_id = ?");
  const log = db.prepare("INSERT INTO task_run_logs (task_id, run_at, duration_ms, status, result, error) VALUES (?, ?, ?, ?, ?, ?)");
  // Steps go on counting when a turn is begun again, tokens begin at none.
  const logFigures = db.prepare(
    `INSERT OR REPLACE INTO hermit_task_runs (log_id, turn_id, outcome, runs, steps, input_tokens, output_tokens)
     SELECT @logId, @turnId, @outcome, count(*), coalesce(max(steps), 0), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0)
       FROM hermit_runs WHERE turn_id = @turnId`,
  );
  const newestRuns = db.prepare(
    `SELECT l.run_at, l.duration_ms, l.status, l.error, r.outcome, r.runs, r.steps, r.input_tokens, r.output_tokens
     FROM task_run_logs l LEFT JOIN hermit_task_runs r ON r.log_id = l.id WHERE l.task_id = ? ORDER BY l.id DESC LIMIT ?`,
  );

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

  function cancel(id: string): void {
    deleteOccurrences.run(id);
    dropRunsPast(id, 0);
    deleteTask.run(id);
    deleteOurs.run(id);
  }

  return {
    list: (folder?: string): readonly Task[] => (folder === undefined ? all.all() : ofFolder.all(folder)).map((row) => parse(row) as Task),
    find,
    create: db.transaction((task: Task): void => {
      insert.run(task);
      putOurs.run(task);
      for (const id of completedPast.all(task.folder, COMPLETED_KEPT) as string[]) cancel(id);
    }),
    change: db.transaction((id: string, changes: TaskChange): void => {
      const task = find(id);
      if (task === undefined) return;
      const { status = task.status, nextRun = task.nextRun } = changes;
      // What waits by the old schedule comes no more; what somebody asked for does.
      if (task.nextRun !== null && (status !== "active" || nextRun !== task.nextRun)) dropScheduled.run(id, Date.parse(task.nextRun));
      change(task, changes);
    }),
    cancel: db.transaction(cancel),
    runNow: db.transaction((id: string, now: number): boolean => {
      const task = find(id);
      return task !== undefined && open.run(id, task.folder, now, now).changes === 1;
    }),
    runs: (id: string, limit: number): readonly TaskRun[] => newestRuns.all(id, limit).map(parseRun),
    nextDue(): number | undefined {
      const next = earliest.get() as string | null;
      if (next === null) return undefined;
      const at = Date.parse(next);
      return Number.isNaN(at) ? 0 : at;
    },
    claimDue: db.transaction((now: number, decide: (task: Task, isRegistered: boolean) => DueDecision): readonly string[] => {
      const folders = new Set<string>();
      pauseUndated(now);
      for (const row of due.all(iso(now))) {
        const task = parse(row) as Task;
        const decision = decide(task, groups.byFolder(task.folder) !== undefined);
        if (decision.kind === "run") {
          open.run(task.id, task.folder, Date.parse(task.nextRun ?? iso(now)), now);
          folders.add(task.folder);
        } else if (decision.kind === "skip") change(task, { nextRun: decision.nextRun });
        else {
          rest(task, decision, now);
        }
      }
      return [...folders];
    }),
    pauseUndated,
    /** Occurrences whose task was deleted by hand or by the old program. */
    dropOrphans: (): void => void deleteOrphans.run(),

    /** The group's oldest occurrence that waits, and whose task still exists. Inside a transaction of the caller. */
    nextWaiting(folder: string): Occurrence | undefined {
      const row = firstWaiting.get(folder) as { seq: number; task_id: string; due_at: number } | undefined;
      const task = row === undefined ? undefined : find(row.task_id);
      return row === undefined || task === undefined ? undefined : { seq: row.seq, task, dueAt: row.due_at };
    },
    give: (seq: number, turnId: number): void => void give.run(turnId, seq),
    /** Ends the turn's occurrence. False: the task was cancelled meanwhile, there is nothing to write. Inside a transaction of the caller. */
    close(turnId: number, startedAt: number, outcome: TaskOutcome, closeTask: CloseTask, now: number): boolean {
      const row = ofTurn.get(turnId) as { task_id: string; due_at: number } | undefined;
      if (row === undefined) return false;
      end.run(turnId);
      const task = find(row.task_id);
      if (task === undefined) return false;
      const { notice, ...changes } = closeTask(task, row.due_at, outcome);
      change(task, { ...changes, lastRun: iso(now) });
      writeLog(task.id, turnId, now, Math.max(0, now - startedAt), outcome);
      if (notice !== undefined) outbox.put({ turnId: null, effect: null, chat: task.chat, replyVia: null, text: notice, now });
      return true;
    },
  };

  /** Tasks whose next run is no time would be due for ever or never: they are paused, each with the reason that is returned. Inside a transaction of the caller. */
  function pauseUndated(now: number): readonly { readonly task: string; readonly error: string }[] {
    const tasks = notOurs.all().map((row) => parse(row) as Task);
    return tasks
      .filter(({ nextRun }) => !isOurTime(nextRun))
      .map((task) => {
        const said = undated(task);
        rest(task, said, now);
        change(task, { nextRun: null });
        return { task: task.id, error: said.error };
      });
  }

  /** Without having run: the main group is told. */
  function rest(task: Task, { error, notice }: { readonly error: string; readonly notice: string }, now: number): void {
    change(task, { status: "paused", lastRun: iso(now), lastResult: `Error: ${error}` });
    writeLog(task.id, null, now, 0, { result: null, error, outcome: "failed" });
    const main = groups.byFolder(MAIN_FOLDER);
    if (main !== undefined) outbox.put({ turnId: null, effect: null, chat: main.chat, replyVia: null, text: notice, now });
  }

  function writeLog(id: string, turnId: number | null, now: number, durationMs: number, { result, error, outcome }: TaskOutcome): void {
    const logId = log.run(id, iso(now), durationMs, error === null ? "success" : "error", result, error).lastInsertRowid;
    logFigures.run({ logId, turnId, outcome });
    dropRunsPast(id, RUNS_KEPT);
  }

  function dropRunsPast(id: string, kept: number): void {
    deleteFigures.run(id, kept);
    deleteLogs.run(id, kept);
  }
}
export type TaskTable = ReturnType<typeof taskTable>;

function isOurTime(text: string | null): boolean {
  const at = Date.parse(text ?? "");
  return !Number.isNaN(at) && new Date(at).toISOString() === text;
}

function parseRun(row: unknown): TaskRun {
  const run = row as RunRow;
  return {
    endedAt: run.run_at,
    durationMs: run.duration_ms,
    outcome: (run.outcome ?? (run.status === "success" ? "done" : "failed")) as RunOutcome,
    error: run.error,
    figures:
      run.outcome === null
        ? undefined
        : { runs: run.runs, steps: run.steps, inputTokens: run.input_tokens, outputTokens: run.output_tokens },
  };
}

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
