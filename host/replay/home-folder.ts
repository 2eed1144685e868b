/** The homes of replayed hosts. */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const RAM_DISK = "/dev/shm";
/** A home takes well below one. */
const RAM_DISK_BYTES = 64 * 1024 * 1024;

/**
 * A folder for one home, gone with `remove`, and with this process where that is told to end in between. In memory where there is
 * room: every commit waits for its disk, and in a replay for nothing else.
 */
export function makeHome(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(hasRamDisk() ? RAM_DISK : tmpdir(), "hermit-replay-"));
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  process.once("exit", remove);
  return {
    path,
    remove() {
      process.off("exit", remove);
      remove();
    },
  };
}

function hasRamDisk(): boolean {
  try {
    const { bavail, bsize } = statfsSync(RAM_DISK);
    return bavail * bsize >= RAM_DISK_BYTES;
  } catch {
    return false;
  }
}
