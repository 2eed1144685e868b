import { destination, pino } from "pino";
import { type Redact, redactShapes } from "../../domain/redaction.ts";
import type { Log } from "../../ports/log.ts";
import { writtenFields, writtenText } from "./written-fields.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Where lines go, each in one piece. */
export interface LineSink {
  write(line: string): void;
}

/**
 * JSON lines on standard error, written at once: a transport would be a worker thread of 11–17 MB, and a buffer is lost on a crash.
 * Whatever is logged passes `redact`, fields and their names as well; the default knows the shapes of keys alone.
 */
export function createLog(level: LogLevel, redact: Redact = redactShapes, sink: LineSink = destination({ fd: 2, sync: true })): Log {
  const lines = pino({ level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }, sink);
  const writer = (at: keyof Log) => (fields: object, message: string) => {
    if (lines.isLevelEnabled(at)) lines[at](writtenFields(fields, redact), writtenText(message, redact));
  };
  return { debug: writer("debug"), info: writer("info"), warn: writer("warn"), error: writer("error") };
}
