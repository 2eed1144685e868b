/** What the door asks of the policy, about one turn. The answers are reasons a person can read; asking changes nothing. */
import type { Route } from "../domain/policy.ts";
import type { Target } from "./target.ts";

export type Verdict =
  /** `rule`: as the owner wrote it. */
  { readonly allowed: true; readonly rule: string } | { readonly allowed: false; readonly reason: string };

export type RouteVerdict = { readonly allowed: true; readonly route: Route } | { readonly allowed: false; readonly reason: string };

export interface EgressJudge {
  /** What a sandbox sent as `:authority`; a tunnel must name its port. Throws RefusedError EGRESS_PROTOCOL. */
  parse(authority: string, kind: "tunnel" | "plain"): Target;
  /** Before anything is looked up: not even the name leaves the host otherwise. */
  judge(target: Target): Verdict;
  /** What the name stands for; one address that is refused refuses them all. `isOwn`: of this machine or a network it stands in; may throw. */
  judgeAddresses(target: Target, addresses: readonly string[], isOwn: (address: string) => boolean): Verdict;
  /** `path`: as it was sent, with its query. */
  judgeRoute(name: string, method: string, path: string): RouteVerdict;
  /** The same as `judgeAddresses`, of a route's upstream. */
  judgeRouteAddresses(route: Route, addresses: readonly string[], isOwn: (address: string) => boolean): Verdict;
}
