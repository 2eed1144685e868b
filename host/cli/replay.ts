import type { OpenDriver } from "../../contracts/replay/driver.ts";
import { externalHost } from "../../contracts/replay/external-driver.ts";
import { againstEachOther, againstRecording, replay } from "../../contracts/replay/replay.ts";
import { renderReport } from "../../contracts/replay/report.ts";
import { loadScenarios, type Scenario, ScenarioError } from "../../contracts/replay/scenario.ts";
import { HostError } from "../domain/errors.ts";
import { openHermit } from "../replay/hermit-driver.ts";
import { EXIT_FAILED } from "./exit-codes.ts";

const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

export interface ReplayOptions {
  readonly dir: string;
  readonly json?: boolean;
  /** Command of the host that is played instead of ours. */
  readonly driver?: string;
  /** Command of the host it is compared with instead of the recording. */
  readonly diff?: string;
}

interface Played {
  readonly name: string;
  readonly open: OpenDriver;
}

/**
 * `hermit replay`. Resolves with the exit code: 0, or 1 where a scenario differs. Throws HostError
 * SCENARIO_INVALID before anything is played where one cannot be read.
 */
export async function replayScenarios(names: readonly string[], options: ReplayOptions): Promise<number> {
  const scenarios = read(options.dir, names);
  await using programs = new AsyncDisposableStack();
  const program = (command: string): Played => ({ name: command, open: programs.use(externalHost(command)).open });
  // Programs that were started and homes that were made go when this process exits, not when it is merely killed.
  for (const signal of STOP_SIGNALS) process.once(signal, () => process.exit(EXIT_FAILED));
  const played = options.driver === undefined ? { name: "this host", open: openHermit } : program(options.driver);
  const other = options.diff === undefined ? undefined : program(options.diff);
  const sides = other === undefined ? { wanted: "the recording", got: played.name } : { wanted: played.name, got: other.name };
  const report = await replay(
    scenarios,
    other === undefined ? againstRecording(played.open) : againstEachOther(played.open, other.open),
    sides,
  );
  process.stdout.write(`${options.json === true ? JSON.stringify(report, null, 2) : renderReport(report)}\n`);
  return report.failed > 0 ? EXIT_FAILED : 0;
}

function read(dir: string, names: readonly string[]): readonly Scenario[] {
  try {
    return loadScenarios(dir, names);
  } catch (cause) {
    if (!(cause instanceof ScenarioError)) throw cause;
    throw new HostError("SCENARIO_INVALID", cause.message, {
      cause,
      hint: "--dir names a folder of scenarios; each is a folder with meta.json, timeline.jsonl, expected.jsonl, db.after.json and files.after.json.",
    });
  }
}
