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
 *   POST /v1/anthropic/…     the compatibility runner's model traffic (anthropic.ts)
 *   POST /v1/secret/redeem   a leased secret (secrets.ts)
 *   CONNECT, plain HTTP      the world outside (egress.ts)
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

/** Names a conversation that goes on from turn to turn; part of a file name, so nothing a path could be made of. */
export const SessionId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);

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

/**
 * What NanoClaw's old agent reads of its surroundings (contract §6.4, §7.2), for a turn the compatibility runner plays. It is told and
 * never asked back: the stream stays the identity.
 */
export const PayloadFacts = z.strictObject({
  groupFolder: z.string(),
  chatJid: z.string(),
  isMain: z.boolean(),
  isScheduledTask: z.boolean(),
  /** Those the group may see, newest first. */
  tasks: z.array(
    z.strictObject({
      id: z.string(),
      groupFolder: z.string(),
      prompt: z.string(),
      schedule_type: z.string(),
      schedule_value: z.string(),
      status: z.string(),
      next_run: z.string().nullable(),
    }),
  ),
  /** Most recent first; for main only. */
  groups: z.array(z.strictObject({ jid: z.string(), name: z.string(), lastActivity: z.string().nullable(), isRegistered: z.boolean() })),
});
export type PayloadFacts = z.infer<typeof PayloadFacts>;

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
  /** The conversation this turn goes on with; null: a new one, or none. */
  session: SessionId.nullable(),
  /** Earlier turns of that conversation, oldest first; the host decides how many. */
  history: z.array(z.array(JournalEntry)),
  /** First entry is the turn's input. More than one entry: the turn was interrupted and is resumed from here. */
  journal: z.array(JournalEntry).min(1),
  /** Secrets the owner lends this turn: `env` is the variable commands find the value in. */
  leases: z.array(z.strictObject({ name: z.string(), env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), ticket: z.string() })),
  /** Files with worthless keys, to be laid out before any tool runs: who takes one and shows it is found out. Paths are below `/tmp`. */
  decoys: z.array(z.strictObject({ path: z.string().startsWith("/tmp/"), text: z.string() })),
  /** Of a turn for the compatibility runner only. */
  compat: PayloadFacts.optional(),
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
  /** Of an agent that keeps its conversations itself: what it calls this one. Any other runner's word on it is ignored. */
  z.strictObject({ type: z.literal("session"), id: SessionId }),
  /** The runner gives up on this run; the host decides whether another is made. `staleSession`: the conversation could not be taken up. */
  z.strictObject({
    type: z.literal("failed"),
    error: z.string().max(4000),
    retryable: z.boolean(),
    staleSession: z.literal(true).optional(),
  }),
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
