/**
 * Opens the home's database: one writer, durable, migrated.
 *
 * Order matters: the lock is taken first (two hosts must not migrate), integrity is checked and a copy made before a migration
 * touches an existing file, and WAL is set last because a refused database should stay as it was.
 */
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { StoreError, isHostError } from "../../domain/errors.ts";
import { contextModeColumn, nanoclawTables } from "./migrations/0001-nanoclaw.ts";
import { turnTables } from "./migrations/0002-turns.ts";
import { adoptWaiting } from "./router-state.ts";
import { taskTables } from "./migrations/0003-tasks.ts";

export type Sqlite = Database.Database;

/** Numbered for ever, never edited once released. The baseline's own tables are number 1 and run on every start, as there. */
const MIGRATIONS: readonly { readonly number: number; readonly name: string; readonly sql: string }[] = [
  { number: 2, name: "turns", sql: turnTables },
  { number: 3, name: "tasks", sql: taskTables },
];

const BUSY_MS = 5_000;

export interface OpenedDatabase {
  readonly db: Sqlite;
  readonly generation: number;
  readonly instance: string;
  close(): void;
}

export interface OpenOptions {
  /** Whose replies a NanoClaw database holds among its messages. Default: NanoClaw's own default. */
  readonly assistantName?: string;
}

/** `home`: absolute path of the home folder. Throws StoreError: HOME_LOCKED, HOME_UNUSABLE, STORE_FULL, STORE_NEWER, STORE_BROKEN. */
export function openDatabase(home: string, { assistantName = "Andy" }: OpenOptions = {}): OpenedDatabase {
  const folder = join(home, "store");
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
    db = new Database(path, { timeout: BUSY_MS });
    configure(db);
    migrate(db, folder, assistantName);
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
function takeLock(home: string): Sqlite {
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
    throw storeFault(cause, path);
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

function migrate(db: Sqlite, folder: string, assistantName: string): void {
  const hasTables = db.prepare("SELECT count(*) AS n FROM sqlite_master WHERE type = 'table'").pluck().get() as number;
  db.exec("CREATE TABLE IF NOT EXISTS hermit_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)");
  const applied = new Set(db.prepare("SELECT number FROM hermit_migrations").pluck().all() as number[]);
  const newest = MIGRATIONS.at(-1)?.number ?? 1;
  const unknown = [...applied].filter((number) => number > newest);
  if (unknown.length > 0) {
    throw new StoreError("STORE_NEWER", `The database holds migration ${Math.max(...unknown)}; this version knows up to ${newest}.`, {
      hint: "Run the newer version again, or restore the copy it left beside the database.",
    });
  }
  const pending = MIGRATIONS.filter((migration) => !applied.has(migration.number));
  if (pending.length > 0 && hasTables > 0) {
    checkIntegrity(db);
    backup(db, join(folder, `messages.before-${pending[0]?.number}.db`));
  }
  db.transaction(() => {
    db.exec(nanoclawTables);
    const columns = db.prepare("SELECT name FROM pragma_table_info('scheduled_tasks')").pluck().all() as string[];
    if (!columns.includes("context_mode")) db.exec(contextModeColumn);
    for (const { number, name, sql } of pending) {
      db.exec(sql);
      db.prepare("INSERT INTO hermit_migrations VALUES (?, ?, ?)").run(number, name, new Date().toISOString());
    }
    if (applied.size === 0) adoptWaiting(db, assistantName, Date.now());
  }).immediate();
}

function checkIntegrity(db: Sqlite): void {
  const verdict = db.pragma("quick_check(1)", { simple: true }) as string;
  if (verdict !== "ok") {
    throw new StoreError("STORE_BROKEN", `The database is damaged: ${verdict}.`, { hint: "Restore a backup; nothing was changed." });
  }
}

/** The first copy before a migration is the one worth keeping: a second attempt must not overwrite it with a half-migrated file. */
function backup(db: Sqlite, path: string): void {
  if (!existsSync(path)) db.prepare("VACUUM INTO ?").run(path);
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
  if (code.startsWith("SQLITE_")) {
    return new StoreError("STORE_BROKEN", `The database ${subject} failed: ${message} (${code}).`, {
      cause: error,
      hint: "Check the disk and its free space; restore a backup if the file is damaged.",
    });
  }
  return error instanceof Error ? error : new Error(message);
}
