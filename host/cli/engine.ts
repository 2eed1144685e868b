import { engineCandidates, findEngine } from "../adapters/sandbox-docker/find-engine.ts";
import { type GlobalOptions, loadConfigForCli } from "./context.ts";

/** `hermit engine`. Exit code 1: none answers. */
export async function engine(options: GlobalOptions & { readonly socket?: boolean; readonly json?: boolean }): Promise<number> {
  const { config } = await loadConfigForCli(options);
  const candidates = engineCandidates(config.sandbox.engineEnvironment);
  const found = await findEngine(candidates);
  if (options.json === true) process.stdout.write(`${JSON.stringify({ engine: found ?? null, tried: candidates })}\n`);
  else if (found === undefined)
    process.stderr.write(`No container engine answers (tried ${candidates.join(", ")}).\n  Run \`make engine\`.\n`);
  else if (options.socket === true) process.stdout.write(`${found.socketPath}\n`);
  else process.stdout.write(`${found.kind} ${found.version} at ${found.socketPath}\n`);
  return found === undefined ? 1 : 0;
}
