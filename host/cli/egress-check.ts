import { Overrides, OVERRIDES_PATH } from "../../contracts/wire/control.ts";
import { loadPolicy } from "../config/policy-file.ts";
import { HostError, isHostError } from "../domain/errors.ts";
import { isValidFolder, MAIN_FOLDER } from "../domain/group.ts";
import { judge, type Standing } from "../egress/judge.ts";
import { describeTarget, HTTPS_PORT, readAuthority } from "../egress/target.ts";
import { controlSocketPath, type GlobalOptions, loadConfigForCli } from "./context.ts";
import { askHost } from "./control-client.ts";
import { EXIT_FAILED } from "./exit-codes.ts";

export interface EgressCheckOptions extends GlobalOptions {
  readonly group?: string;
  readonly json?: boolean;
}

/**
 * `hermit egress check <host[:port]>`: what policy.toml, and what the running host allows for a while, say about a place. Nothing is looked
 * up or reached. Exit code 0 allowed, 1 refused.
 */
export async function egressCheck(place: string, options: EgressCheckOptions): Promise<number> {
  const { config } = await loadConfigForCli(options);
  const folder = options.group ?? MAIN_FOLDER;
  if (!isValidFolder(folder))
    throw new HostError("CONFIG_INVALID", "--group names no folder of a group.", { hint: "`hermit status` lists the groups." });
  const target = readAuthority(place, HTTPS_PORT);
  if ("refused" in target)
    throw new HostError("CONFIG_INVALID", `That is no place to connect to: ${target.refused}`, {
      hint: "Name it as example.org or example.org:8443.",
    });
  const policy = await loadPolicy(config.home);
  const standing: Standing = { policy, overrides: await overridesOf(config.home), now: Date.now() };
  const verdict = judge(standing, { folder, turnId: 0, taskId: null }, target);
  const asked = describeTarget(target);
  if (options.json === true) process.stdout.write(`${JSON.stringify({ target: asked, group: folder, ...verdict })}\n`);
  else if (!verdict.allowed) process.stdout.write(`Refused: ${verdict.reason}\n`);
  else {
    const later = target.address === undefined ? "; where it leads is judged when it is asked for" : "";
    process.stdout.write(`Allowed: ${asked} for ${folder}, by ${verdict.rule}${later}.\n`);
  }
  return verdict.allowed ? 0 : EXIT_FAILED;
}

/** None where no host is running: what is allowed for a while is allowed by a host that runs. */
async function overridesOf(home: string): Promise<Standing["overrides"]> {
  try {
    const { overrides } = Overrides.parse(await askHost(controlSocketPath(home), "GET", OVERRIDES_PATH));
    return overrides.map(({ group, rule, until }) => ({ folder: group, rule, until: Date.parse(until) }));
  } catch (error) {
    if (isHostError(error) && error.code === "CONTROL_UNREACHABLE") return [];
    throw error;
  }
}
