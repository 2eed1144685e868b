/**
 * Takes over a NanoClaw household: everything is copied and checked in the new home first, then WhatsApp's keys are moved, last of all.
 *
 * Until then the old folder is only read and stays whole; with the keys the old program loses the ability to start. Cut off at any
 * moment, the same command does the rest or begins anew.
 */
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statfsSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { createTranscripts } from "../adapters/transcripts-jsonl/index.ts";
import { workspaceOwner } from "../adapters/workspace-fs/index.ts";
import { HostError, StoreError } from "../domain/errors.ts";
import { allowlistSteps, copyAllowlist } from "./adopt-allowlist.ts";
import { type AdoptedDatabase, stateOf, takeOverDatabase } from "./adopt-database.ts";
import { type AdoptionReport, authSteps, type CopiedTree, report, type SessionFacts, size } from "./adopt-report.ts";
import { isCommitting, lockHome, refuseUnusable } from "./adopt-stage.ts";
import { type AdoptionRecord, readNote, readRecord, writeNote, writeRecord } from "./adoption-record.ts";
import { readClaudeTranscript } from "./claude-transcript.ts";
import { type CopyOptions, copyTree, measureTree, syncTree } from "./copy-tree.ts";
import { AGENT_SESSIONS, AGENT_SOURCES, GROUPS, type HouseholdTree } from "./household-trees.ts";
import { importFault } from "./import-fault.ts";
import { isMovable, moveFolder, refuseTwo } from "./move-folder.ts";
import { claudeTranscript, type OldHome, openOldHome, refuseLinks, unusable } from "./old-home.ts";
import { refuseRunning } from "./old-host.ts";

export interface AdoptOptions {
  readonly folder: string;
  /** Absolute. */
  readonly home: string;
  /** Absolute: where NanoClaw looks for `.config/nanoclaw/mount-allowlist.json`. */
  readonly ownersFolder: string;
  readonly assistantName: string;
  /** Looks at everything and changes nothing. */
  readonly isDryRun: boolean;
  /** One line each, of work that takes a while. */
  readonly onProgress: (text: string) => void;
}

/** Beside the copies: SQLite's log, and whatever else runs on the board. */
const SPARE_BYTES = 32 * 1024 * 1024;
const PROGRESS_BYTES = 64 * 1024 * 1024;

/**
 * Rejects with HostError: OLD_HOME_UNUSABLE, OLD_HOST_RUNNING, HOME_LOCKED, HOME_TAKEN, HOME_UNUSABLE, STORE_BROKEN, STORE_FULL. Nothing
 * was changed then, unless it says that the rest is still to be done.
 */
export async function adopt(options: AdoptOptions): Promise<AdoptionReport> {
  try {
    const old = openOldHome(options.folder);
    refuseNested(old.path, realPath(options.home));
    refuseLinks(
      old,
      treesOf(old).map(({ path }) => path),
    );
    refuseRunning(old);
    const record = isCommitting(options.home) ? undefined : readRecord(options.home);
    if (record !== undefined) return resume(old, record, options);
    if (readNote(old.auth) !== undefined) {
      throw unusable(
        `${old.path} was taken over before; the note ${old.auth} says by which home.`,
        "Hand that home back first: `hermit hand-back`.",
      );
    }
    refuseTwo(old.auth);
    return await (options.isDryRun ? look(old, options) : takeOver(old, options));
  } catch (error) {
    throw importFault(error, options.home);
  }
}

async function look(old: OldHome, options: AdoptOptions): Promise<AdoptionReport> {
  refuseUnusable(options.home);
  refuseFullDisk(old, options.home);
  const folder = mkdtempSync(join(tmpdir(), "hermit-adopt-"));
  try {
    const database = takeOverDatabase(old, folder, options.assistantName);
    const sessions = await importSessions(old, database.sessions, undefined);
    return report(old, options, { database, sessions, trees: measureTrees(old) });
  } catch (error) {
    throw importFault(error, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function takeOver(old: OldHome, options: AdoptOptions): Promise<AdoptionReport> {
  const { home } = options;
  const locked = lockHome(home);
  try {
    const stage = locked.stage();
    let record: AdoptionRecord;
    let done: AdoptionReport;
    try {
      const total = refuseFullDisk(old, home);
      const state = old.database === undefined ? null : stateOf(old.database);
      const database = takeOverDatabase(old, stage.path, options.assistantName);
      const sessions = await importSessions(old, database.sessions, stage.path);
      syncTree(join(stage.path, "sessions"));
      const trees = copyTrees(old, stage.path, progressOf(total, options.onProgress));
      done = report(old, options, { database, sessions, trees });
      record = { v: 1, id: randomUUID(), from: old.path, at: new Date().toISOString(), state: "copied", database: state };
      writeRecord(stage.path, record);
      refuseRunning(old);
      refuseChanged(old, record);
    } catch (error) {
      stage.abandon();
      throw error;
    }
    stage.commit();
    copyAllowlist(options.ownersFolder);
    finish(old, home, record);
    return done;
  } finally {
    locked.release();
  }
}

/** Of an adoption that was cut off before WhatsApp's keys were moved. */
function resume(old: OldHome, record: AdoptionRecord, options: AdoptOptions): AdoptionReport {
  const { home } = options;
  if (record.state !== "copied" || record.from !== old.path) {
    throw new HostError("HOME_TAKEN", `${home} has taken over ${record.from} already, on ${record.at.slice(0, 10)}.`, {
      hint: record.state === "returned" ? "Finish `hermit hand-back` first." : "`hermit hand-back` goes back; --home names another home.",
    });
  }
  const locked = options.isDryRun ? undefined : lockHome(home);
  try {
    refuseChanged(old, record);
    const steps = [...allowlistSteps(options.ownersFolder), ...authSteps(old, home)];
    if (locked !== undefined) {
      copyAllowlist(options.ownersFolder);
      finish(old, home, record);
    }
    return { from: old.path, home, steps, notes: ["All else was copied before, when this was interrupted."] };
  } finally {
    locked?.release();
  }
}

/** From here on the old program cannot start. */
function finish(old: OldHome, home: string, record: AdoptionRecord): void {
  const keys = join(home, "store", "auth");
  if (readNote(old.auth) === undefined) {
    refuseRunning(old);
    refuseChanged(old, record);
    if (isMovable(old.auth)) moveFolder(old.auth, keys);
    mkdirSync(dirname(old.auth), { recursive: true });
    writeNote(old.auth, record, home);
  }
  writeRecord(home, { ...record, state: "adopted" });
}

function refuseChanged(old: OldHome, record: AdoptionRecord): void {
  if ((old.database === undefined ? null : stateOf(old.database)) === record.database) return;
  throw new HostError("OLD_HOST_RUNNING", `NanoClaw has written to ${old.path} since it was copied.`, {
    hint: "Stop it; move the new home away if it is there already, and begin again.",
  });
}

function refuseNested(old: string, home: string): void {
  if (home === old) throw unusable(`${home} is the old folder itself.`, "Choose another home with --home.");
  if (!home.startsWith(`${old}/`) && !old.startsWith(`${home}/`)) return;
  throw unusable(`One of ${home} and ${old} lies in the other.`, "Choose another home with --home.");
}

/** Without links, also of what is not there yet. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : join(realPath(dirname(path)), basename(path));
}

function measureTrees(old: OldHome, note: (tree: HouseholdTree) => CopyOptions["onBytes"] = () => undefined): readonly CopiedTree[] {
  return treesOf(old).map((tree) => {
    const { path, ignores } = tree;
    return { tree, facts: measureTree(join(old.path, path), { ignores, onBytes: note(tree) }) };
  });
}

/** To where they lie in a home; they belong to the sandboxes there. */
function copyTrees(old: OldHome, home: string, onBytes: (bytes: number) => void): readonly CopiedTree[] {
  const owner = workspaceOwner(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  return treesOf(old).map((tree) => {
    const [from, to] = [join(old.path, tree.path), join(home, tree.path)];
    mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
    return { tree, facts: copyTree(from, to, { ignores: tree.ignores, ownerOf: () => owner, onBytes }) };
  });
}

function treesOf(old: OldHome): readonly HouseholdTree[] {
  return [GROUPS, ...[AGENT_SESSIONS, AGENT_SOURCES].filter(({ path }) => existsSync(join(old.path, path)))];
}

/** Returns the bytes of folders to copy. Copies of the database are three: as it was, as it becomes, and the log in between. */
function refuseFullDisk(old: OldHome, home: string): number {
  let largest = { path: "", bytes: 0 };
  const note =
    (tree: HouseholdTree) =>
    (bytes: number, path: string): void => {
      if (bytes > largest.bytes) largest = { path: join(old.path, tree.path, path), bytes };
    };
  const bytes = measureTrees(old, note).reduce((sum, { facts }) => sum + facts.bytes, 0);
  const needed = bytes + 3 * (old.database === undefined ? 0 : statSync(old.database).size) + SPARE_BYTES;
  let place = home;
  while (!existsSync(place)) place = dirname(place);
  const { bavail, bsize } = statfsSync(place);
  if (bavail * bsize >= needed) return bytes;
  throw new StoreError(
    "STORE_FULL",
    `The disk of ${home} has ${size(bavail * bsize)} free, and taking ${old.path} over needs ${size(needed)}${largest.path === "" ? "" : `, ${size(largest.bytes)} of it for ${largest.path}`}.`,
    {
      hint: "Free some space, or choose a home on another disk with --home. Nothing was changed.",
    },
  );
}

/** `home` undefined: they are only read. */
async function importSessions(
  old: OldHome,
  sessions: AdoptedDatabase["sessions"],
  home: string | undefined,
): Promise<readonly SessionFacts[]> {
  const transcripts = home === undefined ? undefined : createTranscripts(home);
  const facts: SessionFacts[] = [];
  for (const [folder, session] of sessions) {
    const path = claudeTranscript(old.path, folder, session);
    if (path === undefined) facts.push({ folder, session, turns: undefined, damaged: 0, isCut: false });
    else {
      const { turns, damaged, isCut } = readClaudeTranscript(path);
      await transcripts?.append(folder, session, turns);
      facts.push({ folder, session, turns: turns.length, damaged, isCut });
    }
  }
  return facts;
}

function progressOf(total: number, tell: (text: string) => void): (bytes: number) => void {
  let [done, told] = [0, 0];
  return (bytes) => {
    done += bytes;
    if (done - told < PROGRESS_BYTES) return;
    told = done;
    tell(`copied ${size(done)} of ${size(total)}`);
  };
}
