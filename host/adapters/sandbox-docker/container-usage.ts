/**
 * What a sandbox uses, from the kernel where this machine can see it: a millisecond, where Docker 20.10 takes up to a second to say the same.
 * Elsewhere from the engine.
 */
import type { SandboxStats } from "../../ports/sandbox-runtime.ts";
import { findCgroup, KERNEL, type KernelRoots } from "./cgroup.ts";
import type { ContainerStats } from "./engine-api.ts";

const NANO = 1e9;
const MICRO = 1e6;

export async function readKernelUsage(pid: number, containerId: string, roots: KernelRoots = KERNEL): Promise<SandboxStats | undefined> {
  const cgroup = await findCgroup(pid, containerId, roots);
  if (cgroup === undefined) return undefined;
  const v2 = cgroup.version === 2;
  const [memory, detail, cpu, pids] = await Promise.all([
    cgroup.read("memory", v2 ? "memory.current" : "memory.usage_in_bytes"),
    cgroup.read("memory", "memory.stat"),
    cgroup.read("cpuacct", v2 ? "cpu.stat" : "cpuacct.usage"),
    cgroup.read("pids", "pids.current"),
  ]);
  if (memory === undefined || detail === undefined || cpu === undefined || pids === undefined) return undefined;
  const cache = field(detail, v2 ? "inactive_file" : "total_inactive_file");
  return {
    memoryBytes: withoutCache(Number(memory), cache),
    cpuSeconds: v2 ? field(cpu, "usage_usec") / MICRO : Number(cpu) / NANO,
    pids: Number(pids),
  };
}

/** cgroup v1 says `total_inactive_file`, v2 `inactive_file`; Podman leaves the detail out. */
export function readEngineStats(stats: ContainerStats): SandboxStats {
  const memory = stats.memory_stats;
  const cache = memory?.stats?.["total_inactive_file"] ?? memory?.stats?.["inactive_file"] ?? 0;
  return {
    memoryBytes: withoutCache(memory?.usage ?? 0, cache),
    cpuSeconds: (stats.cpu_stats?.cpu_usage?.total_usage ?? 0) / NANO,
    pids: stats.pids_stats?.current ?? 0,
  };
}

/** What the kernel would drop before it kills anybody is no use of memory. */
function withoutCache(bytes: number, cache: number): number {
  return Math.max(0, bytes - cache);
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
}
