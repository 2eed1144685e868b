/** One writer at a time, by a held SQLite transaction: the kernel drops it with the process, however that ends. */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { HostError } from "../../domain/errors.ts";

/** A change takes milliseconds; a busy SD card a second. */
const WAIT_MS = 5_000;

/**
 * Runs `write` while nobody else writes. Rejects with HostError HOME_UNUSABLE, SECRET_STORE_UNUSABLE; then it did not run.
 * `home` is made if it is not there.
 */
export async function whileWriting<T>(home: string, write: () => T, waitMs = WAIT_MS): Promise<T> {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new HostError("HOME_UNUSABLE", `Cannot create ${home}: ${(cause as Error).message}.`, {
      cause,
      hint: "Choose another folder with --home or HERMIT_HOME, or mend its permissions.",
    });
  }
  mustBeOwn(home);
  const path = join(home, "secrets.lock");
  const { default: Database } = await import("better-sqlite3");
  let lock: InstanceType<typeof Database> | undefined;
  try {
    lock = new Database(path, { timeout: waitMs });
    lock.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    lock?.close();
    const isBusy = String((cause as { code?: unknown }).code).startsWith("SQLITE_BUSY");
    throw new HostError(
      "SECRET_STORE_UNUSABLE",
      isBusy ? "Somebody else is changing the secrets." : `${path} cannot be used: ${(cause as Error).message}.`,
      { cause, hint: isBusy ? "Try again." : "It holds nothing: delete it, and mend its folder's permissions.", retryable: isBusy },
    );
  }
  try {
    return write();
  } finally {
    lock.close();
  }
}

/** What root writes into somebody's home, the host that runs as that somebody cannot read. */
function mustBeOwn(home: string): void {
  const own = process.getuid?.();
  const { uid } = statSync(home);
  if (own === undefined || uid === own) return;
  throw new HostError("HOME_UNUSABLE", `The home folder ${home} belongs to another user (uid ${uid}).`, {
    hint: `Change its secrets as that user: sudo -u '#${uid}' hermit …`,
  });
}
