/**
 * The control wire, version 1: the owner's commands to a running host.
 *
 * HTTP/1.1 over `<home>/run/control.sock` (0600 in a 0700 folder): whoever can open it is the owner.
 *   GET  /v1/status   → Status
 *   POST /v1/stop     StopRequest → StopResult
 *   GET  /v1/egress/overrides   → Overrides
 *   POST /v1/egress/allow       AllowRequest → AllowedForAWhile
 *   POST /v1/egress/revoke      RevokeRequest → {}
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

export const OVERRIDES_PATH = "/v1/egress/overrides";
export const ALLOW_PATH = "/v1/egress/allow";
export const REVOKE_PATH = "/v1/egress/revoke";

/** A month: what is needed longer belongs into the policy. */
export const MAX_OVERRIDE_MS = 31 * 24 * 60 * 60 * 1000;

export const AllowRequest = z.strictObject({
  /** As a rule is written in the policy. */
  rule: z.string().min(1).max(300),
  /** Folder; null: every group. */
  group: z.string().min(1).nullable(),
  forMs: z.int().min(1000).max(MAX_OVERRIDE_MS),
  reason: z.string().max(300),
});
export type AllowRequest = z.infer<typeof AllowRequest>;

export const OverrideShown = z.strictObject({
  id: z.int(),
  rule: z.string(),
  group: z.string().nullable(),
  reason: z.string(),
  /** ISO 8601. */
  until: z.string(),
  expired: z.boolean(),
});
export type OverrideShown = z.infer<typeof OverrideShown>;

export const Overrides = z.strictObject({ overrides: z.array(OverrideShown) });
export type Overrides = z.infer<typeof Overrides>;

export const RevokeRequest = z.strictObject({ id: z.int() });
export type RevokeRequest = z.infer<typeof RevokeRequest>;

export const ControlError = z.strictObject({ code: z.string(), message: z.string(), hint: z.string().optional() });
export type ControlError = z.infer<typeof ControlError>;
