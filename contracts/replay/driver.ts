/**
 * Driver: how a replay moves a host, whoever made it.
 *
 * The replay owns time: it says how far to go, and a driver's promise resolves only when everything due by then has happened and
 * nothing more would happen without further time. A driver may throw anything; the scenario then counts as failed.
 */
import * as z from "zod";
import type { AppliedEvent, MessageEvent, Scenario } from "./scenario.ts";
import type { TableName } from "./tables.ts";

const chat = z.string();
const group = z.string();
const text = z.string();
/** Milliseconds since the host's first start. */
const at = z.number();

/** What was seen of the host from outside, in order. */
export const Observed = z.discriminatedUnion("obs", [
  /** An agent was given its first input. */
  z.strictObject({
    at,
    obs: z.literal("run"),
    group,
    chat,
    isMain: z.boolean(),
    /** Id the run resumes. */
    session: z.string().nullable(),
    scheduled: z.boolean(),
    prompt: z.string(),
  }),
  z.strictObject({ at, obs: z.literal("followup"), group, text }),
  z.strictObject({ at, obs: z.enum(["send", "send-failed"]), chat, text }),
  z.strictObject({ at, obs: z.literal("typing"), chat, on: z.boolean() }),
  z.strictObject({ at, obs: z.enum(["host-up", "host-down"]) }),
]);
export type Observed = Readonly<z.infer<typeof Observed>>;

export type Dump = Readonly<Record<TableName, readonly Readonly<Record<string, string | number | null>>[]>>;

/** Parts of the contract a host may not do yet; what they would show is then not compared, and the report says so. */
export const Lack = z.enum(["sessions"]);
export type Lack = z.infer<typeof Lack>;

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
  dump(): Dump | Promise<Dump>;
}

/** What went wrong with a driver, in words for whoever replays. */
export class DriverError extends Error {
  override readonly name = "DriverError";
}

export type OpenDriver = (scenario: Scenario) => Promise<ReplayDriver>;
