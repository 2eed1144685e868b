import { checkConfig, checkPolicy, describeProblem } from "../config/index.ts";
import { EXIT_USAGE } from "./exit-codes.ts";
import type { GlobalOptions } from "./context.ts";

/** `hermit config check`: every problem and warning of configuration and policy, nothing started. */
export async function configCheck(options: GlobalOptions & { readonly json?: boolean }): Promise<number> {
  const { problems: own, warnings, loaded } = await checkConfig({ env: process.env, home: options.home, configFile: options.config });
  const problems = [...own, ...(loaded === undefined ? [] : (await checkPolicy(loaded.config.home)).problems)];
  const ok = problems.length === 0;
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ ok, problems, warnings, file: loaded?.file ?? null })}\n`);
  } else {
    for (const problem of problems) process.stderr.write(`${describeProblem(problem)} ${problem.hint}\n`);
    for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
    if (ok) process.stdout.write(`The configuration is right (${loaded?.file ?? "no file, defaults"}).\n`);
  }
  return ok ? 0 : EXIT_USAGE;
}
