/** `hermit security prove`: every attack there is, on this machine's engine, image and limits, in a home of its own. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FAMILIES } from "../../security/attacks/attack.ts";
import { runAttacks } from "../../security/attacks/run-suite.ts";
import { SUITE } from "../../security/attacks/suite.ts";
import { documentOf, isHeld, tableOf } from "../../security/attacks/table.ts";
import { AttackRig } from "../../security/harness/attack-rig.ts";
import { LocalSecrets } from "../adapters/secrets-local/index.ts";
import { type Config, loadPolicy } from "../config/index.ts";
import { HostError } from "../domain/errors.ts";
import { parseMountAllowlist } from "../domain/mount-allowlist.ts";
import { type GlobalOptions, loadConfigForCli } from "./context.ts";
import { EXIT_FAILED } from "./exit-codes.ts";

export interface ProveOptions extends GlobalOptions {
  readonly family?: string;
  readonly json?: boolean;
}

/**
 * Nothing of the household is touched: not its database, its workspaces or its log. Its secrets are looked for in what was found, and put
 * nowhere. Exit code 0: all were stopped, and recorded; 1: not so.
 */
export async function securityProve({ family, json, ...options }: ProveOptions): Promise<number> {
  if (family !== undefined && !FAMILIES.some((known) => known === family)) {
    throw new HostError("CONFIG_INVALID", "--family names no family of attacks.", { hint: `There are ${FAMILIES.join(", ")}.` });
  }
  const { config } = await loadConfigForCli(options);
  // One that is wrong is told as everywhere else.
  await loadPolicy(config.home);
  const attacks = SUITE.filter((attack) => family === undefined || attack.family === family);
  const allowlist = parseMountAllowlist(textOf(config.mounts.allowlist));
  await using rig = await AttackRig.open({
    config,
    policy: textOf(join(config.home, "policy.toml")),
    liveValues: valuesOf(config),
    ...(allowlist === undefined ? {} : { allowlist }),
  });
  using _stop = onStop(() => rig[Symbol.asyncDispose]());
  const results = await runAttacks(rig, attacks, (what) => process.stderr.write(`hermit: ${what}\n`));
  process.stdout.write(json === true ? `${JSON.stringify(documentOf(results))}\n` : tableOf(results));
  return results.every(isHeld) ? 0 : EXIT_FAILED;
}

/** No sandbox outlives the proof, whoever ends it. */
function onStop(clean: () => Promise<void>): Disposable {
  const stop = (): void => {
    void clean().finally(() => process.exit(EXIT_FAILED));
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, stop);
  return {
    [Symbol.dispose]() {
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, stop);
    },
  };
}

/** Empty: there is no such file. */
function textOf(path: string | undefined): string {
  try {
    return path === undefined ? "" : readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** What the owner keeps, for finding it; throws HostError SECRET_STORE_UNUSABLE where that cannot be read. */
function valuesOf({ secrets, home, model, compatibility }: Config): readonly string[] {
  const kept = new LocalSecrets({ ...secrets, home, now: Date.now });
  const named = kept.list().map(({ name }) => kept.reveal(name) ?? "");
  const keys = ["key" in model ? model.key?.reveal() : undefined, compatibility?.key?.reveal()];
  return [...named, ...keys].filter((value) => value !== undefined).filter((value) => value.length >= SHORTEST);
}

/** A shorter one is found everywhere. */
const SHORTEST = 8;
