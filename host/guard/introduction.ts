import type { EgressCaller, Policy } from "../domain/policy.ts";

/** What an agent must know to use what the owner allows; undefined: nothing beyond the proxy that every sandbox has. */
export function introduce({ routes, leases, egress }: Policy, { folder, taskId }: EgressCaller): string | undefined {
  const isFor = (groups: readonly string[] | "all"): boolean => groups === "all" || groups.includes(folder);
  const own = taskId === null ? undefined : egress.tasks.get(taskId);
  const rules = (own ?? [...egress.common, ...(egress.groups.get(folder) ?? [])]).map(({ text }) => text);
  const lines = [
    ...(rules.length === 0 ? [] : [`Outside you may reach ${shortened(rules)}.`]),
    ...[...routes.values()]
      .filter(({ groups }) => isFor(groups))
      .map(
        ({ name, upstream, methods, paths }) =>
          `http://${name}.door/ leads to ${upstream.host}, with the credential added on the way: ${methods.join(", ")} of ${paths.join(", ")}.`,
      ),
    ...leases
      .filter(({ groups }) => isFor(groups))
      .map(({ secret, env }) => `Commands find the secret ${secret} in $${env}; never show it.`),
  ];
  return lines.length === 0 ? undefined : lines.join("\n");
}

const SHOWN = 20;

function shortened(rules: readonly string[]): string {
  return rules.length <= SHOWN ? rules.join(", ") : `${rules.slice(0, SHOWN).join(", ")} and ${rules.length - SHOWN} more`;
}
