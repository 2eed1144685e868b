/** What of a configuration decides how a recording plays, and where it goes. */
import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import type { Config } from "../config/index.ts";
import { HostError, RefusedError } from "../domain/errors.ts";
import type { RecordedHost } from "../recording/recording.ts";
import { VERSION } from "../version.ts";

export function recordedHost({ assistantName, timeZone, queue, retry, tasks }: Config): RecordedHost {
  return {
    version: VERSION,
    assistantName,
    timeZone: timeZone ?? systemTimeZones().local(),
    slots: queue.slots,
    retry,
    maxTaskFailures: tasks.maxFailures,
  };
}

/** Absolute. Throws RefusedError FOLDER_TAKEN where something is in it, HostError CONFIG_INVALID where it is no folder; creates nothing. */
export function freeFolder(folder: string): string {
  const path = resolve(folder);
  try {
    if (readdirSync(path).length === 0) return path;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return path;
    throw new HostError("CONFIG_INVALID", `${path} cannot be written: ${message}.`, { cause, hint: "Name a folder." });
  }
  throw new RefusedError("FOLDER_TAKEN", `${path} is not empty.`, { hint: "Name a new folder, or an empty one." });
}
