/** Workspaces: the folders a group's sandbox may see, who owns them, and how much they hold. */
import type { Group } from "../domain/group.ts";
import type { SandboxMount } from "./sandbox-runtime.ts";

export interface Workspace {
  readonly mounts: readonly SandboxMount[];
  /** Unprivileged owner of the workspace; the sandbox runs as it. */
  readonly user: { readonly uid: number; readonly gid: number };
}

export interface Workspaces {
  /**
   * Makes the group's folders ready: `/workspace/group` (rw) and, where `groups/global` exists, `/workspace/global` (rw for main only);
   * beside them what the group asks for and the owner allows. Never follows a link out of the home. Throws RefusedError or HostError
   * (STORE_FULL, HOME_UNUSABLE, AUDIT_BROKEN).
   */
  prepare(group: Group): Workspace;
}

/** What files take. */
export interface Amount {
  /** On the disk. */
  readonly bytes: number;
  /** Files, folders and links, each name counted. */
  readonly files: number;
}

export interface WorkspaceCount extends Amount {
  /** False: counting ended past the limit, and there may be more. */
  readonly isWhole: boolean;
  /**
   * What takes most, as the sandbox sees it, largest first; at most three. The names are the sandbox's own: they may say anything, in any
   * characters.
   */
  readonly largest: readonly { readonly path: string; readonly bytes: number }[];
}

/** Looks at workspaces without being led astray, whatever a living sandbox does to them meanwhile. */
export interface WorkspaceMeter {
  /** Of a group whose workspace was prepared. Rejects with StoreError HOME_UNUSABLE. */
  open(group: Group): Promise<OpenWorkspace>;
}

/** Each rejects with StoreError HOME_UNUSABLE: what cannot be looked at cannot be limited. */
export interface OpenWorkspace {
  free(): Promise<FreeSpace>;
  /** All that the group's sandboxes may write to and keep. Goes no further than past the limit. Rejects with the signal's reason, too. */
  count(limit: Amount, signal: AbortSignal): Promise<WorkspaceCount>;
  /** Idempotent. Not before what was asked is answered, and nothing is asked after it. */
  close(): void;
}

/** Of a workspace's disk, for who is not root. */
export interface FreeSpace {
  readonly bytes: number;
  /** Undefined: that disk has no bound on them. */
  readonly files: number | undefined;
}
