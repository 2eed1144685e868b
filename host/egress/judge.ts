/**
 * Who may reach what, by the owner's policy. Pure: where a name leads is told, not asked.
 *
 * Twice: `judge` before anything is looked up, `judgeAddresses` when it is known where a name leads. A name that is allowed opens neither
 * the machine nor its network: an address that is not public needs a rule of its own, and if one of several is refused, all are, so that
 * no name server can choose which one is taken.
 */
import { ROUTE_SUFFIX } from "../../contracts/wire/egress.ts";
import type { EgressCaller, EgressRule, Override, Policy, Route } from "../domain/policy.ts";
import { type Address, carriedBy, kindOf, parseAddress } from "./addresses.ts";
import type { Verdict } from "./judge-port.ts";
import { allows, explainInnerName, parseRule } from "./rules.ts";
import { describeTarget, HTTPS_PORT, type Target } from "./target.ts";

/** `createdAt` undefined: it has begun. */
type RuleForAWhile = Pick<Override, "folder" | "rule" | "until"> & Partial<Pick<Override, "createdAt">>;

/** Whether a canonical address is of this machine, or of a network it stands in. */
export type IsOwn = (address: string) => boolean;

/** What is in force at one moment. */
export interface Standing {
  readonly policy: Policy;
  /** All there are: of any group, expired ones too. */
  readonly overrides: readonly RuleForAWhile[];
  /** Epoch milliseconds. */
  readonly now: number;
}

/** Before anything is looked up. A name that is allowed here still has its addresses judged. */
export function judge(standing: Standing, caller: EgressCaller, target: Target): Verdict {
  const place = describeTarget(target);
  if (`.${target.host}`.endsWith(ROUTE_SUFFIX)) {
    return denied(`${target.host} is an injection route, which is asked over plain HTTP on port 80: http://${target.host}/`);
  }
  const own = explainInnerName(target.host);
  if (own !== undefined) return denied(`${place} is not outside. ${own.fault} ${own.hint}`);
  const rule = ruleFor(standing, caller, target);
  if (rule !== undefined) return { allowed: true, rule };
  if (target.address !== undefined) {
    const { name, words, isOpenable } = kindOf(target.address);
    if (!isOpenable) return denied(`${place} is ${words}, which no rule opens.`);
    if (name !== "public") return denied(`${place} is ${words} and ${isNotListed(standing, caller, target)}`);
  }
  if (target.host.includes(".") || target.address !== undefined) return denied(`${place} ${isNotListed(standing, caller, target)}`);
  return denied(
    `${place} is a name of the local network, which only a rule with that very name allows, and ${isNotListed(standing, caller, target)}`,
  );
}

/** Where a name leads, or an address that stands for itself. All of them, as the resolver gave them. */
export function judgeAddresses(
  standing: Standing,
  caller: EgressCaller,
  target: Target,
  addresses: readonly string[],
  isOwn: IsOwn,
): Verdict {
  if (addresses.length === 0) return denied(`${target.host} leads to no address.`);
  const rules = new Set<string>();
  for (const text of addresses) {
    const address = parseAddress(text);
    if (address === undefined) return denied(`${target.host} leads to something that is no plain address.`);
    if (target.address !== undefined && target.address.text !== address.text) {
      return denied(`${target.host} is an address and leads nowhere but to itself.`);
    }
    const verdict = judgeAddress(standing, caller, target, address, isOwn);
    if (!verdict.allowed) return verdict;
    rules.add(verdict.rule);
  }
  return { allowed: true, rule: [...rules].join(", ") };
}

/**
 * Where an injection route leads. The owner named the place, so its name needs no other rule; an address the owner wrote is taken as it
 * is, one that a name leads to is judged like any other.
 */
export function judgeUpstream(standing: Standing, caller: EgressCaller, route: Route, addresses: readonly string[], isOwn: IsOwn): Verdict {
  const { host, port } = route.upstream;
  const address = parseAddress(host);
  if (address === undefined) return judgeAddresses(standing, caller, { host, port, address }, addresses, isOwn);
  const { words, isOpenable } = kindOf(address);
  if (!isOpenable) return denied(`${host} is ${words}, which no route leads to.`);
  if (addresses.some((text) => parseAddress(text)?.text !== address.text))
    return denied(`${host} is an address and leads nowhere but to itself.`);
  return { allowed: true, rule: `the route ${route.name}` };
}

function judgeAddress(standing: Standing, caller: EgressCaller, { host, port }: Target, address: Address, isOwn: IsOwn): Verdict {
  const { name, words: kind, isOpenable } = kindOf(address);
  const isNear = name === "public" && [address, ...carriedBy(address)].some(({ text }) => isOwn(text));
  if (name === "public" && !isNear) return { allowed: true, rule: kind };
  const words = isNear ? "a public address of this machine or its network" : kind;
  const target: Target = { host: address.text, port, address };
  const rule = ruleFor(standing, caller, target);
  if (rule !== undefined) return { allowed: true, rule };
  const leads = host === address.text ? `${host} is` : `${host} leads to ${address.text},`;
  return denied(
    isOpenable
      ? `${leads} ${words}; ${describeTarget(target)} ${isNotListed(standing, caller, target)}`
      : `${leads} ${words}, which no rule opens.`,
  );
}

/** In words: the rule that allows it. */
function ruleFor(standing: Standing, caller: EgressCaller, target: Target): string | undefined {
  const rule = listFor(standing.policy, caller).rules.find((each) => allows(each, target));
  if (rule !== undefined) return rule.text;
  const override = overridesFor(standing, caller, target).find(({ until }) => until > standing.now);
  return override === undefined ? undefined : `${override.rule} until ${moment(override.until)}`;
}

/** The rest of a sentence that begins with the place. */
function isNotListed(standing: Standing, caller: EgressCaller, target: Target): string {
  const { of, isOfTask } = listFor(standing.policy, caller);
  if (isOfTask) {
    return `is not on the list of ${of}, which alone decides for it; the owner can add it to [tasks."${caller.taskId}".egress] in policy.toml.`;
  }
  const written = target.port === HTTPS_PORT && target.address?.family !== 6 ? target.host : describeTarget(target);
  // A shell takes bare brackets for a pattern.
  const typed = written.startsWith("[") ? `'${written}'` : written;
  const command = `hermit egress allow ${typed} --for 1h --group ${caller.folder}`;
  const advice = `the owner can add it to policy.toml, or for a while with \`${command}\`.`;
  const expired = overridesFor(standing, caller, target).filter(({ until }) => until <= standing.now);
  if (expired.length === 0) return `is not on the allowlist of ${of}; ${advice}`;
  const last = Math.max(...expired.map(({ until }) => until));
  return `is not on the allowlist of ${of} any more, the rule for a while expired at ${moment(last)}; ${advice}`;
}

interface RuleList {
  readonly rules: readonly EgressRule[];
  /** Whose they are, in words. */
  readonly of: string;
  readonly isOfTask: boolean;
}

/** A task's own list stands in place of the others. */
function listFor({ egress }: Policy, { folder, taskId }: EgressCaller): RuleList {
  const own = taskId === null ? undefined : egress.tasks.get(taskId);
  if (own !== undefined) return { rules: own, of: `the task ${taskId}`, isOfTask: true };
  return { rules: [...egress.common, ...(egress.groups.get(folder) ?? [])], of: folder, isOfTask: false };
}

/**
 * Of this group and this place, begun, expired or not. None for a task with a list of its own, which nothing widens. What is stored and is
 * no rule allows nothing.
 */
function overridesFor({ policy, overrides, now }: Standing, caller: EgressCaller, target: Target): readonly RuleForAWhile[] {
  if (listFor(policy, caller).isOfTask) return [];
  return overrides.filter((override) => {
    if (override.folder !== null && override.folder !== caller.folder) return false;
    // A clock that was set back, past the owner's word: it is not given yet.
    if (override.createdAt !== undefined && override.createdAt > now) return false;
    const parsed = parseRule(override.rule);
    return "rule" in parsed && allows(parsed.rule, target);
  });
}

function moment(at: number): string {
  return new Date(at).toISOString();
}

function denied(reason: string): Verdict {
  return { allowed: false, reason };
}
