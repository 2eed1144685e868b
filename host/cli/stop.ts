import { STOP_PATH, StopResult } from "../../contracts/wire/control.ts";
import { HostError } from "../domain/errors.ts";
import { controlSocketPath, type GlobalOptions, loadConfigForCli } from "./context.ts";
import { askHost } from "./control-client.ts";

export interface StopOptions extends GlobalOptions {
  readonly group?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** `hermit stop <group> | --all`. Exit code 0 also where nothing was running: the outcome is the one asked for. */
export async function stop(options: StopOptions): Promise<number> {
  if ((options.group === undefined) === (options.all !== true)) {
    throw new HostError("CONFIG_INVALID", "Name one group, or use --all.", { hint: "`hermit status` lists the groups." });
  }
  const { config } = await loadConfigForCli(options);
  const request = options.group === undefined ? { all: true } : { group: options.group };
  const { stopped } = StopResult.parse(await askHost(controlSocketPath(config.home), "POST", STOP_PATH, request));
  if (options.json === true) process.stdout.write(`${JSON.stringify({ stopped })}\n`);
  else if (stopped.length === 0) process.stdout.write("Nothing was running.\n");
  else for (const { folder, turn, ms } of stopped) process.stdout.write(`${folder}: turn ${turn} stopped in ${ms} ms\n`);
  return 0;
}
