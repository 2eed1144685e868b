/** What an interruption leaves, the old program's and an adoption's own, is taken up without loss. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { listing, OldHousehold, RECORDED, tablesOf } from "./old-household-harness.ts";

function household(): OldHousehold {
  const old = new OldHousehold();
  onTestFinished(() => old[Symbol.dispose]());
  return old;
}

const refused = (code: string, message: string | RegExp) => ({ code, message: expect.stringMatching(message) });

describe("what the old program left half-done", () => {
  test("a hot journal is rolled back in the copy, and the old file stays as it is", async () => {
    const old = household();
    const torn = await tornTransaction(old);
    expect(torn).toEqual(["messages.db", "messages.db-journal"]);
    const before = listing(join(old.path, "store"));
    await old.adopt();
    expect(tablesOf(join(old.home, "store", "messages.db"))).toEqual(tablesOf(RECORDED));
    expect(listing(join(old.path, "store"))).toMatchObject({
      "messages.db": before["messages.db"],
      "messages.db-journal": before["messages.db-journal"],
    });
  });

  test("what is in a log beside the database is taken over", async () => {
    const old = household();
    const db = new Database(old.database);
    db.pragma("journal_mode = WAL");
    db.prepare("INSERT INTO router_state VALUES ('only', 'in the log')").run();
    // As a killed program leaves it.
    const kept = old.copyOf("nanoclaw/store");
    db.close();
    for (const name of readdirSync(kept)) if (name !== "auth") copyFileSync(join(kept, name), join(old.path, "store", name));
    await old.adopt();
    expect(tablesOf(join(old.home, "store", "messages.db")).router_state).toContainEqual({ key: "only", value: "in the log" });
  });

  test("JSON state is taken over at once, and what is only half written is told of and left", async () => {
    const old = household();
    const kit = { name: "Kit", folder: "kit", trigger: "@Andy", added_at: "2026-01-01T00:00:00.000Z" };
    old.write("data/registered_groups.json", JSON.stringify({ "kit@g.us": kit }));
    old.write("data/router_state.json", '{"last_timest');
    const said = await old.adopt();
    expect(said).toMatch(/data\/router_state\.json could not be taken over: .*only half of it was written/);
    const store = openStore(old.home);
    onTestFinished(() => store.close());
    expect(store.groupByFolder("kit")).toMatchObject({ chat: "kit@g.us" });
    expect(old.read("nanoclaw/data/router_state.json")).toBe('{"last_timest');
  });

  test("a household that was set up and never started is taken over from its JSON state", async () => {
    const old = household();
    rmSync(old.database);
    const main = { name: "Main", folder: "main", trigger: "@Andy", added_at: "2026-01-01T00:00:00.000Z", requiresTrigger: false };
    old.write("data/registered_groups.json", JSON.stringify({ "1@s.whatsapp.net": main }));
    await old.adopt();
    expect(tablesOf(join(old.home, "store", "messages.db")).registered_groups).toHaveLength(1);
  });
});

describe("an adoption that was cut off", () => {
  test("before its parts came into their place begins anew", async () => {
    const old = household();
    mkdirSync(join(old.home, "adopting", "store"), { recursive: true });
    writeFileSync(join(old.home, "adopting", "store", "messages.db"), "half");
    await old.adopt();
    expect(tablesOf(join(old.home, "store", "messages.db"))).toEqual(tablesOf(RECORDED));
    expect(existsSync(join(old.home, "adopting"))).toBe(false);
  });

  test("while its parts came into their place begins anew, with what was said since", async () => {
    const old = household();
    await adoptUntil(old, "record in place");
    expect(existsSync(join(old.home, "groups", "fam"))).toBe(true);
    expect(existsSync(join(old.home, "store"))).toBe(false);
    old.write("groups/fam/new.txt", "since");
    old.sql("INSERT INTO router_state VALUES ('since', '1')");
    await old.adopt();
    expect(old.read("home/groups/fam/new.txt")).toBe("since");
    expect(tablesOf(join(old.home, "store", "messages.db")).router_state).toContainEqual({ key: "since", value: "1" });
  });

  test.each(["record in place", "database in place"] as const)(
    "with its %s starts no host, and the refusal names what finishes it",
    async (last) => {
      const old = household();
      await adoptUntil(old, last);
      const before = listing(old.home);
      expect(() => openStore(old.home)).toThrow(
        expect.objectContaining({ code: "HOME_UNUSABLE", hint: `Finish it with \`hermit adopt ${old.path} --home ${old.home}\`.` }),
      );
      expect(listing(old.home)).toEqual(before);
      await old.adopt();
      openStore(old.home).close();
    },
  );

  test("there is refused once a host has used the home", async () => {
    const old = household();
    await adoptUntil(old, "record in place");
    // The record was deleted: nothing tells the host.
    rmSync(join(old.home, "adoption.json"));
    const store = openStore(old.home);
    store.registerGroup({ chat: "c", name: "c", folder: "main", trigger: "@Andy", requiresTrigger: false }, 0);
    store.close();
    await expect(old.adopt()).rejects.toMatchObject(refused("HOME_TAKEN", "something in store"));
    expect(existsSync(join(old.home, "groups", "fam"))).toBe(true);
  });

  test("before the keys were moved does only that", async () => {
    const old = household();
    await adoptUntil(old, "database in place");
    expect(existsSync(join(old.auth, "creds.json"))).toBe(true);
    const before = listing(join(old.home, "groups"));
    expect(await old.adopt({ dryRun: true })).toContain("All else was copied before");
    await old.adopt();
    expect(readdirSync(join(old.home, "store", "auth")).toSorted()).toEqual(["creds.json", "session-1.json"]);
    expect(old.read("nanoclaw/store/auth")).toContain("moved to Hermit");
    expect(listing(join(old.home, "groups"))).toEqual(before);
    await expect(old.adopt()).rejects.toMatchObject({ code: "HOME_TAKEN" });
  });

  test("while the keys were moved to another disk, and whose home was deleted then, moves them to the next one", async () => {
    const old = household();
    await adoptUntil(old, "database in place");
    renameSync(old.auth, `${old.auth}.going`);
    rmSync(old.home, { recursive: true });
    await old.adopt();
    expect(readdirSync(join(old.home, "store", "auth")).toSorted()).toEqual(["creds.json", "session-1.json"]);
    expect(readdirSync(join(old.path, "store")).toSorted()).toEqual(["auth", "messages.db"]);
    expect(old.read("nanoclaw/store/auth")).toContain("moved to Hermit");
  });

  test("while the keys were moved, after which others were made in their place, is left to its owner", async () => {
    const old = household();
    old.write("store/auth.going/creds.json", "{}");
    const before = listing(old.root);
    await expect(old.adopt()).rejects.toMatchObject(refused("HOME_UNUSABLE", /there is .*auth\.going already/));
    expect(listing(old.root)).toEqual(before);
  });

  test("between the keys and the note puts the note there", async () => {
    const old = household();
    await adoptUntil(old, "database in place");
    renameSync(old.auth, join(old.home, "store", "auth"));
    await old.adopt();
    expect(old.read("nanoclaw/store/auth")).toContain("moved to Hermit");
  });

  test("before the keys were moved, after which the old program ran again, is not finished with what it did missing", async () => {
    const old = household();
    await adoptUntil(old, "database in place");
    old.sql("INSERT INTO router_state VALUES ('since', '1')");
    await expect(old.adopt()).rejects.toMatchObject(refused("OLD_HOST_RUNNING", "has written to"));
    expect(existsSync(join(old.auth, "creds.json"))).toBe(true);
  });
});

/** Adopts, then puts back what comes last: the keys and, where the last part was still on its way, the database. */
async function adoptUntil(old: OldHousehold, last: "record in place" | "database in place"): Promise<void> {
  await old.adopt();
  rmSync(old.auth);
  renameSync(join(old.home, "store", "auth"), old.auth);
  const record = join(old.home, "adoption.json");
  writeFileSync(record, readFileSync(record, "utf8").replace('"adopted"', '"copied"'));
  if (last === "database in place") return;
  mkdirSync(join(old.home, "adopting"));
  writeFileSync(join(old.home, "adopting", "committing"), "");
  renameSync(join(old.home, "store"), join(old.home, "adopting", "store"));
}

/** Leaves the database as a program does that was killed while it wrote: pages of a transaction in the file, the old ones in its journal. */
async function tornTransaction(old: OldHousehold): Promise<string[]> {
  const db = new Database(old.database);
  db.pragma("cache_size = 1");
  db.pragma("cache_spill = 1");
  db.exec("BEGIN");
  const put = db.prepare("INSERT INTO router_state VALUES (?, ?)");
  for (let n = 0; n < 300; n++) put.run(`torn ${n}`, "x".repeat(1000));
  const kept = old.copyOf("nanoclaw/store");
  db.exec("ROLLBACK");
  db.close();
  for (const name of readdirSync(kept)) if (name !== "auth") copyFileSync(join(kept, name), join(old.path, "store", name));
  return readdirSync(join(old.path, "store"))
    .filter((name) => name !== "auth")
    .toSorted();
}
