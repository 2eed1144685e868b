/** What the kernel really holds for a running container. What cannot be read is absent. */
import { join } from "node:path";
import { type ContainerCgroup, findCgroup, KERNEL, type KernelRoots, readText } from "./cgroup.ts";

export interface KernelView {
  /** Infinity where the kernel sets no limit. */
  readonly memoryBytes?: number;
  readonly pids?: number;
  readonly cpus?: number;
  /** True where the process holds or may regain any capability. */
  readonly capabilities?: boolean;
  /** True where the process may gain privileges. */
  readonly newPrivileges?: boolean;
  /** True where its system calls pass a filter. */
  readonly filtered?: boolean;
  /** Who it is, as this machine numbers it. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

export async function readKernelView(pid: number, containerId: string, roots: KernelRoots = KERNEL): Promise<KernelView> {
  const cgroup = await findCgroup(pid, containerId, roots);
  if (cgroup === undefined) return {};
  const [memory, pids, cpus, status] = await Promise.all([
    cgroup.read("memory", cgroup.version === 2 ? "memory.max" : "memory.limit_in_bytes"),
    cgroup.read("pids", "pids.max"),
    cgroup.version === 2 ? readCpusV2(cgroup) : readCpusV1(cgroup),
    readText(join(roots.proc, String(pid), "status")),
  ]);
  return {
    ...(memory === undefined ? {} : { memoryBytes: parseBound(memory) }),
    ...(pids === undefined ? {} : { pids: parseBound(pids) }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(status === undefined ? {} : parseStatus(status)),
  };
}

const FILTER_MODE = "2";

function parseStatus(text: string): Pick<KernelView, "capabilities" | "newPrivileges" | "filtered" | "user"> {
  const field = (name: string): string | undefined => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(text)?.[1];
  const sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(field);
  return {
    capabilities: sets.some((set) => set === undefined || BigInt(`0x${set}`) !== 0n),
    newPrivileges: field("NoNewPrivs") !== "1",
    filtered: field("Seccomp") === FILTER_MODE,
    user: { uid: Number(field("Uid")), gid: Number(field("Gid")) },
  };
}

async function readCpusV1(cgroup: ContainerCgroup): Promise<number | undefined> {
  const [quota, period] = await Promise.all([cgroup.read("cpu", "cpu.cfs_quota_us"), cgroup.read("cpu", "cpu.cfs_period_us")]);
  if (quota === undefined || period === undefined) return undefined;
  const microseconds = Number(quota);
  return microseconds < 0 ? Number.POSITIVE_INFINITY : microseconds / Number(period);
}

async function readCpusV2(cgroup: ContainerCgroup): Promise<number | undefined> {
  const text = await cgroup.read("cpu", "cpu.max");
  if (text === undefined) return undefined;
  const [quota = "max", period = "100000"] = text.trim().split(" ");
  return parseBound(quota) / Number(period);
}

function parseBound(text: string): number {
  const word = text.trim();
  return word === "max" ? Number.POSITIVE_INFINITY : Number(word);
}
