import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { expect, test } from "vitest";
import { parseWal, walOf } from "./wal-commits.ts";

test("each committed transaction of a real database counts once, however many pages it wrote", () => {
  const folder = mkdtempSync(join(tmpdir(), "hermit-wal-"));
  const path = join(folder, "x.db");
  const db = new Database(path);
  try {
    db.pragma("journal_mode = WAL");
    db.exec("CREATE TABLE t (a TEXT)");
    const before = walOf(path);
    db.prepare("INSERT INTO t VALUES (?)").run("small");
    db.transaction(() => {
      for (let row = 0; row < 100; row++) db.prepare("INSERT INTO t VALUES (?)").run("x".repeat(1000));
    })();
    db.prepare("SELECT count(*) FROM t").get();
    const after = walOf(path);
    expect(after?.salt).toBe(before?.salt);
    expect((after?.commits ?? 0) - (before?.commits ?? 0)).toBe(2);
  } finally {
    db.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("frames left over from an earlier round of the log are not counted", () => {
  const page = 512;
  const header = Buffer.alloc(32);
  header.writeUInt32BE(0x377f0682, 0);
  header.writeUInt32BE(page, 8);
  header.write("new-salt", 16, "latin1");
  const frame = (size: number, salt: string): Buffer => {
    const made = Buffer.alloc(24 + page);
    made.writeUInt32BE(size, 4);
    made.write(salt, 8, "latin1");
    return made;
  };
  const wal = Buffer.concat([header, frame(0, "new-salt"), frame(3, "new-salt"), frame(3, "old-salt"), frame(4, "new-salt")]);
  expect(parseWal(wal)).toMatchObject({ commits: 1, bytes: 2 * (24 + page) });
});

test("what is no log has no count", () => {
  expect(parseWal(Buffer.alloc(0))).toBeUndefined();
  expect(parseWal(Buffer.alloc(100))).toBeUndefined();
  expect(walOf("/nowhere/x.db")).toBeUndefined();
});
