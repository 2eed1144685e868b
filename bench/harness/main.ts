/** `make bench`: runs the scenarios on this machine, prints the table, keeps the figures in bench/results/latest.json. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { coldStart } from "../scenarios/cold-start.ts";
import { egress } from "../scenarios/egress.ts";
import { idle } from "../scenarios/idle.ts";
import { leakScan } from "../scenarios/leak-scan.ts";
import { replay } from "../scenarios/replay.ts";
import type { Scenario } from "../scenarios/scenario.ts";
import { size } from "../scenarios/size.ts";
import { start } from "../scenarios/start.ts";
import { throughput } from "../scenarios/throughput.ts";
import { turnCost } from "../scenarios/turn-cost.ts";
import { warm } from "../scenarios/warm.ts";
import { Bench, ROOT } from "./bench.ts";
import { BenchError } from "./bench-error.ts";
import type { Figure } from "./figure.ts";
import { describeMachine, describeTree, loadNow, machineLine } from "./machine.ts";
import { loadResults, type Results, resultsText, saveResults } from "./results.ts";
import { markdownTable, textTable } from "./table.ts";

/** What disturbs least comes first. */
const SCENARIOS: readonly Scenario[] = [size, leakScan, start, replay, coldStart, warm, idle, turnCost, egress, throughput];
const LATEST = join(ROOT, "bench", "results", "latest.json");
/** Five minutes in all; what is left is for clearing away. */
const WHOLE_RUN_MS = 280_000;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const USAGE = `usage: make bench [ARGS="…"], or main.ts …
  --only <scenario>  that one alone, may be repeated; latest.json is left as it is
  --runs <n>         n repetitions instead of each scenario's own number
  --last             measure nothing, print the results kept from the last whole run
  --json             print the results as JSON instead of a table
  --markdown         print the table in Markdown
scenarios:
${SCENARIOS.map(({ name, about }) => `  ${name.padEnd(17)}  ${about}`).join("\n")}`;

interface Arguments {
  readonly chosen: readonly Scenario[];
  readonly runs: number | undefined;
  readonly last: boolean;
  readonly print: "table" | "json" | "markdown";
}

async function main(): Promise<number> {
  const asked = readArguments();
  if (asked === undefined) return 0;
  if (asked.last) {
    process.stdout.write(`${rendered(loadResults(LATEST), asked.print)}\n`);
    return 0;
  }
  const began = performance.now();
  const loadBefore = loadNow();
  const stop = new AbortController();
  const timer = setTimeout(
    () => stop.abort(new BenchError(`The bench did not end within ${WHOLE_RUN_MS / 1000} s.`, "Measure less: --only, --runs.")),
    WHOLE_RUN_MS,
  ).unref();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(name, () => stop.abort(new BenchError(`Stopped by ${name}.`)));
  const figures: Figure[] = [];
  const failed: { scenario: string; reason: string }[] = [];
  const bench = await Bench.open({ env: process.env, runs: asked.runs, signal: stop.signal, progress: say });
  try {
    const machine = describeMachine(bench.folder, bench.engine);
    const tree = await describeTree(ROOT);
    for (const { name, about, run } of asked.chosen) {
      if (stop.signal.aborted) break;
      say(`${name}: ${about}…`);
      try {
        figures.push(...(await run(bench)));
      } catch (error) {
        const reason = stop.signal.aborted ? stop.signal.reason : error;
        failed.push({ scenario: name, reason: explain(reason) });
        say(`${name}: ${explain(reason)}`);
      }
    }
    const results: Results = {
      v: 1,
      at: new Date().toISOString(),
      version: versionOf(ROOT),
      ...(tree === undefined ? {} : { tree }),
      image: bench.image,
      machine,
      loadBefore,
      seconds: Math.round((performance.now() - began) / 1000),
      figures,
      failed,
    };
    process.stdout.write(`${rendered(results, asked.print)}\n`);
    const whole = asked.chosen.length === SCENARIOS.length && !stop.signal.aborted;
    if (whole) saveResults(LATEST, results);
    else say("not all scenarios were run: bench/results/latest.json is left as it is");
    return failed.length > 0 || stop.signal.aborted ? EXIT_FAILED : 0;
  } finally {
    clearTimeout(timer);
    await bench.close();
  }
}

/** Undefined: help was asked for and given. */
function readArguments(): Arguments | undefined {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true, default: [] },
      runs: { type: "string" },
      last: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      markdown: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return undefined;
  }
  const unknown = values.only.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown !== undefined) throw new TypeError(`There is no scenario ${unknown}.`);
  const runs = values.runs === undefined ? undefined : Number(values.runs);
  if (runs !== undefined && !(Number.isInteger(runs) && runs >= 1 && runs <= 1000)) {
    throw new TypeError(`--runs takes a whole number from 1 to 1000, not ${values.runs}.`);
  }
  const chosen = values.only.length === 0 ? SCENARIOS : SCENARIOS.filter(({ name }) => values.only.includes(name));
  return { chosen, runs, last: values.last, print: values.json ? "json" : values.markdown ? "markdown" : "table" };
}

function rendered(results: Results, print: Arguments["print"]): string {
  const { figures, failed, machine, tree, version, image, loadBefore, at, seconds } = results;
  if (print === "json") return resultsText(results).trimEnd();
  if (print === "markdown") return markdownTable(figures);
  const head = [
    `hermit ${version}${tree === undefined ? "" : ` (${tree})`}, ${image}`,
    machineLine(machine),
    `${at}, load before ${loadBefore}, took ${seconds} s; p95 is the nearest measured value`,
  ];
  const missing = failed.map(({ scenario, reason }) => `NOT MEASURED  ${scenario}: ${reason}`);
  const table = figures.length === 0 ? [] : ["", textTable(figures)];
  return [...head, ...table, ...(missing.length === 0 ? [] : ["", ...missing])].join("\n");
}

function versionOf(root: string): string {
  return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

function explain(error: unknown): string {
  if (error instanceof BenchError && error.hint !== undefined) return `${error.message} ${error.hint}`;
  return error instanceof Error ? error.message : String(error);
}

try {
  process.exitCode = await main();
} catch (error) {
  say(explain(error));
  const isUsage = error instanceof TypeError;
  if (isUsage) say(`\n${USAGE}`);
  process.exitCode = isUsage ? EXIT_USAGE : EXIT_FAILED;
}
