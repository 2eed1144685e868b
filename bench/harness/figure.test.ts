import { expect, test } from "vitest";
import { figure, ratioFigure } from "./figure.ts";

test("a figure at its limit has reached its goal, one just above has not", () => {
  const goal = { of: "median", limit: 300 } as const;
  expect(figure("a", "a", "ms", [300], { goal }).reached).toBe(true);
  expect(figure("a", "a", "ms", [300.1], { goal }).reached).toBe(false);
});

test("a goal for p95 is missed by a slow tail although the median is fast", () => {
  const made = figure("a", "a", "ms", [1, 1, 1, 50], { goal: { of: "p95", limit: 30 } });
  expect(made).toMatchObject({ median: 1, p95: 50, n: 4, reached: false });
});

test("a figure without a goal says nothing about reaching it", () => {
  expect(figure("a", "a", "ms", [1])).not.toHaveProperty("reached");
});

test("a ratio compares medians with medians, p95 with p95, and judges the one its goal names", () => {
  const ours = figure("ours", "ours", "ms", [100, 100, 900]);
  const baseline = figure("theirs", "theirs", "ms", [1000, 1000, 1000]);
  const median = ratioFigure("r", "r", ours, baseline, { goal: { of: "median", limit: 0.15 } });
  expect(median).toMatchObject({ median: 0.1, p95: 0.9, n: 3, unit: "×", reached: true });
  expect(ratioFigure("r", "r", ours, baseline, { goal: { of: "p95", limit: 0.15 } }).reached).toBe(false);
});

test("a ratio of two units is refused", () => {
  expect(() => ratioFigure("r", "r", figure("a", "a", "ms", [1]), figure("b", "b", "MB", [1]))).toThrow(/a is in ms, b in MB/);
});
