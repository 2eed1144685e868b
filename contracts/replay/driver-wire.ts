/**
 * The driver interface (driver.ts) as a program speaks it: one JSON object a line, requests on its standard input, answers on its
 * standard output, one answer for each request and in that order. docs/replay.md describes it for those who write one.
 *
 * Version 1. A driver that does not know the version of an `open` answers with an error.
 */
import * as z from "zod";
import { Lack, Observed } from "./driver.ts";
import { AppliedEvent, MessageEvent } from "./scenario.ts";
import { Tables } from "./tables.ts";

export const DRIVER_WIRE_VERSION = 1;

/** Counts up from 1; the answer repeats it. */
const id = z.int().positive();
const Ms = z.number().nonnegative();

export const DriverRequest = z.discriminatedUnion("do", [
  /** Of what follows until `close`. `scenario`: its folder, to be read for seed and agents. */
  z.strictObject({ id, do: z.literal("open"), v: z.literal(DRIVER_WIRE_VERSION), scenario: z.string() }),
  z.strictObject({ id, do: z.literal("start") }),
  z.strictObject({ id, do: z.literal("stop"), how: z.enum(["kill", "graceful"]), withinMs: Ms }),
  z.strictObject({ id, do: z.literal("deliver"), messages: z.array(MessageEvent) }),
  z.strictObject({ id, do: z.literal("apply"), event: AppliedEvent }),
  z.strictObject({ id, do: z.literal("advanceTo"), ms: Ms }),
  z.strictObject({ id, do: z.literal("dump") }),
  z.strictObject({ id, do: z.literal("close") }),
]);
export type DriverRequest = z.infer<typeof DriverRequest>;

const Moved = z.strictObject({
  id,
  /** Since the answer before. */
  observed: z.array(Observed),
});

const Row = z.record(z.string(), z.union([z.string(), z.number(), z.null()]));

/** What answers what. */
export const DriverAnswers = {
  open: z.strictObject({ id, v: z.literal(DRIVER_WIRE_VERSION), lacks: z.array(Lack) }),
  start: Moved,
  stop: Moved,
  deliver: Moved,
  apply: Moved,
  advanceTo: Moved,
  dump: z.strictObject({ id, tables: z.record(z.enum(Tables), z.array(Row)) }),
  close: z.strictObject({ id }),
} satisfies Record<DriverRequest["do"], z.ZodType>;
export type DriverAnswer<What extends DriverRequest["do"]> = z.infer<(typeof DriverAnswers)[What]>;

/** Answers any request that failed; the scenario has failed with it, and the driver is ended. */
export const DriverFailure = z.strictObject({ id, error: z.string() });
