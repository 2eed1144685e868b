/**
 * Sandbox runtime: births and ends the isolated containers runs happen in.
 *
 * Every sandbox has no network but loopback, a read-only root, no capabilities, no way to new privileges, a non-root user,
 * limits that are checked to hold, and one private stream to the host, its link. There is no other way to run a tool.
 */
import type { Duplex } from "node:stream";

export interface SandboxMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly: boolean;
  /**
   * What `hostPath` was when it was judged: the sandbox is refused unless that is seen to be mounted. Absent: what it is when the sandbox
   * is started, and only where the host can see it.
   */
  readonly identity?: FileIdentity;
}

/** Which file or folder of the machine, whatever its path. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

export interface SandboxLimits {
  readonly memoryBytes: number;
  readonly pids: number;
  /** Cores, fractions allowed. */
  readonly cpus: number;
  /** Size of the tmpfs on /tmp. */
  readonly tmpBytes: number;
}

/** Who a sandbox belongs to, written on it as labels. */
export interface SandboxOwner {
  /** The host's home: stable over restarts, different for each home. */
  readonly instance: string;
  /** Fencing number of the host process: a restarted host reaps whatever carries a lower one. */
  readonly generation: number;
  readonly folder: string;
}

export interface SandboxSpec {
  readonly owner: SandboxOwner;
  readonly mounts: readonly SandboxMount[];
  readonly limits: SandboxLimits;
  readonly user: { readonly uid: number; readonly gid: number };
  /** How long start may take until the runner has connected. */
  readonly startTimeoutMs: number;
}

export interface SandboxExit {
  /** Null when it was killed or the engine lost it. */
  readonly code: number | null;
  readonly outOfMemory: boolean;
}

export interface SandboxStats {
  readonly memoryBytes: number;
  readonly cpuSeconds: number;
  readonly pids: number;
}

/** What is in a sandbox between two turns beside its runner and, where the engine has one, its init. */
export interface SandboxRest {
  readonly processes: number;
  /** Paths inside, named by whoever made them; only the first few where there are many. */
  readonly leftovers: readonly string[];
}

export interface Sandbox {
  /** The engine's id. */
  readonly id: string;
  /** The private stream; the runner inside is connected. Ends when the sandbox ends. Whoever takes it owns it. */
  readonly link: Duplex;
  /** Resolves once when the sandbox has ended; never rejects. */
  readonly exited: Promise<SandboxExit>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  stats(): Promise<SandboxStats>;
  /**
   * Looks from outside; nothing inside is asked. Holds for as long as the sandbox is paused: a running one may change after the look.
   * Undefined where this machine cannot see into it, or it has ended.
   */
  inspectRest(): Promise<SandboxRest | undefined>;
  /** Asks, waits `graceMs`, kills, removes; with 0 kills at once. Also ends a paused one. Idempotent; resolves when nothing is left of it. */
  stop(graceMs: number): Promise<void>;
}

export interface OwnedSandbox {
  readonly id: string;
  readonly generation: number;
  readonly folder: string;
}

export interface RuntimeReport {
  /** For people: engine, version, socket. */
  readonly engine: string;
  readonly image: string;
}

export interface SandboxRuntime {
  readonly id: string;
  /** Engine reachable, image present, limits enforceable? Rejects with SandboxError saying what to do. */
  check(): Promise<RuntimeReport>;
  /**
   * Creates, starts and waits for the runner to connect. All or nothing: on any failure, the signal included, nothing is left.
   * Rejects with SandboxError (LIMIT_NOT_ENFORCED, IMAGE_MISSING: not retryable; ENGINE_UNREACHABLE, SANDBOX_*: retryable).
   */
  start(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox>;
  /** Everything labelled with the instance: running, paused, ended. */
  listOwned(instance: string): Promise<readonly OwnedSandbox[]>;
  /** Kills and removes, paused or not; what is gone already counts as done. */
  reap(id: string): Promise<void>;
  close(): Promise<void>;
}
