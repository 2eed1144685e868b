/** The database as a file: who may open it, what a migration leaves beside it, and what it promises the old program. */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Store } from "../../ports/store.ts";
import { openStore } from "./index.ts";

let home: string;
let store: Store;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-store-"));
  store = openStore(home);
});
afterEach(() => {
  store.close();
  rmSync(home, { recursive: true, force: true });
});
const reopen = (): void => {
  store.close();
  store = openStore(home);
};

test("a second host on the same home is refused, and the refusal goes with the first host's process", () => {
  expect(() => openStore(home)).toThrow(expect.objectContaining({ code: "HOME_LOCKED" }));
  reopen();
});

test("the lock of a host that was killed is free at once", () => {
  store.close();
  const script = `
    const { openStore } = await import(${JSON.stringify(join(import.meta.dirname, "index.ts"))});
    openStore(${JSON.stringify(home)});
    process.kill(process.pid, "SIGKILL");`;
  const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], { timeout: 8_000 });
  expect(child.signal).toBe("SIGKILL");
  store = openStore(home);
});

test("every commit is durable: WAL with full synchronisation", () => {
  const db = new Database(join(home, "store", "messages.db"), { readonly: true });
  expect(db.pragma("journal_mode", { simple: true })).toBe("wal");
  db.close();
});

test("generations only grow, and the instance stays", () => {
  const { generation, instance } = store;
  reopen();
  expect(store.generation).toBe(generation + 1);
  expect(store.instance).toBe(instance);
});

test("a database of a newer version is refused and left as it was", () => {
  store.close();
  const path = join(home, "store", "messages.db");
  const db = new Database(path);
  db.prepare("INSERT INTO hermit_migrations VALUES (999, 'later', '')").run();
  db.close();
  expect(() => openStore(home)).toThrow(expect.objectContaining({ code: "STORE_NEWER" }));
  const again = new Database(path);
  again.prepare("DELETE FROM hermit_migrations WHERE number = 999").run();
  again.close();
  store = openStore(home);
});

test("a file that is not a database is refused by name", () => {
  store.close();
  const other = mkdtempSync(join(tmpdir(), "hermit-store-"));
  mkdirSync(join(other, "store"));
  writeFileSync(join(other, "store", "messages.db"), "not a database, but long enough to look like a file with a header".repeat(20));
  expect(() => openStore(other)).toThrow(expect.objectContaining({ code: "STORE_BROKEN" }));
  rmSync(other, { recursive: true });
  store = openStore(home);
});

test("an old database is copied before the first migration touches it", () => {
  store.close();
  const old = mkdtempSync(join(tmpdir(), "hermit-store-"));
  mkdirSync(join(old, "store"));
  const path = join(old, "store", "messages.db");
  const db = new Database(path);
  db.exec("CREATE TABLE chats (jid TEXT PRIMARY KEY, name TEXT, last_message_time TEXT); INSERT INTO chats VALUES ('x', 'X', NULL)");
  db.close();
  const before = join(old, "copy.db");
  copyFileSync(path, before);
  openStore(old).close();
  expect(existsSync(join(old, "store", "messages.before-2.db"))).toBe(true);
  const copy = new Database(join(old, "store", "messages.before-2.db"), { readonly: true });
  expect(copy.prepare("SELECT name FROM chats").pluck().all()).toEqual(["X"]);
  copy.close();
  chmodSync(old, 0o700);
  rmSync(old, { recursive: true });
  store = openStore(home);
});

test("a copy that was cut off is made anew, and only a whole one has the name of one", () => {
  const old = mkdtempSync(join(tmpdir(), "hermit-store-"));
  mkdirSync(join(old, "store"));
  const db = new Database(join(old, "store", "messages.db"));
  db.exec("CREATE TABLE chats (jid TEXT PRIMARY KEY, name TEXT, last_message_time TEXT); INSERT INTO chats VALUES ('x', 'X', NULL)");
  db.close();
  const path = join(old, "store", "messages.before-2.db");
  // In the way of the copy: without one, nothing is migrated.
  mkdirSync(`${path}.part`);
  expect(() => openStore(old)).toThrow(/messages\.before-2\.db\.part/);
  expect(existsSync(path)).toBe(false);
  const untouched = new Database(join(old, "store", "messages.db"), { readonly: true });
  expect(untouched.prepare("SELECT name FROM sqlite_master").pluck().all()).not.toContain("hermit_migrations");
  untouched.close();
  rmSync(`${path}.part`, { recursive: true });
  for (const end of ["", "-journal"]) writeFileSync(`${path}.part${end}`, "half of it");
  openStore(old).close();
  const copy = new Database(path, { readonly: true });
  expect(copy.prepare("SELECT name FROM chats").pluck().all()).toEqual(["X"]);
  copy.close();
  expect(readdirSync(join(old, "store")).toSorted()).toEqual(["messages.before-2.db", "messages.db"]);
  rmSync(old, { recursive: true });
});

test("no table of ours refers to, or is triggered by, one of the baseline's", () => {
  const db = new Database(join(home, "store", "messages.db"), { readonly: true });
  const ours = db.prepare("SELECT name, sql FROM sqlite_master WHERE name LIKE 'hermit_%' AND type = 'table'").all() as {
    name: string;
    sql: string;
  }[];
  expect(ours.length).toBeGreaterThan(4);
  for (const { sql } of ours) expect(sql).not.toMatch(/REFERENCES (?!hermit_)/);
  expect(db.prepare("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").pluck().get()).toBe(0);
  db.close();
});
