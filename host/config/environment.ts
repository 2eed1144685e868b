/** The environment's layer. The only place, with load.ts, that knows the names of variables. */
import { checkLayer, nest, wrongValue } from "./check-layer.ts";
import { nearest } from "./nearest.ts";
import type { Problem } from "./problem.ts";
import { describeProblem, quoteName } from "./problem.ts";
import { type Layer, SETTING_NAMES, SETTINGS, type SettingName } from "./schema.ts";
import type { Setting } from "./setting.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export const HOME_VARIABLE = "HERMIT_HOME";
export const KEY_VARIABLE = "HERMIT_MODEL_KEY";
/** `HERMIT_SECRET_GITHUB_TOKEN` holds the secret `github-token`. */
export const SECRET_VARIABLE = /^HERMIT_SECRET_([A-Z][A-Z0-9_]{0,62})$/;
/** Read by the image build and by the tests, which may start a host in the same environment. */
const BUILD_VARIABLES = ["HERMIT_DEBIAN_MIRROR", "HERMIT_BASE_IMAGE"];
const TEST_VARIABLES = /^HERMIT_(TEST_\w+|KILL_ROUNDS|FUZZ_CASES)$/;

/** Read by NanoClaw (contract §2), without effect here; somebody who moves over should hear it. */
const RETIRED: Readonly<Record<string, string>> = {
  CONTAINER_TIMEOUT: "HERMIT_TURN_HARD_TIMEOUT_S (in seconds)",
  IDLE_TIMEOUT: "HERMIT_TURN_IDLE_TIMEOUT_S (in seconds)",
  MAX_CONCURRENT_CONTAINERS: "HERMIT_SLOTS",
  CONTAINER_IMAGE: "HERMIT_SANDBOX_IMAGE (another kind of image)",
};

export interface EnvironmentLayers {
  /** Set by HERMIT_ variables: above the file. */
  readonly named: Layer;
  /** Set by variables that other programs read too: below the file. */
  readonly aliased: Layer;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

/** A variable's value without spaces around it; undefined when not set or empty, which unit files and composers cannot tell apart. */
export function variable(env: Environment, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === "" ? undefined : value;
}

/** `inWorkingFolder` makes a path absolute. */
export function readEnvironment(env: Environment, inWorkingFolder: (path: string) => string): EnvironmentLayers {
  const named: Record<string, unknown> = {};
  const aliased: Record<string, unknown> = {};
  const warnings: string[] = [];
  for (const name of SETTING_NAMES) {
    const setting: Setting = SETTINGS[name];
    const value = variable(env, setting.env);
    if (value !== undefined) named[name] = fromText(setting, value, inWorkingFolder);
    const alias = setting.alias === undefined ? undefined : variable(env, setting.alias);
    if (setting.alias === undefined || alias === undefined) continue;
    if (setting.schema.safeParse(alias).success) aliased[name] = alias;
    else warnings.push(`${describeProblem(wrongValue(name, alias, { source: setting.alias }))} It is not used.`);
  }
  const { layer, problems } = checkLayer(nest(named), (path) => {
    const name = path.join(".") as SettingName;
    return { source: SETTINGS[name].env };
  });
  return { named: layer, aliased: aliased as Layer, problems, warnings: [...warnings, ...strangers(env)] };
}

/** Text that is no number is left as it is, and the schema refuses it by name. `1e3`, `0x10` and `5s` are text. */
export function fromText(setting: Setting, value: string, inWorkingFolder: (path: string) => string): unknown {
  if (setting.isNumber) return /^-?\d{1,15}(\.\d{1,9})?$/.test(value) ? Number(value) : value;
  return setting.isPath ? inWorkingFolder(value) : value;
}

function strangers(env: Environment): string[] {
  const known = [...SETTING_NAMES.map((name): string => SETTINGS[name].env), HOME_VARIABLE, KEY_VARIABLE, ...BUILD_VARIABLES];
  const warnings: string[] = [];
  for (const name of Object.keys(env).sort()) {
    const instead = RETIRED[name];
    if (instead !== undefined) warnings.push(`${name} has no effect here; set ${instead} instead.`);
    if (!name.startsWith("HERMIT_") || known.includes(name) || TEST_VARIABLES.test(name) || SECRET_VARIABLE.test(name)) continue;
    const meant = nearest(name, known);
    warnings.push(`${quoteName(name)} is not a variable Hermit reads${meant === undefined ? "." : `; did you mean ${meant}?`}`);
  }
  return warnings;
}
