/** The configuration for people: every setting, what holds, and who said so. No secret in it. */
import type { LoadedConfig, Source } from "./load.ts";
import { SETTING_NAMES, SETTINGS } from "./schema.ts";
import type { Setting } from "./setting.ts";

export interface ConfigRow {
  /** Dotted name as in the file. */
  readonly key: string;
  /** In the file's units. */
  readonly value: string;
  readonly source: Source;
}

export function describeConfig({ config, values, sources }: LoadedConfig): ConfigRow[] {
  const row = (key: string, value: string): ConfigRow => ({ key, value, source: sources.get(key) ?? "default" });
  const rows = [row("home", config.home)];
  for (const name of SETTING_NAMES) {
    const setting: Setting = SETTINGS[name];
    // Which model answers is derived where it is not set.
    const value = name === "model.kind" ? config.model.kind : values[name];
    rows.push(row(name, value === undefined ? (setting.whenUnset ?? "not set").replaceAll("`", "") : String(value)));
    if (name === "model.key_file") rows.push(row("model.key", hasKey(config.model) ? "set (hidden)" : "not set"));
  }
  return rows;
}

function hasKey(model: LoadedConfig["config"]["model"]): boolean {
  return model.kind === "openai-compatible" && model.key !== undefined;
}
