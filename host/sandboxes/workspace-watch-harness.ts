/** For tests of what turns leave on the disk: a disk with one workspace a group, a clock, and the watch on both. */
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import type { Group } from "../domain/group.ts";
import type { Audit, AuditEntry } from "../ports/audit.ts";
import type { Amount, FreeSpace, WorkspaceCount, WorkspaceMeter } from "../ports/workspace.ts";
import { WorkspaceWatch } from "./workspace-watch.ts";

export const MIB = 1024 * 1024;
export const SECOND = 1000;
const LIMIT: Amount = { bytes: 100 * MIB, files: 1_000 };
const FLOOR = 10 * MIB;

export const group = (folder: string): Group => ({ chat: folder, name: folder, folder, trigger: "@Andy", requiresTrigger: false });
const noise = { debug() {}, info() {}, warn() {}, error() {} };

export class DiskBench {
  readonly clock = new FakeClock();
  readonly held = new Map<string, Amount>();
  readonly recorded: AuditEntry[] = [];
  readonly counts: { readonly folder: string; readonly limit: Amount }[] = [];
  readonly watch: WorkspaceWatch;
  free: FreeSpace = { bytes: 1_000 * MIB, files: 1_000_000 };
  /** What a count takes. */
  countMs = 0;
  /** A count waits for it. */
  gate: Promise<void> | undefined;
  broken: Error | undefined;
  asked = 0;
  open = 0;
  largest: WorkspaceCount["largest"] = [];

  constructor(audit?: Audit) {
    const record = (entry: AuditEntry): void => void this.recorded.push(entry);
    this.watch = new WorkspaceWatch({
      meter: this.#meter(),
      clock: this.clock,
      audit: audit ?? { record },
      log: noise,
      limit: LIMIT,
      freeBytes: FLOOR,
    });
  }

  #meter(): WorkspaceMeter {
    return {
      open: async ({ folder }) => {
        this.open++;
        return {
          free: async () => {
            this.asked++;
            if (this.broken !== undefined) throw this.broken;
            return this.free;
          },
          count: async (limit, signal) => {
            this.counts.push({ folder, limit });
            this.clock.advance(this.countMs);
            await this.gate;
            signal.throwIfAborted();
            const { bytes, files } = this.held.get(folder) ?? { bytes: 0, files: 0 };
            return { bytes, files, isWhole: bytes <= limit.bytes && files <= limit.files, largest: this.largest };
          },
          close: () => void this.open--,
        };
      },
    };
  }

  /** A turn whose lease was given. */
  async turn(folder: string) {
    const reasons: unknown[] = [];
    const turn = await this.watch.begin(group(folder), (reason) => reasons.push(reason));
    await turn.counted;
    return { ...turn, reasons };
  }

  /** So many seconds, each with what it sets off. */
  async pass(seconds: number): Promise<void> {
    for (let n = 0; n < seconds; n++) {
      this.clock.advance(SECOND);
      await quiet();
    }
  }

  /** The group writes so much, and the disk has as much less. */
  write(folder: string, bytes: number, files = 0): void {
    const before = this.held.get(folder) ?? { bytes: 0, files: 0 };
    this.held.set(folder, { bytes: before.bytes + bytes, files: before.files + files });
    this.free = { bytes: this.free.bytes - bytes, files: (this.free.files ?? 0) - files };
  }
}

/** Promises that wait for nothing outside have gone on. */
export const quiet = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
