import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadScenario, loadScenarios, ScenarioError, scenarioNames } from "./scenario.ts";

const SCENARIOS = join(import.meta.dirname, "../../fixtures/golden/scenarios");

test("all 86 recorded scenarios can be read, and each says what is to be done with it", () => {
  const names = scenarioNames(SCENARIOS);
  expect(names).toHaveLength(86);
  for (const name of names) {
    const { meta, binding } = loadScenario(SCENARIOS, name);
    expect({ name, isBound: binding !== undefined || (meta.correct ?? "") !== "" }).toEqual({ name, isBound: true });
  }
});

test.each([
  [
    "an unknown field",
    "expected.jsonl",
    (text: string) => text.replace('"obs":"run"', '"obs":"run","colour":"red"'),
    /expected\.jsonl, line \d+: .*colour/s,
  ],
  ["an unknown event", "timeline.jsonl", (text: string) => text.replace('"op":"end"', '"op":"end of it"'), /timeline\.jsonl, line \d+/],
  ["no end", "timeline.jsonl", (text: string) => text.split("\n").slice(0, -2).join("\n"), /the last event must be the end/],
  ["half a line", "db.after.json", (text: string) => text.slice(0, -20), /db\.after\.json: .*JSON/],
])("a scenario with %s is refused by file and place", (_what, file, alter, message) => {
  const folder = mkdtempSync(join(tmpdir(), "scenario-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  cpSync(join(SCENARIOS, "follow-ups-piped"), join(folder, "altered"), { recursive: true });
  const path = join(folder, "altered", file);
  writeFileSync(path, alter(readFileSync(path, "utf8")));
  expect(() => loadScenario(folder, "altered")).toThrow(message);
});

test.each([
  ["a folder that is not there", "/nowhere", [], /\/nowhere cannot be read as a folder \(ENOENT\)/],
  ["a file", join(SCENARIOS, "trigger-forms/meta.json"), [], /cannot be read as a folder \(ENOTDIR\)/],
  ["a scenario instead of the folder that holds it", join(SCENARIOS, "trigger-forms"), [], /holds no scenario\.$/],
  ["a name nobody has", SCENARIOS, ["trigger-forms", "triger-forms"], /holds no scenario triger-forms\.$/],
])("%s is refused", (_what, folder, names, message) => {
  expect(() => loadScenarios(folder, names)).toThrow(message);
  expect(() => loadScenarios(folder, names)).toThrow(ScenarioError);
});

test("files beside scenarios are passed over", () => {
  const folder = mkdtempSync(join(tmpdir(), "scenario-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  cpSync(join(SCENARIOS, "trigger-forms"), join(folder, "trigger-forms"), { recursive: true });
  writeFileSync(join(folder, "README.md"), "words");
  expect(loadScenarios(folder).map(({ name }) => name)).toEqual(["trigger-forms"]);
});
