/** What a scenario hands back, and what is made of it: a figure is a sample, its median and p95, and whether its goal is reached. */
import { median, percentile } from "./statistics.ts";

export type Unit = "ms" | "%" | "MB" | "KB" | "B" | "1/s" | "×" | "commits" | "turns";

/** A bound from docs/performance.md: at most `limit`, in the figure's unit. */
export interface Goal {
  readonly of: "median" | "p95";
  readonly limit: number;
}

export interface Figure {
  /** Stable name for comparing two result files. */
  readonly id: string;
  /** From where to where, in words. */
  readonly what: string;
  readonly unit: Unit;
  readonly n: number;
  readonly median: number;
  readonly p95: number;
  /** Absent: for information only. */
  readonly goal?: Goal;
  /** Present exactly where `goal` is. */
  readonly reached?: boolean;
  /** What a reader must know to judge it. */
  readonly note?: string;
  readonly sample: readonly number[];
}

export interface FigureText {
  readonly goal?: Goal;
  readonly note?: string;
}

export function figure(id: string, what: string, unit: Unit, sample: readonly number[], { goal, note }: FigureText = {}): Figure {
  const middle = median(sample);
  const high = percentile(sample, 95);
  return {
    id,
    what,
    unit,
    n: sample.length,
    median: middle,
    p95: high,
    ...(goal === undefined ? {} : { goal, reached: (goal.of === "median" ? middle : high) <= goal.limit }),
    ...(note === undefined ? {} : { note }),
    sample,
  };
}

/** Ours as a share of a baseline measured in the same run: median by median, p95 by p95. */
export function ratioFigure(id: string, what: string, ours: Figure, baseline: Figure, text: FigureText = {}): Figure {
  if (ours.unit !== baseline.unit) throw new RangeError(`${ours.id} is in ${ours.unit}, ${baseline.id} in ${baseline.unit}`);
  const { goal } = text;
  const middle = ours.median / baseline.median;
  const high = ours.p95 / baseline.p95;
  return {
    ...figure(id, what, "×", [middle], text),
    n: Math.min(ours.n, baseline.n),
    p95: high,
    ...(goal === undefined ? {} : { reached: (goal.of === "median" ? middle : high) <= goal.limit }),
  };
}
