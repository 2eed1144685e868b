/**
 * What the kernel really holds for a running container, read from /proc and the cgroup file systems of this machine.
 *
 * Only believed where the process's cgroup path names the container: with a remote engine (Docker Desktop's VM, a host that itself
 * runs in a container) the same process number is somebody else here. What cannot be read is absent.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export interface KernelView {
  /** Infinity where the kernel sets no limit. */
  readonly memoryBytes?: number;
  readonly pids?: number;
  readonly cpus?: number;
  /** True where the process holds or may regain any capability. */
  readonly capabilities?: boolean;
  /** True where the process may gain privileges. */
  readonly newPrivileges?: boolean;
}

export interface KernelRoots {
  readonly proc: string;
  readonly cgroup: string;
}

export const KERNEL: KernelRoots = { proc: "/proc", cgroup: "/sys/fs/cgroup" };

export async function readKernelView(pid: number, containerId: string, roots: KernelRoots = KERNEL): Promise<KernelView> {
  const membership = await read(join(roots.proc, String(pid), "cgroup"));
  if (pid <= 0 || membership === undefined || !membership.includes(containerId)) return {};
  const paths = parseMembership(membership, containerId);
  const status = await read(join(roots.proc, String(pid), "status"));
  const folder = (controller: string): string | undefined => {
    const path = paths.get(controller);
    return path === undefined ? undefined : join(roots.cgroup, controller, path);
  };
  const unified = paths.get("");
  const v2 = unified === undefined || paths.has("memory") ? undefined : join(roots.cgroup, unified);
  const [memory, pids, cpus] = await Promise.all([
    readLimit(v2, "memory.max", folder("memory"), "memory.limit_in_bytes"),
    readLimit(v2, "pids.max", folder("pids"), "pids.max"),
    v2 === undefined ? readCpusV1(folder("cpu")) : readCpusV2(v2),
  ]);
  return {
    ...(memory === undefined ? {} : { memoryBytes: memory }),
    ...(pids === undefined ? {} : { pids }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(status === undefined ? {} : parseStatus(status)),
  };
}

/**
 * Controller → path; the unified hierarchy is under the empty name, and `cpu,cpuacct` share one path. Each path is cut after the part
 * that names the container: some engines put the process one folder deeper, and the limits are on the outer one.
 */
function parseMembership(text: string, containerId: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    if (!match) continue;
    const parts = (match[2] ?? "").split("/");
    const named = parts.findIndex((part) => part.includes(containerId));
    if (named < 0) continue;
    const path = parts.slice(0, named + 1).join("/");
    for (const controller of (match[1] ?? "").split(",")) paths.set(controller, path);
  }
  return paths;
}

function parseStatus(text: string): Pick<KernelView, "capabilities" | "newPrivileges"> {
  const field = (name: string): string | undefined => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(text)?.[1];
  const sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(field);
  return { capabilities: sets.some((set) => set === undefined || BigInt(`0x${set}`) !== 0n), newPrivileges: field("NoNewPrivs") !== "1" };
}

async function readLimit(v2: string | undefined, v2Name: string, v1: string | undefined, v1Name: string): Promise<number | undefined> {
  const file = v2 !== undefined ? join(v2, v2Name) : v1 !== undefined ? join(v1, v1Name) : undefined;
  const text = file === undefined ? undefined : await read(file);
  return text === undefined ? undefined : parseBound(text);
}

async function readCpusV1(folder: string | undefined): Promise<number | undefined> {
  if (folder === undefined) return undefined;
  const [quota, period] = await Promise.all([read(join(folder, "cpu.cfs_quota_us")), read(join(folder, "cpu.cfs_period_us"))]);
  if (quota === undefined || period === undefined) return undefined;
  const microseconds = Number(quota);
  return microseconds < 0 ? Number.POSITIVE_INFINITY : microseconds / Number(period);
}

async function readCpusV2(folder: string): Promise<number | undefined> {
  const text = await read(join(folder, "cpu.max"));
  if (text === undefined) return undefined;
  const [quota = "max", period = "100000"] = text.trim().split(" ");
  return parseBound(quota) / Number(period);
}

function parseBound(text: string): number {
  const word = text.trim();
  return word === "max" ? Number.POSITIVE_INFINITY : Number(word);
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}
