/**
 * Driver: how a replay moves a host, whoever made it.
 *
 * The replay owns time: it says how far to go, and a driver's promise resolves only when everything due by then has happened and
 * nothing more would happen without further time. A driver may throw anything; the scenario then counts as failed.
 */
import type { Scenario, TimelineEvent } from "./scenario.ts";
import type { TableName } from "./tables.ts";

export type MessageEvent = Extract<TimelineEvent, { op: "message" }>;
export type AppliedEvent = Extract<TimelineEvent, { op: "ipc" | "disconnect" | "sendFails" | "channelGroups" }>;

/** What was seen of the host from outside, in order. `at`: milliseconds since its first start. */
export type Observed = { readonly at: number } & (
  | {
      /** An agent was given its first input. */
      readonly obs: "run";
      readonly group: string;
      readonly chat: string;
      readonly isMain: boolean;
      readonly session: string | null;
      readonly scheduled: boolean;
      readonly prompt: string;
    }
  | { readonly obs: "followup"; readonly group: string; readonly text: string }
  | { readonly obs: "send" | "send-failed"; readonly chat: string; readonly text: string }
  | { readonly obs: "typing"; readonly chat: string; readonly on: boolean }
  | { readonly obs: "host-up" | "host-down" }
);

export type Dump = Readonly<Record<TableName, readonly Readonly<Record<string, string | number | null>>[]>>;

/** Parts of the contract a host may not do yet; what they would show is then not compared, and the report says so. */
export type Lack = "sessions" | "group-sync";

export interface ReplayDriver extends AsyncDisposable {
  readonly lacks: readonly Lack[];
  /** Starts the host on the home as it is: seeded at first, then as the last host left it. */
  start(): Promise<void>;
  /** `kill`: as kill -9. `graceful`: as SIGTERM, within `withinMs`. */
  stop(how: "kill" | "graceful", withinMs: number): Promise<void>;
  /** Offers them in one go, as a channel that caught up would. */
  deliver(messages: readonly MessageEvent[]): Promise<void>;
  apply(event: AppliedEvent): Promise<void>;
  advanceTo(ms: number): Promise<void>;
  readonly observed: readonly Observed[];
  /** The tables as they are now. */
  dump(): Dump;
}

export type OpenDriver = (scenario: Scenario) => Promise<ReplayDriver>;
