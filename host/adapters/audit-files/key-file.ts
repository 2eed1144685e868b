/**
 * The key the log is signed with: 64 bytes as base64 in a file of the owner's, outside the home, so that a copy of the home cannot
 * sign for it. Its public half stands in the home as `audit/audit.pub`, hex.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { makeSecret, publicKeyOf } from "../../audit/signing.ts";
import { HostError } from "../../domain/errors.ts";
import { syncFolder } from "./log-files.ts";

export interface SigningKey {
  /** Hex. */
  readonly publicKey: string;
  readonly secret: Uint8Array;
}

/** Base64 of 64 bytes, and what an editor adds. */
const MAX_FILE_BYTES = 128;
const PUBLIC_KEY = /^[0-9a-f]{64}$/;

/** `ownersFolder`: absolute; undefined: this user has none, and the key lies in the home. */
export function auditKeyFile({ home, ownersFolder }: { readonly home: string; readonly ownersFolder: string | undefined }): string {
  return ownersFolder === undefined ? join(home, "audit.key") : join(ownersFolder, ".config", "hermit", "audit.key");
}

/** Made where there is none. Throws HostError AUDIT_BROKEN; then nothing was changed. */
export function openKey(file: string): SigningKey {
  return readKey(file) ?? makeKey(file);
}

/** Undefined: there is no such file. Throws HostError AUDIT_BROKEN: it is not what it should be. */
export function readKey(file: string, uid = process.getuid?.()): SigningKey | undefined {
  const read = readSmall(file);
  if (read === undefined) return undefined;
  const { text, mode, owner } = read;
  if ((mode & 0o077) !== 0) {
    throw refused(
      file,
      `can be used by others than its owner (mode ${(mode & 0o777).toString(8).padStart(3, "0")})`,
      "Run chmod 600 on it.",
    );
  }
  if (owner !== 0 && uid !== undefined && owner !== uid) {
    throw refused(file, "belongs to another user", "Give it to the user Hermit runs as, with chown.");
  }
  const secret = Buffer.from(text.trim(), "base64");
  const publicKey = secret.toString("base64") === text.trim() ? publicKeyOf(secret) : undefined;
  if (publicKey === undefined) {
    throw refused(file, "holds no key", "Put its backup in its place, or delete it: a new one is made, and the log begins anew with it.");
  }
  return { publicKey, secret };
}

/** The public half that stands in the home; undefined: none does. */
export function readPublicKey(folder: string): string | undefined {
  try {
    const text = readFileSync(publicKeyFile(folder), "utf8").trim();
    return PUBLIC_KEY.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

export function writePublicKey(folder: string, publicKey: string): void {
  const path = publicKeyFile(folder);
  const part = `${path}.part`;
  rmSync(part, { force: true });
  writeNew(part, publicKey);
  renameSync(part, path);
}

function publicKeyFile(folder: string): string {
  return join(folder, "audit.pub");
}

/** Under its own name only when it is whole, and never over another: two hosts of one user may start at once. */
function makeKey(file: string): SigningKey {
  const folder = dirname(file);
  const part = `${file}.${randomBytes(6).toString("hex")}.part`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const secret = makeSecret();
    writeNew(part, secret.toString("base64"));
    secret.fill(0);
    try {
      linkSync(part, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      rmSync(part, { force: true });
    }
    syncFolder(folder);
  } catch (cause) {
    throw refused(file, `cannot be made: ${(cause as Error).message}`, "Make its folder writable for the user Hermit runs as.", cause);
  }
  const key = readKey(file);
  if (key === undefined) throw refused(file, "was removed while it was being made", "Start again.");
  return key;
}

function writeNew(path: string, line: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    // Whatever the umask takes away.
    fchmodSync(file, 0o600);
    writeSync(file, `${line}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function readSmall(path: string): { readonly text: string; readonly mode: number; readonly owner: number } | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const info = fstatSync(file);
    if (!info.isFile()) throw new Error("it is not a regular file");
    const bytes = Buffer.alloc(MAX_FILE_BYTES);
    const text = bytes.toString("latin1", 0, readSync(file, bytes, 0, bytes.length, 0));
    bytes.fill(0);
    return { text, mode: info.mode, owner: info.uid };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw refused(path, `cannot be read: ${(cause as Error).message}`, "Mend its permissions.", cause);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function refused(file: string, what: string, hint: string, cause?: unknown): HostError {
  return new HostError("AUDIT_BROKEN", `The key of the audit log, ${file}, ${what}.`, { hint, cause });
}
