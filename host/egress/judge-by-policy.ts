import type { EgressCaller } from "../domain/policy.ts";
import { judge, judgeAddresses, judgeUpstream, type Standing } from "./judge.ts";
import type { EgressJudge } from "./judge-port.ts";
import { judgeRoute } from "./judge-route.ts";
import { parseTarget } from "./target.ts";

/** The policy's answers about one turn. `standing` is asked each time, so that what expires or is taken back counts at once. */
export function judgeByPolicy(standing: () => Standing, caller: EgressCaller): EgressJudge {
  return {
    parse: parseTarget,
    judge: (target) => judge(standing(), caller, target),
    judgeAddresses: (target, addresses, isOwn) => judgeAddresses(standing(), caller, target, addresses, isOwn),
    judgeRoute: (name, method, path) => judgeRoute(standing().policy, caller, name, method, path),
    judgeRouteAddresses: (route, addresses, isOwn) => judgeUpstream(standing(), caller, route, addresses, isOwn),
  };
}
