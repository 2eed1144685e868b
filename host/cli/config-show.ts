import { describeConfig, loadConfig } from "../config/index.ts";
import type { GlobalOptions } from "./context.ts";

/** `hermit config show`: the configuration in force. */
export async function configShow(options: GlobalOptions & { readonly json?: boolean }): Promise<void> {
  const loaded = await loadConfig({ env: process.env, home: options.home, configFile: options.config });
  const rows = describeConfig(loaded);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(rows)}\n`);
    return;
  }
  const width = Math.max(...rows.map(({ key }) => key.length));
  for (const { key, value, source } of rows) process.stdout.write(`${key.padEnd(width)}  ${value}  (${source})\n`);
}
