/** Workspaces: the folders a group's sandbox may see, and who owns them. */
import type { Group } from "../domain/group.ts";
import type { SandboxMount } from "./sandbox-runtime.ts";

export interface Workspace {
  readonly mounts: readonly SandboxMount[];
  /** Unprivileged owner of the workspace; the sandbox runs as it. */
  readonly user: { readonly uid: number; readonly gid: number };
}

export interface Workspaces {
  /**
   * Makes the group's folders ready: `/workspace/group` (rw) and, where `groups/global` exists, `/workspace/global` (rw for main only).
   * Never follows a link out of the home. Throws RefusedError or StoreError (STORE_FULL, HOME_UNUSABLE).
   */
  prepare(group: Group): Workspace;
}
