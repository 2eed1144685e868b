/**
 * The home that a household is put together for: a folder `adopting` in it, out of which everything is renamed into its place at the end,
 * the database last. Without that last rename there is no household in the home, and the next attempt begins anew.
 */
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { copyDatabaseFiles, countRows } from "./adopt-database.ts";
import { takeLock } from "../adapters/store-sqlite/open.ts";
import { ADOPTION_FILE } from "../adapters/store-sqlite/unfinished-move.ts";
import { HostError } from "../domain/errors.ts";
import { syncFolder } from "./copy-tree.ts";

/** In the order they come into their place. The record first: with it there no host begins to use what is not all there. */
const PARTS = [ADOPTION_FILE, "groups", "sessions", "data", "container", "store"];
/** What a host that was only tried leaves in `store`. */
const DATABASE = ["", "-journal", "-wal", "-shm"].map((end) => `messages.db${end}`);
const STAGE = "adopting";
/** In the stage while parts of it are already in their place. */
const COMMITTING = "committing";

export interface Stage {
  /** Empty folder that becomes the home's content. */
  readonly path: string;
  /** Puts all of it into its place. */
  commit(): void;
  /** The home is as it was. */
  abandon(): void;
}

export interface LockedHome {
  /** Throws HostError HOME_TAKEN where somebody's household is in it. What an interrupted adoption left goes. */
  stage(): Stage;
  release(): void;
}

/** `home`: absolute; made where it is not there. Throws StoreError HOME_LOCKED, HOME_UNUSABLE. */
export function lockHome(home: string): LockedHome {
  const isNew = !existsSync(home);
  const hadLock = existsSync(join(home, "lock.db"));
  if (isNew) mkdirSync(home, { recursive: true, mode: 0o700 });
  const lock = takeLock(home);
  const stage = join(home, STAGE);
  let isCommitted = false;
  return {
    stage() {
      clearInterrupted(home);
      refuseTaken(home);
      mkdirSync(stage, { mode: 0o700 });
      return {
        path: stage,
        commit() {
          writeFileSync(join(stage, COMMITTING), "");
          syncFolder(stage);
          for (const part of PARTS) {
            // What is there is empty.
            rmSync(join(home, part), { recursive: true, force: true });
            if (existsSync(join(stage, part))) renameSync(join(stage, part), join(home, part));
            syncFolder(home);
          }
          isCommitted = true;
        },
        abandon: () => rmSync(stage, { recursive: true, force: true }),
      };
    },
    release() {
      if (!isCommitting(home)) rmSync(stage, { recursive: true, force: true });
      const isAsBefore = !isCommitted && !hadLock;
      // While it is held, so that nobody else takes one that is about to go.
      if (isAsBefore) rmSync(join(home, "lock.db"), { force: true });
      lock.close();
      if (isAsBefore && isNew && readdirSync(home).length === 0) rmdirSync(home);
    },
  };
}

/** For looking only: the same refusals, and nothing is made. */
export function refuseUnusable(home: string): void {
  if (!existsSync(home)) return;
  if (existsSync(join(home, "lock.db"))) takeLock(home).close();
  if (!isCommitting(home)) refuseTaken(home);
}

/** Parts were on their way into their place; those that arrived are as good as those that did not, and older than what is copied now. */
function clearInterrupted(home: string): void {
  if (isCommitting(home)) {
    // A host that ran in between has made them its own.
    const used = usedOf(join(home, "store"));
    if (used !== undefined) throw taken(home, used);
    for (const part of PARTS) rmSync(join(home, part), { recursive: true, force: true });
  }
  rmSync(join(home, STAGE), { recursive: true, force: true });
}

/** An adoption was cut off while its parts came into their place. */
export function isCommitting(home: string): boolean {
  return existsSync(join(home, STAGE, COMMITTING)) && existsSync(join(home, STAGE, "store"));
}

function refuseTaken(home: string): void {
  const full = PARTS.find((part) => part !== "store" && isFilled(join(home, part))) ?? usedOf(join(home, "store"));
  if (full !== undefined) throw taken(home, full);
}

function taken(home: string, part: string): HostError {
  return new HostError("HOME_TAKEN", `${home} already holds a household: there is something in ${part}.`, {
    hint: "Choose another home with --home, or move this one away.",
  });
}

function isFilled(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && (!stat.isDirectory() || readdirSync(path).length > 0);
}

/** What of the folder `store` somebody would miss: `store`, `store/auth`. Undefined: nothing. */
function usedOf(store: string): string | undefined {
  const stat = lstatSync(store, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isDirectory()) return "store";
  const other = readdirSync(store).find((name) => !DATABASE.includes(name));
  if (other !== undefined) return `store/${other}`;
  return hasRows(join(store, "messages.db")) ? "store" : undefined;
}

/** A host that was only tried leaves a database in which nobody has said anything. Looked at in a copy, because opening could change it. */
function hasRows(database: string): boolean {
  if (!existsSync(database)) return false;
  const folder = mkdtempSync(join(tmpdir(), "hermit-adopt-"));
  try {
    const copy = join(folder, "messages.db");
    copyDatabaseFiles(database, copy);
    const db = new Database(copy);
    try {
      return Object.values(countRows(db)).some((rows) => rows > 0);
    } finally {
      db.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
