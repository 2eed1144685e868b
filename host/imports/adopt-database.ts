/** NanoClaw's database, taken over: copied as it lies there, recovered and checked in the copy, opened as ours, and counted again. */
import { chmodSync, closeSync, constants, copyFileSync, existsSync, fsyncSync, mkdirSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { contextModeColumn, nanoclawTables } from "../adapters/store-sqlite/migrations/0001-nanoclaw.ts";
import { HostError, StoreError } from "../domain/errors.ts";
import type { Group } from "../domain/group.ts";
import { kindOf, type OldHome, STATE_FILES, unusable } from "./old-home.ts";

/** By table. */
export type RowCounts = Readonly<Record<string, number>>;

export interface AdoptedDatabase {
  /** In the old database, before anything was added. */
  readonly rows: RowCounts;
  readonly groups: readonly Group[];
  /** Messages that its agent was not given, by folder; none: absent. */
  readonly waiting: ReadonlyMap<string, number>;
  /** Session by folder. */
  readonly sessions: ReadonlyMap<string, string>;
  /** What of its JSON state could not be taken over. */
  readonly warnings: readonly string[];
}

/** What SQLite keeps beside a database. A hot journal and a log hold what it does not. */
const JOURNALS = ["-journal", "-wal"];

interface Column {
  name: string;
  notnull: number;
  dflt_value: string | null;
  pk: number;
}

/**
 * Copies database and JSON state of `old` into the empty folder `home`, and makes it a home of ours. The old folder is only read.
 * Throws HostError: OLD_HOST_RUNNING (it was written to meanwhile), OLD_HOME_UNUSABLE, STORE_BROKEN, STORE_FULL.
 */
export function takeOverDatabase(old: OldHome, home: string, assistantName: string): AdoptedDatabase {
  mkdirSync(join(home, "store"), { mode: 0o700 });
  const path = join(home, "store", "messages.db");
  const before = old.database === undefined ? {} : copyDatabase(old.database, path);
  for (const name of STATE_FILES) {
    const source = join(old.path, "data", name);
    if (!kindOf(source)?.isFile()) continue;
    mkdirSync(join(home, "data"), { recursive: true, mode: 0o700 });
    copyFileSync(source, join(home, "data", name));
  }
  const hasState = existsSync(join(home, "data"));

  const warnings: string[] = [];
  const store = openStore(home, { assistantName, log: { warn: (_fields, text) => warnings.push(text) } });
  const groups = store.groups();
  const waiting = new Map(groups.map(({ folder }) => [folder, store.waiting(folder)] as const).filter(([, n]) => n > 0));
  store.close();

  const db = new Database(path);
  try {
    const after = countRows(db);
    for (const [table, rows] of Object.entries(before)) {
      const [now = 0, mayGrow] = [after[table], hasState && !["chats", "messages", "scheduled_tasks", "task_run_logs"].includes(table)];
      if (now === rows || (mayGrow && now > rows)) continue;
      throw new StoreError("STORE_BROKEN", `The copy of ${old.path} has ${now} rows in ${table} instead of ${rows}.`, {
        hint: "Nothing was changed. Check the disk.",
      });
    }
    const sessions = db.prepare("SELECT group_folder, session_id FROM sessions").raw().all() as [string, string][];
    return { rows: before, groups, waiting, sessions: new Map(sessions), warnings };
  } finally {
    db.close();
  }
}

/** Size and time of everything the database consists of: the same, as long as nobody wrote. */
export function stateOf(database: string): string {
  return ["", ...JOURNALS]
    .map((end) => statSync(`${database}${end}`, { throwIfNoEntry: false, bigint: true }))
    .map((stat) => (stat === undefined ? "-" : `${stat.size}@${stat.mtimeNs}`))
    .join(" ");
}

/** File by file, because opening the original could change it. The copy is on disk. Throws what the file system throws. */
export function copyDatabaseFiles(from: string, to: string): void {
  for (const end of ["", ...JOURNALS]) {
    const kind = kindOf(`${from}${end}`);
    if (kind === undefined) continue;
    // One that waits for a writer would be waited for.
    if (!kind.isFile()) throw unusable(`${from}${end} is no file.`, "Move it away.");
    copyFileSync(`${from}${end}`, `${to}${end}`, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    chmodSync(`${to}${end}`, 0o600);
    const file = openSync(`${to}${end}`, "r+");
    fsyncSync(file);
    closeSync(file);
  }
}

/** Copied, recovered, checked, and whole in one file. Returns how many rows it has. */
function copyDatabase(from: string, to: string): RowCounts {
  const before = stateOf(from);
  copyDatabaseFiles(from, to);
  if (stateOf(from) !== before) {
    throw new HostError("OLD_HOST_RUNNING", `${from} was written to while it was copied.`, {
      hint: "Stop whatever uses it, then try again.",
    });
  }
  const db = openCopy(to, from);
  try {
    db.pragma("journal_mode = DELETE");
    refuseUnknownTables(db, from);
    return countRows(db);
  } finally {
    db.close();
  }
}

/** Opening it rolls back what was half-written when a program ended. Throws StoreError STORE_BROKEN about `original`. */
export function openCopy(copy: string, original: string): Database.Database {
  const db = new Database(copy);
  try {
    const verdict = db.pragma("quick_check(1)", { simple: true }) as string;
    if (verdict !== "ok") throw broken(original, verdict.replaceAll(/\s+/g, " "));
    // SQLite reads zeros where the last page breaks off. A log beside it may hold what is missing.
    const isWhole = statSync(copy).size % (db.pragma("page_size", { simple: true }) as number) === 0;
    if (!isWhole && !existsSync(`${copy}-wal`)) throw broken(original, "it is cut off in the middle of a page");
    return db;
  } catch (error) {
    db.close();
    throw /^SQLITE_(CORRUPT|NOTADB)/.test((error as { code?: string }).code ?? "") ? broken(original, (error as Error).message) : error;
  }
}

/** Of each of NanoClaw's tables that is there. */
export function countRows(db: Database.Database): RowCounts {
  const tables = knownTables().filter(({ name }) => columnsOf(db, name).length > 0);
  return Object.fromEntries(tables.map(({ name }) => [name, db.prepare(`SELECT count(*) FROM "${name}"`).pluck().get() as number]));
}

function broken(path: string, why: string): StoreError {
  return new StoreError("STORE_BROKEN", `The database ${path} is damaged: ${why}.`, {
    hint: "Nothing was changed. Put a backup in its place; `sqlite3 messages.db .recover` reads what can still be read.",
  });
}

/** Columns and tables more are kept, as long as our rows need not fill them; an older database lacks whole tables, which are added. */
function refuseUnknownTables(db: Database.Database, path: string): void {
  const hint = "Only databases of NanoClaw 1 can be taken over.";
  const known = knownTables();
  if (columnsOf(db, "hermit_migrations").length > 0) {
    throw unusable(`${path} has been opened by Hermit already.`, "Run it where it is: `hermit run --home <that folder>`.");
  }
  if (columnsOf(db, "messages").length === 0) throw unusable(`${path} has no table of messages.`, hint);
  for (const { name, columns } of known) {
    const found = columnsOf(db, name);
    if (found.length === 0) continue;
    const missing = columns.filter((column) => column.name !== "context_mode" && !found.some(({ name: other }) => other === column.name));
    const unfillable = found.filter(
      (column) =>
        column.notnull === 1 && column.dflt_value === null && column.pk === 0 && !columns.some(({ name: other }) => other === column.name),
    );
    const [wrong] = [
      ...missing.map(({ name: column }) => `lacks the column ${column}`),
      ...unfillable.map(({ name: column }) => `wants a column ${column}`),
    ];
    if (wrong !== undefined) throw unusable(`${path} is not of a version that is known here: its table ${name} ${wrong}.`, hint);
  }
}

function columnsOf(db: Database.Database, table: string): readonly Column[] {
  return db.prepare('SELECT name, "notnull", dflt_value, pk FROM pragma_table_info(?)').all(table) as Column[];
}

/** The seven tables as NanoClaw makes them. */
function knownTables(): readonly { readonly name: string; readonly columns: readonly Column[] }[] {
  const db = new Database(":memory:");
  try {
    db.exec(nanoclawTables);
    db.exec(contextModeColumn);
    const names = db
      .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
      .pluck()
      .all() as string[];
    return names.map((name) => ({ name, columns: columnsOf(db, name) }));
  } finally {
    db.close();
  }
}
