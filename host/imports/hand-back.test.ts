import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { formatMessages } from "../domain/prompt.ts";
import type { BatchRules, ClaimedTurn, Store } from "../ports/store.ts";
import { listing, OldHousehold, RECORDED, shapeOf, tablesOf } from "./old-household-harness.ts";
import { OldProgram } from "./old-program.ts";

const FAM = "fam@g.us";
const NOW = Date.parse("2026-03-02T09:05:00.000Z");
const FIGURES = { firstTokenAt: null, steps: 1, toolCalls: 0, inputTokens: 0, outputTokens: 0 };
const rules: BatchRules = { now: NOW, maxMessages: 100, maxBytes: 100_000, starts: () => true, format: formatMessages };

const adopted = new OldHousehold();
beforeAll(async () => void (await adopted.adopt()));
afterAll(() => adopted[Symbol.dispose]());

/** Adopted already. */
function household(): OldHousehold {
  const old = new OldHousehold(adopted);
  onTestFinished(() => old[Symbol.dispose]());
  return old;
}

function inHome<Result>(old: OldHousehold, work: (store: Store) => Result): Result {
  const store = openStore(old.home);
  try {
    return work(store);
  } finally {
    store.close();
  }
}

/** Seconds after the newest message of the recorded database. */
const at = (seconds: number): string => new Date(Date.parse("2026-03-02T09:02:10.000Z") + seconds * 1000).toISOString();
const say = (store: Store, id: string, seconds: number): void =>
  void store.accept(
    { id, chat: FAM, sender: "s@x", senderName: "Ann", text: `@Andy ${id}`, timestamp: at(seconds), isFromMe: false },
    { now: NOW, replyVia: null },
  );

function claim(store: Store): ClaimedTurn {
  const turn = store.claimTurn("fam", rules);
  if (turn === undefined) throw new Error("nothing to claim");
  return turn;
}

function answer(store: Store, reply = "yes"): void {
  const { id, runId } = claim(store);
  store.finishTurn(id, { runId, reply, figures: FIGURES, now: NOW });
}
const deliver = (store: Store): void => store.outboxHeads().forEach(({ id }) => store.markSent(id, NOW));

/** What the old program would give its agent in `fam`, from the database it was handed. */
function waitingThere(old: OldHousehold): readonly string[] {
  const copy = join(old.root, "look.db");
  copyFileSync(old.database, copy);
  const db = new Database(copy);
  const ids = new OldProgram(db, "Andy").waiting(FAM).map(({ id }) => id);
  db.close();
  return ids;
}

describe("a household that goes back", () => {
  test("is there as it was here: every row, one file, no table more and none of another shape", async () => {
    const old = household();
    inHome(old, (store) => {
      say(store, "m1", 1);
      answer(store);
      deliver(store);
      store.registerGroup({ chat: "new@g.us", name: "New", folder: "new", trigger: "@Andy", requiresTrigger: true }, NOW);
    });
    const here = tablesOf(join(old.home, "store", "messages.db"));
    const said = await old.handBack();
    expect(tablesOf(old.database)).toEqual({ ...here, sessions: here.sessions.filter(({ group_folder }) => group_folder === "fam") });
    expect(here.messages).toHaveLength(7);
    expect(shapeOf(old.database)).toEqual(shapeOf(RECORDED));
    expect(said).toContain("messages 7");
    expect(waitingThere(old)).toEqual([]);

    const db = new Database(old.database);
    expect(db.pragma("journal_mode", { simple: true })).toBe("delete");
    expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
    expect(db.prepare("SELECT count(*) FROM sqlite_master WHERE name LIKE 'hermit%' OR sql LIKE '%hermit%'").pluck().get()).toBe(0);
    db.close();
    expect(readdirSync(join(old.path, "store")).filter((name) => /-(?:wal|shm|journal)$|returning/.test(name))).toEqual([]);
  });

  test("has its keys and the way to start, and its files as its agents left them", async () => {
    const old = household();
    writeFileSync(join(old.home, "groups", "fam", "made-here.txt"), "new");
    mkdirSync(join(old.home, "groups", "new"));
    rmSync(join(old.home, "groups", "main", "notes"), { recursive: true });
    await old.handBack();
    expect(readdirSync(old.auth).toSorted()).toEqual(["creds.json", "session-1.json"]);
    expect(readdirSync(join(old.path, "groups"), { recursive: true, encoding: "utf8" }).toSorted()).toEqual(
      ["fam", "fam/CLAUDE.md", "fam/made-here.txt", "global", "global/CLAUDE.md", "main", "new"].toSorted(),
    );
  });

  test("keeps what was there before beside it, and all of ours in the home", async () => {
    const old = household();
    const before = tablesOf(old.database);
    await old.handBack();
    const [kept = ""] = readdirSync(join(old.path, "store")).filter((name) => name.startsWith("messages.before-hand-back-"));
    expect(tablesOf(join(old.path, "store", kept))).toEqual(before);
    const [groups = ""] = readdirSync(old.path).filter((name) => name.startsWith("groups.before-hand-back-"));
    expect(existsSync(join(old.path, groups, "fam", "logs", "container.log"))).toBe(true);
    const [archive = "", ...rest] = readdirSync(old.home).filter((name) => name !== "lock.db");
    expect([archive, ...rest]).toEqual([expect.stringMatching(/^handed-back-\d{8}T\d{9}Z$/)]);
    expect(readdirSync(join(old.home, archive)).toSorted()).toEqual(["adoption.json", "data", "groups", "sessions", "store"]);
    expect(existsSync(join(old.home, archive, "store", "auth"))).toBe(false);
  });

  test("can be adopted again, and what the old program left unanswered meanwhile waits", async () => {
    const old = household();
    inHome(old, (store) => {
      say(store, "m1", 1);
      answer(store);
      deliver(store);
    });
    await old.handBack();
    old.sql(`INSERT INTO messages VALUES ('m2', '${FAM}', 's@x', 'Ann', '@Andy m2', '${at(2)}', 0)`);
    expect(await old.adopt()).toContain("fam 1, garden 2");
    expect(inHome(old, (store) => claim(store).journal)).toMatchObject([{ text: expect.stringMatching(/^(?!.*m1)[^]*@Andy m2/) }]);
    await old.handBack();
    expect(readdirSync(join(old.auth))).toContain("creds.json");
  });

  test("goes to another folder where that is asked for", async () => {
    const old = household();
    const moved = join(old.root, "moved");
    renameSync(old.path, moved);
    await expect(old.handBack()).rejects.toMatchObject({ code: "OLD_HOME_UNUSABLE", message: expect.stringContaining("is not a folder") });
    await old.handBack({ folder: moved });
    expect(existsSync(join(moved, "store", "auth", "creds.json"))).toBe(true);
  });

  test("on trial is told the same and changes nothing", async () => {
    const old = household();
    inHome(old, (store) => say(store, "m1", 1));
    const before = listing(old.root);
    const steps = (said: string): unknown => (JSON.parse(said) as { steps: { action: string }[] }).steps.map(({ action }) => action);
    const trial = steps(await old.handBack({ dryRun: true, json: true }));
    expect(listing(old.root)).toEqual(before);
    expect(steps(await old.handBack({ json: true }))).toEqual(trial);
  });

  test.runIf(process.getuid?.() === 0)("belongs to whom it belonged, new groups to whom their neighbours belong", async () => {
    const old = new OldHousehold();
    onTestFinished(() => old[Symbol.dispose]());
    execFileSync("chown", ["-R", "1000:1001", join(old.path, "groups"), join(old.path, "store")]);
    await old.adopt();
    mkdirSync(join(old.home, "groups", "new"));
    await old.handBack();
    const owners = execFileSync("find", [join(old.path, "groups"), join(old.path, "store"), "-mindepth", "1", "-printf", "%U:%G\\n"], {
      encoding: "utf8",
    });
    expect(new Set(owners.trim().split("\n"))).toEqual(new Set(["1000:1001"]));
  });
});

describe("what nobody has answered", () => {
  test("waits there as it waited here", async () => {
    const old = household();
    inHome(old, (store) => {
      say(store, "m1", 1);
      answer(store);
      deliver(store);
      say(store, "m2", 2);
    });
    await old.handBack();
    expect(waitingThere(old)).toEqual(["m2"]);
  });

  test("of the same second as an answered message, or earlier, waits with what is read again", async () => {
    const old = household();
    inHome(old, (store) => {
      for (const [n, id] of ["m1", "m2", "m3"].entries()) say(store, id, n + 1);
      answer(store);
      deliver(store);
      say(store, "late", 2);
    });
    const said = await old.handBack();
    expect(waitingThere(old)).toEqual(["m2", "late", "m3"]);
    expect(said).toContain("Messages of fam that were answered and are read again, with one that was not: 2.");
  });

  test.each([
    ["is under way and has said nothing", (_store: Store, _turn: ClaimedTurn): void => {}],
    [
      "has an answer that was never delivered",
      (store: Store, { id, runId }: ClaimedTurn) => void store.finishTurn(id, { runId, reply: "yes", figures: FIGURES, now: NOW }),
    ],
  ])("because its turn %s waits there", async (_what, then) => {
    const old = household();
    inHome(old, (store) => {
      say(store, "m1", 1);
      answer(store);
      deliver(store);
      say(store, "m2", 2);
      say(store, "m3", 3);
      then(store, claim(store));
    });
    const said = await old.handBack();
    expect(waitingThere(old)).toEqual(["m2", "m3"]);
    expect(said).not.toContain("Never delivered");
  });

  test("because its turn had said something and was cut off is told of, not answered twice", async () => {
    const old = household();
    inHome(old, (store) => {
      say(store, "m1", 1);
      store.putReply(claim(store).id, { step: 0, toolCallId: "c", text: "one moment" }, NOW);
      deliver(store);
    });
    const said = await old.handBack();
    expect(waitingThere(old)).toEqual([]);
    expect(said).toContain("A turn of fam had said something and was not at its end");
  });
});

describe("what the old program will not know", () => {
  test("is told: words never delivered or perhaps delivered, zones of tasks, runs asked for", async () => {
    const old = household();
    inHome(old, (store) => {
      store.notify("garden@g.us", "[hermit] Something happened.", NOW);
      store.notify(FAM, "half sent", NOW);
      store.markSending(store.outboxHeads().find(({ text }) => text === "half sent")?.id ?? 0);
      store.changeTask("task-1772442017050-qpwqz7", { timeZone: "Asia/Tokyo" });
      store.runTaskNow("task-1772442017050-qpwqz7", NOW);
    });
    const said = await old.handBack();
    expect(said).toContain("Never delivered to garden@g.us: “[hermit] Something happened.”");
    expect(said).toContain("Perhaps delivered to fam@g.us, perhaps not: “half sent”");
    expect(said).toContain("Task task-1772442017050-qpwqz7 had a time zone of its own");
    expect(said).toContain("Task task-1772442017050-qpwqz7 was to run once more out of its time");
  });

  test("a task that was claimed and not finished is due there", async () => {
    const old = household();
    inHome(old, (store) => {
      expect(store.claimDue(NOW, () => ({ kind: "run" }))).toEqual(["fam"]);
      claim(store);
    });
    expect(await old.handBack()).not.toContain("out of its time");
    const db = new Database(old.database);
    onTestFinished(() => void db.close());
    const due = new OldProgram(db, "Andy").all<{ id: string }>("due tasks", { now: new Date(NOW).toISOString() });
    expect(due.map(({ id }) => id)).toEqual(["task-1772442018050-gxatxq"]);
  });

  test("conversations it has no transcript of begin anew there, instead of failing with each message", async () => {
    const old = household();
    inHome(old, (store) => {
      say(store, "m1", 1);
      const { id, runId } = claim(store);
      store.renewSession(id, "00000000-0000-4000-8000-000000000000");
      store.finishTurn(id, { runId, reply: "", figures: FIGURES, now: NOW });
    });
    const said = await old.handBack();
    expect(tablesOf(old.database).sessions).toEqual([]);
    expect(said).toMatch(/begin anew there: main, fam/);
  });
});

test("a conversation that the old agent began here, under the compatibility runner, goes on there", async () => {
  const old = household();
  const session = "33333333-aaaa-4bbb-8ccc-000000000001";
  const project = join("data", "sessions", "fam", ".claude", "projects", "-workspace-group");
  writeFileSync(join(old.home, project, `${session}.jsonl`), "{}\n");
  inHome(old, (store) => {
    say(store, "m1", 1);
    const { id, runId } = claim(store);
    store.nameSession(id, session);
    store.finishTurn(id, { runId, reply: "", figures: FIGURES, now: NOW });
  });
  await old.handBack();
  expect(tablesOf(old.database).sessions).toEqual([{ group_folder: "fam", session_id: session }]);
  expect(readdirSync(join(old.path, project))).toContain(`${session}.jsonl`);
});

test("state files that were read at the adoption are not read again there", async () => {
  const old = new OldHousehold();
  onTestFinished(() => old[Symbol.dispose]());
  old.write("data/router_state.json", JSON.stringify({ last_timestamp: "2026-03-02T09:02:10.000Z" }));
  old.write("data/sessions.json", "{half");
  await old.adopt();
  expect(existsSync(join(old.path, "data", "router_state.json"))).toBe(true);
  await old.handBack();
  expect(
    readdirSync(join(old.path, "data"))
      .filter((name) => name.includes(".json"))
      .toSorted(),
  ).toEqual(["router_state.json.migrated", "sessions.json"]);
});

test("a hot journal of the old database goes with it, and is not rolled back into ours", async () => {
  const old = new OldHousehold();
  onTestFinished(() => old[Symbol.dispose]());
  const db = new Database(old.database);
  db.pragma("cache_size = 1");
  db.exec("BEGIN");
  for (let n = 0; n < 300; n++) db.prepare("INSERT INTO router_state VALUES (?, ?)").run(`torn ${n}`, "x".repeat(1000));
  const kept = old.copyOf("nanoclaw/store");
  db.exec("ROLLBACK");
  db.close();
  for (const name of ["messages.db", "messages.db-journal"]) copyFileSync(join(kept, name), join(old.path, "store", name));
  await old.adopt();
  inHome(old, (store) => say(store, "m1", 1));
  await old.handBack();
  expect(existsSync(join(old.path, "store", "messages.db-journal"))).toBe(false);
  expect(tablesOf(old.database).messages).toHaveLength(7);
});

test("what an agent made in its folder to lead out of it is left out, by name", async () => {
  const old = household();
  symlinkSync("/etc/shadow", join(old.home, "groups", "fam", "notes"));
  symlinkSync("../../../store/auth", join(old.home, "groups", "fam", "keys"));
  const said = await old.handBack();
  expect(readdirSync(join(old.path, "groups", "fam"))).toEqual(["CLAUDE.md"]);
  for (const name of ["notes", "keys"]) expect(said).toContain(`Left out: groups/fam/${name}: it leads out of its folder.`);
});
