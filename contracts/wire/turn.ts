/**
 * The turn wire, version 1: what host and runner say about one turn.
 *
 * It runs as HTTP/2 over the sandbox's private stream; the host is the server. Nothing here names a group, a run or a
 * sandbox: the stream itself is the identity, and the host knows who holds the other end.
 *
 *   POST /v1/turn            runner → host: NDJSON of TurnEvent, open for the whole turn;
 *                            host → runner: NDJSON of TurnFeed, `start` first, `stop` at most once
 *   POST /v1/turn/result     ToolResult, answered 204 once it is journalled; the next model step waits for it
 *   POST /v1/turn/boundary   asked between steps: messages that arrived meanwhile → Boundary
 *   POST /v1/turn/finish     Finish → Finished; `more` means messages arrived and the turn goes on with them
 *   POST /v1/tool/<name>     HostToolCall → HostToolOutcome (tools.ts)
 *   POST /v1/model/language-model   one model step (model.ts)
 */
import * as z from "zod";

export const WIRE_VERSION = 1;

export const TURN_PATH = "/v1/turn";
export const RESULT_PATH = "/v1/turn/result";
export const BOUNDARY_PATH = "/v1/turn/boundary";
export const FINISH_PATH = "/v1/turn/finish";

/** A JSON request body or NDJSON line larger than this is refused (413) or ends the stream. 8 MiB holds a model step with images; text alone stays far below. */
export const MAX_FRAME_BYTES = 8 * 1024 * 1024;

const ToolCallId = z.string().min(1).max(200);
const ToolName = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

export const AssistantPart = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text"), text: z.string() }),
  z.strictObject({
    type: z.literal("reasoning"),
    text: z.string(),
    providerOptions: z.record(z.string(), z.unknown()).optional(),
  }),
  z.strictObject({
    type: z.literal("tool-call"),
    toolCallId: ToolCallId,
    toolName: ToolName,
    input: z.unknown(),
    providerOptions: z.record(z.string(), z.unknown()).optional(),
  }),
]);
export type AssistantPart = z.infer<typeof AssistantPart>;

/** What one tool call came to. `step` counts model steps of the turn from 0. */
export const ToolResult = z.strictObject({
  step: z.int().nonnegative(),
  toolCallId: ToolCallId,
  toolName: ToolName,
  text: z.string(),
  isError: z.boolean(),
});
export type ToolResult = z.infer<typeof ToolResult>;

/** One line of a turn's journal, in the order it happened. From these alone a fresh runner resumes the turn. */
export const JournalEntry = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("input"), text: z.string() }),
  z.strictObject({ kind: z.literal("step"), step: z.int().nonnegative(), content: z.array(AssistantPart) }),
  z.strictObject({ kind: z.literal("result"), ...ToolResult.shape }),
]);
export type JournalEntry = z.infer<typeof JournalEntry>;

export const TurnLimits = z.strictObject({
  /** Model steps a turn may take. */
  steps: z.int().positive(),
  /** Tool calls a turn may make, sandbox and host tools together. */
  toolCalls: z.int().positive(),
  /** Bytes of one tool's output shown to the model; the middle of more is cut and marked. */
  toolOutputBytes: z.int().positive(),
  /** Milliseconds one tool call may take. */
  toolTimeoutMs: z.int().positive(),
});
export type TurnLimits = z.infer<typeof TurnLimits>;

export const TurnStart = z.strictObject({
  v: z.literal(WIRE_VERSION),
  type: z.literal("start"),
  assistantName: z.string(),
  /** IANA zone of the household. */
  timeZone: z.string(),
  /** Model id to ask the model door for. */
  model: z.string(),
  system: z.string(),
  limits: TurnLimits,
  /** First entry is the turn's input. More than one entry: the turn was interrupted and is resumed from here. */
  journal: z.array(JournalEntry).min(1),
});
export type TurnStart = z.infer<typeof TurnStart>;

/** Host → runner. `stop`: end now, answer nothing more; the sandbox is killed if it does not comply. */
export const TurnFeed = z.discriminatedUnion("type", [
  TurnStart,
  z.strictObject({ v: z.literal(WIRE_VERSION), type: z.literal("stop"), reason: z.string() }),
]);
export type TurnFeed = z.infer<typeof TurnFeed>;

/** Runner → host, for people watching and for figures. Nothing is decided by these: the journal is. */
export const TurnEvent = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("ready"), v: z.literal(WIRE_VERSION), pid: z.int() }),
  z.strictObject({ type: z.literal("text"), step: z.int().nonnegative(), delta: z.string() }),
  z.strictObject({ type: z.literal("tool-started"), step: z.int().nonnegative(), toolCallId: ToolCallId, toolName: ToolName }),
  z.strictObject({
    type: z.literal("tool-ended"),
    step: z.int().nonnegative(),
    toolCallId: ToolCallId,
    isError: z.boolean(),
    ms: z.number().nonnegative(),
  }),
  /** The runner gives up on this run; the host decides whether another is made. */
  z.strictObject({ type: z.literal("failed"), error: z.string().max(4000), retryable: z.boolean() }),
]);
export type TurnEvent = z.infer<typeof TurnEvent>;

/** Inputs that arrived since the last boundary, already journalled; none means carry on. */
export const Boundary = z.strictObject({ inputs: z.array(z.string()) });
export type Boundary = z.infer<typeof Boundary>;

/** The answer to everything given so far. May be empty (nothing to say). */
export const Finish = z.strictObject({ text: z.string() });
export type Finish = z.infer<typeof Finish>;

/** `more`: the reply is stored, but these inputs arrived before the turn could close, so it goes on. */
export const Finished = z.discriminatedUnion("state", [
  z.strictObject({ state: z.literal("done") }),
  z.strictObject({ state: z.literal("more"), inputs: z.array(z.string()).min(1) }),
]);
export type Finished = z.infer<typeof Finished>;

/** Every refusal on the link: a status and one sentence the model can act on. */
export const Refusal = z.strictObject({ code: z.string(), message: z.string() });
export type Refusal = z.infer<typeof Refusal>;
