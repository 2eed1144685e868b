/** Which injection routes a turn may use, and what for. */
import type { EgressCaller, Policy } from "../domain/policy.ts";
import type { RouteVerdict } from "./judge-port.ts";
import { matchesPath, readPath } from "./paths.ts";

/** They are about the connection, or make a server repeat what it was sent: the credential. */
export const NEVER_METHODS: readonly string[] = ["TRACE", "TRACK", "CONNECT"];

/** `path` as it stands in the request line, query included; the query is judged by nobody. */
export function judgeRoute(policy: Policy, { folder }: EgressCaller, name: string, method: string, path: string): RouteVerdict {
  const route = policy.routes.get(name);
  if (route === undefined)
    return denied(`there is no injection route of that name; the owner can describe one in policy.toml, as [routes.<name>].`);
  const section = `[routes.${name}]`;
  if (route.groups !== "all" && !route.groups.includes(folder)) {
    return denied(`the route ${name} is not open to ${folder}; the owner can add it to the groups of ${section} in policy.toml.`);
  }
  if (NEVER_METHODS.includes(method.toUpperCase())) return denied(`no route takes ${method.toUpperCase()}.`);
  if (!route.methods.includes(method)) {
    return denied(
      `the route ${name} takes ${route.methods.join(", ")} only; the owner can change the methods of ${section} in policy.toml.`,
    );
  }
  const read = readPath(path);
  if ("refused" in read) return denied(`the path cannot be judged: ${read.refused}`);
  if (route.paths.some((pattern) => matchesPath(pattern, read.parts))) return { allowed: true, route };
  return denied(
    `the route ${name} does not lead there; it leads to ${route.paths.join(", ")}, and the owner can change the paths of ${section} in policy.toml.`,
  );
}

function denied(reason: string): RouteVerdict {
  return { allowed: false, reason: reason.charAt(0).toUpperCase() + reason.slice(1) };
}
