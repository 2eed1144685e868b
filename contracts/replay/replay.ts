/** Plays scenarios through drivers, one after the other, and judges what was seen. */
import { type Comparison, compare, compareHosts, type Played } from "./compare.ts";
import { DriverError, type Lack, type OpenDriver } from "./driver.ts";
import { play } from "./play.ts";
import { type ReplayReport, reportOf, type ScenarioReport, type Sides, summarise } from "./report.ts";
import type { Scenario } from "./scenario.ts";

/** Plays a scenario and says what differs, and what could not be compared. */
export type Judge = (scenario: Scenario) => Promise<Comparison & { readonly notCompared: readonly Lack[] }>;

export function againstRecording(open: OpenDriver): Judge {
  return async (scenario) => {
    const played = await playOn(open, scenario);
    return { ...compare(scenario, played), notCompared: played.lacks };
  };
}

export function againstEachOther(openOne: OpenDriver, openOther: OpenDriver): Judge {
  return async (scenario) => {
    const one = await playOn(openOne, scenario);
    const other = await playOn(openOther, scenario);
    return { ...compareHosts(scenario, one, other), notCompared: [...new Set([...one.lacks, ...other.lacks])] };
  };
}

export async function replay(scenarios: readonly Scenario[], judge: Judge, sides: Sides): Promise<ReplayReport> {
  const began = performance.now();
  const reports: ScenarioReport[] = [];
  for (const scenario of scenarios) reports.push(await replayOne(scenario, judge));
  return summarise(reports, sides, performance.now() - began);
}

export async function replayOne(scenario: Scenario, judge: Judge): Promise<ScenarioReport> {
  const began = performance.now();
  try {
    return reportOf(scenario, { ...(await judge(scenario)), ms: performance.now() - began });
  } catch (error) {
    const found = { differences: [], notices: [], notCompared: [], error: explain(error), ms: performance.now() - began };
    return reportOf(scenario, found);
  }
}

async function playOn(open: OpenDriver, scenario: Scenario): Promise<Played> {
  await using driver = await open(scenario);
  await play(scenario, driver);
  return { observed: driver.observed, dump: await driver.dump(), lacks: driver.lacks };
}

/** Of our own code a fault's place is what helps. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof DriverError ? error.message : (error.stack ?? error.message);
}
