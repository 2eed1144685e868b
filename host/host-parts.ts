/** What a host is made of, what it is told, and what it can be asked: the words host.ts, presets and embedders share. */
import type { AllowRequest, OverrideShown, RevokeRequest, Status, StopRequest, StopResult } from "../contracts/wire/control.ts";
import type { HostToolOutcome } from "../contracts/wire/tools.ts";
import type { Policy } from "./domain/policy.ts";
import type { EgressLimits } from "./egress/turn-quota.ts";
import type { AnthropicApi } from "./ports/anthropic-api.ts";
import type { Audit } from "./ports/audit.ts";
import type { Channel } from "./ports/channel.ts";
import type { Clock } from "./ports/clock.ts";
import type { LinkServer } from "./ports/link.ts";
import type { Log } from "./ports/log.ts";
import type { Model } from "./ports/model.ts";
import type { Outside } from "./ports/outside.ts";
import type { RuntimeReport, SandboxLimits, SandboxRuntime } from "./ports/sandbox-runtime.ts";
import type { Secrets } from "./ports/secrets.ts";
import type { Store } from "./ports/store.ts";
import type { TimeZones } from "./ports/time-zones.ts";
import type { Transcripts } from "./ports/transcripts.ts";
import type { Amount, WorkspaceMeter, Workspaces } from "./ports/workspace.ts";
import type { CompatibilityRules } from "./runs/compatibility.ts";
import type { TurnSettings } from "./runs/run-turn.ts";
import type { HostScreen } from "./secrets/screen.ts";

export interface HostParts {
  readonly store: Store;
  readonly runtime: SandboxRuntime;
  readonly workspaces: Workspaces;
  readonly transcripts: Transcripts;
  readonly timeZones: TimeZones;
  readonly links: LinkServer;
  readonly model: Model;
  readonly channels: readonly Channel[];
  readonly clock: Clock;
  readonly log: Log;
  /** In [0, 1), for jitter. */
  readonly random: () => number;
  readonly guard: GuardParts;
  /** NanoClaw's old agent in our runner's place. Absent: off. */
  readonly compatibility?: CompatibilityParts;
}

/** What decides, and remembers, what may leave a sandbox. */
export interface GuardParts {
  readonly policy: Policy;
  readonly outside: Outside;
  readonly secrets: Secrets;
  readonly screen: HostScreen;
  readonly audit: HostAudit;
  /** Absent: nobody looks how full workspaces are. */
  readonly meter?: WorkspaceMeter;
  /** That many bytes nobody can foresee. */
  readonly randomBytes: (bytes: number) => Uint8Array;
}

/** `settle` at each turn's end, `close` last: see the adapter. */
export interface HostAudit extends Audit {
  settle(): void;
  close(): Promise<void>;
}

export interface CompatibilityParts {
  readonly rules: CompatibilityRules;
  /** Its sandboxes hold the old agent, and carry the same labels as all others. */
  readonly runtime: SandboxRuntime;
  readonly workspaces: Workspaces;
  readonly model: Model;
  readonly anthropic: AnthropicApi;
}

export interface HostSettings {
  readonly home: string;
  readonly version: string;
  readonly turn: TurnSettings;
  readonly slots: number;
  readonly maxWaitingMessages: number;
  readonly maxMessageBytes: number;
  readonly maxBatchMessages: number;
  readonly maxBatchBytes: number;
  readonly sandboxLimits: SandboxLimits;
  readonly sandboxStartTimeoutMs: number;
  readonly egress: EgressLimits;
  /** What one group's workspace may hold, and what is kept free on its disk. */
  readonly workspaceLimit: Amount;
  readonly workspaceFreeBytes: number;
  readonly shutdownGraceMs: number;
  /** Failures in a row after which a task is paused. */
  readonly maxTaskFailures: number;
}

export interface Host {
  /** Rejects with HostError when the engine or a channel cannot be used; then nothing was started. */
  start(): Promise<RuntimeReport>;
  /** Resolves when nothing waits, runs, backs off, is being delivered or asked of a platform. */
  settled(): Promise<void>;
  /** Rejects with the StoreError that makes it impossible to go on; never resolves. */
  readonly broken: Promise<never>;
  /** Turns that failed and replies that were lost since the start. */
  failures(): number;
  status(): Status;
  stopTurns(request: StopRequest): Promise<StopResult>;
  /** Rules for a while: see OverrideDesk. */
  overrides(): readonly OverrideShown[];
  allow(request: AllowRequest): OverrideShown;
  revoke(request: RevokeRequest): void;
  /** One host tool, done outside any turn as if this group had asked for it. A refusal is an outcome; an unknown group throws RefusedError. */
  ask(folder: string, tool: string, input: unknown): HostToolOutcome;
  /** Graceful; idempotent. */
  close(): Promise<void>;
}
