/**
 * Copies a folder of files that somebody else filled, agents among them: no link is followed, and none is made that leads out of the
 * folder it lies in. Every file is on disk before the copy counts.
 */
import {
  closeSync,
  constants,
  type Dirent,
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
  symlinkSync,
  writeSync,
} from "node:fs";
import { dirname, isAbsolute, join, normalize } from "node:path";

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
  /** After each file. */
  readonly onBytes?: (bytes: number) => void;
}

type Kind = "folder" | "file" | "link";

interface Entry {
  readonly path: string;
  readonly kind: Kind;
  readonly bytes: number;
}

const CHUNK_BYTES = 1024 * 1024;

/** What `copyTree` would take. A folder that is not there holds nothing. */
export function measureTree(from: string, { ignores = () => false }: CopyOptions = {}): TreeFacts {
  const facts: TreeFacts = { folders: 0, files: 0, bytes: 0, leftOut: [] };
  for (const entry of entriesOf(from, "", ignores, facts.leftOut)) count(facts, entry);
  return facts;
}

/** `to` is made; it must not be there. Throws what the file system throws, with part of the copy left behind. */
export function copyTree(from: string, to: string, options: CopyOptions = {}): TreeFacts {
  const { ignores = () => false, ownerOf = () => undefined, onBytes = () => {} } = options;
  const facts: TreeFacts = { folders: 0, files: 0, bytes: 0, leftOut: [] };
  mkdirSync(to, { mode: 0o700 });
  if (existsSync(from)) changeFolder(from, to, undefined);
  const folders = [to];
  for (const entry of entriesOf(from, "", ignores, facts.leftOut)) {
    const [source, target] = [join(from, entry.path), join(to, entry.path)];
    const owner = process.getuid?.() === 0 ? ownerOf(entry.path.split("/")[0] ?? "") : undefined;
    if (entry.kind === "file" && !copyFile(source, target, owner)) {
      facts.leftOut.push(`${entry.path}: it cannot be read`);
      continue;
    }
    if (entry.kind === "folder") {
      mkdirSync(target, { mode: 0o700 });
      folders.push(target);
      changeFolder(source, target, owner);
    } else if (entry.kind === "link") {
      symlinkSync(readlinkSync(source), target);
      if (owner !== undefined) lchownSync(target, owner.uid, owner.gid);
    }
    count(facts, entry);
    onBytes(entry.bytes);
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
  for (const entry of entriesOf(path, "", () => false, [])) if (entry.kind !== "link") syncFolder(join(path, entry.path));
  syncFolder(path);
}

function count(facts: TreeFacts, { kind, bytes }: Entry): void {
  if (kind === "folder") facts.folders++;
  else facts.files++;
  facts.bytes += bytes;
}

function* entriesOf(root: string, below: string, ignores: (path: string) => boolean, leftOut: string[]): Generator<Entry> {
  for (const dirent of list(root, below, leftOut)) {
    const path = join(below, dirent.name);
    if (ignores(path)) continue;
    const stat = lstatSync(join(root, path), { throwIfNoEntry: false });
    if (stat === undefined) leftOut.push(`${path}: its name cannot be read, or it went away`);
    else if (stat.isFile()) yield { path, kind: "file", bytes: stat.size };
    else if (stat.isDirectory()) {
      yield { path, kind: "folder", bytes: 0 };
      yield* entriesOf(root, path, ignores, leftOut);
    } else if (!stat.isSymbolicLink()) leftOut.push(`${path}: it is no file`);
    else if (staysInside(path, readlinkSync(join(root, path)))) yield { path, kind: "link", bytes: 0 };
    else leftOut.push(`${path}: it leads out of its folder`);
  }
}

function list(root: string, below: string, leftOut: string[]): readonly Dirent[] {
  try {
    return readdirSync(join(root, below), { withFileTypes: true });
  } catch (error) {
    if (below !== "") leftOut.push(`${below}: it cannot be read (${(error as NodeJS.ErrnoException).code})`);
    else if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return [];
  }
}

/** A link may lead anywhere below the entry of the top it lies in: each of them is a world of its own. */
function staysInside(path: string, target: string): boolean {
  if (isAbsolute(target)) return false;
  const top = path.split("/")[0] ?? "";
  const reached = normalize(join(dirname(path), target));
  return path !== top && (reached === top || reached.startsWith(`${top}/`));
}

/** False: it may not be read. */
function copyFile(from: string, to: string, owner: Owner | undefined): boolean {
  let source: number;
  try {
    // It may have become something else since it was looked at.
    source = openSync(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return false;
  }
  try {
    const stat = fstatSync(source);
    if (!stat.isFile()) return false;
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

function changeFolder(from: string, to: string, owner: Owner | undefined): void {
  const folder = openSync(to, "r");
  try {
    if (owner !== undefined) fchownSync(folder, owner.uid, owner.gid);
    // Whoever copies must be able to fill it.
    fchmodSync(folder, (lstatSync(from).mode & 0o777) | 0o700);
  } finally {
    closeSync(folder);
  }
}
