/** A stretch of the past, every row of it in disguise. What a replay is made from, and so what it compares, is made of these rows. */
import { messageLines } from "../../contracts/replay/script.ts";
import { isHostTool } from "../../contracts/wire/tools.ts";
import { type AssistantPart, JournalEntry } from "../../contracts/wire/turn.ts";
import type { Past, Standing } from "../adapters/store-sqlite/past.ts";
import { NOTICE_MARK } from "../domain/notice.ts";
import { formatMessages } from "../domain/prompt.ts";
import { readLine } from "../recording/deliveries.ts";
import type { Disguise } from "./placeholders.ts";

/** Twice: an error may quote what comes after it, and what it quotes is told by what has been replaced. */
export function disguisePast(past: Past, as: Disguise): Past {
  disguiseRows(past, as);
  return disguiseRows(past, as);
}

function disguiseRows(past: Past, as: Disguise): Past {
  const maybe = <T>(value: T | null, disguise: (value: T) => T): T | null => (value === null ? null : disguise(value));
  const kept = (error: unknown): string | null => (typeof error === "string" ? as.kept(error) : null);
  const task = (id: string): string => as.id(id, "task");
  const session = (id: string): string => as.id(id, "session");
  const place = <R extends { group_folder: string; chat_jid: string }>({ group_folder: folder, chat_jid: chat }: R) => ({
    group_folder: as.folder(folder),
    chat_jid: as.chat(chat),
  });
  // The order in which things are met is the order of their numbers.
  const standing = disguiseStanding(past.standing, as);
  return {
    ...past,
    standing,
    inbox: past.inbox.map((row) => ({
      ...row,
      chat_jid: as.chat(row.chat_jid),
      message_id: as.id(row.message_id, "message"),
      sender: as.person(row.sender),
      sender_name: as.person(row.sender_name),
      content: as.text(row.content),
    })),
    turns: past.turns.map((row) => ({
      ...row,
      ...place(row),
      task_id: maybe(row.task_id, task),
      session_id: maybe(row.session_id, session),
      error: kept(row["error"]),
    })),
    runs: past.runs.map((row) => ({ ...row, error: kept(row.error) })),
    journal: past.journal.map((row) => ({
      ...row,
      call_id: typeof row["call_id"] === "string" ? as.id(row["call_id"], "call") : null,
      body: JSON.stringify(disguiseEntry(JournalEntry.parse(JSON.parse(row.body)), as)),
    })),
    outbox: past.outbox.map((row) => ({
      ...row,
      chat_jid: as.chat(row.chat_jid),
      effect: maybe(row.effect, (effect) =>
        effect.replace(/^(tool\.\d+\.)(.+)$/s, (_, step: string, id: string) => step + as.id(id, "call")),
      ),
      text: row.effect === null || row.effect === "notice" ? noticeOf(row.text, as) : as.text(row.text),
      error: kept(row["error"]),
    })),
    occurrences: past.occurrences.map((row) => ({
      ...row,
      task_id: task(String(row["task_id"])),
      group_folder: as.folder(String(row["group_folder"])),
    })),
    sessionsBefore: past.sessionsBefore.map((row) => ({ group_folder: as.folder(row.group_folder), session_id: session(row.session_id) })),
  };
}

function disguiseStanding({ groups, chats, tasks, taskSettings, taskLogs, sessions }: Standing, as: Disguise): Standing {
  const result = (said: unknown): string | null => {
    if (typeof said !== "string") return null;
    return said.startsWith("Error: ") ? as.kept(said) : as.text(said);
  };
  return {
    chats: chats.map((row) => ({
      ...row,
      jid: as.chat(row.jid),
      name: row.name === null || row.name === row.jid ? as.chat(row.jid) : as.person(row.name),
    })),
    groups: groups.map((row) => ({
      ...row,
      jid: as.chat(row.jid),
      name: as.person(String(row["name"])),
      folder: as.folder(row.folder),
      trigger_pattern: as.trigger(row.trigger_pattern),
      container_config: timeoutOnly(row["container_config"]),
    })),
    tasks: tasks.map((row) => ({
      ...row,
      id: as.id(row.id, "task"),
      group_folder: as.folder(row.group_folder),
      chat_jid: as.chat(String(row["chat_jid"])),
      prompt: as.text(row.prompt),
      schedule_value: scheduleOf(row.schedule_value, as),
      last_result: result(row.last_result),
    })),
    taskSettings: taskSettings.map((row) => ({ ...row, task_id: as.id(row.task_id, "task") })),
    taskLogs: taskLogs.map((row) => ({
      ...row,
      task_id: as.id(row.task_id, "task"),
      result: typeof row["result"] === "string" ? as.text(row["result"]) : null,
      error: row.error === null ? null : as.kept(row.error),
    })),
    sessions: sessions.map((row) => ({ group_folder: as.folder(row.group_folder), session_id: as.id(row.session_id, "session") })),
    // The chats by another name, and nothing compares them.
    routerState: [],
  };
}

/** Mounts name folders of the machine. */
function timeoutOnly(config: unknown): string | null {
  if (typeof config !== "string") return null;
  const timeout = /"timeout"\s*:\s*(\d+)/.exec(config)?.[1];
  return timeout === undefined ? "{}" : `{"timeout":${timeout}}`;
}

/** The host's own words quote the household's. */
function noticeOf(text: string, as: Disguise): string {
  return text.startsWith(`${NOTICE_MARK} `) ? `${NOTICE_MARK} ${as.text(text.slice(NOTICE_MARK.length + 1))}` : as.text(text);
}

function disguiseEntry(entry: JournalEntry, as: Disguise): JournalEntry {
  if (entry.kind === "input") return { ...entry, text: disguiseInput(entry.text, as) };
  if (entry.kind === "step") return { ...entry, content: entry.content.map((part) => disguisePart(part, as)) };
  const { toolCallId, toolName, text } = entry;
  return { ...entry, toolCallId: as.id(toolCallId, "call"), toolName: toolOf(toolName, as), text: resultOf(toolName, text, as) };
}

/** Line by line, and put together again as prompt.ts does; a task's prompt is a text. */
function disguiseInput(input: string, as: Disguise): string {
  const lines = messageLines(input).map(readLine);
  const messages = lines.flatMap((line) => (line === undefined ? [] : [{ senderName: line.name, timestamp: line.ts, text: line.text }]));
  if (messages.length < lines.length || formatMessages(messages) !== input) return as.text(input);
  return formatMessages(
    messages.map(({ senderName, timestamp, text }) => ({ senderName: as.person(senderName), timestamp, text: as.text(text) })),
  );
}

function disguisePart(part: AssistantPart, as: Disguise): AssistantPart {
  if (part.type !== "tool-call") return { type: part.type, text: as.text(part.text) };
  const { toolCallId, toolName, input } = part;
  const fields = isHostTool(toolName) && typeof input === "object" && input !== null && !Array.isArray(input);
  return {
    type: "tool-call",
    toolCallId: as.id(toolCallId, "call"),
    toolName: toolOf(toolName, as),
    input: fields
      ? Object.fromEntries(Object.entries(input).map(([name, value]) => [as.kept(name), disguiseField(name, value, as)]))
      : disguiseJson(input, as),
  };
}

const SANDBOX_TOOLS = ["exec", "read_file", "write_file", "edit_file", "list_dir"];

/** A model may ask for any name that the wire takes. */
function toolOf(name: string, as: Disguise): string {
  if (isHostTool(name) || SANDBOX_TOOLS.includes(name)) return name;
  return as.id(name, "tool").replace(/[^A-Za-z0-9_-]/g, "_");
}

const ENUMERATED = /^(?:cron|interval|once|group|isolated|skip|all)$/;
/** A schedule without words: what can be read, and nothing else. */
const SCHEDULE = /^(?:[\d*/,?#LWH~+-]|(?:MON|TUE|WED|THU|FRI|SAT|SUN|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\b|[ TZ:.])+$/i;
const ZONE = /^[A-Za-z]+(?:\/[A-Za-z_+-]+\d*)*$/;

/** A field of a host tool's input. */
function disguiseField(name: string, value: unknown, as: Disguise): unknown {
  if (typeof value !== "string") return disguiseJson(value, as);
  switch (name) {
    case "chat":
      return as.chat(value);
    case "folder":
      return as.folder(value);
    case "name":
      return as.person(value);
    case "task_id":
      return as.id(value, "task");
    case "trigger":
      return as.trigger(value);
    case "schedule_value":
      return scheduleOf(value, as);
    case "schedule_type":
    case "context_mode":
    case "catch_up":
      return ENUMERATED.test(value) ? value : as.text(value);
    case "time_zone":
      return ZONE.test(value) ? value : as.text(value);
    default:
      return as.text(value);
  }
}

function scheduleOf(value: string, as: Disguise): string {
  return SCHEDULE.test(value) ? value : as.text(value);
}

function disguiseJson(value: unknown, as: Disguise): unknown {
  if (typeof value === "string") return as.text(value);
  if (Array.isArray(value)) return value.map((one) => disguiseJson(one, as));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [as.text(key), disguiseJson(one, as)]));
}

/** The host's answers that a recording is read from, and that say nothing about the household. */
const KEPT_RESULTS = [
  /^Scheduled as task-\d+-[a-z0-9]+\. First run: [\dTZ:.-]+\.$/,
  /^Tool-call limit of \d+ reached; answer with what you have\.$/,
];

function resultOf(tool: string, text: string, as: Disguise): string {
  return isHostTool(tool) && KEPT_RESULTS.some((known) => known.test(text)) ? text : as.text(text);
}
