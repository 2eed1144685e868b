/**
 * The tool wire, version 1: tools the host does for the sandbox.
 *
 * A call is keyed by (turn, step, toolCallId); the turn comes from the stream. Asking again with the same key returns
 * the recorded outcome and does nothing: that is what makes a resumed turn safe.
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

export const SendMessageInput = z.strictObject({
  /** Text for the chat this turn belongs to. */
  text: z.string().min(1),
});
export type SendMessageInput = z.infer<typeof SendMessageInput>;
