export { createLog, type LogLevel } from "./pino-log.ts";
