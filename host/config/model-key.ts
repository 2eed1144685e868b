/** Where the model service's key comes from, and what makes us refuse it. */
import { join } from "node:path";
import { type Environment, KEY_VARIABLE, variable } from "./environment.ts";
import { type BoundedFile, FAULTS, type Fault, isOwned, MAX_KEY_BYTES, readBounded } from "./file.ts";
import type { Problem } from "./problem.ts";
import { Secret } from "./secret.ts";

/** Name of the systemd credential. */
const CREDENTIAL = "model-key";

export interface FoundKey {
  readonly key: Secret | undefined;
  /** `file`: the key file or the systemd credential. */
  readonly source: "default" | "file" | "environment";
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

const NO_KEY: FoundKey = { key: undefined, source: "default", problems: [], warnings: [] };

/** HERMIT_MODEL_KEY, else the key file, else the systemd credential `model-key`: what is named for this start beats what was set up. */
export function findModelKey(env: Environment, keyFile: string | undefined, uid = process.getuid?.()): FoundKey {
  const fromEnvironment = variable(env, KEY_VARIABLE);
  if (fromEnvironment !== undefined) {
    if (!isKey(fromEnvironment)) return refused(KEY_VARIABLE, "holds no usable key");
    const unused = keyFile === undefined ? "" : " model.key_file is not used.";
    const warning = `The model's key comes from ${KEY_VARIABLE}, which programs started from here inherit; model.key_file or a systemd credential is safer.`;
    return { key: new Secret(fromEnvironment), source: "environment", problems: [], warnings: [warning + unused] };
  }
  if (keyFile !== undefined) return fromFile(keyFile, { mustBePrivate: true, uid });
  const folder = variable(env, "CREDENTIALS_DIRECTORY");
  // systemd keeps the folder to the service, with access lists that show as group bits.
  return folder === undefined ? NO_KEY : fromFile(join(folder, CREDENTIAL), { mustBePrivate: false, uid });
}

/** As a key file of the model's. Problems name that setting. */
export function readKeyFile(file: string): FoundKey {
  return fromFile(file, { mustBePrivate: true, uid: process.getuid?.() });
}

function fromFile(file: string, { mustBePrivate, uid }: { mustBePrivate: boolean; uid: number | undefined }): FoundKey {
  const content = readBounded(file, MAX_KEY_BYTES);
  if ("fault" in content) return content.fault === "missing" && !mustBePrivate ? NO_KEY : unreadable(file, content.fault);
  const key = content.bytes.toString("utf8").trim();
  content.bytes.fill(0);
  if (mustBePrivate && isExposed(content)) {
    return refused(
      file,
      `can be read by others than its owner (mode ${(content.mode & 0o777).toString(8).padStart(3, "0")})`,
      "Run chmod 600 on it.",
    );
  }
  if (mustBePrivate && !isOwned(content, uid))
    return refused(file, "belongs to another user", "Give it to the user Hermit runs as, with chown.");
  return isKey(key) ? { key: new Secret(key), source: "file", problems: [], warnings: [] } : refused(file, "holds no usable key");
}

/** What does not exist is not named: it may be the key itself, put where the file's name belongs. */
function unreadable(file: string, fault: Fault): FoundKey {
  const source = fault === "missing" ? "model.key_file" : file;
  return refused(source, `cannot be read: the file ${FAULTS[fault]}`, "Name a file that holds the key and nothing else in model.key_file.");
}

/** It goes into a header line: one word of printable ASCII. */
function isKey(value: string): boolean {
  return /^[\x21-\x7e]+$/.test(value) && value.length <= MAX_KEY_BYTES;
}

function isExposed({ mode }: BoundedFile): boolean {
  return (mode & 0o077) !== 0;
}

function refused(source: string, what: string, hint = "A key is one word of printable ASCII characters, alone in its place."): FoundKey {
  return { ...NO_KEY, problems: [{ source, key: "model.key", message: `The model's key ${what}.`, hint }] };
}
