/** A host's log in disguise: JSON lines as log-pino writes them, and whatever a service manager put in between. */
import { redactJson } from "../domain/redaction.ts";
import type { Disguise } from "./placeholders.ts";

export interface LogStretch {
  /** Epoch milliseconds. */
  readonly from: number;
  readonly until: number;
  /** Only there does a log hold what was said. */
  readonly withDebug: boolean;
}

const INFO = 30;

/** Lines of another time are left out. What has no time of its own belongs to the line before it. */
export function disguiseLog(text: string, { from, until, withDebug }: LogStretch, as: Disguise): string {
  let isInside = true;
  const lines = text.replace(/\n$/, "").split("\n");
  const kept = lines.flatMap((line) => {
    const entry = entryOf(line);
    if (entry === undefined) return isInside ? [as.kept(line)] : [];
    const at = Date.parse(String(entry["time"]));
    isInside = !(at < from || at > until) && (withDebug || !(Number(entry["level"]) < INFO));
    return isInside ? [JSON.stringify(redactJson(entry, as.kept.bind(as)))] : [];
  });
  return kept.map((line) => `${line}\n`).join("");
}

function entryOf(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === "object" && entry !== null ? (entry as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}
