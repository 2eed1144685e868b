/**
 * The key of the sealed store: the systemd credential `hermit-seal-key`, else the key file.
 *
 * Either holds one key, 32 bytes in base64 on a line of their own, or two while the key is being changed: the first seals, both open.
 * A file that Hermit made says in its first line whose secrets it seals, since a key that two homes share must not be changed for one of them.
 */
import { join } from "node:path";
import { HostError } from "../../domain/errors.ts";
import { isOwned, makeFile, readWhole } from "./private-file.ts";

const CREDENTIAL = "hermit-seal-key";
const KEY_BYTES = 32;
const MAX_KEYS = 2;
/** Two keys, and a path of the greatest length as JSON. */
const MAX_FILE_BYTES = 32 * 1024;
const MADE_FOR = "# Made by hermit, for the secrets of ";
const FORM = "It holds one line: 32 random bytes in base64.";

export interface KeyPlaces {
  /** Absolute; undefined: nowhere. */
  readonly keyFile: string | undefined;
  /** systemd's folder, absolute; undefined: not started by it. */
  readonly credentials: string | undefined;
}

export interface SealKeys {
  /** One or two. The reader's, to zero. */
  readonly keys: readonly [Buffer, ...Buffer[]];
  readonly path: string;
  readonly source: "credential" | "file";
  /** Home folder; undefined: Hermit did not make it. */
  readonly madeFor: string | undefined;
}

/** Undefined: there is none. Throws HostError SECRET_STORE_UNUSABLE. */
export function readSealKeys({ keyFile, credentials }: KeyPlaces): SealKeys | undefined {
  const fromCredential = credentials === undefined ? undefined : readKeys(join(credentials, CREDENTIAL), "credential");
  return fromCredential ?? (keyFile === undefined ? undefined : readKeys(keyFile, "file"));
}

function readKeys(path: string, source: SealKeys["source"]): SealKeys | undefined {
  const read = readWhole(path, MAX_FILE_BYTES);
  if (read === undefined) return undefined;
  if ("fault" in read) throw unusable(path, read.fault, "Put the key itself there, in a file readable by its owner alone.");
  const text = read.bytes.toString("utf8");
  read.bytes.fill(0);
  // systemd keeps its folder to the service, with access lists that show as group bits.
  if (source === "file") {
    if ((read.mode & 0o177) !== 0) throw unusable(path, `has mode ${read.mode.toString(8).padStart(3, "0")}`, "Run chmod 600 on it.");
    if (!isOwned(read)) throw unusable(path, "belongs to another user", "Give it to the user Hermit runs as, with chown.");
    if (read.links > 1) throw unusable(path, "has a second name elsewhere (a hard link)", "Leave it one name, so that there is one key.");
  }
  const lines = text.split("\n").map((line) => line.trim());
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#")).map(parseKey);
  if (keys.length === 0) throw unusable(path, "holds no key", `${FORM} If no secrets were sealed yet, delete it.`);
  if (keys.length > MAX_KEYS) throw unusable(path, "holds more than two keys", FORM);
  const [sealing, ...opening] = keys.filter((key) => key !== undefined);
  if (sealing === undefined || opening.length + 1 < keys.length) throw unusable(path, "holds something else than a key", FORM);
  return { keys: [sealing, ...opening], path, source, madeFor: madeFor(lines[0]) };
}

/** A new key in a new file. Throws HostError SECRET_STORE_UNUSABLE, STORE_FULL. */
export function makeKeyFile(path: string, home: string, key: Buffer): void {
  makeFile(path, keyFileText(home, [key]));
}

export function keyFileText(home: string, keys: readonly Buffer[]): string {
  return `${MADE_FOR}${JSON.stringify(home)}\n${keys.map((key) => `${key.toString("base64")}\n`).join("")}`;
}

/** Undefined: it is none. */
function parseKey(line: string): Buffer | undefined {
  const key = Buffer.from(line, "base64");
  return key.length === KEY_BYTES && key.toString("base64") === line ? key : undefined;
}

function madeFor(line: string | undefined): string | undefined {
  if (line?.startsWith(MADE_FOR) !== true) return undefined;
  try {
    return String(JSON.parse(line.slice(MADE_FOR.length)));
  } catch {
    return undefined;
  }
}

function unusable(path: string, what: string, hint: string): HostError {
  return new HostError("SECRET_STORE_UNUSABLE", `The sealing key ${path} ${what}.`, { hint });
}
