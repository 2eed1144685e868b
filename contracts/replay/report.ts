/** A replay as data, and as text for people. */
import type { Difference } from "./compare.ts";
import type { Scenario } from "./scenario.ts";

export interface ScenarioReport {
  readonly name: string;
  readonly title: string;
  /** Of the NanoClaw contract. */
  readonly section: string;
  readonly verdict: "keep" | "defect";
  readonly outcome: "passed" | "failed";
  readonly differences: readonly Difference[];
  /** The driver gave up. */
  readonly error?: string;
  readonly notices: readonly string[];
  /** Parts of the contract this driver's host lacks. */
  readonly notCompared: readonly string[];
  readonly ms: number;
}

/** What is compared with what, for people. */
export interface Sides {
  readonly wanted: string;
  readonly got: string;
}

export interface ReplayReport extends Sides {
  readonly scenarios: readonly ScenarioReport[];
  readonly passed: number;
  readonly failed: number;
  readonly ms: number;
}

export function reportOf(
  scenario: Scenario,
  found: Pick<ScenarioReport, "differences" | "notices" | "notCompared" | "error" | "ms">,
): ScenarioReport {
  const { name, meta } = scenario;
  const isSame = found.error === undefined && found.differences.length === 0;
  const outcome = isSame ? "passed" : "failed";
  return {
    name,
    title: meta.title,
    section: meta.section,
    verdict: meta.verdict,
    outcome,
    ...found,
  };
}

export function summarise(scenarios: readonly ScenarioReport[], sides: Sides, ms: number): ReplayReport {
  const count = (outcome: ScenarioReport["outcome"]): number => scenarios.filter((one) => one.outcome === outcome).length;
  return { ...sides, scenarios, passed: count("passed"), failed: count("failed"), ms };
}

/** A line each, then the differences of those that failed. */
export function renderReport(report: ReplayReport): string {
  const lines = report.scenarios.map(
    ({ name, section, verdict, outcome }) => `${outcome.padEnd(8)}§${section.padEnd(8)} ${verdict.padEnd(7)} ${name}`,
  );
  const failures = report.scenarios.filter(({ outcome }) => outcome === "failed").map(renderFailure);
  const { passed, failed, wanted, got, ms } = report;
  const legend = failures.length === 0 ? [] : [`\n- ${wanted}\n+ ${got}`];
  const notCompared = [...new Set(report.scenarios.flatMap((one) => one.notCompared))];
  const blind = notCompared.length === 0 ? [] : [`\nnot compared, because the host has none: ${notCompared.join(", ")}`];
  return [...lines, ...legend, ...failures, ...blind, `${passed} passed, ${failed} failed; ${Math.round(ms)} ms`].join("\n");
}

export function renderFailure({ name, title, section, error, differences }: ScenarioReport): string {
  return [
    `\n${name}: ${title} (§${section})`,
    ...(error === undefined ? [] : error.split("\n").map((line) => `  ${line}`)),
    ...differences.flatMap((difference) => [`  ${difference.subject}`, ...renderDifference(difference)]),
  ].join("\n");
}

/** From the first line that differs; what is the same before it helps nobody. */
function renderDifference({ wanted, got }: Difference): string[] {
  const same = wanted.findIndex((line, n) => line !== got[n]);
  const from = same < 0 ? wanted.length : same;
  return [
    ...(from === 0 ? [] : [`      ${from} the same`]),
    ...wanted.slice(from).map((line) => `    - ${line}`),
    ...got.slice(from).map((line) => `    + ${line}`),
  ];
}
