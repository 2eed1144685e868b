import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ScenarioFiles } from "./recording.ts";

/** What was said is the household's: nobody else may read it. */
export function writeScenario(folder: string, files: ScenarioFiles): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const [name, content] of Object.entries(files)) {
    const lines = name.endsWith(".jsonl")
      ? (content as readonly unknown[]).map((line) => JSON.stringify(line))
      : [JSON.stringify(content, null, 1)];
    writeFileSync(join(folder, name), lines.map((line) => `${line}\n`).join(""), { mode: 0o600 });
  }
}
