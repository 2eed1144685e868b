import { destination, pino } from "pino";
import type { Log } from "../../ports/log.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** JSON lines on standard error, written at once: a transport would be a worker thread of 11–17 MB, and a buffer is lost on a crash. */
export function createLog(level: LogLevel): Log {
  return pino({ level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }, destination({ fd: 2, sync: true }));
}
