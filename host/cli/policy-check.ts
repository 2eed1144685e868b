import { describeProblem } from "../config/index.ts";
import { checkPolicy } from "../config/policy-file.ts";
import type { Policy } from "../domain/policy.ts";
import { type GlobalOptions, loadConfigForCli } from "./context.ts";
import { EXIT_USAGE } from "./exit-codes.ts";

/** `hermit policy check`: every problem of policy.toml, nothing started. */
export async function policyCheck(options: GlobalOptions & { readonly json?: boolean }): Promise<number> {
  const { config } = await loadConfigForCli(options);
  const { problems, policy, file } = await checkPolicy(config.home);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ ok: policy !== undefined, problems, file: file ?? null })}\n`);
  } else if (policy === undefined) {
    for (const problem of problems) process.stderr.write(`${describeProblem(problem)} ${problem.hint}\n`);
  } else {
    process.stdout.write(`The policy is right (${file ?? "no file: nothing outside is allowed"}).\n${describe(policy)}`);
  }
  return policy === undefined ? EXIT_USAGE : 0;
}

function describe({ egress, routes, leases }: Policy): string {
  const lists: (readonly [string, readonly string[]])[] = [
    ["every group", egress.common.map(({ text }) => text)],
    ...[...egress.groups].map(([folder, rules]) => [folder, rules.map(({ text }) => text)] as const),
    ...[...egress.tasks].map(([id, rules]) => [`task ${id}`, rules.map(({ text }) => text)] as const),
    ["routes", [...routes.keys()].map((name) => `http://${name}.door/`)],
    ["leases", leases.map(({ secret, env }) => `${secret} as ${env}`)],
  ];
  const width = Math.max(...lists.map(([name]) => name.length));
  return lists.map(([name, each]) => `  ${name.padEnd(width)}  ${each.length === 0 ? "nothing" : each.join(", ")}\n`).join("");
}
