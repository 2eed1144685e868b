/**
 * `policy.toml` in the home: who may reach what, as the owner wrote it. There is none in a new home, and nothing is allowed then; one that
 * is wrong anywhere is used nowhere, because a rule that was meant and not read could be the one that narrows another.
 */
import { isUtf8 } from "node:buffer";
import { statSync } from "node:fs";
import { join } from "node:path";
import { CLOSED_POLICY, type EgressRule, type LeaseGrant, type Policy } from "../domain/policy.ts";
import { parseRule } from "../egress/rules.ts";
import { type BoundedFile, FAULTS, isOwned, readBounded } from "./file.ts";
import { explainFolder, readLease, readRoute } from "./policy-file-routes.ts";
import { Section } from "./policy-file-section.ts";
import { ConfigError, type Problem } from "./problem.ts";

/** Several thousand rules. The bound is also what bounds the parser's time. */
const MAX_FILE_BYTES = 64 * 1024;
const TASK_ID = /^[\x21-\x7e]{1,200}$/;

type NamedRules = readonly [name: string, rules: readonly EgressRule[]];

export interface PolicyCheck {
  readonly problems: readonly Problem[];
  /** Undefined where there are problems. */
  readonly policy: Policy | undefined;
  /** Undefined: there is none. */
  readonly file: string | undefined;
}

/** The policy file is wrong; nothing was started. */
class PolicyError extends ConfigError {
  override readonly code = "POLICY_INVALID";
}

/** `home`: absolute. Throws HostError POLICY_INVALID with all problems. */
export async function loadPolicy(home: string): Promise<Policy> {
  const { problems, policy } = await checkPolicy(home);
  if (policy === undefined) throw new PolicyError(problems);
  return policy;
}

/** As `loadPolicy`, with the problems as data. */
export async function checkPolicy(home: string, uid = process.getuid?.()): Promise<PolicyCheck> {
  const file = join(home, "policy.toml");
  const refused = (message: string, hint: string, position?: Problem["position"]): PolicyCheck => ({
    problems: [position === undefined ? { source: file, message, hint } : { source: file, position, message, hint }],
    policy: undefined,
    file,
  });
  // Whoever can put a file into the folder can put a policy there.
  if (((statSync(home, { throwIfNoEntry: false })?.mode ?? 0) & 0o002) !== 0) {
    return refused("The folder of the policy can be changed by anybody.", `Run chmod o-w on ${home}.`);
  }
  const content = readBounded(file, MAX_FILE_BYTES);
  if ("fault" in content) {
    if (content.fault === "missing") return { problems: [], policy: CLOSED_POLICY, file: undefined };
    return refused(`The policy ${FAULTS[content.fault]}.`, "It is a readable TOML file of at most 64 KiB.");
  }
  const strangers = explainStrangers(content, uid);
  if (strangers !== undefined) return refused(strangers.message, strangers.hint);
  if (!isUtf8(content.bytes)) return refused("The policy is not UTF-8 text.", "Save it as UTF-8.");
  const { parsePolicyText } = await import("./policy-file-tree.ts");
  const root = parsePolicyText(content.bytes.toString("utf8").replace(/^\ufeff/, ""));
  if ("reason" in root) {
    return refused(`This is not TOML: ${root.reason}.`, 'Texts need quotes: allow = ["api.example.org"].', root.position);
  }
  const problems: Problem[] = [];
  const policy = readPolicy(Section.ofFile(file, root, problems));
  return { problems: problems.toSorted(byPosition), policy: problems.length === 0 ? policy : undefined, file };
}

/** Whoever can write it decides what gets out. */
function explainStrangers(file: BoundedFile, uid: number | undefined): { message: string; hint: string } | undefined {
  if ((file.mode & 0o022) !== 0) return { message: "The policy can be changed by others than its owner.", hint: "Run chmod go-w on it." };
  return isOwned(file, uid)
    ? undefined
    : { message: "The policy belongs to another user.", hint: "Give it to the user Hermit runs as, with chown." };
}

function readPolicy(root: Section): Policy {
  root.only("egress", "groups", "tasks", "routes", "leases");
  const leases = root.section("leases");
  const lent = leases
    .sections()
    .map(readLease)
    .filter((lease) => lease !== undefined);
  refuseSharedVariables(leases, lent);
  const routes = root
    .section("routes")
    .sections()
    .map(readRoute)
    .filter((route) => route !== undefined);
  return {
    egress: {
      common: readRules(root.section("egress")),
      groups: new Map(root.section("groups").sections().map(readGroup)),
      tasks: new Map(root.section("tasks").sections().map(readTask)),
    },
    routes: new Map(routes.map((route) => [route.name, route])),
    leases: lent,
  };
}

function readGroup(section: Section): NamedRules {
  section.only("egress");
  const fault = explainFolder(section.name);
  if (fault !== undefined) section.refuse(undefined, `${section.shown}: ${fault.fault}`, fault.hint);
  return [section.name, readRules(section.section("egress"))];
}

function readTask(section: Section): NamedRules {
  section.only("egress");
  if (!TASK_ID.test(section.name)) section.refuse(undefined, `${section.shown} is no id of a task.`, "`list_tasks` shows them.");
  const egress = section.section("egress");
  // It stands in place of the other lists, so an empty one is said, not left out.
  egress.require("allow");
  return [section.name, readRules(egress)];
}

function readRules(section: Section): readonly EgressRule[] {
  section.only("allow");
  const rules: EgressRule[] = [];
  section.texts("allow", (text) => {
    const parsed = parseRule(text);
    if ("fault" in parsed) return parsed;
    rules.push(parsed.rule);
    return undefined;
  });
  return rules;
}

/** Commands would find one secret where the other is meant. */
function refuseSharedVariables(section: Section, leases: readonly LeaseGrant[]): void {
  leases.forEach(({ secret, env, groups }, index) => {
    const other = leases.slice(0, index).find((earlier) => earlier.env === env && overlap(earlier.groups, groups));
    if (other === undefined) return;
    section.refuse(secret, `${other.secret} and ${secret} are both lent as ${env}.`, "Name another variable for one of them.");
  });
}

function overlap(some: LeaseGrant["groups"], others: LeaseGrant["groups"]): boolean {
  return some === "all" || others === "all" || some.some((folder) => others.includes(folder));
}

function byPosition(a: Problem, b: Problem): number {
  return (a.position?.line ?? 0) - (b.position?.line ?? 0) || (a.position?.column ?? 0) - (b.position?.column ?? 0);
}
