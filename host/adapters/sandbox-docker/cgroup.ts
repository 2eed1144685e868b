/**
 * Where this machine's kernel keeps a running container's figures.
 *
 * Only believed where the process's cgroup path names the container: with a remote engine (Docker Desktop's VM, a host that itself
 * runs in a container) the same process number is somebody else here.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface KernelRoots {
  readonly proc: string;
  readonly cgroup: string;
}

export const KERNEL: KernelRoots = { proc: "/proc", cgroup: "/sys/fs/cgroup" };

export interface ContainerCgroup {
  readonly version: 1 | 2;
  /** The file's text; undefined where it cannot be read. `controller` matters in version 1 only. */
  read(controller: string, file: string): Promise<string | undefined>;
  /** Numbers of its processes, on this machine; undefined where they cannot be read. */
  processes(): Promise<readonly number[] | undefined>;
}

/** Undefined where the process is gone, not ours to see, or not the container's. */
export async function findCgroup(pid: number, containerId: string, roots: KernelRoots = KERNEL): Promise<ContainerCgroup | undefined> {
  const membership = pid > 0 ? await readText(join(roots.proc, String(pid), "cgroup")) : undefined;
  const paths = parseMembership(membership ?? "", containerId);
  const unified = paths.get("");
  // A mixed machine has both, and the controllers are in version 1.
  if (unified !== undefined && !paths.has("memory")) {
    const folder = join(roots.cgroup, unified);
    return { version: 2, read: (_controller, file) => readText(join(folder, file)), processes: () => processesBelow(folder) };
  }
  if (paths.size === 0) return undefined;
  return {
    version: 1,
    read: async (controller, file) => {
      const path = paths.get(controller);
      return path === undefined ? undefined : readText(join(roots.cgroup, controller, path, file));
    },
    processes: async () => {
      const path = paths.get("pids");
      return path === undefined ? undefined : processesBelow(join(roots.cgroup, "pids", path));
    },
  };
}

/** Some engines put a container's processes into folders below its own. */
async function processesBelow(folder: string): Promise<readonly number[] | undefined> {
  const text = await readText(join(folder, "cgroup.procs"));
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined);
  if (text === undefined || entries === undefined) return undefined;
  const found = text.split("\n").filter((line) => line !== "");
  const below = await Promise.all(entries.filter((entry) => entry.isDirectory()).map(({ name }) => processesBelow(join(folder, name))));
  return below.includes(undefined) ? undefined : [...found.map(Number), ...below.flatMap((processes) => processes ?? [])];
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

export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}
