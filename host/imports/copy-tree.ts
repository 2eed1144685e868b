/**
 * Copies a folder of files that somebody else filled, agents among them, and may still be changing: no link is followed, and none is made
 * that leads out of the folder it lies in. Every file is on disk before the copy counts.
 *
 * A folder is held open while what is in it is looked at, and everything is reached through it: a name can become a link at any moment,
 * in the middle of a path too, a folder that is open cannot.
 */
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  futimesSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
  symlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, isAbsolute, join, normalize } from "node:path";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface TreeFacts {
  folders: number;
  files: number;
  bytes: number;
  /** Not taken, each with the reason: `fam/link: it leads out of its folder`. */
  readonly leftOut: string[];
}

export interface CopyOptions {
  /** Relative path; true: it and what is below it are none of ours, and not worth a word. */
  readonly ignores?: (path: string) => boolean;
  /** Of what lies below this entry of the top. Undefined, and where we may not give things away: whoever copies. */
  readonly ownerOf?: (top: string) => Owner | undefined;
  /** After each file, which is at the relative path. */
  readonly onBytes?: (bytes: number, path: string) => void;
  /** Where the system shows what this process has open. Where it does not, paths are compared before and after. For tests. */
  readonly open?: string;
}

type Kind = "folder" | "file" | "link";

interface Entry {
  readonly path: string;
  readonly kind: Kind;
  readonly stat: Stats;
  readonly bytes: number;
  /** Of a link. */
  readonly target: string;
  readonly folder: OpenFolder;
}

interface OpenFolder {
  /** Where what is in it is reached, until it is closed. */
  readonly path: string;
  /** Throws where the folder is not what it was when it was opened, as far as that can be told. */
  check(): void;
  close(): void;
}

const CHUNK_BYTES = 1024 * 1024;
const OPEN = "/proc/self/fd";
/** Each level is an open file of ours; the usual limit is 1,024 of them. */
const MAX_DEPTH = 200;
/** Half of what Linux takes in a call: a home may have a longer path than the old folder. */
const MAX_PATH_BYTES = 2048;
const SHOWN_LENGTH = 100;

/** What `copyTree` would take. A folder that is not there holds nothing. */
export function measureTree(from: string, options: CopyOptions = {}): TreeFacts {
  const facts: TreeFacts = { folders: 0, files: 0, bytes: 0, leftOut: [] };
  for (const entry of entriesOf(from, options, facts.leftOut)) {
    count(facts, entry);
    options.onBytes?.(entry.bytes, entry.path);
  }
  return facts;
}

/** `to` is made; it must not be there. Throws what the file system throws, with part of the copy left behind. */
export function copyTree(from: string, to: string, options: CopyOptions = {}): TreeFacts {
  const { ownerOf = () => undefined, onBytes = () => {} } = options;
  const facts: TreeFacts = { folders: 0, files: 0, bytes: 0, leftOut: [] };
  mkdirSync(to, { mode: 0o700 });
  const top = lstatSync(from, { throwIfNoEntry: false });
  if (top !== undefined) changeFolder(top, to, undefined);
  const folders = [to];
  for (const entry of entriesOf(from, options, facts.leftOut)) {
    const target = join(to, entry.path);
    const owner = process.getuid?.() === 0 ? ownerOf(entry.path.split("/")[0] ?? "") : undefined;
    if (entry.kind === "file" && !copyFile(entry, target, owner)) {
      facts.leftOut.push(`${entry.path}: it cannot be read`);
      continue;
    }
    if (entry.kind === "folder") {
      mkdirSync(target, { mode: 0o700 });
      folders.push(target);
      changeFolder(entry.stat, target, owner);
    } else if (entry.kind === "link") {
      symlinkSync(entry.target, target);
      if (owner !== undefined) lchownSync(target, owner.uid, owner.gid);
    }
    count(facts, entry);
    onBytes(entry.bytes, entry.path);
  }
  for (const folder of folders) syncFolder(folder);
  return facts;
}

/** What was made or renamed in it survives a power cut from then on. */
export function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  fsyncSync(folder);
  closeSync(folder);
}

/** Every file and folder below, and the folder itself. One that is not there is fine. */
export function syncTree(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of entriesOf(path, {}, [])) if (entry.kind !== "link") syncFolder(join(path, entry.path));
  syncFolder(path);
}

function count(facts: TreeFacts, { kind, bytes }: Entry): void {
  if (kind === "folder") facts.folders++;
  else facts.files++;
  facts.bytes += bytes;
}

function* entriesOf(root: string, options: CopyOptions, leftOut: string[]): Generator<Entry> {
  let folder: OpenFolder;
  try {
    folder = openFolder(root, realpathSync(root), options.open);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return;
  }
  try {
    yield* entriesIn(folder, "", namesIn(folder), options, leftOut);
  } finally {
    folder.close();
  }
}

function* entriesIn(
  folder: OpenFolder,
  below: string,
  names: readonly string[],
  options: CopyOptions,
  leftOut: string[],
): Generator<Entry> {
  for (const name of names) {
    const path = join(below, name);
    if (options.ignores?.(path) === true) continue;
    if (isTooDeep(path)) {
      leftOut.push(`${path.slice(0, SHOWN_LENGTH)}…: it lies too deep`);
      continue;
    }
    const place = join(folder.path, name);
    const stat = orNothing(() => lstatSync(place));
    const entry = { path, folder, bytes: 0, target: "" };
    if (stat === undefined) leftOut.push(`${path}: its name cannot be read, or it went away`);
    else if (stat.isFile()) yield { ...entry, stat, kind: "file", bytes: stat.size };
    else if (stat.isDirectory()) {
      yield { ...entry, stat, kind: "folder" };
      yield* entriesBelow(place, path, options, leftOut);
    } else if (!stat.isSymbolicLink()) leftOut.push(`${path}: it is no file`);
    else {
      const target = orNothing(() => readlinkSync(place)) ?? "";
      if (staysInside(path, target)) yield { ...entry, stat, kind: "link", target };
      else leftOut.push(`${path}: it leads out of its folder`);
    }
  }
}

function* entriesBelow(place: string, path: string, options: CopyOptions, leftOut: string[]): Generator<Entry> {
  let folder: OpenFolder | undefined;
  try {
    let names: readonly string[];
    try {
      folder = openFolder(place, place, options.open);
      names = namesIn(folder);
    } catch (error) {
      leftOut.push(`${path}: it cannot be read (${(error as NodeJS.ErrnoException).code})`);
      return;
    }
    yield* entriesIn(folder, path, names, options, leftOut);
  } finally {
    folder?.close();
  }
}

/** `real`: `path` without links. Throws what the file system throws: ENOTDIR or ELOOP where it is a link by now. */
function openFolder(path: string, real: string, open = OPEN): OpenFolder {
  const file = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const close = (): void => closeSync(file);
  if (existsSync(join(open, String(file)))) return { path: join(open, String(file)), check: () => undefined, close };
  try {
    const opened = fstatSync(file);
    const check = (): void => {
      const now = realpathSync(path) === real ? lstatSync(real) : undefined;
      if (now?.dev !== opened.dev || now.ino !== opened.ino) throw Object.assign(new Error(`${path} was changed`), { code: "ESTALE" });
    };
    check();
    return { path: real, check, close };
  } catch (error) {
    close();
    throw error;
  }
}

function namesIn(folder: OpenFolder): readonly string[] {
  const names = readdirSync(folder.path);
  folder.check();
  return names;
}

function isUnmoved(folder: OpenFolder): boolean {
  try {
    folder.check();
    return true;
  } catch {
    return false;
  }
}

/** What was there a moment ago may be gone, or something else. */
function orNothing<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function isTooDeep(path: string): boolean {
  return Buffer.byteLength(path) > MAX_PATH_BYTES || path.split("/").length > MAX_DEPTH;
}

/** A link may lead anywhere below the entry of the top it lies in: each of them is a world of its own. */
function staysInside(path: string, target: string): boolean {
  if (target === "" || isAbsolute(target)) return false;
  const top = path.split("/")[0] ?? "";
  const reached = normalize(join(dirname(path), target));
  return path !== top && (reached === top || reached.startsWith(`${top}/`));
}

/** False: it may not be read, or has become something else since it was looked at. */
function copyFile({ folder, path }: Entry, to: string, owner: Owner | undefined): boolean {
  let source: number;
  try {
    source = openSync(join(folder.path, basename(path)), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return false;
  }
  try {
    const stat = fstatSync(source);
    if (!stat.isFile() || !isUnmoved(folder)) return false;
    const target = openSync(to, "wx", 0o600);
    try {
      const chunk = Buffer.allocUnsafe(Math.max(1, Math.min(CHUNK_BYTES, stat.size)));
      for (let read = readSync(source, chunk); read > 0; read = readSync(source, chunk)) {
        for (let written = 0; written < read; ) written += writeSync(target, chunk, written, read - written);
      }
      if (owner !== undefined) fchownSync(target, owner.uid, owner.gid);
      fchmodSync(target, stat.mode & 0o777);
      futimesSync(target, stat.atime, stat.mtime);
      fsyncSync(target);
    } finally {
      closeSync(target);
    }
    return true;
  } finally {
    closeSync(source);
  }
}

function changeFolder({ mode }: Stats, to: string, owner: Owner | undefined): void {
  const folder = openSync(to, "r");
  try {
    if (owner !== undefined) fchownSync(folder, owner.uid, owner.gid);
    // Whoever copies must be able to fill it.
    fchmodSync(folder, (mode & 0o777) | 0o700);
  } finally {
    closeSync(folder);
  }
}
