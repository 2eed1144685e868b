/**
 * Is mounted what was meant? An engine takes paths and follows links when it starts, so who can write a folder on the way could have
 * another mounted. What a mount is inside is compared with what it was outside, by device and inode, before the runner is told anything.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { SandboxError } from "../../domain/errors.ts";
import type { FileIdentity, SandboxMount } from "../../ports/sandbox-runtime.ts";
import { findCgroup, KERNEL, type KernelRoots } from "./cgroup.ts";

interface IdentifiedMount extends SandboxMount {
  readonly identity: FileIdentity;
  /** The identity is of an earlier judgement, which nothing else makes good. */
  readonly isJudged: boolean;
}

/** Rejects where there is nothing: Podman would make a missing folder as root; Docker refuses it. */
export async function identifyMounts(mounts: readonly SandboxMount[]): Promise<readonly IdentifiedMount[]> {
  return Promise.all(
    mounts.map(async (mount) => {
      const { hostPath, containerPath, identity } = mount;
      const { dev, ino } = await stat(hostPath, { bigint: true }).catch((cause: unknown): never => {
        throw new SandboxError("SANDBOX_START_FAILED", `Nothing at ${hostPath} to mount at ${containerPath}.`, {
          hint: "Create the folder or take the mount out of the group's configuration.",
          cause,
        });
      });
      return { ...mount, identity: identity ?? { dev, ino }, isJudged: identity !== undefined };
    }),
  );
}

/** `pid`: the container's first process, on the engine's machine. Rejects with SANDBOX_START_FAILED. */
export async function assertMounted(
  mounts: readonly IdentifiedMount[],
  pid: number,
  containerId: string,
  roots: KernelRoots = KERNEL,
): Promise<void> {
  // Elsewhere the number is somebody else's.
  const isOurs = (await findCgroup(pid, containerId, roots)) !== undefined;
  for (const { hostPath, containerPath, identity, isJudged } of mounts) {
    const inside = isOurs ? await identityOf(join(roots.proc, String(pid), "root", containerPath)) : undefined;
    if (inside === undefined && isJudged) {
      throw new SandboxError(
        "SANDBOX_START_FAILED",
        `Whether ${hostPath} is what is mounted at ${containerPath} cannot be seen from here.`,
        {
          hint: "Run host and container engine on the same Linux system, or take the group's additional mounts out.",
          retryable: true,
        },
      );
    }
    if (inside !== undefined && (inside.dev !== identity.dev || inside.ino !== identity.ino)) {
      throw new SandboxError(
        "SANDBOX_START_FAILED",
        `What is mounted at ${containerPath} is not what ${hostPath} was when it was looked at.`,
        {
          hint: "Somebody put another folder or a link in its place: look who can write there.",
          retryable: true,
        },
      );
    }
  }
}

async function identityOf(path: string): Promise<FileIdentity | undefined> {
  return stat(path, { bigint: true }).catch(() => undefined);
}
