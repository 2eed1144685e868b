/** Medians and percentiles of small samples. Every percentile is a value that was measured: nothing is interpolated but the median of an even count. */

/** Throws RangeError on an empty sample. */
export function median(sample: readonly number[]): number {
  const sorted = ascending(sample);
  const upper = at(sorted, Math.floor(sorted.length / 2));
  return sorted.length % 2 === 1 ? upper : (at(sorted, sorted.length / 2 - 1) + upper) / 2;
}

/** Nearest rank: the smallest measured value that at least `percent` of the sample do not exceed. `percent` in (0, 100]. */
export function percentile(sample: readonly number[], percent: number): number {
  if (!(percent > 0 && percent <= 100)) throw new RangeError(`a percentile lies above 0 and up to 100, not at ${percent}`);
  const sorted = ascending(sample);
  return at(sorted, Math.ceil((percent / 100) * sorted.length) - 1);
}

function ascending(sample: readonly number[]): readonly number[] {
  if (sample.length === 0) throw new RangeError("an empty sample has no median");
  if (!sample.every(Number.isFinite)) throw new RangeError("a sample holds something that is no number");
  return sample.toSorted((a, b) => a - b);
}

function at(sorted: readonly number[], index: number): number {
  return sorted[index] as number;
}
