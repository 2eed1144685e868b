/** The seven tables of a NanoClaw database as recordings hold them, and how a recorded value is compared with a found one. */
import * as z from "zod";

export const Tables = ["chats", "messages", "scheduled_tasks", "task_run_logs", "router_state", "sessions", "registered_groups"] as const;
export type TableName = (typeof Tables)[number];

/** Values that differ from run to run are recorded by what they are. */
const Volatile = z.union([
  /** A wall time of the host; with `from`: that column of the same row plus `plusMs`. */
  z.strictObject({ $time: z.string(), from: z.string().optional(), plusMs: z.number().optional() }),
  z.strictObject({ $ms: z.string() }),
  /** Id of the n-th task the host created. */
  z.strictObject({ $task: z.int().positive() }),
  /** The column holds this as JSON text. */
  z.strictObject({ $json: z.json() }),
  /** The kind must be told, the words are free. */
  z.looseObject({
    $error: z.enum(["agent-exit", "agent-timeout", "agent-spawn", "folder-not-registered", "unspecified"]),
    prefixed: z.boolean().optional(),
  }),
]);

export const Cell = z.union([z.string(), z.number(), z.null(), Volatile]);
export type Cell = z.infer<typeof Cell>;

export const Row = z.record(z.string(), Cell);
export type Row = z.infer<typeof Row>;
