import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import { openStore } from "../adapters/store-sqlite/index.ts";
import type { Store } from "../ports/store.ts";
import type { Difference } from "./crosscheck.ts";
import { listing, OldHousehold } from "./old-household-harness.ts";

const FAM = "fam@g.us";

function household(): OldHousehold {
  const old = new OldHousehold();
  onTestFinished(() => old[Symbol.dispose]());
  return old;
}

const check = async (old: OldHousehold, database?: string) => {
  const { said, exitCode } = await old.crosscheck({ json: true, ...(database === undefined ? {} : { database }) });
  const { ok, compared, differences } = JSON.parse(said) as { ok: boolean; compared: Record<string, number>; differences: Difference[] };
  expect(exitCode).toBe(ok ? 0 : 1);
  return { ok, compared, differences };
};
const message = (id: string, text: string, second: number, chat = FAM) =>
  `INSERT INTO messages VALUES ('${id}', '${chat}', 's@x', 'Ann', '${text}', '2026-03-02T09:02:${second}.000Z', 0);`;
const named = (old: OldHousehold, name: string): void => {
  mkdirSync(old.home, { recursive: true });
  writeFileSync(join(old.home, "hermit.toml"), `assistant_name = "${name}"\n`);
};

test("both programs make the same of the recorded database, and looking changes nothing", async () => {
  const old = household();
  const before = listing(old.root);
  expect(await check(old)).toEqual({
    ok: true,
    compared: { groups: 3, chats: 4, "waiting messages": 2, tasks: 5, "due tasks": 2, sessions: 2, cursors: 2 },
    differences: [],
  });
  expect(await old.crosscheck()).toEqual({ exitCode: 0, said: expect.stringMatching(/: 3 groups, .*2 cursors\.\nNo difference\.\n$/) });
  expect(listing(old.root)).toEqual(before);
});

describe("a difference has its reason:", () => {
  const only = async (old: OldHousehold, expected: Partial<Difference> & { reason: unknown }, database?: string) => {
    const { ok, differences } = await check(old, database);
    expect(differences).toEqual(expect.arrayContaining([expect.objectContaining(expected)]));
    expect(ok).toBe(true);
  };

  test("a group's own trigger", async () => {
    const old = household();
    old.sql(`UPDATE registered_groups SET trigger_pattern = '@Robin' WHERE folder = 'fam'; ${message("m1", "@Robin hello", 50)}`);
    await only(old, { about: "the trigger of fam", old: "@andy", ours: "@robin", reason: expect.stringContaining("Fault 1") });
    await only(old, { about: "whether fam gets an answer now", old: "false", ours: "true", reason: expect.stringContaining("Fault 1") });
  });

  test("a name that ends in a letter outside ASCII", async () => {
    const old = household();
    named(old, "Zoé");
    old.sql(`UPDATE registered_groups SET trigger_pattern = '@Zoé'; ${message("m1", "@Zoé hello", 50)}`);
    await only(old, { about: "whether fam gets an answer now", old: "false", ours: "true", reason: expect.stringContaining("Fault 2") });
  });

  test("a name with a wildcard in it, which swallowed more than the assistant's own words", async () => {
    const old = household();
    named(old, "A_dy");
    old.sql(`UPDATE registered_groups SET trigger_pattern = '@A_dy'; ${message("m1", "Aldy: hello", 50)}`);
    await only(old, { about: "the message m1 in fam", old: "does not wait", ours: "waits", reason: expect.stringContaining("Fault 3") });
  });

  test("a message without words", async () => {
    const old = household();
    old.sql(
      `UPDATE registered_groups SET requires_trigger = 0 WHERE folder = 'garden'; DELETE FROM messages WHERE chat_jid = 'garden@g.us'; ${message("m1", "", 50, "garden@g.us")}`,
    );
    await only(old, {
      about: "whether garden gets an answer now",
      old: "true",
      ours: "false",
      reason: expect.stringContaining("Fault 23"),
    });
  });

  test("a task of a group that is gone", async () => {
    const old = household();
    old.sql("DELETE FROM registered_groups WHERE folder = 'fam'");
    await only(old, {
      about: "the task task-1772442018050-gxatxq",
      old: "an error every minute",
      reason: expect.stringContaining("Fault 11"),
    });
  });

  test("a session whose name no transcript can have", async () => {
    const old = household();
    old.sql("UPDATE sessions SET session_id = '../../etc/passwd' WHERE group_folder = 'fam'");
    await only(old, { about: "the session of fam", old: "taken up", reason: expect.stringContaining("Fault 14") });
  });

  describe("in a database of ours,", () => {
    const used = async (work: (store: Store) => void) => {
      const old = household();
      await old.adopt();
      const store = openStore(old.home);
      work(store);
      store.close();
      return { old, database: join(old.home, "store", "messages.db") };
    };
    const say = (store: Store, id: string, second: number, replyVia: string | null = null) =>
      store.accept(
        {
          id,
          chat: FAM,
          sender: "s",
          senderName: "Ann",
          text: `@Andy ${id}`,
          timestamp: `2026-03-02T09:02:${second}.000Z`,
          isFromMe: false,
        },
        { now: 0, replyVia },
      );
    const claim = (store: Store) => store.claimTurn("fam", { now: 0, maxMessages: 9, maxBytes: 1e6, starts: () => true, format: () => "" });

    test("a message of the same second as an answered one", async () => {
      const { old, database } = await used((store) => {
        say(store, "m1", 50);
        claim(store);
        say(store, "m2", 50);
      });
      await only(
        old,
        { about: "the message m2 in fam", old: "does not wait", ours: "waits", reason: expect.stringContaining("Fault 4") },
        database,
      );
    });

    test("a task that runs", async () => {
      const { old, database } = await used((store) => void store.claimDue(Date.now(), () => ({ kind: "run" })));
      await only(
        old,
        { about: "the task task-1772442018050-gxatxq", old: "due", ours: "not due", reason: expect.stringContaining("Fault 8") },
        database,
      );
    });

    test("a message that was refused, and one that waits for a turn of its own", async () => {
      const { old, database } = await used((store) => {
        const large = {
          id: "m1",
          chat: FAM,
          sender: "s",
          senderName: "Ann",
          text: "x",
          timestamp: "2026-03-02T09:02:50.000Z",
          isFromMe: false,
        };
        store.refuse(large, { now: 0, replyVia: null, notice: "too large" });
        say(store, "m2", 51);
        say(store, "m3", 52, "console");
      });
      await only(old, { about: "the message m1 in fam", reason: expect.stringContaining("refused as too large") }, database);
      await only(old, { about: "the message m3 in fam", reason: expect.stringContaining("another channel") }, database);
    });

    test("a message that is too old to be context", async () => {
      const { old, database } = await used((store) => {
        for (let n = 0; n < 510; n++) say(store, `m${n}`, 11 + (n % 48));
      });
      await only(old, { about: "the message m0 in fam", old: "waits", reason: expect.stringContaining("kept as context") }, database);
    });
  });
});

test("a difference without one is said, and the exit code is 1", async () => {
  const old = household();
  await old.adopt();
  // Written by the old program into a database that is ours: our inbox knows nothing of it.
  const database = join(old.home, "store", "messages.db");
  const db = new Database(database);
  db.exec(message("m1", "@Andy hello", 50));
  db.close();
  const { ok, differences } = await check(old, database);
  expect(ok).toBe(false);
  expect(differences).toContainEqual({ about: "the message m1 in fam", old: "waits", ours: "does not wait", reason: null });
  expect(await old.crosscheck({ database })).toEqual({
    exitCode: 1,
    said: expect.stringMatching(/the message m1 in fam\n.*waits\n.*does not wait\n.*This should not differ\.[^]*have no reason\.\n$/),
  });
});

describe("a database is refused that", () => {
  test("is not there", async () => {
    const old = household();
    rmSync(old.database);
    await expect(old.crosscheck()).rejects.toMatchObject({ code: "OLD_HOME_UNUSABLE", message: expect.stringContaining("is not there") });
  });

  test("is something else", async () => {
    const old = household();
    writeFileSync(old.database, "a shopping list");
    await expect(old.crosscheck()).rejects.toMatchObject({ code: "STORE_BROKEN", message: expect.stringContaining(old.database) });
  });
});
