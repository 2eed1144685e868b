/** `./hermit replay` over all recorded scenarios: from process start to its report. It fails, and with it this, where one of them does. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "../harness/bench.ts";
import { figure } from "../harness/figure.ts";
import type { Scenario } from "./scenario.ts";

const RUNS = 5;
/** 1,000 scenarios a minute. */
const GOAL_MS = 60;
const REPORT_BYTES = 16 * 1024 * 1024;

export const replay: Scenario = {
  name: "replay",
  about: "all recorded scenarios, one process",
  async run(bench) {
    const each: number[] = [];
    let count = 0;
    for (let round = 0; round < bench.count(RUNS); round++) {
      const began = performance.now();
      const options = { signal: bench.signal, maxBuffer: REPORT_BYTES };
      const { stdout } = await promisify(execFile)(join(ROOT, "hermit"), ["replay", "--json"], options);
      count = (JSON.parse(stdout) as { scenarios: unknown[] }).scenarios.length;
      each.push((performance.now() - began) / count);
    }
    const text = { goal: { of: "median", limit: GOAL_MS }, note: `n replays of ${count} scenarios, each divided by ${count}.` } as const;
    return [figure("replay", "replay of a recorded scenario", "ms", each, text)];
  },
};
