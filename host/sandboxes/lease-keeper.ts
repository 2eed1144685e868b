/**
 * Leases: a run's exclusive claim on a sandbox.
 *
 * A lease is one sandbox for one run: born with it, ended with it, never handed on. Each carries this host's generation, so that
 * a later host knows what it may reap.
 */
import type { Group } from "../domain/group.ts";
import type { Sandbox, SandboxLimits, SandboxRuntime } from "../ports/sandbox-runtime.ts";
import type { Workspaces } from "../ports/workspace.ts";
import type { WorkspaceWatch } from "./workspace-watch.ts";

export interface LeaseKeeperOptions {
  readonly runtime: SandboxRuntime;
  readonly workspaces: Workspaces;
  /** Absent: nobody looks how full workspaces are. */
  readonly watch?: WorkspaceWatch;
  readonly instance: string;
  readonly generation: number;
  readonly limits: SandboxLimits;
  readonly startTimeoutMs: number;
}

export interface Lease {
  readonly sandbox: Sandbox;
  /** For the agent: that its workspace is full already. Undefined: there is room. */
  readonly warning: string | undefined;
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

  /**
   * Rejects as SandboxRuntime.start, Workspaces.prepare and WorkspaceWatch.begin do; then there is no lease and no sandbox. `onOver` is told,
   * at most once, why the turn may not go on: its workspace or the disk is full. It may come before there is a lease.
   */
  async acquire(group: Group, signal: AbortSignal, onOver: (reason: unknown) => void): Promise<Lease> {
    await using undo = new AsyncDisposableStack();
    const { mounts, user } = this.#o.workspaces.prepare(group);
    const watched = await this.#o.watch?.begin(group, onOver);
    undo.defer(() => watched?.end());
    const { instance, generation, limits, startTimeoutMs } = this.#o;
    const owner = { instance, generation, folder: group.folder };
    const sandbox = await this.#o.runtime.start({ owner, mounts, limits, user, startTimeoutMs }, signal);
    // One that cannot be removed is the reaper's; what is thrown says why there is no lease.
    undo.defer(() => sandbox.stop(0).catch(() => {}));
    await watched?.counted;
    undo.move();
    this.#live.set(group.folder, sandbox.id);
    return {
      sandbox,
      warning: watched?.warning(),
      release: async (graceMs) => {
        try {
          await sandbox.stop(graceMs);
        } finally {
          watched?.end();
        }
        if (this.#live.get(group.folder) === sandbox.id) this.#live.delete(group.folder);
      },
    };
  }

  sandboxOf(folder: string): string | undefined {
    return this.#live.get(folder);
  }
}
