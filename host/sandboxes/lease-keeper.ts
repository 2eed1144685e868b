/**
 * Leases: a run's exclusive claim on a sandbox.
 *
 * A lease is one sandbox for one run: born with it, ended with it, never handed on. Each carries this host's generation, so that
 * a later host knows what it may reap.
 */
import type { Group } from "../domain/group.ts";
import type { Sandbox, SandboxLimits, SandboxRuntime } from "../ports/sandbox-runtime.ts";
import type { Workspaces } from "../ports/workspace.ts";

export interface LeaseKeeperOptions {
  readonly runtime: SandboxRuntime;
  readonly workspaces: Workspaces;
  readonly instance: string;
  readonly generation: number;
  readonly limits: SandboxLimits;
  readonly startTimeoutMs: number;
}

export interface Lease {
  readonly sandbox: Sandbox;
  /** Idempotent; resolves when nothing is left of the sandbox. `graceMs` 0 kills at once. */
  release(graceMs: number): Promise<void>;
}

export class LeaseKeeper {
  readonly #o: LeaseKeeperOptions;
  /** Group folder → sandbox id of the live lease. */
  readonly #live = new Map<string, string>();

  constructor(options: LeaseKeeperOptions) {
    this.#o = options;
  }

  /** Rejects as SandboxRuntime.start and Workspaces.prepare do; then there is no lease and no sandbox. */
  async acquire(group: Group, signal: AbortSignal): Promise<Lease> {
    const { mounts, user } = this.#o.workspaces.prepare(group);
    const { instance, generation, limits, startTimeoutMs } = this.#o;
    const owner = { instance, generation, folder: group.folder };
    const sandbox = await this.#o.runtime.start({ owner, mounts, limits, user, startTimeoutMs }, signal);
    this.#live.set(group.folder, sandbox.id);
    return {
      sandbox,
      release: async (graceMs) => {
        await sandbox.stop(graceMs);
        if (this.#live.get(group.folder) === sandbox.id) this.#live.delete(group.folder);
      },
    };
  }

  sandboxOf(folder: string): string | undefined {
    return this.#live.get(folder);
  }
}
