import { join } from "node:path";
import { type Config, type Flags, loadConfig } from "../config/index.ts";

export interface GlobalOptions {
  readonly home?: string;
  readonly config?: string;
}

/** Loads the configuration; its warnings go to standard error. Rejects with HostError CONFIG_INVALID. */
export async function loadConfigForCli(options: GlobalOptions, flags: Flags = {}): Promise<{ config: Config; color: boolean }> {
  const loaded = await loadConfig({
    env: process.env,
    flags,
    ...(options.home === undefined ? {} : { home: options.home }),
    ...(options.config === undefined ? {} : { configFile: options.config }),
  });
  for (const warning of loaded.warnings) process.stderr.write(`hermit: ${warning}\n`);
  return { config: loaded.config, color: process.env["NO_COLOR"] === undefined };
}

export function controlSocketPath(home: string): string {
  return join(home, "run", "control.sock");
}
