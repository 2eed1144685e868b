/** `hermit record`: as `hermit run`, and afterwards what happened is a scenario. */
import { mkdirSync } from "node:fs";
import { basename, dirname } from "node:path";
import { readPast, type Standing } from "../adapters/store-sqlite/past.ts";
import { systemClock } from "../adapters/clock-system/index.ts";
import { loadConfig } from "../config/index.ts";
import { recordingOf } from "../recording/recording.ts";
import { writeScenario } from "../recording/write-scenario.ts";
import { freeFolder, recordedHost } from "./recorded-host.ts";
import type { RunOptions } from "./run.ts";

/** Resolves with the exit code of the run. Throws before anything runs where the folder cannot be used (see freeFolder). */
export async function record(folder: string, options: RunOptions): Promise<number> {
  const path = freeFolder(folder);
  const { config } = await loadConfig({ env: process.env, home: options.home, configFile: options.config });
  mkdirSync(path, { recursive: true, mode: 0o700 });
  let begun: { readonly from: number; readonly standing: Standing } | undefined;
  const { run } = await import("./run.ts");
  const code = await run(options, () => {
    const from = systemClock.now();
    begun = { from, standing: readPast(config.home, { from, until: from }).standing };
  });
  if (begun === undefined) return code;
  const past = readPast(config.home, { from: begun.from, until: systemClock.now() });
  writeScenario(path, recordingOf(past, recordedHost(config), begun.standing));
  process.stderr.write(
    `hermit: recorded ${past.runs.length} ${past.runs.length === 1 ? "run" : "runs"} into ${path}; \`hermit replay --dir ${dirname(path)} ${basename(path)}\` plays them.\n`,
  );
  return code;
}
