/**
 * What a sandbox of the compatibility runner sees beside a group's own folders: where NanoClaw's old agent keeps its conversations, its
 * sources where the home holds them, the folders the owner allowed the group, and the program that stands in for its host.
 *
 * Of what the old host mounted (contract §7.6) three are left out: the home itself, which main could write; the folder with the key; and
 * the folder host and agent exchanged files through, which lies in the sandbox's memory here.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { isMain } from "../../domain/group.ts";
import { judgeMount, MAX_MOUNTS, type MountAllowlist, parseMountAllowlist } from "../../domain/mount-allowlist.ts";
import type { Log } from "../../ports/log.ts";
import type { FileIdentity, SandboxMount } from "../../ports/sandbox-runtime.ts";
import type { Workspaces } from "../../ports/workspace.ts";
import { isFolder, ownFolder } from "./workspaces.ts";

export interface CompatWorkspacesOptions {
  /** Absolute. */
  readonly home: string;
  readonly workspaces: Workspaces;
  /** The compatibility runner's bundle, absolute. */
  readonly program: string;
  /** Absolute; undefined: the owner has none. */
  readonly mountAllowlist: string | undefined;
  /** Absolute. */
  readonly engineSocket: string;
  /** What `~` means. */
  readonly ownersFolder: string | undefined;
  readonly log: Log;
}

export const COMPAT_PROGRAM = "/opt/hermit/compat.cjs";
/** In memory: what the agent's user writes beside its conversations, and the folder of §6. */
export const COMPAT_SCRATCH: readonly string[] = ["/home/node", "/workspace/ipc"];

export function createCompatWorkspaces(options: CompatWorkspacesOptions): Workspaces {
  const { home, workspaces, program, mountAllowlist, engineSocket, ownersFolder = "/", log } = options;
  const ownPaths = [home, dirname(program), engineSocket, ...(mountAllowlist === undefined ? [] : [dirname(mountAllowlist)])];
  // Once, as the old host did (contract §7.7).
  const allowlist = mountAllowlist === undefined ? undefined : readAllowlist(mountAllowlist, log);

  return {
    prepare(group) {
      const { mounts, user } = workspaces.prepare(group);
      const sessions = ["data", "sessions", group.folder].reduce((folder, name) => {
        ownFolder(join(folder, name), undefined);
        return join(folder, name);
      }, home);
      const claude = join(sessions, ".claude");
      ownFolder(claude, user);
      const source = join(home, "container", "agent-runner", "src");
      const extra: SandboxMount[] = [];
      const requests = group.mounts ?? [];
      if (requests.length > MAX_MOUNTS) {
        log.warn({ group: group.folder, asked: requests.length }, `a group may see ${MAX_MOUNTS} folders; those after are not mounted`);
      }
      const own = ownPaths.flatMap((path) => [path, realPath(path) ?? path]);
      for (const request of requests.slice(0, MAX_MOUNTS)) {
        const verdict = judgeMount(request, allowlist, { isMain: isMain(group), home: ownersFolder, own, resolve: realPath });
        if (verdict.verdict !== "allowed") {
          log.warn({ group: group.folder, mount: request.hostPath, reason: verdict.verdict }, "a folder the group asks for is not mounted");
        } else if (extra.some(({ containerPath }) => containerPath === verdict.containerPath)) {
          log.warn({ group: group.folder, mount: request.hostPath }, "a folder the group asks for is not mounted: another has its place");
        } else {
          const { hostPath, containerPath, readOnly } = verdict;
          const identity = identityOf(hostPath);
          if (identity === undefined) {
            const reason = "what is there now is not what was judged, or this system cannot tell";
            log.warn({ group: group.folder, mount: request.hostPath, reason }, "a folder the group asks for is not mounted");
          } else extra.push({ hostPath, containerPath, readOnly, identity });
        }
      }
      return {
        mounts: [
          ...mounts,
          { hostPath: claude, containerPath: "/home/node/.claude", readOnly: false },
          ...(isFolder(source) ? [{ hostPath: source, containerPath: "/app/src", readOnly: true }] : []),
          ...extra,
          { hostPath: program, containerPath: COMPAT_PROGRAM, readOnly: true },
        ],
        user,
      };
    },
  };
}

function readAllowlist(path: string, log: Log): MountAllowlist | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  const allowlist = parseMountAllowlist(text);
  if (allowlist === undefined) log.warn({ file: path }, "the list of folders groups may see cannot be read; none is mounted");
  return allowlist;
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(resolve(path));
  } catch {
    return undefined;
  }
}

/** Opens nothing, holds the place only: no waiting for a FIFO, no right to read needed. Linux's O_PATH, which Node does not name. */
const HANDLE_ONLY = 0o10000000;

/** Of what lies at a path that has no links in it; undefined where a link has come in since, or without Linux's /proc. */
function identityOf(path: string): FileIdentity | undefined {
  let handle: number | undefined;
  try {
    if (process.platform !== "linux") return undefined;
    handle = openSync(path, HANDLE_ONLY | constants.O_NOFOLLOW);
    if (readlinkSync(`/proc/self/fd/${handle}`) !== path) return undefined;
    const { dev, ino } = fstatSync(handle, { bigint: true });
    return { dev, ino };
  } catch {
    return undefined;
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}
