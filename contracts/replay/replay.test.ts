/** Our host against the recordings: every scenario, and proof that a recording changed by one byte is noticed. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openHermit } from "../../host/replay/hermit-driver.ts";
import { PENDING } from "../../host/replay/pending.ts";
import { replayFolder, replayOne } from "./replay.ts";
import { renderFailure } from "./report.ts";
import { loadScenario, scenarioNames } from "./scenario.ts";

const SCENARIOS = join(import.meta.dirname, "../../fixtures/golden/scenarios");

describe("recorded scenario", () => {
  for (const name of scenarioNames(SCENARIOS)) {
    const scenario = loadScenario(SCENARIOS, name);
    const waitsFor = PENDING[name];
    const title = `${name} (§${scenario.meta.section}, ${scenario.meta.verdict}): ${scenario.meta.title}`;
    const run = async (): Promise<void> => {
      const report = await replayOne(scenario, openHermit);
      expect(report.outcome === "failed" ? renderFailure(report) : "").toBe("");
    };
    if (waitsFor === undefined) test(title, run);
    // Expected to fail, not skipped: one that passes must be struck from the list.
    else test.fails(`${title} (waits for: ${waitsFor})`, run);
  }
});

test("every pending scenario is one of the recorded ones", () => {
  expect(Object.keys(PENDING).filter((name) => !scenarioNames(SCENARIOS).includes(name))).toEqual([]);
});

test.each([
  ["a reply", "unicode-end-to-end", "expected.jsonl", /("obs":"send".*"text":"Andy: .)./],
  ["a prompt", "batch-of-several-messages", "expected.jsonl", /("prompt":"<messages>\\n<message sender=\\")./],
  ["whether a run is a task's", "once-task-runs-and-completes", "expected.jsonl", /("scheduled":)true/],
  ["a stored message", "follow-ups-piped", "db.after.json", /("content": ")./],
  ["a cursor", "follow-ups-piped", "db.after.json", /("last_timestamp",\s*"value": "2)./],
  ["a task's next run", "cron-task-in-zone", "db.after.json", /("next_run": "2026-03-0)./],
  ["a correction", "same-second-message-lost", "corrected.jsonl", /("text":"Andy: .)./],
])("a recording in which %s was altered fails", async (_what, name, file, place) => {
  const folder = mkdtempSync(join(tmpdir(), "altered-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  cpSync(join(SCENARIOS, name), join(folder, name), { recursive: true });
  expect((await replayFolder(folder, openHermit)).failed).toBe(0);
  const path = join(folder, name, file);
  const text = readFileSync(path, "utf8");
  const altered = text.replace(place, (_match, before: string) => `${before}${before.endsWith(":") ? "false" : "#"}`);
  expect(altered).not.toBe(text);
  writeFileSync(path, altered);
  const report = await replayFolder(folder, openHermit);
  expect(report).toMatchObject({ passed: 0, failed: 1 });
  expect(report.scenarios[0]?.differences.length).toBeGreaterThan(0);
});
