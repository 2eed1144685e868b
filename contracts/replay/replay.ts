/** Replays scenarios through a driver, one after the other. */
import { compare } from "./compare.ts";
import type { OpenDriver } from "./driver.ts";
import { play } from "./play.ts";
import { type ReplayReport, reportOf, type ScenarioReport, summarise } from "./report.ts";
import { loadScenario, type Scenario, scenarioNames } from "./scenario.ts";

/** `pending`: scenario → what the host cannot do yet. */
export async function replayFolder(
  folder: string,
  open: OpenDriver,
  pending: Readonly<Record<string, string>> = {},
): Promise<ReplayReport> {
  const began = performance.now();
  const reports: ScenarioReport[] = [];
  for (const name of scenarioNames(folder)) reports.push(await replayOne(loadScenario(folder, name), open, pending[name]));
  return summarise(reports, performance.now() - began);
}

export async function replayOne(scenario: Scenario, open: OpenDriver, waitsFor?: string): Promise<ScenarioReport> {
  const began = performance.now();
  try {
    await using driver = await open(scenario);
    await play(scenario, driver);
    const { differences, notices } = compare(scenario, { observed: driver.observed, dump: driver.dump() }, driver.lacks);
    return reportOf(scenario, { differences, notices, notCompared: driver.lacks, ms: performance.now() - began }, waitsFor);
  } catch (cause) {
    const error = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    return reportOf(scenario, { differences: [], notices: [], notCompared: [], error, ms: performance.now() - began }, waitsFor);
  }
}
