/**
 * Cold start: message stored → first streamed token, each turn in a sandbox of its own, on a host at rest. Beside it, in the
 * same run, the baseline that compiles its runner at every start (bench/baselines/compiles-per-run.ts), through the same host.
 *
 * Both in alternating parts, so that what else the machine does falls on both.
 */
import { availableParallelism } from "node:os";
import { compilingImage } from "../baselines/compiles-per-run.ts";
import type { Bench } from "../harness/bench.ts";
import { figure, ratioFigure } from "../harness/figure.ts";
import { storedToFirstToken } from "../harness/store-times.ts";
import type { Scenario } from "./scenario.ts";

const TURNS = 30;
const BASELINE_TURNS = 15;
const PARTS = 5;
/** On a small board a compile takes a quarter of a minute: fewer turns then, never fewer than these. */
const BASELINE_MS = 60_000;
const BASELINE_LEAST = 5;

export const coldStart: Scenario = {
  name: "cold-start",
  about: "message stored → first streamed token in a new sandbox, and the same where the runner is compiled at each start",
  async run(bench) {
    const image = await compilingImage(bench);
    // NanoClaw sets no limits on its containers; ours keep their defaults.
    const unlimited = {
      HERMIT_SANDBOX_IMAGE: image,
      HERMIT_SANDBOX_CPUS: String(availableParallelism()),
      HERMIT_SANDBOX_MEMORY_MB: "1024",
    };
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let part = 0; part < PARTS; part++) {
      ours.push(...(await coldTurns(bench, {}, share(bench.count(TURNS), part))));
      const least = share(BASELINE_LEAST, part);
      theirs.push(...(await coldTurns(bench, unlimited, share(bench.count(BASELINE_TURNS), part), { least, ms: BASELINE_MS / PARTS })));
    }
    const cold = figure("cold-start", "cold start: message stored → first token", "ms", ours);
    const compiled = figure("cold-start-compiled", "baseline: the same, runner compiled at each start", "ms", theirs, {
      note: "All processors and 1 GiB for the baseline's sandbox; ours has the default limits (1 processor, 512 MiB).",
    });
    return [
      cold,
      compiled,
      ratioFigure("cold-start-ratio", "cold start ÷ baseline", cold, compiled, { goal: { of: "median", limit: 0.15 } }),
    ];
  },
};

/** As many as asked for; with a budget, fewer once its time is up, but its least. */
async function coldTurns(
  bench: Bench,
  settings: Readonly<Record<string, string>>,
  turns: number,
  budget = { least: turns, ms: 0 },
): Promise<readonly number[]> {
  if (turns === 0) return [];
  const until = performance.now() + budget.ms;
  const host = bench.startHost(undefined, settings);
  for (let turn = 0; turn < turns && (turn < budget.least || performance.now() < until); turn++) {
    await host.ask();
    await host.idle();
  }
  await host.drain();
  return storedToFirstToken(host.database);
}

/** The first part takes what does not divide. */
function share(count: number, part: number): number {
  return part === 0 ? count - Math.floor(count / PARTS) * (PARTS - 1) : Math.floor(count / PARTS);
}
