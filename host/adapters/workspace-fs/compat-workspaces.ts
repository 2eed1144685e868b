/**
 * What a sandbox of the compatibility runner sees beside what any sandbox of the group sees: where NanoClaw's old agent keeps its
 * conversations, its sources where the home holds them, and the program that stands in for its host.
 *
 * Of what the old host mounted (contract §7.6) three are left out: the home itself, which main could write; the folder with the key; and
 * the folder host and agent exchanged files through, which lies in the sandbox's memory here.
 */
import { join } from "node:path";
import type { Workspaces } from "../../ports/workspace.ts";
import { isFolder, ownFolder } from "./workspaces.ts";

export interface CompatWorkspacesOptions {
  /** Absolute. */
  readonly home: string;
  /** Of any sandbox. */
  readonly workspaces: Workspaces;
  /** The compatibility runner's bundle, absolute. */
  readonly program: string;
}

export const COMPAT_PROGRAM = "/opt/hermit/compat.cjs";
/** In memory: what the agent's user writes beside its conversations, and the folder of §6. */
export const COMPAT_SCRATCH: readonly string[] = ["/home/node", "/workspace/ipc"];

export function createCompatWorkspaces({ home, workspaces, program }: CompatWorkspacesOptions): Workspaces {
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
      return {
        mounts: [
          ...mounts,
          { hostPath: claude, containerPath: "/home/node/.claude", readOnly: false },
          ...(isFolder(source) ? [{ hostPath: source, containerPath: "/app/src", readOnly: true }] : []),
          { hostPath: program, containerPath: COMPAT_PROGRAM, readOnly: true },
        ],
        user,
      };
    },
  };
}
