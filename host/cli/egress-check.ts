import { statSync } from "node:fs";
import { Overrides, OVERRIDES_PATH, Status, STATUS_PATH } from "../../contracts/wire/control.ts";
import { ROUTE_SUFFIX } from "../../contracts/wire/egress.ts";
import { describeProblem } from "../config/index.ts";
import { checkPolicy, type PolicyCheck } from "../config/policy-file.ts";
import { HostError, isHostError } from "../domain/errors.ts";
import { isValidFolder, MAIN_FOLDER } from "../domain/group.ts";
import type { Policy, Route } from "../domain/policy.ts";
import { judge, type Standing } from "../egress/judge.ts";
import { describeTarget, HTTP_PORT, HTTPS_PORT, readAuthority, type Target } from "../egress/target.ts";
import { controlSocketPath, type GlobalOptions, loadConfigForCli } from "./context.ts";
import { askHost } from "./control-client.ts";
import { EXIT_FAILED } from "./exit-codes.ts";

export interface EgressCheckOptions extends GlobalOptions {
  readonly group?: string;
  readonly json?: boolean;
}

/** What was found, for people and as it stands in the JSON. */
interface Finding {
  readonly allowed: boolean;
  readonly line: string;
  readonly facts: object;
}

/** What a running host says of itself. */
type Running = { readonly overrides: Standing["overrides"]; readonly startedAt: number } | { readonly absence: string };

/**
 * `hermit egress check <host[:port]>`: what policy.toml, and what the running host allows for a while, say about a place or a route. Nothing is
 * looked up or reached. Exit code 0 allowed, 1 refused.
 */
export async function egressCheck(place: string, options: EgressCheckOptions): Promise<number> {
  const { config } = await loadConfigForCli(options);
  const folder = options.group ?? MAIN_FOLDER;
  if (!isValidFolder(folder))
    throw new HostError("CONFIG_INVALID", "--group names no folder of a group.", { hint: "`hermit status` lists the groups." });
  const target = readPlace(place);
  const { policy, file } = await rightPolicy(config.home);
  const running = await askRunning(config.home);
  const overrides = "overrides" in running ? running.overrides : undefined;
  const isNewer = "startedAt" in running && file !== undefined && isChangedAfter(file, running.startedAt);
  const isRoute = target.host.endsWith(ROUTE_SUFFIX) && target.port === HTTP_PORT;
  const { allowed, line, facts } = isRoute
    ? findRoute(policy, folder, target)
    : findPlace({ policy, overrides: overrides ?? [], now: Date.now() }, folder, target);
  const notes = [
    ...(isNewer ? ["The running host goes by the policy it started with; this one counts from its next start."] : []),
    ...("absence" in running && !isRoute
      ? [`Rules for a while were not looked at: ${running.absence} \`hermit egress list\` needs a host too.`]
      : []),
  ];
  if (options.json === true) {
    const document = { target: describeTarget(target), group: folder, allowed, ...facts, overridesRead: overrides !== undefined };
    process.stdout.write(`${JSON.stringify({ ...document, policyIsNewerThanHost: isNewer })}\n`);
  } else process.stdout.write([line, ...notes].map((each) => `${each}\n`).join(""));
  return allowed ? 0 : EXIT_FAILED;
}

/** A route where no port is named is asked on its own port. Throws HostError CONFIG_INVALID. */
function readPlace(place: string): Target {
  const target = readAuthority(place, HTTPS_PORT);
  if ("refused" in target)
    throw new HostError("CONFIG_INVALID", `That is no place to connect to: ${target.refused}`, {
      hint: "Name it as example.org or example.org:8443.",
    });
  const onOwnPort = readAuthority(place, HTTP_PORT);
  return target.host.endsWith(ROUTE_SUFFIX) && !("refused" in onOwnPort) ? onOwnPort : target;
}

/** Throws HostError POLICY_INVALID. */
async function rightPolicy(home: string): Promise<{ readonly policy: Policy; readonly file: PolicyCheck["file"] }> {
  const { policy, problems, file } = await checkPolicy(home);
  if (policy !== undefined) return { policy, file };
  const [first] = problems;
  const more = problems.length > 1 ? ` And ${problems.length - 1} more.` : "";
  throw new HostError("POLICY_INVALID", first === undefined ? "The policy is wrong." : `${describeProblem(first)}${more}`, {
    hint: "By a policy that is wrong nothing is judged; `hermit policy check` lists all that is wrong with it.",
  });
}

function findPlace(standing: Standing, folder: string, target: Target): Finding {
  const verdict = judge(standing, { folder, turnId: 0, taskId: null }, target);
  if (!verdict.allowed) return { allowed: false, line: `Refused: ${verdict.reason}`, facts: { reason: verdict.reason } };
  const later = target.address === undefined ? "; where it leads is judged when it is asked for" : "";
  const line = `Allowed: ${describeTarget(target)} for ${folder}, by ${verdict.rule}${later}.`;
  return { allowed: true, line, facts: { rule: verdict.rule } };
}

function findRoute({ routes }: Policy, folder: string, { host }: Target): Finding {
  const route = routes.get(host.slice(0, -ROUTE_SUFFIX.length));
  if (route === undefined) {
    const reason = `there is no injection route of that name; policy.toml describes ${routes.size === 0 ? "none" : [...routes.keys()].join(", ")}.`;
    return { allowed: false, line: `Refused: ${reason}`, facts: { reason, route: null } };
  }
  const { name, upstream, methods, paths, groups } = route;
  const whose = groups === "all" ? "all groups" : groups.join(", ");
  const words = `http://${host}/ leads to ${upstream.host}:${upstream.port}, for ${whose}: ${methods.join(", ")} of ${paths.join(", ")}.`;
  const facts = { route: { name, upstream, methods, paths, groups } satisfies Partial<Route> };
  if (groups === "all" || groups.includes(folder)) return { allowed: true, line: `Allowed: ${words}`, facts };
  const reason = `the route ${name} is not open to ${folder}.`;
  return { allowed: false, line: `Refused: ${reason} ${words}`, facts: { reason, ...facts } };
}

/** What is allowed for a while is allowed by a host that runs. */
async function askRunning(home: string): Promise<Running> {
  const socket = controlSocketPath(home);
  try {
    const { overrides } = Overrides.parse(await askHost(socket, "GET", OVERRIDES_PATH));
    const { upSeconds } = Status.parse(await askHost(socket, "GET", STATUS_PATH));
    return {
      overrides: overrides.map(({ group, rule, until }) => ({ folder: group, rule, until: Date.parse(until) })),
      startedAt: Date.now() - upSeconds * 1000,
    };
  } catch (error) {
    if (isHostError(error) && error.code === "CONTROL_UNREACHABLE") return { absence: error.message };
    throw error;
  }
}

function isChangedAfter(file: string, moment: number): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) > moment;
}
