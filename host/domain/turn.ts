/**
 * The states of a turn. They only move forward:
 *
 *   running ──▶ delivering ──▶ done
 *      └──────▶ failed ◀──────────┘ (a reply could not be delivered)
 *
 * Before it there are only queued messages: a turn is born when a slot is free and takes the batch that waits.
 * running: a run works on it, or waits for its next attempt. delivering: everything is said and stored, some of it not yet
 * handed to the channel. A turn with nothing left to deliver goes straight to done.
 */
export type TurnState = "running" | "delivering" | "done" | "failed";

/** How one run ended. `interrupted`: the host stopped or died under it; the turn goes on with a new run. */
export type RunOutcome = "done" | "failed" | "stopped" | "timeout" | "interrupted";

export interface RunFigures {
  /** Epoch milliseconds of the first streamed text; null: there was none. */
  readonly firstTokenAt: number | null;
  readonly steps: number;
  readonly toolCalls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** What a group's queue is to do after a run. `again`: there may be more at once. `retryInMs`: the same turn, later. */
export type Verdict = { readonly next: "idle" | "again" } | { readonly next: "retry"; readonly retryInMs: number };

/** To use a tool for a message and to answer it: a model may treat each message of a batch by itself. */
const STEPS_A_MESSAGE = 2;

/** Messages a turn may take, at least one: more could use up its steps or tool calls before the last of them is answered. */
export function roomForMessages(limits: { readonly steps: number; readonly toolCalls: number }): number {
  return Math.max(1, Math.floor(Math.min(limits.steps, limits.toolCalls) / STEPS_A_MESSAGE));
}
