/**
 * Configuration, from everywhere it may stand to one frozen object.
 *
 * Layers, weakest first: defaults, variables shared with other programs (ASSISTANT_NAME, TZ), the file, HERMIT_ variables,
 * flags. All problems of all layers are found before any is reported. Nothing is printed and nothing is created here.
 */
import { userInfo } from "node:os";
import { dirname, join, resolve } from "node:path";
import { checkLayer, nest } from "./check-layer.ts";
import { combine } from "./combine.ts";
import { findCompatibility } from "./compatibility.ts";
import { assembleConfig, type Config, mergeLayers, type Values } from "./config.ts";
import { type Environment, fromText, HOME_VARIABLE, readEnvironment, variable } from "./environment.ts";
import { readConfigFile } from "./file.ts";
import { findModelKey } from "./model-key.ts";
import { ConfigError, type Problem } from "./problem.ts";
import { findSecrets } from "./secrets.ts";
import { type Layer, SETTING_NAMES, SETTINGS, type SettingName } from "./schema.ts";

export type Source = "default" | "file" | "environment" | "flag";
/** By dotted name; a text is read as the environment's would be, undefined as not given. */
export type Flags = { readonly [K in SettingName]?: string | number | undefined };

export interface ConfigInput {
  readonly env: Environment;
  readonly flags?: Flags;
  /** `--home`; else HERMIT_HOME, else `~/.hermit`. */
  readonly home?: string | undefined;
  /** `--config`; must exist. Else `hermit.toml` in the home, if it is there. */
  readonly configFile?: string | undefined;
  /** Epoch milliseconds. Default: the system's. */
  readonly now?: number;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly warnings: readonly string[];
  /** By dotted name, and `home` and `model.key`. */
  readonly sources: ReadonlyMap<string, Source>;
  /** Undefined: there is no configuration file. */
  readonly file: string | undefined;
  /** In the file's units, for showing. */
  readonly values: Values;
}

export interface ConfigCheck {
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
  /** Undefined where there are problems. */
  readonly loaded: LoadedConfig | undefined;
}

/** Throws ConfigError (CONFIG_INVALID) with all problems. */
export async function loadConfig(input: ConfigInput): Promise<LoadedConfig> {
  const { loaded, problems } = await checkConfig(input);
  if (loaded === undefined) throw new ConfigError(problems);
  return loaded;
}

/** As `loadConfig`, with the problems as data. */
export async function checkConfig({ env, flags = {}, home: homeFlag, configFile, now = Date.now() }: ConfigInput): Promise<ConfigCheck> {
  const ownFolder = ownersFolder(env);
  const inFolder = (folder: string) => (path: string) =>
    resolve(
      folder,
      path.replace(/^~(?=\/|$)/, (tilde) => ownFolder ?? tilde),
    );
  const inWorkingFolder = inFolder(".");

  const homeText = homeFlag ?? variable(env, HOME_VARIABLE);
  const misplaced = placeProblems(homeText ?? ownFolder, configFile);
  if (misplaced.length > 0) return { problems: misplaced, warnings: [], loaded: undefined };
  const home = inWorkingFolder(homeText ?? "~/.hermit");
  const file = configFile === undefined ? join(home, "hermit.toml") : inWorkingFolder(configFile);

  const fromFile = await readConfigFile(file, configFile !== undefined, inFolder(dirname(file)));
  const fromEnv = readEnvironment(env, inWorkingFolder);
  const fromFlags = readFlags(flags, inWorkingFolder);
  const problems = [...fromFile.problems, ...fromEnv.problems, ...fromFlags.problems];
  const warnings = [...fromFile.warnings, ...fromEnv.warnings];
  if (!fromFile.isRead) return { problems, warnings, loaded: undefined };

  const layers: readonly OriginatedLayer[] = [
    [fromEnv.aliased, "environment"],
    [fromFile.layer, "file"],
    [fromEnv.named, "environment"],
    [fromFlags.layer, "flag"],
  ];
  const values = mergeLayers(layers.map(([layer]) => layer));
  const key = findModelKey(env, values["model.key_file"]);
  const sources = sourcesOf(layers);
  sources.set("home", homeFlag !== undefined ? "flag" : homeText !== undefined ? "environment" : "default");
  sources.set("model.key", key.source);

  const isWrong = (name: string): boolean => problems.some((problem) => problem.key === name);
  const whereIs = (name: SettingName): string => describeSource(name, sources.get(name), file);
  const combined = combine(values, key, whereIs);
  const further = combined.problems.filter(({ about }) => !about.some(isWrong)).map(({ problem }) => problem);
  const compatible = findCompatibility(values, whereIs, now);
  problems.push(...key.problems, ...further, ...compatible.problems.filter((problem) => !isWrong(problem.key ?? "")));
  warnings.push(...key.warnings, ...combined.warnings, ...compatible.warnings);
  if (problems.length > 0 || combined.model === undefined) return { problems, warnings, loaded: undefined };

  const secrets = findSecrets(env, values["secrets.key_file"], ownFolder);
  warnings.push(...secrets.warnings);
  const config = assembleConfig(values, {
    home,
    model: combined.model,
    compatibility: compatible.compatibility,
    secrets: secrets.config,
    ownersFolder: ownFolder,
    env,
  });
  return { problems, warnings, loaded: { config, warnings, sources, file: fromFile.file, values } };
}

/** Weakest first in a list. */
type OriginatedLayer = readonly [Layer, Source];

function sourcesOf(layers: readonly OriginatedLayer[]): Map<string, Source> {
  const sources = new Map<string, Source>(SETTING_NAMES.map((name) => [name, "default"]));
  for (const [layer, source] of layers) for (const name of Object.keys(layer)) sources.set(name, source);
  return sources;
}

function readFlags(flags: Flags, inWorkingFolder: (path: string) => string) {
  const given: Record<string, unknown> = {};
  for (const name of SETTING_NAMES) {
    const value = flags[name];
    if (value !== undefined) given[name] = typeof value === "string" ? fromText(SETTINGS[name], value, inWorkingFolder) : value;
  }
  return checkLayer(nest(given), () => ({ source: "command line" }));
}

function placeProblems(homeText: string | undefined, configFile: string | undefined): Problem[] {
  const problems: Problem[] = [];
  if (homeText === undefined) {
    problems.push({
      source: "configuration",
      key: "home",
      message: "This user has no home folder.",
      hint: "Set HERMIT_HOME, or pass --home.",
    });
  }
  // What a shell makes of an unset variable; the working folder, which it would stand for, is never meant.
  if (homeText === "") problems.push({ source: "command line", key: "home", message: "--home is empty.", hint: "Name a folder." });
  if (configFile === "") problems.push({ source: "command line", message: "--config is empty.", hint: "Name a file." });
  return problems;
}

function describeSource(name: SettingName, source: Source | undefined, file: string): string {
  if (source === "file") return file;
  if (source === "environment") return SETTINGS[name].env;
  return source === "flag" ? "command line" : "configuration";
}

/** HOME, as every program on the system takes it; without one, what the system knows about this user, who may have none. */
function ownersFolder(env: Environment): string | undefined {
  const named = variable(env, "HOME");
  if (named !== undefined) return named;
  try {
    return userInfo().homedir;
  } catch {
    return undefined;
  }
}
