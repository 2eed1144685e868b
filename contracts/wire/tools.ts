/**
 * The tool wire, version 1: tools the host does for the sandbox.
 *
 * A call is keyed by (turn, step, toolCallId); the turn comes from the stream. Asking again with the same key returns
 * the recorded outcome and does nothing: that is what makes a resumed turn safe. No input names the caller: the stream does.
 */
import * as z from "zod";

export const TOOL_PATH_PREFIX = "/v1/tool/";

export const HostToolCall = z.strictObject({
  step: z.int().nonnegative(),
  toolCallId: z.string().min(1).max(200),
  input: z.unknown(),
});
export type HostToolCall = z.infer<typeof HostToolCall>;

/** Journalled before it is answered, so the runner need not report it again. */
export const HostToolOutcome = z.strictObject({ text: z.string(), isError: z.boolean() });
export type HostToolOutcome = z.infer<typeof HostToolOutcome>;

const Chat = z.string().min(1).max(200).describe("Chat id. Default: this chat. Only the main group may name another.");
const TaskId = z.string().min(1).max(200).describe("Task id, as list_tasks shows it.");
const Prompt = z.string().min(1).max(32_768).describe("What you will be asked when the task runs. It must say everything needed.");
const ScheduleType = z.string().min(1).max(20).describe("cron, interval or once.");
const ScheduleValue = z
  .string()
  .min(1)
  .max(200)
  .describe("cron: 5 or 6 fields, as `0 9 * * 1`; interval: milliseconds; once: ISO 8601, local time where it has no zone.");
const ContextMode = z.enum(["group", "isolated"]).describe("group: the run knows this group's conversation; isolated: it starts fresh.");
const TimeZone = z.string().min(1).max(64).describe("IANA zone the schedule is in. Default: the household's.");
const CatchUp = z
  .enum(["skip", "once", "all"])
  .describe("Occurrences missed while the host was off: skip them, run once, run all. Default once.");

/** Tools the host does: name, what the model reads of it, and its input. */
export const HOST_TOOLS = {
  send_message: {
    description: "Send a message now, while you keep working. Your final answer is sent by itself: use this only for news on the way.",
    input: z.strictObject({ text: z.string().min(1), chat: Chat.optional() }),
  },
  schedule_task: {
    description: "Have yourself asked something later, once or again and again. What the task answers is sent to the chat.",
    input: z.strictObject({
      prompt: Prompt,
      schedule_type: ScheduleType,
      schedule_value: ScheduleValue,
      context_mode: ContextMode.optional(),
      time_zone: TimeZone.optional(),
      catch_up: CatchUp.optional(),
      chat: Chat.optional(),
    }),
  },
  list_tasks: { description: "The scheduled tasks of this group; the main group sees those of all.", input: z.strictObject({}) },
  get_task: {
    description: "One task in full, with its last result and how its last runs ended.",
    input: z.strictObject({ task_id: TaskId }),
  },
  update_task: {
    description: "Change a task. What is left out stays. Failures so far are forgotten; a paused task stays paused.",
    input: z.strictObject({
      task_id: TaskId,
      prompt: Prompt.optional(),
      schedule_type: ScheduleType.optional(),
      schedule_value: ScheduleValue.optional(),
      context_mode: ContextMode.optional(),
      time_zone: TimeZone.optional(),
      catch_up: CatchUp.optional(),
    }),
  },
  pause_task: { description: "Keep a task from running until it is resumed.", input: z.strictObject({ task_id: TaskId }) },
  resume_task: { description: "Let a paused task run again. Failures so far are forgotten.", input: z.strictObject({ task_id: TaskId }) },
  cancel_task: { description: "Delete a task.", input: z.strictObject({ task_id: TaskId }) },
  run_task_now: { description: "Run a task once, now, beside its schedule.", input: z.strictObject({ task_id: TaskId }) },
  register_group: {
    description: "Serve another chat: it gets a workspace of its own. Main group only.",
    input: z.strictObject({
      chat: z.string().min(1).max(200).describe("Chat id."),
      name: z.string().min(1).max(200).describe("Display name."),
      folder: z.string().min(1).max(64).describe("Letters, digits, dash, underscore; unique."),
      trigger: z.string().min(1).max(100).describe("Word that wakes you there, such as @Andy."),
      requires_trigger: z.boolean().optional().describe("False: every message wakes you. Default true."),
    }),
  },
  list_groups: {
    description: "Every chat that is served, and those that could be, most recent first. Main group only.",
    input: z.strictObject({}),
  },
  refresh_groups: {
    description: "Have the platforms asked for their groups and the names of these. list_groups shows the result. Main group only.",
    input: z.strictObject({}),
  },
} as const satisfies Record<string, { description: string; input: z.ZodType }>;

export type HostToolName = keyof typeof HOST_TOOLS;
export type HostToolInput<Name extends HostToolName> = z.infer<(typeof HOST_TOOLS)[Name]["input"]>;

export function isHostTool(name: string): name is HostToolName {
  return Object.hasOwn(HOST_TOOLS, name);
}
