/**
 * `make replay`: plays the recorded scenarios against our host and prints the report; `--json` prints it as data, `--dir` takes the
 * scenarios of another folder, other arguments name the scenarios to show in full.
 * Exit code 1: one failed, or one that was pending passes.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { replayFolder } from "../../contracts/replay/replay.ts";
import { renderFailure, renderReport } from "../../contracts/replay/report.ts";
import { openHermit } from "./hermit-driver.ts";
import { PENDING } from "./pending.ts";

const RECORDED = join(import.meta.dirname, "../../fixtures/golden/scenarios");

const { values, positionals } = parseArgs({
  options: { json: { type: "boolean" }, dir: { type: "string" } },
  allowPositionals: true,
});
const report = await replayFolder(values.dir ?? RECORDED, openHermit, PENDING);
const shown = report.scenarios.filter(({ name }) => positionals.includes(name)).map(renderFailure);
const healed = report.scenarios.filter(({ outcome, waitsFor }) => outcome === "passed" && waitsFor !== undefined);
const text = [renderReport(report), ...shown, ...healed.map(({ name }) => `${name} passes: strike it from host/replay/pending.ts`)].join(
  "\n",
);
process.stdout.write(`${values.json === true ? JSON.stringify(report, null, 2) : text}\n`);
process.exitCode = report.failed > 0 || healed.length > 0 ? 1 : 0;
