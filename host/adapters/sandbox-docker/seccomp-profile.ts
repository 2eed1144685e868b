/** Our system call filter, as engines take it: Docker as text, Podman as a file of its machine. Where it comes from: security/policies. */
import { randomBytes } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import profile from "../../../security/policies/seccomp.docker.json" with { type: "json" };
import { SandboxError } from "../../domain/errors.ts";
import { readText } from "./cgroup.ts";

export const SECCOMP_PROFILE = JSON.stringify(profile);

/** Resolves with the path. Podman reads it when a sandbox is created, so what is there is looked at each time, and written where it is not ours. */
export async function seccompFile(runtimeDir: string): Promise<string> {
  const path = join(runtimeDir, "seccomp.json");
  if ((await readText(path)) === SECCOMP_PROFILE) return path;
  try {
    await mkdir(runtimeDir, { recursive: true, mode: 0o700 });
    // A name of its own: several sandboxes may start at once.
    const part = `${path}.${randomBytes(4).toString("hex")}.part`;
    await writeFile(part, SECCOMP_PROFILE, { mode: 0o600 });
    await rename(part, path);
    return path;
  } catch (cause) {
    throw new SandboxError("SANDBOX_START_FAILED", `The system call filter cannot be written to ${path}.`, {
      hint: `Check that ${runtimeDir} can be written and its disk has room.`,
      retryable: true,
      cause,
    });
  }
}
