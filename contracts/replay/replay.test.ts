/** Our host against the recordings: every scenario, and proof that a recording changed by one byte is noticed. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openHermit } from "../../host/replay/hermit-driver.ts";
import { againstRecording, replayOne } from "./replay.ts";
import { renderFailure, type ScenarioReport } from "./report.ts";
import { loadScenario, scenarioNames } from "./scenario.ts";

const SCENARIOS = join(import.meta.dirname, "../../fixtures/golden/scenarios");

describe("recorded scenario", () => {
  for (const name of scenarioNames(SCENARIOS)) {
    const scenario = loadScenario(SCENARIOS, name);
    test(`${name} (§${scenario.meta.section}, ${scenario.meta.verdict}): ${scenario.meta.title}`, async () => {
      const report = await replayOne(scenario, againstRecording(openHermit));
      expect(report.outcome === "failed" ? renderFailure(report) : "").toBe("");
    });
  }
});

test.each([
  ["a reply", "unicode-end-to-end", "expected.jsonl", /("obs":"send".*"text":"Andy: .)./, "sends to fam@g.us"],
  ["a prompt", "batch-of-several-messages", "expected.jsonl", /("prompt":"<messages>\\n<message sender=\\")./, "inputs of main"],
  ["whether a run is a task's", "once-task-runs-and-completes", "expected.jsonl", /("scheduled":)true/, "inputs of fam"],
  ["a stored message", "follow-ups-piped", "db.after.json", /("content": ")./, "table messages"],
  ["a cursor", "follow-ups-piped", "db.after.json", /("last_timestamp",\s*"value": "2)./, "table router_state"],
  ["a chat's name", "unregistered-chat", "db.after.json", /("name": ")Zebra/, "table chats"],
  ["when names were last asked for", "group-sync-cached-a-day", "db.after.json", /("last_message_time": "2)./, "table chats"],
  ["a task's next run", "cron-task-in-zone", "db.after.json", /("next_run": "2026-03-0)./, "table scheduled_tasks"],
  ["a correction", "same-second-message-lost", "corrected.jsonl", /("text":"Andy: .)./, "sends to 15550001@s.whatsapp.net"],
])("a recording in which %s was altered fails", async (_what, name, file, place, subject) => {
  const folder = mkdtempSync(join(tmpdir(), "altered-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  cpSync(join(SCENARIOS, name), join(folder, name), { recursive: true });
  const replayed = (): Promise<ScenarioReport> => replayOne(loadScenario(folder, name), againstRecording(openHermit));
  expect((await replayed()).outcome).toBe("passed");
  const path = join(folder, name, file);
  const text = readFileSync(path, "utf8");
  const altered = text.replace(place, (_match, before: string) => `${before}${before.endsWith(":") ? "false" : "#"}`);
  expect(altered).not.toBe(text);
  writeFileSync(path, altered);
  const report = await replayed();
  expect(report.outcome).toBe("failed");
  // What follows from it differs as well: an agent that was never given its input has nothing to say.
  expect(report.differences.map((difference) => difference.subject)).toContain(subject);
});
