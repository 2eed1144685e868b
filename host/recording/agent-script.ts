/**
 * What the agent did in a run, as a script for the replay's agent: what it said, what it asked of the host, how it broke, each at its
 * time. What it did in its sandbox is time alone.
 */
import type { AgentAction, AgentFile } from "../../contracts/replay/scenario.ts";
import { isHostTool } from "../../contracts/wire/tools.ts";
import type { JournalEntry } from "../../contracts/wire/turn.ts";
import { visibleReply } from "../domain/reply.ts";
import { asksForTools, type Entry, type RecordedRun } from "./recorded-runs.ts";

export interface ScriptOptions {
  /** Epoch milliseconds of the recording's start. */
  readonly from: number;
  /** Tasks made in the stretch, in order: by id, when. */
  readonly made: ReadonlyMap<string, number>;
}

type Step = Extract<JournalEntry, { kind: "step" }>;

/** A turn for each input: the first for what the run was given, then one for each follow-up. */
export function agentTurns(run: RecordedRun, options: ScriptOptions): AgentAction[][] {
  const until = (at: number): AgentAction => ({ until: Math.max(0, at - options.from) });
  const inputs = new Set(run.entries.flatMap(({ at, entry }) => (entry.kind === "input" ? [at] : [])));
  /** A follow-up is taken a moment after the recorded one, when what came in the same moment is there (deliveries.ts). */
  const orLater = (at: number): number => (inputs.has(at) ? at + 2 : at);
  const last = run.replies.get("reply.last");
  const turns: AgentAction[][] = [[]];
  let hasEnded = false;
  const add = (...actions: AgentAction[]): void => void turns.at(-1)?.push(...actions);
  const end = (at: number, reply: string | undefined): void => {
    if (!hasEnded) add(until(orLater(at)), reply === undefined ? { nullResult: 1 } : { reply });
    hasEnded = true;
  };

  for (const { at, entry, asked } of run.entries) {
    if (entry.kind === "input") {
      if (last?.created_at === at) end(at, last.text);
      if (!hasEnded) add(until(orLater(at)), { look: 1 });
      turns.push([]);
      hasEnded = false;
    } else if (entry.kind === "result") {
      const file = askedOfHost(entry, asked, options.made);
      const madeAt = options.made.get(scheduledTask(entry) ?? "");
      if (file !== undefined) add(until(madeAt ?? at), { ipc: file });
    } else if (!asksForTools(entry)) end(at, saidIn(entry, run));
  }
  if (run.end.how === "done") end(run.end.at, last?.text);
  else if (run.end.how === "failed") add(until(failedAt(run, run.end.at)), failure(run.end, run.isTask || run.isGivenAgain));
  else add({ hang: 1 });
  return turns;
}

/** As it was said, if that is what was sent: what is cut out of it belongs to a task's result. Undefined: nothing was. */
function saidIn({ step, content }: Step, { replies }: RecordedRun): string | undefined {
  const text = content.map((part) => (part.type === "text" ? part.text : "")).join("");
  const sent = replies.get(`reply.${step}`)?.text;
  if (sent !== undefined) return visibleReply(text) === sent ? text : sent;
  return text !== "" && visibleReply(text) === "" ? text : undefined;
}

/** The replay adds nothing to a pause by chance; with the pause it makes, the next run begins when it began. */
function failedAt({ retriedAt, retryPauseMs }: RecordedRun, at: number): number {
  return retriedAt === undefined ? at : Math.max(at, retriedAt - retryPauseMs);
}

/** After this a turn's messages are not given again: they would do it once more. */
const OUT_OF_MEMORY = 137;

function failure({ error, isLast, isStale }: Extract<RecordedRun["end"], { how: "failed" }>, isGivenAgain: boolean): AgentAction {
  if (isStale) return { errorOutput: "no such session", session: null };
  if (isLast && !isGivenAgain) return { exit: OUT_OF_MEMORY };
  return { errorOutput: error, session: null, ...(isLast ? { retryable: false } : {}) };
}

/** The recorded host's limits are not the replay's. */
const OVER_LIMIT = /^Tool-call limit of \d+ reached/;
/** What the old program's files had and the replay leaves out, or calls otherwise; the host refuses a call with any of them. */
const OLD_FIELDS = ["type", "sender", "groupFolder", "timestamp", "createdBy", "requiresTrigger", "chatJid", "targetJid", "jid", "taskId"];

/** Undefined: nothing that the host would have to answer again. */
function askedOfHost({ toolName, text, isError }: Result, input: unknown, made: ReadonlyMap<string, number>): AgentFile | undefined {
  if (!isHostTool(toolName) || (isError && OVER_LIMIT.test(text)) || !isFields(input)) return undefined;
  if (OLD_FIELDS.some((field) => field in input)) return undefined;
  if (toolName === "send_message") return { dir: "messages", body: { type: "message", ...input } };
  const number = [...made.keys()].indexOf(input["task_id"] as string) + 1;
  return { dir: "tasks", body: { type: toolName, ...input, ...(number > 0 ? { task_id: { $task: number } } : {}) } };
}

type Result = Extract<Entry["entry"], { kind: "result" }>;

/** The id of the task that was made. */
export function scheduledTask({ toolName, text, isError }: Result): string | undefined {
  return toolName === "schedule_task" && !isError ? /^Scheduled as (\S+)\. /.exec(text)?.[1] : undefined;
}

/** The chat that was registered, or changed. */
export function registeredChat({ toolName, isError }: Result, input: unknown): string | undefined {
  const chat = toolName === "register_group" && !isError && isFields(input) ? input["chat"] : undefined;
  return typeof chat === "string" ? chat : undefined;
}

function isFields(input: unknown): input is AgentFile["body"] {
  return typeof input === "object" && input !== null && !Array.isArray(input);
}
