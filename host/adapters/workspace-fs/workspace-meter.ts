/** How much a group's workspace holds: its own folder, for main the shared one, and where the old agent keeps its conversations. */
import { StoreError } from "../../domain/errors.ts";
import { type Group, isMain } from "../../domain/group.ts";
import type { OpenWorkspace, WorkspaceMeter } from "../../ports/workspace.ts";
import { Count } from "./no-follow-count.ts";
import { type OpenFolder, openBelow } from "./no-follow.ts";

interface Part {
  readonly folder: OpenFolder;
  /** As the sandbox sees it. */
  readonly prefix: string;
}

/** `home`: absolute path. */
export function createWorkspaceMeter(home: string): WorkspaceMeter {
  return {
    async open(group) {
      const parts: Part[] = [];
      try {
        const own = await openBelow(home, ["groups", group.folder]);
        parts.push({ folder: own, prefix: "/workspace/group/" });
        for (const { names, prefix } of furtherParts(group)) {
          const folder = await openBelow(home, names).catch(unlessMissing);
          if (folder !== undefined) parts.push({ folder, prefix });
        }
        return openWorkspace(group, own, parts);
      } catch (cause) {
        closeAll(parts);
        throw unusable(group, cause);
      }
    },
  };
}

function openWorkspace(group: Group, own: OpenFolder, parts: readonly Part[]): OpenWorkspace {
  return {
    async free() {
      const { bavail, bsize, files, ffree } = await own.disk().catch((cause: unknown) => Promise.reject(unusable(group, cause)));
      return { bytes: bavail * bsize, files: files === 0 ? undefined : ffree };
    },
    async count(limit, signal) {
      const count = new Count(limit, signal);
      try {
        for (const { folder, prefix } of parts) if (!count.isOver) await count.add(folder, prefix);
      } catch (cause) {
        throw signal.aborted ? cause : unusable(group, cause);
      }
      const { bytes, names, isOver, largest } = count;
      return { bytes, files: names, isWhole: !isOver, largest };
    },
    close: () => closeAll(parts),
  };
}

/** Written to by this group's sandboxes where they are there. */
function furtherParts(group: Group): readonly { readonly names: readonly string[]; readonly prefix: string }[] {
  return [
    ...(isMain(group) ? [{ names: ["groups", "global"], prefix: "/workspace/global/" }] : []),
    { names: ["data", "sessions", group.folder, ".claude"], prefix: "/home/node/.claude/" },
  ];
}

function closeAll(parts: readonly Part[]): void {
  for (const { folder } of parts) folder.close();
}

function unlessMissing(error: unknown): undefined {
  if (Object(error).code !== "ENOENT") throw error;
}

function unusable(group: Group, cause: unknown): StoreError {
  return new StoreError("HOME_UNUSABLE", `The workspace of ${group.folder} cannot be looked at: ${(cause as Error).message}.`, {
    cause,
    hint: "Move what is there away, or mend its permissions.",
  });
}
