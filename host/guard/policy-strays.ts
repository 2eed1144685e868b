import type { Policy } from "../domain/policy.ts";

/** Groups and tasks the policy names and the household does not know: allowed nothing, and most likely mistyped. In words, each once. */
export function policyStrays(
  { egress, routes, leases }: Policy,
  known: { readonly hasGroup: (folder: string) => boolean; readonly hasTask: (id: string) => boolean },
): readonly string[] {
  const groups = new Set([
    ...egress.groups.keys(),
    ...[...routes.values(), ...leases].flatMap(({ groups }) => (groups === "all" ? [] : groups)),
  ]);
  return [
    ...[...groups]
      .filter((folder) => !known.hasGroup(folder))
      .map((folder) => `policy.toml names the group ${folder}, which is not registered`),
    ...[...egress.tasks.keys()].filter((id) => !known.hasTask(id)).map((id) => `policy.toml names the task ${id}, which there is not`),
  ];
}
