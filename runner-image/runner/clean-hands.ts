/**
 * What must be gone when a turn is over: every process but the runner and the one before it, and all that lies in memory.
 *
 * The host does not believe this, it looks from outside; a sandbox that is not clean is not used again. It is done from inside because
 * only here a process that left its group and its session is a number like any other.
 */
import { chmodSync, lstatSync, readdirSync, readFileSync, renameSync, rmdirSync, unlinkSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

/** Every place a read-only sandbox can write but its workspace. */
const SCRATCH = ["/tmp", "/dev/shm", "/dev/mqueue"];
const ROUNDS = 100;
const BETWEEN_ROUNDS_MS = 10;
const EMPTYING_MS = 1_000;
const EVERYBODY = -1;
const OWNER_ALL = 0o700;
const INIT = 1;

/**
 * Whether this process has a sandbox for itself: it is the first one, or only the engine's init is before it, and nothing else runs. Asked
 * before any command runs; where it is not so, on somebody's machine, nothing may be killed or emptied.
 */
export function isAlone(): boolean {
  return (process.pid === INIT || process.ppid === INIT) && others().length === 0;
}

/** Only where `isAlone` was true when the turn began. Resolves when all is gone, or its time is up. */
export async function leaveNothing(): Promise<void> {
  for (let round = 0; round < ROUNDS && others().length > 0; round++) {
    killOthers();
    // Killed, they are gone once the kernel has taken them down.
    if (others().length > 0) await pause(BETWEEN_ROUNDS_MS);
  }
  const until = performance.now() + EMPTYING_MS;
  for (const folder of SCRATCH) emptyFolder(folder, until);
}

/** One call for all: a process that splits faster than it is counted does not get away. Init and the caller are spared by the kernel. */
function killOthers(): void {
  try {
    process.kill(EVERYBODY, "SIGKILL");
  } catch {
    // ESRCH: gone already.
  }
}

/** Zombies wait for their parent and do nothing. */
function others(): readonly string[] {
  return readdirSync("/proc").filter(
    (name) => /^\d+$/.test(name) && ![INIT, process.pid].includes(Number(name)) && /^State:\s+[^ZX]/m.test(statusOf(name)),
  );
}

function statusOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

/**
 * Removes what lies in a folder, follows no link, and stops at `until`. Folders in folders are moved up before theirs goes, so that
 * no depth is too deep. Names are bytes: not all are text.
 */
export function emptyFolder(folder: string, until: number): void {
  let moved = 0;
  for (let left = namesIn(folder); left.length > 0 && performance.now() < until; left = namesIn(folder)) {
    for (const name of left) {
      if (performance.now() >= until) return;
      attempt(() => {
        const path = `${folder}/${name}`;
        if (!isFolder(path)) return unlinkSync(bytes(path));
        chmodSync(bytes(path), OWNER_ALL);
        for (const child of namesIn(path)) {
          if (isFolder(`${path}/${child}`)) {
            chmodSync(bytes(`${path}/${child}`), OWNER_ALL);
            renameSync(bytes(`${path}/${child}`), `${folder}/.emptied-${moved++}`);
          } else unlinkSync(bytes(`${path}/${child}`));
        }
        rmdirSync(bytes(path));
      });
    }
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(bytes(folder), "latin1");
  } catch {
    return [];
  }
}

function isFolder(path: string): boolean {
  return lstatSync(bytes(path)).isDirectory();
}

function bytes(path: string): Buffer {
  return Buffer.from(path, "latin1");
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // What cannot be removed stays, and is seen from outside.
  }
}
