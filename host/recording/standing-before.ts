/**
 * How the tables may have stood where a stretch begins, as far as that can be told from how they stand now and what happened since: enough
 * for the same turns, not for the same rows.
 */
import { JournalEntry } from "../../contracts/wire/turn.ts";
import type { Past, Standing, TaskRow, TurnRow } from "../adapters/store-sqlite/past.ts";

/** Before anything that could be compared with it. */
const LONG_AGO = "1970-01-01T00:00:00.000Z";

/**
 * A task's first run in the stretch is when it fell due; one that did not run, though it was due, was due to no host. `asked`: turns
 * that ran because somebody asked for it. `made`: tasks made in the stretch.
 */
export function standingBefore(past: Past, asked: ReadonlySet<number>, made: ReadonlySet<string>): Standing {
  const { groups, chats, tasks, taskSettings, taskLogs } = past.standing;
  const from = new Date(past.from).toISOString();
  const turns = Map.groupBy(past.turns, ({ task_id: task }) => task);
  const known = new Set(tasks.map(({ id }) => id));
  const cancelled = past.turns.filter(({ task_id: id }, n) => {
    return id !== null && !known.has(id) && !made.has(id) && past.turns.findIndex((turn) => turn.task_id === id) === n;
  });
  return {
    groups: groups.filter(({ added_at: at }) => String(at) < from),
    chats: chats.map((chat) => ({ ...chat, last_message_time: LONG_AGO })),
    tasks: [...tasks.filter(({ id }) => !made.has(id)).map(taskBefore), ...cancelled.map((turn) => onceTask(past, turn))],
    taskSettings: taskSettings.map((row) => ({ ...row, failures: turns.has(row.task_id) ? failuresBefore(row.task_id) : row.failures })),
    taskLogs: [],
    sessions: past.sessionsBefore,
    routerState: [],
  };

  function taskBefore(task: TaskRow): TaskRow {
    const ran = turns.get(task.id);
    if (ran === undefined) return task.next_run !== null && Date.parse(task.next_run) <= past.until ? { ...task, next_run: null } : task;
    const due = ran.find(({ id }) => !asked.has(id))?.started_at;
    const prompt = promptOf(past, ran[0]?.id) ?? task.prompt;
    return { ...task, prompt, next_run: due === undefined ? null : new Date(due).toISOString(), status: "active" };
  }

  function failuresBefore(id: string): number {
    const logs = taskLogs.filter((log) => log.task_id === id && log.run_at < from);
    const worked = logs.findIndex(({ status }) => status === "success");
    return worked < 0 ? logs.length : worked;
  }
}

/** Of a task that was cancelled since, what its first run tells. */
function onceTask(past: Past, { id: turnId, task_id: id, group_folder: folder, chat_jid: chat, started_at: at }: TurnRow): TaskRow {
  const due = new Date(at).toISOString();
  return {
    id: id ?? "",
    group_folder: folder,
    chat_jid: chat,
    prompt: promptOf(past, turnId) ?? "",
    schedule_type: "once",
    schedule_value: due,
    next_run: due,
    last_run: null,
    last_result: null,
    status: "active",
    created_at: LONG_AGO,
    context_mode: "isolated",
  };
}

/** As it was then: it may have been changed since. */
function promptOf({ journal }: Past, turnId: number | undefined): string | undefined {
  const first = journal.find(({ turn_id: turn }) => turn === turnId);
  const entry = first === undefined ? undefined : JournalEntry.parse(JSON.parse(first.body));
  return entry?.kind === "input" ? entry.text : undefined;
}
