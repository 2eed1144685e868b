/** How the tables stand where a recording begins, and how they must stand where it ends. */
import type { Own, Scenario, Seed } from "../../contracts/replay/scenario.ts";
import type { Cell, Row as RecordedRow } from "../../contracts/replay/tables.ts";
import type { Past, Standing, TaskRow } from "../adapters/store-sqlite/past.ts";
import { CATCH_UPS } from "../domain/task.ts";
import type { Delivery } from "./deliveries.ts";

export interface Stretch {
  readonly past: Past;
  readonly deliveries: readonly Delivery[];
  /** Chats that were registered by the agent. */
  readonly registered: ReadonlySet<string>;
  /** Tasks made, in order: by id, when. */
  readonly made: ReadonlyMap<string, number>;
}

/** Before any message: a chat's newest one is newer. */
const LONG_AGO = "1970-01-01T00:00:00.000Z";

/**
 * The tables before the first event. `before`: as they stood then. Chats that a channel registered with their first message are there from
 * the start, and so is what no event of the recording does: names of chats, talk of chats nobody registered. Old messages and logs are
 * left out; nothing reads them.
 */
export function seedTables({ past, deliveries, registered }: Stretch, before: Standing): Seed["tables"] {
  const { groups, chats } = past.standing;
  const spoken = new Set(deliveries.map(({ message }) => message.chat));
  const known = new Map(before.chats.map((chat) => [chat.jid, chat]));
  const knownGroups = new Map(before.groups.map((group) => [group.jid, group]));
  return {
    chats: chats.flatMap((chat) => {
      const was = known.get(chat.jid);
      if (!spoken.has(chat.jid)) return [chat];
      if (was === undefined && chat.name === chat.jid) return [];
      return [{ ...(was ?? { ...chat, last_message_time: LONG_AGO }), name: chat.name }];
    }),
    registered_groups: groups.flatMap((group) => {
      const was = knownGroups.get(group.jid);
      return was === undefined && registered.has(group.jid) ? [] : [was ?? group];
    }),
    scheduled_tasks: [...before.tasks],
    sessions: [...before.sessions],
    router_state: [...before.routerState],
  };
}

export function taskSettings({ taskSettings: rows }: Standing): Own["tasks"] {
  return Object.fromEntries(
    rows.map(({ task_id: id, time_zone: timeZone, catch_up: catchUp, failures }) => {
      return [id, { timeZone, catchUp: CATCH_UPS.find((one) => one === catchUp) ?? "once", failures }];
    }),
  );
}

/** As db.after.json has them: what differs from run to run is told by what it is. */
export function tablesAfter(stretch: Stretch, before: Standing): Scenario["dbAfter"] {
  const { past, deliveries, registered, made } = stretch;
  const { groups, chats, tasks, taskLogs, sessions, routerState } = past.standing;
  const numbers = new Map([...made.keys()].map((id, n) => [id, { $task: n + 1 }]));
  const knownGroups = new Set(before.groups.map(({ jid }) => jid));
  const tooLarge = new Set(past.inbox.flatMap(({ refused, chat_jid: chat }) => (refused === 0 ? [] : [chat])));
  const latest = new Map(deliveries.map(({ message }) => [`${message.chat} ${message.id}`, message]));
  return {
    // A message that was too large is not played, but its time was kept.
    chats: chats.map((chat) => (tooLarge.has(chat.jid) ? { ...chat, last_message_time: time("last_message_time") } : chat)),
    messages: [...latest.values()].map(({ id, chat, sender, name, text, fromMe = false, ts }) => ({
      id,
      chat_jid: chat,
      sender,
      sender_name: name,
      content: text,
      timestamp: ts,
      is_from_me: fromMe ? 1 : 0,
    })),
    scheduled_tasks: tasks.map((task) => taskAfter(task, before, numbers.get(task.id))),
    task_run_logs: taskLogs
      .filter(({ run_at: at }) => Date.parse(at) >= past.from)
      .toReversed()
      .map((log) => ({
        ...log,
        task_id: numbers.get(log.task_id) ?? log.task_id,
        run_at: time("run_at"),
        duration_ms: { $ms: "duration" },
        error: log.error === null ? null : { $error: "unspecified" },
      })),
    router_state: routerState.map(({ key = null, value = null }) => ({
      key,
      value: key !== "last_agent_timestamp" ? (tooLarge.size > 0 ? time("value") : value) : { $json: JSON.parse(String(value)) },
    })),
    sessions,
    registered_groups: groups.map((group) =>
      registered.has(group.jid) && !knownGroups.has(group.jid) ? { ...group, added_at: time("added_at") } : group,
    ),
  };
}

function taskAfter(task: TaskRow, before: Standing, number: Cell | undefined): RecordedRow {
  const was = before.tasks.find(({ id }) => id === task.id);
  const same = (column: keyof TaskRow): boolean => was?.[column] === task[column];
  const { last_run: lastRun, last_result: lastResult } = task;
  return {
    ...task,
    id: number ?? task.id,
    next_run: same("next_run") ? task.next_run : nextRunAfter(task),
    last_run: same("last_run") || lastRun === null ? lastRun : time("last_run"),
    last_result:
      lastResult?.startsWith("Error: ") === true && !same("last_result") ? { $error: "unspecified", prefixed: true } : lastResult,
  };
}

/** An interval counts from the end of a run. What `H` stands for in a cron expression depends on the id. */
function nextRunAfter(task: TaskRow): Cell {
  const { next_run: next, schedule_type: type, schedule_value: value } = task;
  if (next === null) return null;
  if (type !== "interval") return /H/.test(value) ? time("next_run") : next;
  const from = task.last_run === null ? "created_at" : "last_run";
  const plusMs = Number(value);
  const isRegular = Date.parse(next) === Date.parse(String(task[from])) + plusMs;
  return isRegular ? { $time: "next_run", from, plusMs } : time("next_run");
}

function time(column: string): { readonly $time: string } {
  return { $time: column };
}
