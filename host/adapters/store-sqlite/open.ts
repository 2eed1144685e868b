/**
 * Opens the home's database: one writer, durable, migrated.
 *
 * Order matters: the lock is taken first (two hosts must not migrate); then the file is only read, because one that is refused should
 * stay as it was; then WAL is set, a copy made, and the migrations run.
 */
import { randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { StoreError, isHostError } from "../../domain/errors.ts";
import type { Log } from "../../ports/log.ts";
import { groupTable } from "./groups.ts";
import { importJsonState, type JsonImport, readJsonState, setAside, type StateFile } from "./json-state.ts";
import { contextModeColumn, nanoclawTables } from "./migrations/0001-nanoclaw.ts";
import { turnTables } from "./migrations/0002-turns.ts";
import { outboxTable } from "./outbox.ts";
import { adoptWaiting } from "./router-state.ts";
import { type TaskTable, taskTable } from "./tasks.ts";
import { taskTables } from "./migrations/0003-tasks.ts";
import { sessionColumns } from "./migrations/0004-sessions.ts";
import { taskRunTables } from "./migrations/0005-task-runs.ts";
import { guardTables } from "./migrations/0006-guard.ts";
import { refuseUnfinishedMove } from "./unfinished-move.ts";

export type Sqlite = Database.Database;

/** Numbered for ever, never edited once released. The baseline's own tables are number 1 and run on every start, as there. */
const MIGRATIONS: readonly { readonly number: number; readonly name: string; readonly sql: string }[] = [
  { number: 2, name: "turns", sql: turnTables },
  { number: 3, name: "tasks", sql: taskTables },
  { number: 4, name: "sessions", sql: sessionColumns },
  { number: 5, name: "task-runs", sql: taskRunTables },
  { number: 6, name: "guard", sql: guardTables },
];

const BUSY_MS = 5_000;
/** A larger file is read through before a migration only: reading this much takes a small board about a second. */
const CHECKED_AT_START_BYTES = 64 * 1024 * 1024;
const MEND =
  "Put a backup in its place. Copies made before updates lie beside it as messages.before-<number>.db; `sqlite3 messages.db .recover` reads what can still be read.";
/** Made in a home once its database was open, by us and by NanoClaw. */
const MADE_LATER = ["run", "data"];

export interface OpenedDatabase {
  readonly db: Sqlite;
  readonly generation: number;
  readonly instance: string;
  close(): void;
}

export interface OpenOptions {
  /** Whose replies a NanoClaw database holds among its messages. Default: NanoClaw's own default. */
  readonly assistantName?: string;
  /** Hears of what an old home holds that cannot be taken over. Default: nobody does. */
  readonly log?: Pick<Log, "warn">;
}

/** `home`: absolute path of the home folder. Throws StoreError: HOME_LOCKED, HOME_UNUSABLE, STORE_FULL, STORE_NEWER, STORE_BROKEN. */
export function openDatabase(home: string, { assistantName = "Andy", log }: OpenOptions = {}): OpenedDatabase {
  const folder = join(home, "store");
  // Before anything is made in it, and again once nobody else can move it.
  refuseUnfinishedMove(home);
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new StoreError("HOME_UNUSABLE", `Cannot create ${folder}: ${(cause as Error).message}.`, {
      cause,
      hint: "Choose another folder with --home or HERMIT_HOME, or mend its permissions.",
    });
  }
  const lock = takeLock(home);
  const path = join(folder, "messages.db");
  let db: Sqlite | undefined;
  try {
    refuseUnfinishedMove(home);
    refuseEmptied(path, home);
    db = new Database(path, { timeout: BUSY_MS });
    const applied = examine(db, path);
    configure(db);
    const files = readJsonState(home);
    const { warnings, undated } = migrate(db, folder, applied, assistantName, files);
    for (const { file, text } of warnings) log?.warn({ file }, text);
    for (const { task, error } of undated) log?.warn({ task }, `a task was paused: ${error}`);
    setAside(files);
    const { generation, instance } = nextGeneration(db);
    const opened = db;
    return {
      db,
      generation,
      instance,
      close: () => {
        opened.close();
        lock.close();
      },
    };
  } catch (cause) {
    db?.close();
    lock.close();
    throw storeFault(cause, path);
  }
}

/** A held transaction on lock.db: the kernel drops it with the process, however that ends. */
export function takeLock(home: string): Sqlite {
  const path = join(home, "lock.db");
  let lock: Sqlite | undefined;
  try {
    lock = new Database(path, { timeout: 0 });
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (cause) {
    lock?.close();
    if (sqliteCode(cause).startsWith("SQLITE_BUSY")) {
      throw new StoreError("HOME_LOCKED", `Another host already runs on ${home}.`, {
        cause,
        hint: "Stop it first, or give this one a home of its own with --home.",
      });
    }
    const fault = storeFault(cause, path);
    if (!isDamage(cause)) throw fault;
    throw new StoreError("HOME_UNUSABLE", fault.message, { cause, hint: "It holds nothing: delete it, if no host runs on this home." });
  }
}

function configure(db: Sqlite): void {
  db.pragma("journal_mode = WAL");
  // FULL: in WAL mode NORMAL may lose the last commits on power loss, and an accepted message must not be lost.
  db.pragma("synchronous = FULL");
  db.pragma("foreign_keys = ON");
  // better-sqlite3 is built with 16 MB a connection; a small board needs 1.
  db.pragma("cache_size = -1024");
}

/** SQLite takes a file of no bytes for a new database; where a host has been, it is what is left of one. */
function refuseEmptied(path: string, home: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.size !== 0 || !MADE_LATER.some((name) => existsSync(join(home, name)))) return;
  throw new StoreError("STORE_BROKEN", `The database ${path} is empty, and it was not when a host last ran here.`, {
    hint: `${MEND} Delete it to begin anew, without groups, messages and tasks.`,
  });
}

function existsWithContent(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** Only reads. Returns the numbers of the migrations applied; throws where the file is damaged or of a newer version. */
function examine(db: Sqlite, path: string): ReadonlySet<number> {
  const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all() as string[];
  const applied = new Set<number>();
  if (tables.includes("hermit_migrations")) {
    for (const number of db.prepare("SELECT number FROM hermit_migrations").pluck().all() as number[]) applied.add(number);
  }
  const newest = MIGRATIONS.at(-1)?.number ?? 1;
  const unknown = [...applied].filter((number) => number > newest);
  if (unknown.length > 0) {
    throw new StoreError("STORE_NEWER", `The database holds migration ${Math.max(...unknown)}; this version knows up to ${newest}.`, {
      hint: "Run the newer version again, or restore the copy it left beside the database.",
    });
  }
  const { size } = statSync(path);
  // SQLite reads zeros where the last page breaks off. A log beside it may still hold what is missing.
  const isWhole = size % (db.pragma("page_size", { simple: true }) as number) === 0;
  if (!isWhole && !existsWithContent(`${path}-wal`)) throw damaged(path, "it is cut off in the middle of a page");
  if (size <= CHECKED_AT_START_BYTES || MIGRATIONS.some(({ number }) => !applied.has(number))) {
    const verdict = db.pragma("quick_check(1)", { simple: true }) as string;
    if (verdict !== "ok") throw damaged(path, verdict.replaceAll(/\s+/g, " "));
  }
  return applied;
}

/** One transaction. Returns what of an old home could not be taken over as it was. */
function migrate(
  db: Sqlite,
  folder: string,
  applied: ReadonlySet<number>,
  assistantName: string,
  files: readonly StateFile[],
): Pick<JsonImport, "warnings"> & { readonly undated: ReturnType<TaskTable["pauseUndated"]> } {
  const hasTables = db.prepare("SELECT count(*) AS n FROM sqlite_master WHERE type = 'table'").pluck().get() as number;
  const pending = MIGRATIONS.filter((migration) => !applied.has(migration.number));
  if (pending.length > 0 && hasTables > 0) backup(db, join(folder, `messages.before-${pending[0]?.number}.db`));
  return db
    .transaction(() => {
      const now = Date.now();
      db.exec("CREATE TABLE IF NOT EXISTS hermit_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)");
      db.exec(nanoclawTables);
      const columns = db.prepare("SELECT name FROM pragma_table_info('scheduled_tasks')").pluck().all() as string[];
      if (!columns.includes("context_mode")) db.exec(contextModeColumn);
      for (const { number, name, sql } of pending) {
        db.exec(sql);
        db.prepare("INSERT INTO hermit_migrations VALUES (?, ?, ?)").run(number, name, new Date(now).toISOString());
      }
      const takesOver = applied.size === 0;
      const { registered, warnings } = importJsonState(db, files, { takesOver, now });
      const all = db.prepare("SELECT jid FROM registered_groups").pluck();
      adoptWaiting(db, takesOver ? (all.all() as string[]) : registered, assistantName, now);
      const tasks = taskTable(db, groupTable(db), outboxTable(db));
      tasks.dropOrphans();
      return { warnings, undated: tasks.pauseUndated(now) };
    })
    .immediate();
}

/** The first copy before a migration is the one worth keeping: a second attempt must not overwrite it with a half-migrated file. */
function backup(db: Sqlite, path: string): void {
  if (existsSync(path)) return;
  // Under its own name only once it is whole and on disk: what an interruption leaves would pass for the copy.
  const part = `${path}.part`;
  for (const end of ["", "-journal"]) rmSync(`${part}${end}`, { force: true });
  db.prepare("VACUUM INTO ?").run(part);
  sync(part);
  renameSync(part, path);
  sync(dirname(path));
}

function sync(path: string): void {
  const file = openSync(path, "r");
  fsyncSync(file);
  closeSync(file);
}

function nextGeneration(db: Sqlite): { generation: number; instance: string } {
  return db
    .transaction(() => {
      const get = db.prepare("SELECT value FROM hermit_meta WHERE key = ?").pluck();
      const put = db.prepare("INSERT OR REPLACE INTO hermit_meta VALUES (?, ?)");
      const generation = Number((get.get("generation") as string | undefined) ?? 0) + 1;
      put.run("generation", String(generation));
      const instance = (get.get("instance") as string | undefined) ?? randomUUID();
      put.run("instance", instance);
      return { generation, instance };
    })
    .immediate();
}

function sqliteCode(error: unknown): string {
  return error instanceof Database.SqliteError ? error.code : "";
}

function isDamage(error: unknown): boolean {
  const code = sqliteCode(error);
  return code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB";
}

/** Turns a driver's error into one the host can act on. Errors of our own pass through. */
export function storeFault(error: unknown, subject: string): Error {
  if (isHostError(error)) return error;
  const code = sqliteCode(error);
  const system = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  const message = error instanceof Error ? error.message : String(error);
  if (code === "SQLITE_FULL" || system === "ENOSPC") {
    return new StoreError("STORE_FULL", `The disk is full: ${subject} cannot be written.`, {
      cause: error,
      hint: "Free some space and start again; what was accepted is kept.",
    });
  }
  if (isDamage(error)) return damaged(subject, `${message} (${code})`, error);
  if (code.startsWith("SQLITE_")) {
    return new StoreError("STORE_BROKEN", `The database ${subject} failed: ${message} (${code}).`, {
      cause: error,
      hint: "Check the disk and its free space, and that the host may write there.",
    });
  }
  return error instanceof Error ? error : new Error(message);
}

function damaged(path: string, finding: string, cause?: unknown): StoreError {
  return new StoreError("STORE_BROKEN", `The database ${path} is damaged: ${finding}.`, { cause, hint: MEND });
}
