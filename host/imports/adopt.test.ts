import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { ListeningModel, TestHost } from "../host-harness.ts";
import { AnyChannel, KEY, listing, OldHousehold, RECORDED, SESSION, shapeOf, tablesOf } from "./old-household-harness.ts";

function household(): OldHousehold {
  const old = new OldHousehold();
  onTestFinished(() => old[Symbol.dispose]());
  return old;
}

const refused = (code: string, message: string | RegExp) => ({ code, message: expect.stringMatching(message) });

describe("the recorded household", () => {
  test("is answered with the old conversation known, its tasks keep their next run, and its tables their shape", async () => {
    const old = household();
    await using host = new TestHost();
    old.home = host.home;
    await old.adopt();
    const database = join(host.home, "store", "messages.db");
    expect(tablesOf(database)).toEqual(tablesOf(RECORDED));
    expect(shapeOf(database)).toEqual(shapeOf(RECORDED));

    const channel = new AnyChannel();
    host.clock.advance(Date.parse("2026-03-02T09:02:20.000Z") - host.clock.now());
    const model = new ListeningModel();
    await host.open({ channels: [channel], model }).start();
    channel.says("fam@g.us", "@Andy and the helmets?", host.clock.now());
    await host.host.settled();
    expect(model.heard).toEqual([
      "user: where do the bikes stand?",
      "assistant: In the shed behind the house.",
      "user: @Andy and the helmets?",
    ]);
    expect(channel.delivered).toEqual(["fam@g.us: answer 1"]);

    // Every 50 s, last run at 09:02:00.550.
    host.clock.advance(Date.parse("2026-03-02T09:02:50.549Z") - host.clock.now());
    await host.host.settled();
    expect(model.prompts).toHaveLength(1);
    host.clock.advance(1);
    await host.host.settled();
    expect(model.heard).toEqual(["user: pulse"]);
  });

  test("is copied with its groups, without logs of runs, and its key is nowhere in the home", async () => {
    const old = household();
    await old.adopt();
    expect(readdirSync(join(old.home, "groups"), { recursive: true, encoding: "utf8" }).toSorted()).toEqual(
      ["fam", "fam/CLAUDE.md", "global", "global/CLAUDE.md", "main", "main/notes", "main/notes/list.txt"].toSorted(),
    );
    expect(old.read("home/groups/fam/CLAUDE.md")).toBe("# Family\n");
    const names = readdirSync(old.home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const withKey = names.filter(({ parentPath, name }) => readFileSync(join(parentPath, name), "latin1").includes(KEY));
    expect(withKey.map(({ name }) => name)).toEqual([]);
    expect(readdirSync(old.home).toSorted()).toEqual(["adoption.json", "data", "groups", "lock.db", "sessions", "store"]);
    expect(readdirSync(join(old.home, "store")).toSorted()).toEqual(["auth", "messages.before-2.db", "messages.db"]);
  });

  test.runIf(process.getuid?.() === 0)("taken over by root belongs to the sandboxes, its keys to whom they belonged", async () => {
    const old = household();
    await old.adopt();
    const owners = execFileSync("find", [join(old.home, "groups"), "-printf", "%P %U:%G\\n"], { encoding: "utf8" })
      .trim()
      .split("\n");
    expect(owners.filter((line) => !line.endsWith(" 60800:60800"))).toEqual(["0:0"]);
  });

  test("brings what the old agent kept for itself, for the compatibility runner: not its debug logs and no key", async () => {
    const old = household();
    old.write("data/sessions/fam/.claude/debug/a.txt", "x");
    old.write("data/sessions/fam/.claude/.credentials.json", "{}");
    old.write("data/sessions/fam/.claude/settings.json", "{}");
    old.write("container/agent-runner/src/index.ts", "// the agent\n");
    await old.adopt();
    expect(readdirSync(join(old.home, "data", "sessions", "fam", ".claude")).toSorted()).toEqual(["projects", "settings.json"]);
    expect(old.read("home/container/agent-runner/src/index.ts")).toBe("// the agent\n");
  });

  test("loses the way to start: the keys are moved, and a note that says where stands in their place", async () => {
    const old = household();
    await old.adopt();
    expect(readdirSync(join(old.home, "store", "auth")).toSorted()).toEqual(["creds.json", "session-1.json"]);
    expect(old.read("nanoclaw/store/auth")).toContain(`hermit hand-back --home ${old.home}`);
    // What NanoClaw does first with the folder of its keys.
    expect(() => mkdirSync(old.auth, { recursive: true })).toThrow(/EEXIST.*store\/auth/);
    expect(readdirSync(join(old.path, "store")).toSorted()).toEqual(["auth", "messages.db"]);
  });

  test("says what is done and what is left to do, names of settings but no values", async () => {
    const old = household();
    const said = await old.adopt();
    expect(said).toContain("messages 6");
    expect(said).toContain(`the conversation of fam (${SESSION}, 1 turn)`);
    expect(said).toContain("begin anew, and the chats are told: main");
    expect(said).toContain("wait for an answer: garden 2");
    expect(said).toContain("ANTHROPIC_API_KEY is a model's key: HERMIT_MODEL_KEY or model.key_file");
    expect(said).toContain("TZ is time_zone");
    expect(said).not.toContain("OLD");
    expect(said).not.toContain(KEY);
    expect(said).not.toContain("Berlin");
  });

  test("as JSON is one document", async () => {
    const old = household();
    const report = JSON.parse(await old.adopt({ json: true })) as { dryRun: boolean; steps: { action: string }[] };
    expect(report).toMatchObject({ dryRun: false, from: old.path, to: old.home, notes: expect.any(Array) });
    expect(report.steps.map(({ action }) => action)).toEqual(["copy", "copy", "copy", "import", "move", "write"]);
  });

  test("with a pipe in place of .env is not waited for", async () => {
    const old = household();
    rmSync(join(old.path, ".env"));
    execFileSync("mkfifo", [join(old.path, ".env")]);
    for (const dryRun of [true, false]) expect(await old.adopt({ dryRun })).not.toContain(".env");
  });

  test("on trial is told the same and changes nothing, not a time, and nothing beside the database", async () => {
    const old = household();
    const before = listing(old.root);
    const trial = JSON.parse(await old.adopt({ dryRun: true, json: true })) as { steps: unknown; notes: unknown };
    expect(listing(old.root)).toEqual(before);
    const real = JSON.parse(await old.adopt({ json: true })) as typeof trial;
    expect(trial).toEqual({ ...real, dryRun: true });
  });
});

describe("a household is refused and left as it is", () => {
  const unchanged = async (old: OldHousehold, code: string, message: string | RegExp) => {
    const before = listing(old.root);
    for (const dryRun of [true, false]) await expect(old.adopt({ dryRun })).rejects.toMatchObject(refused(code, message));
    expect(listing(old.root)).toEqual(before);
  };

  test("where the folder holds none", async () => {
    const old = household();
    rmSync(old.database);
    await unchanged(old, "OLD_HOME_UNUSABLE", "neither store/messages.db nor data/registered_groups.json");
  });

  test("where a process has its database open", async () => {
    const old = household();
    const holder = spawn("sh", ["-c", 'exec 3<"$1"; echo open; read -r _', "holder", old.database], { stdio: ["pipe", "pipe", "ignore"] });
    onTestFinished(() => void holder.kill());
    await once(holder.stdout, "data");
    await unchanged(old, "OLD_HOST_RUNNING", `process ${holder.pid} \\(sh\\) has .*messages.db open`);
    const ended = once(holder, "exit");
    holder.stdin.end();
    await ended;
    await old.adopt();
  });

  test("where the database is damaged", async () => {
    const old = household();
    const bytes = readFileSync(old.database);
    bytes.fill(0xa5, 4096, 12_288);
    writeFileSync(old.database, bytes);
    await unchanged(old, "STORE_BROKEN", "is damaged");
  });

  test("where the database is cut off", async () => {
    const old = household();
    truncateSync(old.database, 81_920 - 100);
    await unchanged(old, "STORE_BROKEN", `${old.database} is damaged`);
  });

  test("where the database is something else", async () => {
    const old = household();
    writeFileSync(old.database, "this is a shopping list");
    await unchanged(old, "STORE_BROKEN", "not a database");
  });

  test.each([
    ["has no messages", "PRAGMA foreign_keys = OFF; DROP TABLE messages", "no table of messages"],
    ["lacks a column", "ALTER TABLE registered_groups DROP COLUMN requires_trigger", "registered_groups lacks the column requires_trigger"],
    [
      "wants a column that nobody would fill",
      "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, 'context_mode TEXT', 'shape TEXT NOT NULL, context_mode TEXT') WHERE name = 'scheduled_tasks'",
      "wants a column shape",
    ],
    ["was used by Hermit where it is", "CREATE TABLE hermit_migrations (number INTEGER)", "opened by Hermit already"],
  ])("where the database %s", async (_what, sql, message) => {
    const old = household();
    const db = new Database(old.database);
    db.unsafeMode();
    db.exec(sql);
    db.close();
    await unchanged(old, "OLD_HOME_UNUSABLE", message);
  });

  test("where the home already holds somebody's", async () => {
    const old = household();
    const store = openStore(old.home);
    store.registerGroup({ chat: "c", name: "c", folder: "main", trigger: "@Andy", requiresTrigger: false }, 0);
    store.close();
    await unchanged(old, "HOME_TAKEN", "something in store");
  });

  test.each(["store/auth/creds.json", "store/messages.before-2.db"])(
    "where the home has %s, with a database that nobody used or none",
    async (name) => {
      const old = household();
      mkdirSync(join(old.home, name, ".."), { recursive: true });
      writeFileSync(join(old.home, name), "of somebody");
      const named = name.split("/").slice(0, 2).join("/");
      await unchanged(old, "HOME_TAKEN", `something in ${named}`);
      openStore(old.home).close();
      for (const dryRun of [true, false])
        await expect(old.adopt({ dryRun })).rejects.toMatchObject(refused("HOME_TAKEN", `something in ${named}`));
      expect(old.read(`home/${name}`)).toBe("of somebody");
    },
  );

  test("where the disk is too small, and the largest file is named", async () => {
    const old = household();
    old.write("groups/fam/big", "");
    truncateSync(join(old.path, "groups", "fam", "big"), 7 * 2 ** 40);
    const full = refused("STORE_FULL", /needs \d+ MB, 7340032 MB of it for .*groups\/fam\/big/);
    for (const dryRun of [true, false]) await expect(old.adopt({ dryRun })).rejects.toMatchObject(full);
    expect(existsSync(old.home)).toBe(false);
  });

  test("where a pipe stands in place of its database's journal", async () => {
    const old = household();
    execFileSync("mkfifo", [`${old.database}-journal`]);
    await unchanged(old, "OLD_HOME_UNUSABLE", "messages.db-journal is no file");
  });

  test("where a host runs on the home", async () => {
    const old = household();
    const store = openStore(old.home);
    await expect(old.adopt()).rejects.toMatchObject(refused("HOME_LOCKED", "Another host already runs"));
    await expect(old.adopt({ dryRun: true })).rejects.toMatchObject(refused("HOME_LOCKED", "Another host already runs"));
    store.close();
  });

  test("where one folder lies in the other", async () => {
    const old = household();
    old.home = join(old.path, "groups", "home");
    await unchanged(old, "OLD_HOME_UNUSABLE", "lies in the other");
    symlinkSync(join(old.path, "groups"), join(old.root, "shortcut"));
    old.home = join(old.root, "shortcut", "home");
    await unchanged(old, "OLD_HOME_UNUSABLE", "lies in the other");
    old.home = old.path;
    await unchanged(old, "OLD_HOME_UNUSABLE", "the old folder itself");
  });

  test.each(["store", "store/auth", "store/messages.db", "groups", "data", "data/sessions", "container", "container/agent-runner"])(
    "where %s is a link to somewhere else",
    async (name) => {
      const old = household();
      old.write("container/agent-runner/src/index.ts", "// the agent\n");
      renameSync(join(old.path, name), join(old.root, "elsewhere"));
      symlinkSync(join(old.root, "elsewhere"), join(old.path, name));
      await unchanged(old, "OLD_HOME_UNUSABLE", `${name} is a link`);
    },
  );

  test("where it was taken over before, by this home or another", async () => {
    const old = household();
    await old.adopt();
    await unchanged(old, "HOME_TAKEN", "has taken over .* already");
    old.home = join(old.root, "another");
    await unchanged(old, "OLD_HOME_UNUSABLE", "was taken over before");
  });
});

describe("a home", () => {
  test("in which a host was only tried takes a household, and keeps its configuration", async () => {
    const old = household();
    openStore(old.home).close();
    writeFileSync(join(old.home, "hermit.toml"), "[queue]\nslots = 1\n");
    await old.adopt();
    expect(tablesOf(join(old.home, "store", "messages.db")).messages).toHaveLength(6);
    expect(old.read("home/hermit.toml")).toContain("slots = 1");
  });

  test("knows whose words are its own by the configured name, and says where the groups use another", async () => {
    const old = household();
    old.sql("UPDATE registered_groups SET trigger_pattern = '@Robin'");
    mkdirSync(old.home);
    expect(await old.adopt({ dryRun: true })).toContain("called with @Robin, and the assistant's name here is Andy");
    writeFileSync(join(old.home, "hermit.toml"), 'assistant_name = "Robin"\n');
    const said = await old.adopt();
    expect(said).not.toContain("called with");
    // Of Robin's household, what begins with Andy was written by people.
    expect(said).toContain("fam 1, garden 2");
  });
});

describe("the list of folders that may be mounted", () => {
  const list = JSON.stringify({ allowedRoots: [], blockedPatterns: [], nonMainReadOnly: true });
  const pathOf = (old: OldHousehold, program: string) => join(old.ownersFolder, ".config", program, "mount-allowlist.json");
  const put = (old: OldHousehold, program: string, text: string) => {
    mkdirSync(join(pathOf(old, program), ".."), { recursive: true });
    writeFileSync(pathOf(old, program), text);
  };

  test("is copied to where ours lies, outside the home", async () => {
    const old = household();
    put(old, "nanoclaw", list);
    expect(await old.adopt()).toContain("mount-allowlist.json");
    expect(readFileSync(pathOf(old, "hermit"), "utf8")).toBe(list);
  });

  test("that is there already is left as it is, and one that is none is told of", async () => {
    const old = household();
    put(old, "nanoclaw", "{");
    expect(await old.adopt({ dryRun: true })).toContain("is no list of allowed mounts");
    put(old, "hermit", list);
    expect(await old.adopt()).toContain("was left as it is");
    expect(readFileSync(pathOf(old, "hermit"), "utf8")).toBe(list);
  });
});

describe("groups", () => {
  test("are copied without following links, and what leads out of them is left out by name", async () => {
    const old = household();
    symlinkSync("/etc", join(old.path, "groups", "fam", "etc"));
    symlinkSync("../../../.env", join(old.path, "groups", "fam", "key"));
    symlinkSync("CLAUDE.md", join(old.path, "groups", "fam", "own"));
    symlinkSync("/etc", join(old.path, "groups", "away"));
    const said = await old.adopt();
    expect(readdirSync(join(old.home, "groups", "fam")).toSorted()).toEqual(["CLAUDE.md", "own"]);
    expect(existsSync(join(old.home, "groups", "away"))).toBe(false);
    for (const path of ["fam/etc", "fam/key", "away"]) expect(said).toContain(`Left out: groups/${path}: it leads out of its folder.`);
  });

  test.each([".claude", ".claude/projects", ".claude/projects/-workspace-group"])(
    "whose agent made its %s a link gets nobody else's conversation",
    async (name) => {
      const old = household();
      const place = join(old.path, "data", "sessions", "fam", name);
      renameSync(place, join(old.root, "private"));
      symlinkSync(join(old.root, "private"), place);
      expect(await old.adopt()).toContain("begin anew, and the chats are told: main, fam");
      expect(existsSync(join(old.home, "sessions"))).toBe(false);
    },
  );

  test("registered under a path that leads out of the home are named and touch nothing", async () => {
    const old = household();
    old.sql(
      "UPDATE registered_groups SET folder = '../../escape' WHERE folder = 'garden'; INSERT INTO sessions VALUES ('../../fam', '../../../../.env')",
    );
    const said = await old.adopt();
    expect(said).toContain('not served until it is changed: "../../escape"');
    expect(readdirSync(old.root).toSorted()).toEqual(["home", "nanoclaw", "owner"]);
    expect(readdirSync(join(old.home, "sessions"))).toEqual(["fam"]);
  });
});
