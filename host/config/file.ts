/** Files the configuration is read from: bounded, regular, and for keys private. */
import { isUtf8 } from "node:buffer";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { checkLayer, type Nested } from "./check-layer.ts";
import type { Problem } from "./problem.ts";
import { quote } from "./problem.ts";
import { type Layer, SETTING_NAMES, SETTINGS } from "./schema.ts";

/** A full file with every setting and its comment takes 8 KiB. The bound is also what bounds the parser's time. */
const MAX_FILE_BYTES = 64 * 1024;
/** The longest keys in use, signed tokens, have 4. */
export const MAX_KEY_BYTES = 16 * 1024;

export interface FileLayer {
  readonly layer: Layer;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
  /** Undefined: there is none. */
  readonly file: string | undefined;
  /** False: what it sets is not known, so nothing can be said about what is missing. */
  readonly isRead: boolean;
}

/**
 * The configuration file's layer. A missing file is a problem only where it was asked for by name.
 * `inFolderOfFile` makes a path in the file absolute.
 */
export async function readConfigFile(file: string, isAskedFor: boolean, inFolderOfFile: (path: string) => string): Promise<FileLayer> {
  const failed = (message: string, hint: string, position?: Problem["position"]): FileLayer => ({
    layer: {},
    problems: [position === undefined ? { source: file, message, hint } : { source: file, position, message, hint }],
    warnings: [],
    file,
    isRead: false,
  });
  const content = readBounded(file, MAX_FILE_BYTES);
  if ("fault" in content) {
    if (content.fault === "missing" && !isAskedFor) return { layer: {}, problems: [], warnings: [], file: undefined, isRead: true };
    return failed(`The configuration file ${FAULTS[content.fault]}.`, "Name a readable TOML file of at most 64 KiB with --config.");
  }
  if (!isUtf8(content.bytes)) return failed("The configuration file is not UTF-8 text.", "Save it as UTF-8.");
  const { parseTomlText } = await import("./toml.ts");
  // Editors on Windows put a byte order mark first, which is no part of TOML.
  const parsed = parseTomlText(content.bytes.toString("utf8").replace(/^\ufeff/, ""));
  if ("reason" in parsed) {
    return failed(`This is not TOML: ${parsed.reason}.`, 'Texts need quotes: assistant_name = "Andy".', parsed.position);
  }
  const { layer, problems } = checkLayer(withAbsolutePaths(parsed.values, inFolderOfFile), (path) => ({
    source: file,
    position: parsed.positionOf(path),
  }));
  const warnings = (content.mode & 0o002) === 0 ? [] : [`${quote(file)} can be changed by every user of this machine; chmod o-w it.`];
  return { layer, problems, warnings, file, isRead: true };
}

function withAbsolutePaths(nested: Nested, absolute: (path: string) => string): Nested {
  const result: Record<string, unknown> = Object.assign(Object.create(null), nested);
  for (const name of SETTING_NAMES) {
    const [key, section] = name.split(".").reverse();
    if (!SETTINGS[name].isPath || key === undefined || section === undefined) continue;
    const table = result[section];
    const value = Object(table)[key];
    if (typeof value === "string" && value !== "") result[section] = Object.assign(Object.create(null), table, { [key]: absolute(value) });
  }
  return result;
}

export type Fault = "missing" | "unreadable" | "notRegular" | "tooLarge";
export const FAULTS: Readonly<Record<Fault, string>> = {
  missing: "does not exist",
  unreadable: "cannot be read",
  notRegular: "is not a regular file",
  tooLarge: "is too large",
};

export interface BoundedFile {
  readonly bytes: Buffer;
  readonly mode: number;
  readonly uid: number;
}

/** At most `maxBytes`, from a regular file. What is checked is what was opened, and a pipe with nobody at the other end does not hold us. */
export function readBounded(file: string, maxBytes: number): BoundedFile | { readonly fault: Fault } {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { fault: code === "ENOENT" || code === "ENOTDIR" ? "missing" : "unreadable" };
  }
  try {
    const { mode, uid, size } = fstatSync(descriptor);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) return { fault: "notRegular" };
    if (size > maxBytes) return { fault: "tooLarge" };
    const room = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (let got = -1; got !== 0 && length < room.length; length += got)
      got = readSync(descriptor, room, length, room.length - length, null);
    // It may have grown since.
    return length > maxBytes ? { fault: "tooLarge" } : { bytes: room.subarray(0, length), mode, uid };
  } catch {
    return { fault: "unreadable" };
  } finally {
    closeSync(descriptor);
  }
}

/** Ours, or root's, who may read and replace anything anyway. `uid` undefined: this system has none. */
export function isOwned(file: BoundedFile, uid: number | undefined): boolean {
  return file.uid === 0 || uid === undefined || file.uid === uid;
}
