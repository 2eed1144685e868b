/**
 * Gives an adopted household back to NanoClaw: the database in its old form, the groups' folders, then WhatsApp's keys, and last the way
 * to start. What was ours stays in the home, in a folder of its own.
 *
 * Until its note goes the old program cannot start, so an attempt that was cut off is simply made again.
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { takeLock } from "../adapters/store-sqlite/open.ts";
import { ADOPTION_FILE } from "../adapters/store-sqlite/unfinished-move.ts";
import { HostError, StoreError } from "../domain/errors.ts";
import { type CopiedTree, counted, leftOutNotes, size } from "./adopt-report.ts";
import { type AdoptionRecord, readNote, readRecord, writeRecord } from "./adoption-record.ts";
import { copyTree, measureTree, type Owner, syncFolder, type TreeFacts } from "./copy-tree.ts";
import { type ReturnedDatabase, writeReturned } from "./hand-back-database.ts";
import { AGENT_SESSIONS, GROUPS, type HouseholdTree } from "./household-trees.ts";
import { importFault } from "./import-fault.ts";
import { isMovable, moveFolder } from "./move-folder.ts";
import { claudeTranscript, type OldHome, openOldHome, refuseLinks, STATE_FILES, unusable } from "./old-home.ts";
import { refuseRunning } from "./old-host.ts";

export interface HandBackOptions {
  /** Absolute. */
  readonly home: string;
  /** Where to; undefined: where it came from. */
  readonly folder: string | undefined;
  readonly isDryRun: boolean;
}

export interface HandBackReport {
  readonly from: string;
  readonly to: string;
  readonly steps: readonly HandBackStep[];
  readonly notes: readonly string[];
}

export interface HandBackStep {
  readonly action: "copy" | "move" | "keep" | "remove";
  readonly what: string;
}

/** Beside what it is to replace, until that is renamed. */
const RETURNING = ".returning";
const ARCHIVE = "handed-back-";
const JOURNALS = ["-journal", "-wal", "-shm"];
const SPARE_BYTES = 32 * 1024 * 1024;

/** Throws HostError: NOT_ADOPTED, OLD_HOME_UNUSABLE, OLD_HOST_RUNNING, HOME_LOCKED, HOME_UNUSABLE, STORE_BROKEN, STORE_FULL. */
export function handBack({ home, folder, isDryRun }: HandBackOptions): HandBackReport {
  const record = adopted(home);
  const target = record.returning?.to ?? folder ?? record.from;
  try {
    const old = openOldHome(target);
    refuseLinks(
      old,
      [GROUPS, AGENT_SESSIONS].map(({ path }) => path),
    );
    if (!isAllBack(old, record)) refuseRunning(old);
    refuseForeign(old, record);
    return isDryRun ? look(home, old, record) : giveBack(home, old, record);
  } catch (error) {
    throw importFault(error, target);
  }
}

function adopted(home: string): AdoptionRecord {
  const record = readRecord(home);
  if (record !== undefined && record.state !== "copied") return record;
  const archives = existsSync(home) ? readdirSync(home).filter((name) => name.startsWith(ARCHIVE)) : [];
  const hint =
    record !== undefined
      ? `Its adoption was interrupted: finish it with \`hermit adopt ${record.from}\`.`
      : archives.length > 0
        ? `It was handed back before; what was its own is in ${archives.toSorted().at(-1)}.`
        : "Name the home with --home.";
  throw new HostError("NOT_ADOPTED", `${home} has no household of NanoClaw's to hand back.`, { hint });
}

/** The old program may run again; there is only this home's record of it to put away. */
function isAllBack(old: OldHome, record: AdoptionRecord): boolean {
  return record.state === "returned" && readNote(old.auth) === undefined && !existsSync(`${old.auth}${RETURNING}`);
}

function refuseForeign(old: OldHome, record: AdoptionRecord): void {
  const note = readNote(old.auth);
  if (note !== undefined && note !== record.id) {
    throw unusable(
      `${old.path} was taken over by another home; the note ${old.auth} says by which.`,
      "Hand that one back, or name another folder.",
    );
  }
  // Ours arrive under this name last of all, so those that lie there now are somebody else's.
  if (note === undefined && existsSync(old.auth) && record.state === "adopted") {
    throw unusable(
      `${old.path} has keys of WhatsApp's that are not from here: ${old.auth}.`,
      "Two sets cannot be used at once: move it away.",
    );
  }
}

function look(home: string, old: OldHome, record: AdoptionRecord): HandBackReport {
  if (existsSync(join(home, "lock.db"))) takeLock(home).close();
  if (record.state === "returned") return report(home, old, record.returning?.archive ?? ARCHIVE, undefined);
  refuseFullDisk(home, old);
  const folder = mkdtempSync(join(tmpdir(), "hermit-hand-back-"));
  try {
    const database = writeReturned(databaseOf(home), join(folder, "messages.db"), canResume(home, old));
    const trees = treesOf(home).map((tree) => ({ tree, facts: measureTree(placeOf(home, tree)) }));
    return report(home, old, archiveName(), { database, trees });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function giveBack(home: string, old: OldHome, record: AdoptionRecord): HandBackReport {
  const lock = takeLock(home);
  try {
    const archive = record.returning?.archive ?? archiveName();
    const parts = record.state === "adopted" ? returnParts(home, old, archive) : undefined;
    if (parts !== undefined) writeRecord(home, { ...record, state: "returned", returning: { archive, to: old.path } });
    const done = report(home, old, archive, parts);
    finish(home, old, archive);
    return done;
  } finally {
    lock.close();
  }
}

interface Parts {
  readonly database: ReturnedDatabase;
  readonly trees: readonly CopiedTree[];
}

/** Made beside what they replace, then put in their place. */
function returnParts(home: string, old: OldHome, archive: string): Parts {
  refuseFullDisk(home, old);
  const trees = treesOf(home);
  const returning = join(old.path, "store", `messages.db${RETURNING}`);
  const clear = (): void => {
    for (const end of ["", ...JOURNALS]) rmSync(`${returning}${end}`, { force: true });
    for (const { path } of trees) rmSync(join(old.path, `${path}${RETURNING}`), { recursive: true, force: true });
  };
  clear();
  let parts: Parts;
  try {
    const database = writeReturned(databaseOf(home), returning, canResume(home, old));
    parts = { database, trees: trees.map((tree) => ({ tree, facts: copyBack(home, old, tree) })) };
    refuseRunning(old);
  } catch (error) {
    clear();
    throw error;
  }
  const stamp = archive.slice(ARCHIVE.length);
  replaceDatabase(join(old.path, "store"), returning, stamp);
  for (const { path } of trees) replaceTree(join(old.path, path), stamp);
  setStateAside(home, old);
  return parts;
}

/** With the note goes what kept the old program from starting, and with the record what ties this home to it. */
function finish(home: string, old: OldHome, archive: string): void {
  const kept = join(home, archive);
  mkdirSync(kept, { recursive: true, mode: 0o700 });
  for (const part of ["groups", "sessions", "data", "container", "store"])
    if (existsSync(join(home, part))) renameSync(join(home, part), join(kept, part));
  syncFolder(home);
  const [keys, coming] = [join(kept, "store", "auth"), `${old.auth}${RETURNING}`];
  if (isMovable(keys)) moveFolder(keys, coming);
  if (readNote(old.auth) !== undefined) rmSync(old.auth);
  if (existsSync(coming)) renameSync(coming, old.auth);
  syncFolder(dirname(old.auth));
  renameSync(join(home, ADOPTION_FILE), join(kept, ADOPTION_FILE));
  syncFolder(home);
}

/** The old one stays beside it, with the journal that may belong to it: SQLite would roll that back into the new one. */
function replaceDatabase(store: string, returning: string, stamp: string): void {
  const [path, kept] = [join(store, "messages.db"), join(store, `messages.before-hand-back-${stamp}.db`)];
  const old = statSync(path, { throwIfNoEntry: false });
  if (old !== undefined) {
    copyFileSync(path, kept);
    for (const end of JOURNALS) if (existsSync(`${path}${end}`)) renameSync(`${path}${end}`, `${kept}${end}`);
    if (process.getuid?.() === 0) for (const made of [returning, kept]) chownSync(made, old.uid, old.gid);
    chmodSync(returning, old.mode & 0o777);
  }
  syncFolder(returning);
  renameSync(returning, path);
  syncFolder(store);
}

/** What agents changed. Their sources they could not. */
function treesOf(home: string): readonly HouseholdTree[] {
  return [GROUPS, AGENT_SESSIONS].filter((tree) => tree === GROUPS || existsSync(join(home, tree.path)));
}

/** An owner may keep one on another disk; no agent can make the folder itself a link. */
function placeOf(home: string, { path }: HouseholdTree): string {
  const place = join(home, path);
  return existsSync(place) ? realpathSync(place) : place;
}

function copyBack(home: string, old: OldHome, tree: HouseholdTree): TreeFacts {
  const to = join(old.path, tree.path);
  mkdirSync(dirname(to), { recursive: true });
  return copyTree(placeOf(home, tree), `${to}${RETURNING}`, { ownerOf: (top) => ownerOf(old, to, top) });
}

function replaceTree(path: string, stamp: string): void {
  if (existsSync(path)) renameSync(path, `${path}.before-hand-back-${stamp}`);
  renameSync(`${path}${RETURNING}`, path);
  syncFolder(dirname(path));
}

/** State files that were read here: read again there, they would set its cursors back. */
function setStateAside(home: string, old: OldHome): void {
  for (const name of STATE_FILES) {
    const path = join(old.path, "data", name);
    if (existsSync(path) && existsSync(join(home, "data", `${name}.migrated`))) renameSync(path, `${path}.migrated`);
  }
}

/** As before; of a group that is new, as its neighbours. */
function ownerOf(old: OldHome, tree: string, top: string): Owner {
  const known = [join(tree, top), join(tree, "main"), tree].find((path) => existsSync(path)) ?? old.path;
  return statSync(known);
}

function canResume(home: string, old: OldHome): (folder: string, session: string) => boolean {
  const place = treesOf(home).includes(AGENT_SESSIONS) ? home : old.path;
  return (folder, session) => claudeTranscript(place, folder, session) !== undefined;
}

function databaseOf(home: string): string {
  const path = join(home, "store", "messages.db");
  if (existsSync(path)) return path;
  throw new StoreError("STORE_BROKEN", `The database ${path} is gone.`, { hint: "Put a backup in its place." });
}

function refuseFullDisk(home: string, old: OldHome): void {
  const trees = treesOf(home).reduce((sum, tree) => sum + measureTree(placeOf(home, tree)).bytes, 0);
  const needed = trees + 3 * statSync(databaseOf(home)).size + SPARE_BYTES;
  const { bavail, bsize } = statfsSync(old.path);
  if (bavail * bsize >= needed) return;
  throw new StoreError("STORE_FULL", `The disk of ${old.path} has ${bavail * bsize} bytes free, and handing back needs ${needed}.`, {
    hint: "Free some space. Nothing was changed.",
  });
}

function archiveName(): string {
  return `${ARCHIVE}${new Date().toISOString().replaceAll(/[-:.]/g, "")}`;
}

/** `parts` undefined: they are back already. */
function report(home: string, old: OldHome, archive: string, parts: Parts | undefined): HandBackReport {
  const rows = Object.entries(parts?.database.rows ?? {}).map(([table, n]) => `${table} ${n}`);
  const keys = [home, join(home, archive)].map((place) => join(place, "store", "auth")).find(isMovable);
  const copied: HandBackStep[] =
    parts === undefined
      ? []
      : [
          { action: "copy", what: `the database (${rows.join(", ")})` },
          ...parts.trees.map(
            ({ tree, facts }): HandBackStep => ({
              action: "copy",
              what: `${tree.path} (${counted(facts.files, "file")}, ${size(facts.bytes)})`,
            }),
          ),
          { action: "keep", what: "what is there now, as before-hand-back beside it" },
        ];
  return {
    from: home,
    to: old.path,
    steps: [
      ...copied,
      { action: "keep", what: `everything of this home in ${join(home, archive)}` },
      ...(keys === undefined ? [] : [{ action: "move", what: `WhatsApp's keys: ${keys} → ${old.auth}` } satisfies HandBackStep]),
      { action: "remove", what: `the note ${old.auth}, so that NanoClaw can start` },
    ],
    notes: [
      ...(parts?.database.notes ?? ["All else was handed back before, when this was interrupted."]),
      ...leftOutNotes(parts?.trees ?? []),
    ],
  };
}
