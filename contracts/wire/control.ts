/**
 * The control wire, version 1: the owner's commands to a running host.
 *
 * HTTP/1.1 over `<home>/run/control.sock` (0600 in a 0700 folder): whoever can open it is the owner.
 *   GET  /v1/status   → Status
 *   POST /v1/stop     StopRequest → StopResult
 * Errors: HTTP status + ControlError.
 */
import * as z from "zod";

export const STATUS_PATH = "/v1/status";
export const STOP_PATH = "/v1/stop";

export const GroupStatus = z.strictObject({
  folder: z.string(),
  chat: z.string(),
  state: z.enum(["idle", "waiting", "running", "backing-off"]),
  /** Messages stored and not yet part of a turn. */
  queued: z.int().nonnegative(),
  turn: z.int().nullable(),
  sandbox: z.string().nullable(),
  /** Milliseconds the current run has taken. */
  runningMs: z.number().nullable(),
});
export type GroupStatus = z.infer<typeof GroupStatus>;

export const Status = z.strictObject({
  v: z.literal(1),
  version: z.string(),
  pid: z.int(),
  home: z.string(),
  upSeconds: z.number(),
  model: z.string(),
  engine: z.string(),
  slots: z.strictObject({ limit: z.int(), used: z.int() }),
  inbox: z.int().nonnegative(),
  outbox: z.int().nonnegative(),
  /** Messages of chats nobody registered, since the start: dropped by rule, and counted so that it shows. */
  ignored: z.int().nonnegative(),
  turns: z.strictObject({ done: z.int(), failed: z.int() }),
  groups: z.array(GroupStatus),
});
export type Status = z.infer<typeof Status>;

export const StopRequest = z.union([z.strictObject({ group: z.string().min(1) }), z.strictObject({ all: z.literal(true) })]);
export type StopRequest = z.infer<typeof StopRequest>;

export const StopResult = z.strictObject({
  stopped: z.array(z.strictObject({ folder: z.string(), turn: z.int(), ms: z.number() })),
});
export type StopResult = z.infer<typeof StopResult>;

export const ControlError = z.strictObject({ code: z.string(), message: z.string(), hint: z.string().optional() });
export type ControlError = z.infer<typeof ControlError>;
