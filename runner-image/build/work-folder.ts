import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "./report.ts";

// Not /tmp: on small boards it lies in memory, and the unpacked root would not fit.
const DEFAULT_PARENT = "/var/tmp";
const NEEDED_BYTES = 900e6;

/** A temporary folder for an unpacked root. Open to all: an unprivileged build works in it as a mapped user. */
export function makeWorkFolder(): string {
  const parent = process.env["TMPDIR"] || DEFAULT_PARENT;
  checkSpace(parent);
  const folder = mkdtempSync(join(parent, "hermit-root-"));
  chmodSync(folder, 0o1777);
  return folder;
}

/**
 * Removes what an interrupted build left. It may have /proc, /sys and /dev of this machine mounted inside: those are
 * let go first, and the removal never crosses into another file system. What a mapped user owns stays.
 */
export function removeWorkFolder(folder: string): void {
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${folder}/`));
  for (const path of mounts.reverse()) spawnSync("umount", ["-l", path], { stdio: "ignore" });
  spawnSync("rm", ["-rf", "--one-file-system", folder], { stdio: "ignore" });
}

function checkSpace(folder: string): void {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= NEEDED_BYTES) return;
  throw new BuildError(
    `${folder} has only ${Math.round((bavail * bsize) / 1e6)} MB free, a root file system needs ${NEEDED_BYTES / 1e6} MB while it is made`,
    "free some space there or set TMPDIR to a folder on a larger disk",
  );
}
