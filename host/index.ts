/** Public surface, sorted by reader. Embedders bring their own adapters. */

// To run a host.
export type { Host, GuardParts, HostParts, HostSettings } from "./host-parts.ts";
export { createHost } from "./host.ts";
export { type Config, loadConfig } from "./config/index.ts";

// To decide what gets out.
export { CLOSED_POLICY, type Policy } from "./domain/policy.ts";
export { HostScreen } from "./secrets/screen.ts";

// To write an adapter.
export type { Audit, AuditEntry } from "./ports/audit.ts";
export type { ArrivalOptions, Channel, DeliveryGuarantee, Intake, OutboundReply, Receipt } from "./ports/channel.ts";
export type { Clock, Timer } from "./ports/clock.ts";
export type { LinkServer, LinkSession, TurnDoors } from "./ports/link.ts";
export type { Log } from "./ports/log.ts";
export type { Model, ModelCallOptions, ModelStreamPart } from "./ports/model.ts";
export type { Outside } from "./ports/outside.ts";
export type { Sandbox, SandboxLimits, SandboxMount, SandboxRuntime, SandboxSpec } from "./ports/sandbox-runtime.ts";
export type { Secrets } from "./ports/secrets.ts";
export type { Store } from "./ports/store.ts";
export type { Workspace, WorkspaceMeter, Workspaces } from "./ports/workspace.ts";

// To act on what goes wrong.
export { ERROR_CODES, type ErrorCode, HostError, isHostError } from "./domain/errors.ts";
