/** Handing back that cannot be, or was cut off: nothing is changed, or the same command finishes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { listing, OldHousehold, tablesOf } from "./old-household-harness.ts";

const adopted = new OldHousehold();
beforeAll(async () => void (await adopted.adopt()));
afterAll(() => adopted[Symbol.dispose]());

/** Adopted already. */
function household(): OldHousehold {
  const old = new OldHousehold(adopted);
  onTestFinished(() => old[Symbol.dispose]());
  return old;
}

describe("handing back is refused and nothing is changed", () => {
  const unchanged = async (old: OldHousehold, code: string, message: string) => {
    const before = listing(old.root);
    for (const dryRun of [true, false])
      await expect(old.handBack({ dryRun })).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(listing(old.root)).toEqual(before);
  };

  test("where a host runs on the home", async () => {
    const old = household();
    const store = openStore(old.home);
    onTestFinished(() => store.close());
    const before = listing(old.path);
    for (const dryRun of [true, false]) await expect(old.handBack({ dryRun })).rejects.toMatchObject({ code: "HOME_LOCKED" });
    expect(listing(old.path)).toEqual(before);
  });

  test("where the old program runs", async () => {
    const old = household();
    const holder = spawn("sh", ["-c", 'exec 3<"$1"; echo open; read -r _', "holder", old.database], { stdio: ["pipe", "pipe", "ignore"] });
    onTestFinished(() => void holder.kill());
    await once(holder.stdout, "data");
    await unchanged(old, "OLD_HOST_RUNNING", "messages.db open");
  });

  test("where nothing was adopted, or it was handed back before", async () => {
    const old = new OldHousehold();
    onTestFinished(() => old[Symbol.dispose]());
    await unchanged(old, "NOT_ADOPTED", "has no household of NanoClaw's");
    openStore(old.home).close();
    await unchanged(old, "NOT_ADOPTED", "has no household of NanoClaw's");
    rmSync(old.home, { recursive: true });
    await old.adopt();
    await old.handBack();
    await unchanged(old, "NOT_ADOPTED", "has no household of NanoClaw's");
    await expect(old.handBack()).rejects.toMatchObject({ hint: expect.stringMatching(/what was its own is in handed-back-/) });
  });

  test("where the folder has keys of its own, or the note of another home", async () => {
    const old = household();
    const note = readFileSync(old.auth, "utf8");
    rmSync(old.auth);
    old.write("store/auth/creds.json", "{}");
    await unchanged(old, "OLD_HOME_UNUSABLE", "keys of WhatsApp's that are not from here");
    rmSync(old.auth, { recursive: true });
    writeFileSync(old.auth, note.replace(/adoption .*/, "adoption 00000000-0000-4000-8000-000000000000"));
    await unchanged(old, "OLD_HOME_UNUSABLE", "was taken over by another home");
  });

  test("where the home's database is damaged, or its record is not readable", async () => {
    const old = household();
    const path = join(old.home, "store", "messages.db");
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.from(bytes).fill(0xa5, 8192, 40_960));
    await unchanged(old, "STORE_BROKEN", `The database ${path} is damaged`);
    writeFileSync(path, bytes);
    writeFileSync(join(old.home, "adoption.json"), '{"v":1');
    await unchanged(old, "HOME_UNUSABLE", "adoption.json cannot be read");
  });

  test("where somebody tied their tables and ours together", async () => {
    const old = household();
    const db = new Database(join(old.home, "store", "messages.db"));
    db.exec("CREATE TRIGGER echo AFTER INSERT ON messages BEGIN DELETE FROM hermit_outbox; END");
    db.close();
    await unchanged(old, "STORE_BROKEN", "trigger echo ties");
  });
});

describe("handing back that was cut off", () => {
  /** Hands back, then undoes what comes last. */
  const until = async (last: "parts replaced" | "home put away" | "keys in the folder" | "all but the record"): Promise<OldHousehold> => {
    const old = household();
    const record = join(old.home, "adoption.json");
    const note = readFileSync(old.auth, "utf8");
    const adopted = readFileSync(record, "utf8");
    writeFileSync(join(old.home, "groups", "fam", "made-here.txt"), "new");
    await old.handBack();
    const archive = readdirSync(old.home).find((name) => name.startsWith("handed-back-")) ?? "";
    const returned = { ...(JSON.parse(adopted) as object), state: "returned", returning: { archive, to: old.path } };
    writeFileSync(record, JSON.stringify(returned));
    if (last === "all but the record") return old;
    renameSync(old.auth, last === "keys in the folder" ? `${old.auth}.returning` : join(old.home, archive, "store", "auth"));
    writeFileSync(old.auth, note);
    if (last === "parts replaced")
      for (const part of ["store", "sessions", "groups", "data"]) renameSync(join(old.home, archive, part), join(old.home, part));
    return old;
  };

  test.each(["parts replaced", "home put away", "keys in the folder", "all but the record"] as const)(
    "with %s is finished by the same command",
    async (last) => {
      const old = await until(last);
      const before = tablesOf(old.database);
      await expect(old.adopt()).rejects.toMatchObject({ code: "HOME_TAKEN", hint: "Finish `hermit hand-back` first." });
      await old.handBack({ dryRun: true });
      await old.handBack();
      expect(readdirSync(old.auth).toSorted()).toEqual(["creds.json", "session-1.json"]);
      expect(tablesOf(old.database)).toEqual(before);
      expect(existsSync(join(old.path, "groups", "fam", "made-here.txt"))).toBe(true);
      expect(existsSync(join(old.home, "store"))).toBe(false);
      await expect(old.handBack()).rejects.toMatchObject({ code: "NOT_ADOPTED" });
    },
  );

  test.each(["parts replaced", "home put away", "keys in the folder", "all but the record"] as const)(
    "with %s starts no host, so that no message is taken in that would stay behind",
    async (last) => {
      const old = await until(last);
      const before = listing(old.home);
      expect(() => openStore(old.home)).toThrow(
        expect.objectContaining({ code: "HOME_UNUSABLE", hint: `Finish it with \`hermit hand-back --home ${old.home}\`.` }),
      );
      expect(listing(old.home)).toEqual(before);
    },
  );

  test("before the record was written begins anew", async () => {
    const old = household();
    // The first half of it: the database is replaced, the groups are on their way.
    renameSync(join(old.path, "groups"), join(old.path, "groups.before-hand-back-1"));
    old.write("groups.returning/half", "");
    old.write("store/messages.db.returning", "half");
    await old.handBack();
    expect(readdirSync(join(old.path, "groups")).toSorted()).toEqual(["fam", "global", "main"]);
    expect(readdirSync(join(old.path, "store")).filter((name) => name.includes("returning"))).toEqual([]);
  });
});
