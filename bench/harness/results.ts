/** The outcome of a bench run as it is kept: what was measured, where, on what tree. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { BenchError } from "./bench-error.ts";
import type { Figure } from "./figure.ts";
import type { Machine } from "./machine.ts";

export interface Results {
  readonly v: 1;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly version: string;
  readonly tree?: string;
  readonly image: string;
  readonly machine: Machine;
  /** Processes that ran or wanted to over the minute before the bench began. */
  readonly loadBefore: number;
  readonly seconds: number;
  readonly figures: readonly Figure[];
  readonly failed: readonly { readonly scenario: string; readonly reason: string }[];
}

/** The file is replaced whole: a run that is killed leaves the last one's. */
export function saveResults(path: string, results: Results): void {
  mkdirSync(dirname(path), { recursive: true });
  const part = `${path}.tmp`;
  writeFileSync(part, resultsText(results));
  renameSync(part, path);
}

/** Of a file `saveResults` wrote. */
export function loadResults(path: string): Results {
  const results = JSON.parse(readFileSync(path, "utf8")) as Results;
  if (results.v !== 1) throw new BenchError(`${path} was written by another version of the bench.`, "Run `make bench`.");
  return results;
}

/** JSON with a figure a line, so that two runs can be compared with `diff`. */
export function resultsText({ figures, failed, ...head }: Results): string {
  const entries = Object.entries(head).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},`);
  return ["{", ...entries, `  "figures": ${list(figures)},`, `  "failed": ${list(failed)}`, "}", ""].join("\n");
}

function list(items: readonly object[]): string {
  return items.length === 0 ? "[]" : `[\n${items.map((item) => `    ${JSON.stringify(item, shortNumbers)}`).join(",\n")}\n  ]`;
}

/** Six digits are more than any clock here tells. */
function shortNumbers(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(6)) : value;
}
