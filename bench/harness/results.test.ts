import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { figure } from "./figure.ts";
import { loadResults, type Results, resultsText, saveResults } from "./results.ts";

const results: Results = {
  v: 1,
  at: "2026-01-02T03:04:05.000Z",
  version: "1.2.3",
  image: "runner:1",
  machine: { model: "Board", cores: 4, ramMB: 1024, kernel: "6.1", arch: "arm64", disk: "ext4", engine: "docker 1", node: "v24" },
  loadBefore: 0.1,
  seconds: 9,
  figures: [figure("a", "a → b", "ms", [1 / 3, 2]), figure("b", "[c]", "MB", [1])],
  failed: [{ scenario: "idle", reason: 'it said "no"' }],
};

test("what is kept reads back as what was measured, to six digits", () => {
  const read = JSON.parse(resultsText(results)) as Results;
  expect(read.figures[0]).toMatchObject({ id: "a", unit: "ms", n: 2, sample: [0.333333, 2] });
  expect({ ...read, figures: [] }).toEqual({ ...results, figures: [] });
});

test("each figure stands on a line of its own, so that two runs can be compared line by line", () => {
  const lines = resultsText(results).split("\n");
  expect(lines.filter((line) => line.includes('"id":'))).toHaveLength(2);
  expect(JSON.parse(resultsText({ ...results, figures: [], failed: [] }))).toMatchObject({ figures: [], failed: [] });
});

test("results of another version are refused instead of being misread", () => {
  const folder = mkdtempSync(join(tmpdir(), "hermit-results-"));
  const path = join(folder, "latest.json");
  try {
    writeFileSync(path, '{ "v": 2 }');
    expect(() => loadResults(path)).toThrow(/another version/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("saving replaces the file and leaves nothing beside it", () => {
  const folder = mkdtempSync(join(tmpdir(), "hermit-results-"));
  const path = join(folder, "results", "latest.json");
  try {
    saveResults(path, { ...results, seconds: 1 });
    saveResults(path, results);
    expect(loadResults(path)).toMatchObject({ seconds: 9 });
    expect(readdirSync(join(folder, "results"))).toEqual(["latest.json"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
