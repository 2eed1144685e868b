/** The machine a figure belongs to. No names of its owner, its network or its paths. */
import { execFile } from "node:child_process";
import { readFileSync, statfsSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { promisify } from "node:util";

export interface Machine {
  /** A board's own name where it has one, else the processor's. */
  readonly model: string;
  readonly cores: number;
  readonly ramMB: number;
  readonly kernel: string;
  readonly arch: string;
  /** File system the homes lie on: every commit waits for it. */
  readonly disk: string;
  readonly engine: string;
  readonly node: string;
}

const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0xef53: "ext4",
  0x9123683e: "btrfs",
  0x58465342: "xfs",
  0xf2f52010: "f2fs",
  0x794c7630: "overlay",
  0x01021994: "tmpfs",
  0x858458f6: "ramfs",
};
const IN_MEMORY = new Set(["tmpfs", "ramfs"]);

export function describeMachine(homes: string, engine: { readonly kind: string; readonly version: string }): Machine {
  return {
    model: boardName() ?? cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    ramMB: Math.round(totalmem() / 1e6),
    kernel: release(),
    arch: process.arch,
    disk: fileSystemOf(homes),
    engine: `${engine.kind} ${engine.version}`,
    node: process.version,
  };
}

export function machineLine({ model, cores, ramMB, kernel, arch, disk, engine, node }: Machine): string {
  return `${model}, ${cores} ${cores === 1 ? "core" : "cores"}, ${(ramMB / 1000).toFixed(1)} GB RAM, ${arch}, Linux ${kernel}, ${disk}, ${engine}, Node ${node}`;
}

/** Processes that ran or wanted to, over the last minute. */
export function loadNow(): number {
  return Number((loadavg()[0] ?? 0).toFixed(2));
}

function fileSystemOf(path: string): string {
  const { type } = statfsSync(path);
  return FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`;
}

/** Where memory poses as a disk, a commit costs nothing and every figure flatters. */
export function isOnDisk(path: string): boolean {
  try {
    return !IN_MEMORY.has(fileSystemOf(path));
  } catch {
    return false;
  }
}

/** Commit the tree stands on, with a mark if it was changed since; undefined without git. */
export async function describeTree(root: string): Promise<string | undefined> {
  try {
    const git = async (...args: string[]): Promise<string> =>
      (await promisify(execFile)("git", args, { cwd: root, timeout: 5_000 })).stdout;
    const commit = (await git("rev-parse", "--short=12", "HEAD")).trim();
    const changed = (await git("status", "--porcelain", "--", "host", "runner-image", "contracts", "package-lock.json")).trim() !== "";
    return changed ? `${commit} and uncommitted changes` : commit;
  } catch {
    return undefined;
  }
}

function boardName(): string | undefined {
  try {
    return readFileSync("/proc/device-tree/model", "utf8").replace(/\0/g, "").trim() || undefined;
  } catch {
    return undefined;
  }
}
