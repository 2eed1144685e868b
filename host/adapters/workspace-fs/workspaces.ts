import { chownSync, lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type HostError, RefusedError, StoreError } from "../../domain/errors.ts";
import { type Group, isMain, isValidFolder } from "../../domain/group.ts";
import type { SandboxMount } from "../../ports/sandbox-runtime.ts";
import type { Workspace, Workspaces } from "../../ports/workspace.ts";
import type { ExtraMounts } from "./extra-mounts.ts";

/**
 * Owner of the workspaces where the host runs as root. 60578–61183 is left free by Debian's login.defs, systemd and container
 * user maps, so this is nobody's account.
 */
const SANDBOX_UID = 60_800;

/** `hostUid`, `hostGid`: who the host runs as. Its sandboxes never run as root. */
export function workspaceOwner(hostUid: number, hostGid: number): Workspace["user"] {
  return hostUid === 0 ? { uid: SANDBOX_UID, gid: SANDBOX_UID } : { uid: hostUid, gid: hostGid };
}

/** `home`: absolute path. `hostUid`, `hostGid`: who the host runs as. `extraMounts`: what is seen beside the home's folders; default: nothing. */
export function createWorkspaces(home: string, hostUid: number, hostGid: number, extraMounts: ExtraMounts = () => []): Workspaces {
  const user = workspaceOwner(hostUid, hostGid);

  return {
    prepare(group) {
      if (!isValidFolder(group.folder)) {
        throw new RefusedError("GROUP_UNKNOWN", `The folder name "${group.folder}" is not allowed.`, {
          hint: "Use letters, digits, dash and underscore.",
        });
      }
      const groups = join(home, "groups");
      ownFolder(groups, undefined);
      const own = join(groups, group.folder);
      ownFolder(own, user);
      const mounts: SandboxMount[] = [{ hostPath: own, containerPath: "/workspace/group", readOnly: false }];
      const shared = join(groups, "global");
      if (isFolder(shared)) mounts.push({ hostPath: shared, containerPath: "/workspace/global", readOnly: !isMain(group) });
      return { mounts: [...mounts, ...extraMounts(group)], user };
    },
  } satisfies Workspaces & { prepare(group: Group): unknown };
}

/** Makes the folder if it is absent and gives it to `owner`; anything else in its place, a link above all, is refused. */
export function ownFolder(path: string, owner: { uid: number; gid: number } | undefined): void {
  try {
    mkdirSync(path, { mode: 0o750 });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOSPC") {
      throw new StoreError("STORE_FULL", `The disk is full: ${path} cannot be created.`, {
        cause,
        hint: "Free some space and start again.",
      });
    }
    if (code !== "EEXIST") throw unusable(path, cause);
  }
  const stat = lstatSync(path);
  if (!stat.isDirectory()) throw unusable(path, undefined);
  if (owner !== undefined && stat.uid !== owner.uid && process.getuid?.() === 0) chownSync(path, owner.uid, owner.gid);
}

export function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function unusable(path: string, cause: unknown): HostError {
  const reason = cause instanceof Error ? cause.message : "it is not a folder";
  return new StoreError("HOME_UNUSABLE", `The workspace ${path} cannot be used: ${reason}.`, {
    cause,
    hint: "Move what is there away, or mend its permissions.",
  });
}
