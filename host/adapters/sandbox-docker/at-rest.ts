/**
 * What is left in a sandbox, seen from outside: its processes in its cgroup, its files through the kernel's view of its root.
 *
 * Shared memory and queues of processes that are gone are files here: System V's, which are not, cannot be made in a sandbox (seccomp).
 */
import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxRest } from "../../ports/sandbox-runtime.ts";
import { findCgroup, KERNEL, type KernelRoots } from "./cgroup.ts";

/** Where a program without any right may write, beside the mounts. */
const WRITABLE = ["/tmp", "/dev/shm", "/dev/mqueue"];
/** Enough to see what it was. Somebody may have left a million. */
const SHOWN_PER_FOLDER = 5;

export interface RestingContainer {
  readonly id: string;
  /** Its first process, as this machine numbers it. */
  readonly pid: number;
  /** That one is the engine's init, and the runner its child. */
  readonly init: boolean;
  /** Folders in memory beside `/tmp`. */
  readonly scratch: readonly string[];
}

export async function readRest(
  { id, pid, init, scratch }: RestingContainer,
  roots: KernelRoots = KERNEL,
): Promise<SandboxRest | undefined> {
  // Processes first: what is listed after can only be the runner's own.
  const found = await readProcesses(pid, id, roots);
  if (found === undefined || !found.includes(pid)) return undefined;
  const root = join(roots.proc, String(pid), "root");
  const listed = await Promise.all([...WRITABLE, ...scratch].map((folder) => list(root, folder)));
  // Whose folders were these, if it has ended meanwhile?
  const still = await readProcesses(pid, id, roots);
  if (still?.includes(pid) !== true || listed.includes(undefined)) return undefined;
  const own = init ? 2 : 1;
  if (found.length < own) return undefined;
  return { processes: found.length - own, leftovers: listed.flatMap((names) => names ?? []) };
}

async function readProcesses(pid: number, id: string, roots: KernelRoots): Promise<readonly number[] | undefined> {
  return (await findCgroup(pid, id, roots))?.processes();
}

/** Undefined where it cannot be read, or a link is on the way, which would lead through this machine's own folders. */
async function list(root: string, folder: string): Promise<readonly string[] | undefined> {
  let path = root;
  const names: string[] = [];
  try {
    for (const part of folder.split("/").filter(Boolean)) {
      path = join(path, part);
      if (!(await lstat(path)).isDirectory()) return undefined;
    }
    for await (const entry of await opendir(path)) {
      names.push(`${folder}/${entry.name}`);
      if (names.length === SHOWN_PER_FOLDER) break;
    }
    return names.sort();
  } catch {
    return undefined;
  }
}
