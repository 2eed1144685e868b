/** What the suite found, for people and for programs. */
import { visible } from "../../host/audit/entry.ts";
import type { Result } from "./run-suite.ts";

export function isHeld({ stopped, isRecorded }: Result): boolean {
  return stopped && isRecorded;
}

/** A block for each attack: what it is and whether it was stopped; what was tried; what stopped it; where that is recorded. */
export function tableOf(results: readonly Result[]): string {
  const rows = [["attack", "tried", "stopped by", "recorded in"], ...results.map(rowOf)];
  const widths = [0, 1, 2].map((column) => Math.min(WIDEST[column] ?? 0, Math.max(...rows.map((row) => row[column]?.length ?? 0))));
  const lines = rows.map((row) => row.map((text, n) => fit(text, widths[n])).join("  "));
  const attacks = results.filter(({ attack }) => attack.isControl !== true);
  const failed = results.filter((result) => !isHeld(result));
  const count = `${attacks.length} attacks, ${attacks.filter((result) => !isHeld(result)).length} not stopped or not recorded.`;
  return `${[...lines, "", ...failed.map(describeFailure), count].join("\n")}\n`;
}

export function documentOf(results: readonly Result[]): object {
  const attacks = results.map((result) => ({
    id: result.attack.id,
    family: result.attack.family,
    control: result.attack.isControl === true,
    tried: result.attack.tried,
    stopped: result.stopped,
    by: result.by,
    recordedIn: result.recordedIn,
    recorded: result.isRecorded,
  }));
  return { ok: results.every(isHeld), attacks };
}

const WIDEST = [34, 62, 56];

function rowOf(result: Result): readonly string[] {
  const { attack, stopped, by, recordedIn, isRecorded } = result;
  const outcome = attack.isControl === true ? (stopped ? `(works) ${by}` : `BROKEN ${by}`) : stopped ? by : `NOT STOPPED: ${by}`;
  return [attack.id, attack.tried, outcome, isRecorded ? recordedIn : `NOT FOUND: ${recordedIn}`].map((text) => visible(text));
}

function fit(text: string, width: number | undefined): string {
  if (width === undefined) return text;
  return text.length <= width ? text.padEnd(width) : `${text.slice(0, width - 1)}…`;
}

function describeFailure({ attack, stopped, by, recordedIn, isRecorded }: Result): string {
  const reasons = [stopped ? "" : `not stopped: ${by}`, isRecorded ? "" : `not recorded in ${recordedIn}`].filter((text) => text !== "");
  return visible(`! ${attack.id}: ${reasons.join("; ")}`);
}
