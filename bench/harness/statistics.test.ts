import { describe, expect, test } from "vitest";
import { median, percentile } from "./statistics.ts";

describe("median", () => {
  test("an odd count has its middle value as median, whatever the order it came in", () => {
    expect(median([9, 1, 5])).toBe(5);
  });
  test("an even count has the mean of its two middle values as median", () => {
    expect(median([4, 100, 2, 1])).toBe(3);
  });
  test("numbers are ordered as numbers, not as text", () => {
    expect(median([10, 9, 100])).toBe(10);
  });
});

describe("percentile", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  test("the 95th of a hundred values is the 95th smallest", () => {
    expect(percentile(hundred, 95)).toBe(95);
  });
  test("the 95th of fifteen values is the largest: nothing is made up between two of them", () => {
    expect(percentile(hundred.slice(0, 15), 95)).toBe(100);
    expect(percentile([3, 8], 95)).toBe(8);
  });
  test("the 95th of twenty values is the second largest", () => {
    expect(percentile(hundred.slice(80), 95)).toBe(19);
  });
  test("a sample of one is its own percentile", () => {
    expect(percentile([7], 1)).toBe(7);
    expect(percentile([7], 100)).toBe(7);
  });
});

test("an empty sample, or one with something that is no number, is an error and not a figure", () => {
  expect(() => median([])).toThrow(RangeError);
  expect(() => percentile([], 95)).toThrow(RangeError);
  expect(() => median([1, Number.NaN])).toThrow(RangeError);
  expect(() => percentile([1], 0)).toThrow(RangeError);
  expect(() => percentile([1], 101)).toThrow(RangeError);
});

test("the sample itself is left in its order", () => {
  const sample = [3, 1, 2];
  median(sample);
  percentile(sample, 95);
  expect(sample).toEqual([3, 1, 2]);
});
