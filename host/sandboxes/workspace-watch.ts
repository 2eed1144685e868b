/**
 * Workspace watch: what live turns leave on the disk.
 *
 * A turn may leave no more in its workspace than the limit, or than was there when it began where that is more: a group past its limit can
 * still clean up. A turn that adds to it is stopped; past four times the limit none begins, and the owner cleans up. When the disk has less free
 * space than is kept free, every turn is stopped and none begins.
 *
 * Free space is asked for once a second while a turn lives, and never otherwise. Counting looks at every file, so it is done when the disk
 * has lost much of what the group had left, at least every half minute, and for at most a twentieth of the time.
 *
 * Not seen by a count is what a program hides from it: files that are deleted and still open, or moved about while it goes on. That is
 * bounded by the free space alone, until the sandbox is gone.
 */
import { describeError } from "../domain/errors.ts";
import type { Group } from "../domain/group.ts";
import type { Audit } from "../ports/audit.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Amount, FreeSpace, OpenWorkspace, WorkspaceCount, WorkspaceMeter } from "../ports/workspace.ts";
import { diskLow, fullAtStart, pastHelp, workspaceFull } from "./workspace-watch-words.ts";

export interface WorkspaceWatchOptions {
  readonly meter: WorkspaceMeter;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly log: Log;
  /** Of one group. */
  readonly limit: Amount;
  /** Kept free on the disk of the workspaces. */
  readonly freeBytes: number;
}

/** A turn's claim on room, from before its sandbox starts until that is gone. */
export interface WatchedTurn {
  /**
   * Nothing of the turn's may run before: what the workspace holds now is being counted. Resolves after COUNT_WAIT_MS at the latest, the
   * count then goes on beside the turn. Rejects with RefusedError WORKSPACE_FULL, or StoreError where it cannot be counted.
   */
  readonly counted: Promise<void>;
  /** For the agent, once counted: undefined, or that the workspace is full already. */
  warning(): string | undefined;
  /** Idempotent. */
  end(): void;
}

/** Takes the reason a turn must end now: HostError WORKSPACE_FULL, DISK_LOW or HOME_UNUSABLE. Called at most once; must not throw. */
type OnOver = (reason: unknown) => void;

const SECOND_MS = 1000;
const LOOK_MS = SECOND_MS;
const COUNT_AT_LEAST_MS = 30 * SECOND_MS;
/** So long after a count as it took, times this: a twentieth of the time at most. */
const PAUSE_PER_COUNT = 20;
/** No count is older than that while a turn lives, whatever one takes; a clock that was set forward during one makes it look long. */
const LONGEST_PAUSE_MS = 60 * 60 * SECOND_MS;
/** A hundred thousand files on a slow card; nobody waits longer for an answer because a workspace is huge. */
const COUNT_WAIT_MS = 5 * SECOND_MS;
/** Of what a group had left: when the disk has lost so much since the last count, it is time for another. */
const SHARE_OF_LEFT = 1 / 4;
/** What a database and a log write beside it is no reason to count. */
const NOISE: Amount = { bytes: 1024 * 1024, files: 256 };
/** Times the limit. More than a turn adds before it is stopped, on any disk but the fastest; so far turns may clean up themselves. */
const PAST_HELP = 4;

/** What a workspace held at its last whole count. */
interface Known {
  readonly held: Amount;
  /** The most the disk had free since that began: what others give back must not hide what the group takes. */
  readonly free: FreeSpace;
  readonly endedAt: number;
  readonly tookMs: number;
}

export class WorkspaceWatch {
  readonly #o: WorkspaceWatchOptions;
  readonly #live = new Set<LiveWorkspace>();
  /** Group folder → its last whole count. Kept between turns, so that one that finds the disk as it was need not count again. */
  readonly #known = new Map<string, Known>();
  #timer: Timer | undefined;

  constructor(options: WorkspaceWatchOptions) {
    this.#o = options;
  }

  /** The workspace must be prepared. Rejects with RefusedError DISK_LOW, StoreError HOME_UNUSABLE or HostError AUDIT_BROKEN. */
  async begin(group: Group, onOver: OnOver): Promise<WatchedTurn> {
    const { meter, audit, freeBytes } = this.#o;
    const workspace = await meter.open(group);
    let free: FreeSpace;
    try {
      free = await workspace.free();
      if (free.bytes < freeBytes) {
        const refusal = diskLow(free.bytes, freeBytes);
        audit.record({ kind: "limit", decision: "denied", group: group.folder, turn: null, subject: "disk", reason: refusal.message });
        throw refusal;
      }
    } catch (error) {
      workspace.close();
      throw error;
    }
    const live = new LiveWorkspace({ ...this.#o, folder: group.folder, workspace, known: this.#known, onOver }, free);
    this.#live.add(live);
    this.#timer ??= this.#o.clock.setTimer(LOOK_MS, () => this.#lookAll());
    return {
      counted: live.counted,
      warning: () => live.warning(),
      end: () => {
        if (!this.#live.delete(live)) return;
        if (this.#live.size === 0) {
          this.#timer?.cancel();
          this.#timer = undefined;
        }
        live.end();
      },
    };
  }

  #lookAll(): void {
    this.#timer = this.#o.clock.setTimer(LOOK_MS, () => this.#lookAll());
    for (const live of this.#live) void live.look();
  }
}

interface LiveOptions extends WorkspaceWatchOptions {
  readonly folder: string;
  readonly workspace: OpenWorkspace;
  /** Shared by all turns. */
  readonly known: Map<string, Known>;
  readonly onOver: OnOver;
}

class LiveWorkspace {
  readonly counted: Promise<void>;
  readonly #o: LiveOptions;
  #begunAt: number;
  readonly #ended = new AbortController();
  /** What was there when the turn began; undefined until that is counted. */
  #atStart: Amount | undefined;
  #last: Known | undefined;
  #looking: Promise<void> | undefined;
  #counting: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: LiveOptions, free: FreeSpace) {
    this.#o = options;
    this.#begunAt = options.clock.now();
    const known = options.known.get(options.folder);
    // One that was full may have been cleaned up.
    if (known !== undefined && !isOver(known.held, options.limit) && !hasGrown(known, free, options.limit)) {
      this.#learn(withFree(known, free));
      this.counted = Promise.resolve();
    } else {
      this.counted = this.#firstCount(free);
      // A lease that is given up before it looks here has its own reason.
      this.counted.catch(() => {});
    }
  }

  warning(): string | undefined {
    const { limit } = this.#o;
    return this.#atStart && isOver(this.#atStart, limit) ? fullAtStart(this.#atStart, limit) : undefined;
  }

  /** Never rejects. */
  async look(): Promise<void> {
    // The last answer is still out: a disk that slow is asked no more often.
    this.#looking ??= this.#look()
      .catch((error: unknown) => this.#stop("workspace", error))
      .finally(() => (this.#looking = undefined));
    await this.#looking;
  }

  end(): void {
    this.#ended.abort();
    // Not before the last question is answered: the handle's number may be another file's by then.
    void Promise.allSettled([this.#looking, this.#counting]).then(() => this.#o.workspace.close());
  }

  async #look(): Promise<void> {
    const { workspace, freeBytes } = this.#o;
    const free = await workspace.free();
    if (this.#ended.signal.aborted) return;
    if (free.bytes < freeBytes) return this.#stop("disk", diskLow(free.bytes, freeBytes));
    if (this.#atStart === undefined || this.#last === undefined || this.#counting !== undefined || this.#isStopped) return;
    const ceiling = larger(this.#o.limit, this.#atStart);
    const isTime = this.#isTimeToCount(this.#last, free, ceiling);
    this.#learn(withFree(this.#last, free));
    if (!isTime) return;
    this.#counting = this.#recount(free, ceiling)
      .catch((error: unknown) => this.#stop("workspace", error))
      .finally(() => (this.#counting = undefined));
  }

  #isTimeToCount(last: Known, free: FreeSpace, ceiling: Amount): boolean {
    const now = this.#o.clock.now();
    // A clock that was set back must not put it off.
    this.#begunAt = Math.min(this.#begunAt, now);
    const sinceMs = now - last.endedAt;
    if (sinceMs < 0 || sinceMs >= LONGEST_PAUSE_MS) return true;
    if (sinceMs < last.tookMs * PAUSE_PER_COUNT) return false;
    // What only turns write to is as it was while there were none.
    return Math.min(sinceMs, now - this.#begunAt) >= COUNT_AT_LEAST_MS || hasGrown(last, free, ceiling);
  }

  /** What is there before anything of the turn's runs is the turn's to keep. */
  async #firstCount(free: FreeSpace): Promise<void> {
    const waited = Promise.withResolvers<void>();
    const timer = this.#o.clock.setTimer(COUNT_WAIT_MS, waited.resolve);
    const { limit, folder } = this.#o;
    const most = { bytes: limit.bytes * PAST_HELP, files: limit.files * PAST_HELP };
    const counting = this.#count(free, most).then((count) => {
      if (!count.isWhole) throw pastHelp(count, most, limit, folder);
    });
    this.#counting = counting.catch((error: unknown) => this.#stop("workspace", error)).finally(() => (this.#counting = undefined));
    await Promise.race([counting, waited.promise]).finally(() => timer.cancel());
  }

  async #recount(free: FreeSpace, ceiling: Amount): Promise<void> {
    const count = await this.#count(free, ceiling);
    if (!count.isWhole) this.#stop("workspace", workspaceFull(count, ceiling, this.#o.limit));
  }

  async #count(free: FreeSpace, limit: Amount): Promise<WorkspaceCount> {
    const { workspace, clock, known, folder } = this.#o;
    const startedAt = clock.now();
    const count = await workspace.count(limit, this.#ended.signal);
    const endedAt = clock.now();
    if (count.isWhole) {
      this.#learn({ held: count, free, endedAt, tookMs: Math.max(0, endedAt - startedAt) });
    } else {
      // Nobody knows how much there is: the next turn begins with a count of its own.
      known.delete(folder);
    }
    return count;
  }

  #learn(now: Known): void {
    const { known, folder } = this.#o;
    known.set(folder, now);
    this.#last = now;
    this.#atStart ??= now.held;
  }

  #stop(subject: "workspace" | "disk", reason: unknown): void {
    const { audit, log, folder, onOver } = this.#o;
    if (this.#isStopped || this.#ended.signal.aborted) return;
    this.#isStopped = true;
    const words = describeError(reason);
    log.warn({ group: folder, reason: words }, "a turn is stopped");
    try {
      audit.record({ kind: "limit", decision: "denied", group: folder, turn: null, subject, reason: words });
    } catch (error) {
      log.error({ group: folder, error: describeError(error) }, "that a turn was stopped could not be recorded");
    }
    onOver(reason);
  }
}

function isOver(held: Amount, limit: Amount): boolean {
  return held.bytes > limit.bytes || held.files > limit.files;
}

function larger(a: Amount, b: Amount): Amount {
  return { bytes: Math.max(a.bytes, b.bytes), files: Math.max(a.files, b.files) };
}

function withFree(known: Known, { bytes, files }: FreeSpace): Known {
  const { free } = known;
  return { ...known, free: { bytes: Math.max(free.bytes, bytes), files: Math.max(free.files ?? 0, files ?? 0) } };
}

/** Whether the disk has lost so much since that the group may be at its ceiling soon. Whose it is, only a count tells. */
function hasGrown({ held, free: before }: Known, now: FreeSpace, ceiling: Amount): boolean {
  const isMuch = (lost: number, left: number, noise: number): boolean => lost >= Math.max(noise, left * SHARE_OF_LEFT);
  const lostFiles = (before.files ?? 0) - (now.files ?? 0);
  return (
    isMuch(before.bytes - now.bytes, ceiling.bytes - held.bytes, NOISE.bytes) || isMuch(lostFiles, ceiling.files - held.files, NOISE.files)
  );
}
