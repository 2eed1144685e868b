/** A household without secrets, from which nothing outside may be reached: what a recording knows nothing of. */
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import { MemorySecrets } from "../adapters/memory/memory-secrets.ts";
import { RefusedError } from "../domain/errors.ts";
import { CLOSED_POLICY } from "../domain/policy.ts";
import type { GuardParts, HostSettings } from "../host-parts.ts";
import { HostScreen } from "../secrets/screen.ts";

export function closedGuard(randomBytes: GuardParts["randomBytes"]): GuardParts {
  const unreachable = (): Promise<never> => Promise.reject(new RefusedError("EGRESS_UNREACHABLE", "There is no outside."));
  const secrets = new MemorySecrets();
  return {
    policy: CLOSED_POLICY,
    outside: { resolve: unreachable, dial: unreachable, exchange: unreachable, isOwn: () => false },
    secrets,
    screen: new HostScreen(secrets, []),
    audit: Object.assign(new MemoryAudit(), { settle: () => {}, close: () => Promise.resolve() }),
    randomBytes,
  };
}

export const CLOSED_LIMITS: Pick<HostSettings, "egress" | "workspaceLimit" | "workspaceFreeBytes"> = {
  egress: { connections: 0, connectionsPerMinute: 1, turnBytes: 1, connectTimeoutMs: 1000, idleTimeoutMs: 1000 },
  workspaceLimit: { bytes: 1, files: 1 },
  workspaceFreeBytes: 0,
};
