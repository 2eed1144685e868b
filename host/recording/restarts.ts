/** When the host was down. Nobody writes that down: between two hosts it is the longest time of which nothing is known. */
import type { Past } from "../adapters/store-sqlite/past.ts";
import type { RecordedRun } from "./recorded-runs.ts";

export interface Restart {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly downMs: number;
}

export function restarts(past: Past, runs: readonly RecordedRun[]): readonly Restart[] {
  return runs.flatMap((run, n) => {
    const before = runs[n - 1];
    if (before === undefined || before.generation === run.generation) return [];
    const up = run.startedAt;
    const ended = runs
      .slice(0, n)
      .flatMap(({ startedAt, entries, end }) => [startedAt, ...entries.map(({ at }) => at), ...(end.how === "open" ? [] : [end.at])]);
    const last = Math.max(...ended.filter((at) => at <= up));
    const came = past.inbox.map(({ received_at: at }) => at).filter((at) => last < at && at < up);
    const known = [last, ...came.toSorted((a, b) => a - b), up];
    const gaps = known.slice(1).map((to, i) => ({ from: known[i] ?? to, to }));
    const longest = gaps.reduce((one, other) => (other.to - other.from > one.to - one.from ? other : one));
    // What happened in the last moment has happened.
    const at = Math.min(longest.from + 1, longest.to);
    return [{ at, downMs: longest.to - at }];
  });
}
