/**
 * The same database asked twice: with NanoClaw's own queries, and through our store. On copies; the file itself is only read.
 *
 * What differs has a reason, mostly that NanoClaw was wrong: a fault's number is that of docs/compatibility.md. What has none is a
 * mistake of ours, or a file neither program wrote.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { SessionId } from "../../contracts/wire/turn.ts";
import { chatTable } from "../adapters/store-sqlite/chats.ts";
import { groupTable } from "../adapters/store-sqlite/groups.ts";
import { inboxTable } from "../adapters/store-sqlite/inbox.ts";
import { openDatabase, type Sqlite } from "../adapters/store-sqlite/open.ts";
import { outboxTable } from "../adapters/store-sqlite/outbox.ts";
import { taskTable } from "../adapters/store-sqlite/tasks.ts";
import { HostError } from "../domain/errors.ts";
import { type Group, isMain } from "../domain/group.ts";
import { startsTurn } from "../domain/trigger.ts";
import { copyDatabaseFiles, openCopy, stateOf } from "./adopt-database.ts";
import { importFault } from "./import-fault.ts";
import { unusable } from "./old-home.ts";
import { type OldGroup, type OldMessage, OldProgram, type OldTask, type Row, routerState } from "./old-program.ts";
import { OLD_READS } from "./old-statements.ts";

export interface Difference {
  /** What was asked, and about whom. */
  readonly about: string;
  readonly old: string;
  readonly ours: string;
  /** Null: there should be no difference. */
  readonly reason: string | null;
}

export interface Crosscheck {
  readonly database: string;
  /** How many of each were compared. */
  readonly compared: Readonly<Record<"groups" | "chats" | "waiting messages" | "tasks" | "due tasks" | "sessions" | "cursors", number>>;
  readonly differences: readonly Difference[];
}

const ALL = 1_000_000;

/** `now`: epoch milliseconds, for what is due. Throws HostError OLD_HOME_UNUSABLE, OLD_HOST_RUNNING, STORE_BROKEN, STORE_FULL. */
export function crosscheck(path: string, { assistantName, now }: { readonly assistantName: string; readonly now: number }): Crosscheck {
  const given = resolve(path);
  const database = statSync(given, { throwIfNoEntry: false })?.isDirectory() ? join(given, "store", "messages.db") : given;
  if (!statSync(database, { throwIfNoEntry: false })?.isFile()) {
    throw unusable(`${database} is not there.`, "Name a NanoClaw database, or the folder it runs in.");
  }
  // SQLite keeps a journal beside the file itself.
  const file = realpathSync(database);
  const folder = mkdtempSync(join(tmpdir(), "hermit-crosscheck-"));
  try {
    const [theirs, ours] = [join(folder, "messages.db"), join(folder, "home", "store", "messages.db")];
    mkdirSync(dirname(ours), { recursive: true });
    const state = stateOf(file);
    for (const copy of [theirs, ours]) copyDatabaseFiles(file, copy);
    if (stateOf(file) !== state) {
      throw new HostError("OLD_HOST_RUNNING", `${database} was written to while it was copied.`, { hint: "Try again when it is quiet." });
    }
    openCopy(ours, database).close();
    const old = openCopy(theirs, database);
    const opened = openDatabase(join(folder, "home"), { assistantName });
    try {
      return { database, ...compare(new OldProgram(old, assistantName), opened.db, assistantName, now) };
    } finally {
      old.close();
      opened.close();
    }
  } catch (error) {
    throw importFault(error, database);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function compare(old: OldProgram, db: Sqlite, assistantName: string, now: number): Omit<Crosscheck, "database"> {
  const groups = groupTable(db);
  const oldGroups = old.all<OldGroup>("groups");
  const waiting = oldGroups.map((group) => compareWaiting(old, db, group, groups.byChat(group.jid), assistantName));
  const [tasks, due] = [compareTasks(old, db), compareDue(old, db, now)];
  const chats = compareRows(
    "the chat",
    "jid",
    old.all("chats").filter(({ jid }) => jid !== "__group_sync__"),
    ourChats(db),
  );
  const sessions = compareRows("the session of", "group_folder", old.all("sessions"), rowsOf(db, OLD_READS.sessions));
  const cursors = ["last_timestamp", "last_agent_timestamp"];
  return {
    compared: {
      groups: oldGroups.length,
      chats: chats.compared,
      "waiting messages": waiting.reduce((sum, { compared }) => sum + compared, 0),
      tasks: tasks.compared,
      "due tasks": due.compared,
      sessions: sessions.compared,
      cursors: cursors.length,
    },
    differences: [
      ...compareGroups(old, oldGroups, groups.list(), assistantName),
      ...chats.differences,
      ...waiting.flatMap(({ differences }) => differences),
      ...tasks.differences,
      ...due.differences,
      ...sessions.differences,
      ...unnameable(old),
      ...cursors.flatMap((key) => differs(`the cursor ${key}`, old.state(key), routerState(db, key), null)),
    ],
  };
}

function differs(about: string, old: string, ours: string, reason: string | null): Difference[] {
  return old === ours ? [] : [{ about, old, ours, reason }];
}

function compareGroups(old: OldProgram, theirs: readonly OldGroup[], ours: readonly Group[], assistantName: string): Difference[] {
  const known = new Set(theirs.map(({ jid }) => jid));
  return [
    ...theirs.flatMap((group): Difference[] => {
      const own = ours.find(({ chat }) => chat === group.jid);
      const [about, word] = [`the group ${group.folder}`, `@${assistantName}`];
      if (own === undefined) return [{ about, old: "registered", ours: "not registered", reason: null }];
      const needs = own.requiresTrigger && !isMain(own);
      return [
        ...differs(about, `${group.name}, ${group.folder}`, `${own.name}, ${own.folder}`, null),
        ...differs(`${about} needs a trigger`, String(old.needsTrigger(group)), String(needs), null),
        ...(needs && own.trigger.trim() !== ""
          ? differs(
              `the trigger of ${group.folder}`,
              word.toLowerCase(),
              own.trigger.trim().toLowerCase(),
              "Fault 1: a group's own trigger was never used.",
            )
          : []),
      ];
    }),
    ...ours
      .filter(({ chat }) => !known.has(chat))
      .map(({ folder }) => ({ about: `the group ${folder}`, old: "not registered", ours: "registered", reason: null })),
  ];
}

function compareWaiting(
  old: OldProgram,
  db: Sqlite,
  oldGroup: OldGroup,
  group: Group | undefined,
  assistantName: string,
): { compared: number; differences: readonly Difference[] } {
  if (group === undefined) return { compared: 0, differences: [] };
  const theirs = old.waiting(group.chat);
  const inbox = inboxTable(db, groupTable(db));
  const rules = { now: 0, maxMessages: ALL, maxBytes: Number.MAX_SAFE_INTEGER, starts: () => true, format: () => "" };
  const batch = inbox.batch(group, rules)?.messages ?? [];
  const ours = batch.map(({ id, text, timestamp }): OldMessage => ({ id, content: text, timestamp }));
  const rest = inbox.waitingIn(group.chat) - ours.length;
  const ids = (messages: readonly OldMessage[]): Set<string> => new Set(messages.map(({ id }) => id));
  const [oldIds, ourIds] = [ids(theirs), ids(ours)];
  const shared = { theirs: theirs.filter(({ id }) => ourIds.has(id)), ours: ours.filter(({ id }) => oldIds.has(id)) };
  const about = (message: OldMessage): string => `the message ${message.id} in ${group.folder}`;
  const times = (messages: readonly OldMessage[]): string => messages.map(({ timestamp }) => timestamp).join(" ");
  const [oldStarts, ourStarts] = [
    old.starts(oldGroup, theirs),
    startsTurn(
      group,
      ours.map(({ content }) => content),
      assistantName,
    ),
  ];
  return {
    compared: theirs.length,
    differences: [
      ...ours
        .filter(({ id }) => !oldIds.has(id))
        .map((message) => ({ about: about(message), old: "does not wait", ours: "waits", reason: whyOnlyHere(old, group.chat, message) })),
      ...theirs
        .filter(({ id }) => !ourIds.has(id))
        .map((message) => ({
          about: about(message),
          old: "waits",
          ours: "does not wait",
          reason: whyOnlyThere(db, group.chat, message, rest),
        })),
      // Within one time the order is free.
      ...differs(`the order of messages in ${group.folder}`, times(shared.theirs), times(shared.ours), null),
      ...differs(
        `whether ${group.folder} gets an answer now`,
        String(oldStarts),
        String(ourStarts),
        whyStarts(group, assistantName, theirs, ours),
      ),
    ],
  };
}

function whyOnlyHere(old: OldProgram, chat: string, { content, timestamp }: OldMessage): string | null {
  if (old.isOwn(content)) return "Fault 3: what began with the assistant's name was swallowed.";
  if (timestamp <= old.cursor(chat)) return "Fault 4: of the same second as one that was answered, or late, it was lost.";
  return null;
}

function whyOnlyThere(db: Sqlite, chat: string, { id }: OldMessage, rest: number): string | null {
  const row = db.prepare("SELECT refused, turn_id, reply_via FROM hermit_inbox WHERE chat_jid = ? AND message_id = ?").get(chat, id) as
    | { refused: number; turn_id: number | null }
    | undefined;
  if (row?.refused === 1) return "It was refused as too large, and the chat was told.";
  if (row?.turn_id === 0) return "It is older than what is kept as context for the next trigger.";
  return row?.turn_id === null && rest > 0
    ? "It came through another channel than those before it, and waits for a turn of its own."
    : null;
}

function whyStarts(group: Group, assistantName: string, theirs: readonly OldMessage[], ours: readonly OldMessage[]): string | null {
  if (theirs.length !== ours.length) return "They wait for different messages, see above.";
  if (ours.every(({ content }) => content.trim() === "")) return "Fault 23: messages without words started the agent.";
  if (!group.requiresTrigger || isMain(group)) return null;
  if (group.trigger.trim().toLowerCase() !== `@${assistantName}`.toLowerCase()) return "Fault 1: a group's own trigger was never used.";
  return "Fault 2: where a name ends was told by ASCII letters only.";
}

function compareTasks(old: OldProgram, db: Sqlite) {
  const groups = groupTable(db);
  const ours = taskTable(db, groups, outboxTable(db))
    .list()
    .map(
      (task): Row => ({
        id: task.id,
        group_folder: task.folder,
        created_at: task.createdAt,
        chat_jid: task.chat,
        prompt: task.prompt,
        schedule: `${task.scheduleType} ${task.scheduleValue}`,
        next_run: task.nextRun,
        last_run: task.lastRun,
        last_result: task.lastResult,
        status: task.status,
        context_mode: task.contextMode,
      }),
    );
  const theirs = old.all("all tasks").map((task): Row => {
    const { schedule_type, schedule_value, status, context_mode, ...rest } = task;
    return {
      ...rest,
      schedule: `${String(schedule_type)} ${String(schedule_value)}`,
      status: status ?? "active",
      context_mode: context_mode === "group" ? "group" : "isolated",
    };
  });
  return compareRows("the task", "id", theirs, ours);
}

function compareDue(old: OldProgram, db: Sqlite, now: number): { compared: number; differences: readonly Difference[] } {
  const theirs = old.all<OldTask>("due tasks", { now: new Date(now).toISOString() });
  const groups = groupTable(db);
  const ours: OldTask[] = [];
  const ghosts: string[] = [];
  taskTable(db, groups, outboxTable(db)).claimDue(now, (task, isRegistered) => {
    ours.push({ id: task.id, group_folder: task.folder, next_run: task.nextRun });
    if (!isRegistered) ghosts.push(task.id);
    return { kind: "run" };
  });
  const ourIds = new Set(ours.map(({ id }) => id));
  const oldIds = new Set(theirs.map(({ id }) => id));
  const times = (tasks: readonly OldTask[]): string => tasks.map(({ next_run }) => next_run).join(" ");
  const about = (id: string): string => `the task ${id}`;
  const claimed = db.prepare("SELECT count(*) FROM hermit_occurrences WHERE task_id = ? AND ended_at IS NULL").pluck();
  return {
    compared: theirs.length,
    differences: [
      ...theirs
        .filter(({ id }) => !ourIds.has(id))
        .map(({ id }) => ({
          about: about(id),
          old: "due",
          ours: "not due",
          reason: claimed.get(id) === 1 ? "Fault 8: a task that was running already ran again." : null,
        })),
      ...ours.filter(({ id }) => !oldIds.has(id)).map(({ id }) => ({ about: about(id), old: "not due", ours: "due", reason: null })),
      ...differs(
        "the order of due tasks",
        times(theirs.filter(({ id }) => ourIds.has(id))),
        times(ours.filter(({ id }) => oldIds.has(id))),
        null,
      ),
      ...ghosts.map((id) => ({
        about: about(id),
        old: "an error every minute",
        ours: "paused, and main is told",
        reason: "Fault 11: tasks of a group that is gone failed for ever.",
      })),
    ],
  };
}

/** Sessions that cannot be a file's name here. */
function unnameable(old: OldProgram): Difference[] {
  return old
    .all<{ group_folder: string; session_id: string }>("sessions")
    .filter(({ session_id }) => !SessionId.safeParse(session_id).success)
    .map(({ group_folder }) => ({
      about: `the session of ${group_folder}`,
      old: "taken up",
      ours: "begins anew, and the chat is told",
      reason: "Fault 14: a session that could not be taken up was tried for ever.",
    }));
}

function ourChats(db: Sqlite): readonly Row[] {
  const inChats = new Set(db.prepare("SELECT jid FROM chats").pluck().all() as string[]);
  return chatTable(db)
    .list(ALL)
    .filter(({ chat }) => inChats.has(chat))
    .map(({ chat, name, lastActivity }) => ({ jid: chat, name, last_message_time: lastActivity }));
}

function rowsOf(db: Sqlite, sql: string): readonly Row[] {
  return db.prepare(sql).all() as Row[];
}

/** Row by row, then field by field; a name that is null reads as the id, as it does there. */
function compareRows(
  what: string,
  key: string,
  theirs: readonly Row[],
  ours: readonly Row[],
): { compared: number; differences: readonly Difference[] } {
  const byKey = new Map(ours.map((row) => [row[key], row]));
  const known = new Set(theirs.map((row) => row[key]));
  const field = (row: Row, name: string): string => String(row[name] ?? (name === "name" ? row[key] : "none"));
  return {
    compared: theirs.length,
    differences: [
      ...theirs.flatMap((row): Difference[] => {
        const [about, own] = [`${what} ${String(row[key])}`, byKey.get(row[key])];
        if (own === undefined) return [{ about, old: "there", ours: "not there", reason: null }];
        return Object.keys(row).flatMap((name) => differs(`${name} of ${about}`, field(row, name), field(own, name), null));
      }),
      ...ours
        .filter((row) => !known.has(row[key]))
        .map((row) => ({ about: `${what} ${String(row[key])}`, old: "not there", ours: "there", reason: null })),
    ],
  };
}
