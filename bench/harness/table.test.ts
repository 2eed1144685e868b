import { describe, expect, test } from "vitest";
import { figure } from "./figure.ts";
import { markdownTable, number, textTable } from "./table.ts";

const reached = figure("a", "start → ready", "ms", [200, 210, 220], { goal: { of: "median", limit: 300 } });
const missed = figure("b", "memory", "MB", [70.04], { goal: { of: "p95", limit: 56 }, note: "three processes" });
const plain = figure("c", "per turn", "KB", [12], { note: "three processes" });

describe("the text table", () => {
  const lines = textTable([reached, missed, plain]).split("\n");
  test("names the columns and aligns the numbers under each other", () => {
    expect(lines[0]).toBe("what           median  p95  unit  n  goal      reached");
    expect(lines[2]).toBe("start → ready     210  220  ms    3  ≤ 300     yes");
    expect(lines[3]).toBe("memory [1]         70   70  MB    1  p95 ≤ 56  NO");
  });
  test("a figure without a goal has none, and no verdict either", () => {
    expect(lines[4]).toBe("per turn [1]       12   12  KB    1  –");
  });
  test("a note that two figures share is written once, below", () => {
    expect(lines.slice(5)).toEqual(["", "[1] three processes"]);
  });
});

test("the Markdown table carries the same cells, and a bar in a text does not break a row", () => {
  const [head, rule, row] = markdownTable([figure("x", "a | b", "ms", [1])]).split("\n");
  expect(head).toBe("| what | median | p95 | unit | n | goal | reached |");
  expect(rule).toBe("|---|---:|---:|---|---:|---|---|");
  expect(row).toBe("| a \\| b | 1 | 1 | ms | 1 | – |  |");
});

test("numbers show three significant digits at most, and never in scientific notation", () => {
  expect([0.1234, 1.2345, 12.345, 123.45, 12345.6, 0, 30].map(number)).toEqual(["0.12", "1.23", "12.3", "123", "12346", "0", "30"]);
});
