/** A database that is damaged: refused with its name and what to do, and left byte for byte as it was found. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeError } from "../../domain/errors.ts";
import { openStore } from "./index.ts";

const RECORDED = join(import.meta.dirname, "../../../fixtures/golden/databases/nanoclaw-1.0.0.db");
const PAGE_BYTES = 4096;

let home: string;
let database: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-damaged-"));
  mkdirSync(join(home, "store"));
  database = join(home, "store", "messages.db");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const HOMES: readonly (readonly [string, () => void])[] = [
  ["NanoClaw's", () => copyFileSync(RECORDED, database)],
  [
    "our own",
    () => {
      const store = openStore(home);
      for (let n = 0; n < 50; n++) {
        const message = { id: `m${n}`, chat: "c", sender: "s", senderName: "Sam", text: "x".repeat(900), timestamp: "", isFromMe: false };
        const register = { chat: "c", name: "c", folder: "c", trigger: "@Andy", requiresTrigger: false };
        store.accept(message, { now: 0, replyVia: null, register });
      }
      store.close();
    },
  ],
];

/** Opens what `damage` left. Everything in the home but the lock must be as it was before. */
function refusal(): string {
  mkdirSync(join(home, "data"), { recursive: true });
  writeFileSync(join(home, "data", "sessions.json"), '{"main":"s-1"}');
  const files = (): string[] => [...readdirSync(join(home, "store")), ...readdirSync(join(home, "data"))];
  const [bytes, names] = [readFileSync(database), files()];
  let found: unknown;
  try {
    openStore(home).close();
  } catch (error) {
    found = error;
  }
  expect(readFileSync(database).equals(bytes)).toBe(true);
  expect(files()).toEqual(names);
  expect(found).toMatchObject({ code: "STORE_BROKEN" });
  const said = describeError(found);
  expect(said).toContain(database);
  expect(said).toMatch(/Put a backup in its place\. .*messages\.before-<number>\.db.*\.recover/);
  return said;
}

describe.each(HOMES)("of %s", (_whose, make) => {
  beforeEach(make);

  test.each([60, 5_000, 20_000, -1])("a file cut off at byte %i is refused", (at) => {
    truncateSync(database, at < 0 ? readFileSync(database).length + at : at);
    expect(refusal()).toMatch(/ is damaged: .*(malformed|not a database|cut off)/);
  });

  test("a file that begins with something else is refused", () => {
    const bytes = readFileSync(database);
    bytes.write("half of a photograph, perhaps");
    writeFileSync(database, bytes);
    expect(refusal()).toMatch(/ is damaged: file is not a database/);
  });

  test("a page overwritten anywhere in the file is found before anything is written", () => {
    const whole = readFileSync(database);
    const pages = whole.length / PAGE_BYTES;
    expect(pages).toBeGreaterThan(10);
    for (let page = 0; page < pages; page++) {
      const bytes = Buffer.from(whole);
      bytes.fill(0xa5, page * PAGE_BYTES + (page === 0 ? 100 : 0), (page + 1) * PAGE_BYTES);
      writeFileSync(database, bytes);
      refusal();
    }
  });

  test("a file of no bytes is not taken for a new database where a host has been", () => {
    truncateSync(database, 0);
    expect(refusal()).toMatch(/ is empty, and it was not when a host last ran here\./);
  });
});

test("a file of no bytes in a home where no host has been is a new database", () => {
  writeFileSync(database, "");
  openStore(home).close();
});

test("a lock file that is damaged says that it can be deleted", () => {
  writeFileSync(join(home, "lock.db"), "x".repeat(PAGE_BYTES));
  expect(() => openStore(home)).toThrow(
    expect.objectContaining({ code: "HOME_UNUSABLE", hint: expect.stringMatching(/holds nothing: delete it/) }),
  );
});

test("what a killed host had committed is still there after a refusal and a repair", () => {
  HOMES[1]?.[1]();
  const writer = new Database(database);
  writer.exec("UPDATE chats SET name = 'after the last checkpoint'");
  const killed = mkdtempSync(join(tmpdir(), "hermit-killed-"));
  mkdirSync(join(killed, "store"));
  for (const name of readdirSync(join(home, "store"))) copyFileSync(join(home, "store", name), join(killed, "store", name));
  writer.close();
  try {
    const path = join(killed, "store", "messages.db");
    const whole = readFileSync(path);
    const last = whole.length - PAGE_BYTES;
    const bytes = Buffer.from(whole);
    bytes.fill(0xa5, last);
    writeFileSync(path, bytes);
    expect(() => openStore(killed)).toThrow(expect.objectContaining({ code: "STORE_BROKEN" }));
    const left = readFileSync(path);
    whole.copy(left, last, last);
    writeFileSync(path, left);
    openStore(killed).close();
    const db = new Database(path, { readonly: true });
    expect(db.prepare("SELECT name FROM chats").pluck().all()).toEqual(["after the last checkpoint"]);
    db.close();
  } finally {
    rmSync(killed, { recursive: true, force: true });
  }
});
