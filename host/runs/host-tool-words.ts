/** Host tools in words: tasks and chats as lists show them, and what a call is about. */
import type { HostToolName } from "../../contracts/wire/tools.ts";
import { firstCharacters } from "../domain/bounded-text.ts";
import type { Group } from "../domain/group.ts";
import type { Task, TaskRun } from "../domain/task.ts";
import type { KnownChat } from "../ports/chat-store.ts";

const PROMPT_EXCERPT = 80;
const ERROR_EXCERPT = 200;

/** For records: the tool, and which chat, folder or task it is done to. `input`: parsed. */
export function subjectOf(name: HostToolName, input: unknown, caller: Group): string {
  const {
    chat = caller.chat,
    folder,
    task_id: task,
  } = input as { readonly chat?: string; readonly folder?: string; readonly task_id?: string };
  const takesChat = name === "send_message" || name === "schedule_task";
  const target = task ?? folder ?? (takesChat ? chat : undefined);
  return target === undefined ? name : `${name} → ${target}`;
}

export function describeTaskInFull(task: Task, runs: readonly TaskRun[]): string {
  const last = runs.length === 0 ? "" : `\nlast runs, newest first:\n${runs.map(describeRun).join("\n")}`;
  return `${describeTask(task)}\nprompt: ${task.prompt}\nlast run: ${task.lastRun ?? "never"}\nlast result: ${task.lastResult ?? "none"}${last}`;
}

function describeRun({ endedAt, outcome, durationMs, figures, error }: TaskRun): string {
  const tokens = figures === undefined ? "tokens not counted" : `${figures.inputTokens} tokens in, ${figures.outputTokens} out`;
  const again = figures === undefined || figures.runs < 2 ? "" : `, begun ${figures.runs} times`;
  const why = error === null ? "" : `: ${firstCharacters(error, ERROR_EXCERPT)}`;
  return `${endedAt} ${outcome}, ${(durationMs / 1000).toFixed(1)} s, ${tokens}${again}${why}`;
}

/** One line a task: what the old list showed (contract §7.11), whose it is, and whether it fails. */
export function describeTask(task: Task): string {
  const prompt = task.prompt.length > PROMPT_EXCERPT ? `${task.prompt.slice(0, PROMPT_EXCERPT)}…` : task.prompt;
  const zone = task.timeZone === null ? "" : ` ${task.timeZone}`;
  const failing = task.failures === 0 ? "" : `, failures in a row: ${task.failures}`;
  return `${task.id} [${task.folder}] ${JSON.stringify(prompt)} ${task.scheduleType} ${task.scheduleValue}${zone}, ${task.status}, next run ${task.nextRun ?? "none"}${failing}`;
}

/** Names are other people's words: quoted, none of them can pass for a line of the list. */
export function describeChat({ chat, name, lastActivity }: KnownChat, group: Group | undefined): string {
  const activity = `last active ${lastActivity ?? "never"}`;
  if (group === undefined) return `not registered: ${chat} ${JSON.stringify(name)}, ${activity}`;
  const { folder, trigger, requiresTrigger } = group;
  return `${folder}: ${chat} ${JSON.stringify(group.name)}, ${requiresTrigger ? `wakes on ${trigger}` : "wakes on every message"}, ${activity}`;
}
