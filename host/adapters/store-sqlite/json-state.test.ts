/** An old home's JSON state, where it is damaged, late, or at odds with what is stored. The recorded rows: contracts/tables. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openStore } from "./index.ts";
import { nanoclawTables } from "./migrations/0001-nanoclaw.ts";

const entry = (folder: string, more: object = {}) => ({
  name: folder,
  folder,
  trigger: "@Andy",
  added_at: "2026-01-01T00:00:00.000Z",
  ...more,
});
const main = { "main@g.us": entry("main") };

let home: string;
let warnings: string[];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-json-"));
  mkdirSync(join(home, "data"));
  warnings = [];
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const path = (name: string): string => join(home, "data", name);
const put = (name: string, content: unknown): void =>
  writeFileSync(path(name), typeof content === "string" || Buffer.isBuffer(content) ? content : JSON.stringify(content));

/** Starts once. Returns what the main group was told so far. */
function start(): readonly string[] {
  const store = openStore(home, { log: { warn: ({ file }: { file?: string }, text) => warnings.push(`${file}: ${text}`) } });
  try {
    return query<{ text: string }>("SELECT text FROM hermit_outbox WHERE chat_jid = 'main@g.us' ORDER BY id").map(({ text }) => text);
  } finally {
    store.close();
  }
}

function query<Row>(sql: string): Row[] {
  const db = new Database(join(home, "store", "messages.db"), { readonly: true });
  try {
    return db.prepare(sql).all() as Row[];
  } finally {
    db.close();
  }
}
const sessions = () => query("SELECT * FROM sessions");

describe("a file that cannot be read", () => {
  test.each([
    ["is cut off in the middle", '{"main":"s-1","fam":"s-'],
    ["holds zeros only, as after a power cut", Buffer.alloc(64)],
    ["breaks off inside a character", Buffer.from('{"main":"s-1é"}').subarray(0, 13)],
    ["is empty", ""],
    ["holds no object", "7"],
  ])("because it %s stays byte for byte, and the main group is told once", (_what, content) => {
    put("registered_groups.json", main);
    put("sessions.json", content);
    const told = start();
    expect(told).toEqual([
      expect.stringMatching(/^\[hermit\] data\/sessions\.json could not be taken over: it .*\. It was left as it is\. Mend it/),
    ]);
    expect(warnings).toEqual([`${path("sessions.json")}: ${told[0]?.replace("[hermit] ", "")}`]);
    expect(start()).toEqual(told);
    expect(warnings).toHaveLength(2);
    expect(readFileSync(path("sessions.json"))).toEqual(Buffer.from(content));
    expect(existsSync(path("sessions.json.migrated"))).toBe(false);
  });

  test("is taken over once it is mended, and told of again if it was mended in vain", () => {
    put("registered_groups.json", main);
    put("sessions.json", '{"fam":');
    start();
    put("sessions.json", '{"fam": ');
    utimesSync(path("sessions.json"), 2, 2);
    expect(start()).toHaveLength(2);
    put("sessions.json", { fam: "s-2" });
    expect(start()).toHaveLength(2);
    expect(sessions()).toEqual([{ group_folder: "fam", session_id: "s-2" }]);
    expect(existsSync(path("sessions.json"))).toBe(false);
  });

  test("is told of when there is a main group to tell", () => {
    put("sessions.json", "{");
    expect(start()).toEqual([]);
    put("registered_groups.json", main);
    expect(start()).toHaveLength(1);
  });

  test("does not keep the others from being taken over, nor does a folder in its place", () => {
    mkdirSync(path("router_state.json"));
    put("registered_groups.json", main);
    put("sessions.json", { main: "s-1" });
    expect(start()).toEqual([expect.stringContaining("data/router_state.json could not be taken over: it is not a file")]);
    expect(sessions()).toEqual([{ group_folder: "main", session_id: "s-1" }]);
  });
});

describe("entries that cannot be taken over", () => {
  test("are named with what is wrong, the rest is in the tables, and the whole file is kept", () => {
    const groups = {
      ...main,
      "up@g.us": entry("../up"),
      "no@g.us": { name: "no" },
      "text@g.us": "main",
      "second@g.us": entry("main"),
      "flag@g.us": entry("flag", { requiresTrigger: "no" }),
      "conf@g.us": entry("conf", { containerConfig: "big" }),
      "fine@g.us": entry("fine", { requiresTrigger: false }),
    };
    put("registered_groups.json", groups);
    expect(start()).toEqual([
      '[hermit] data/registered_groups.json was taken over without "up@g.us" (no usable folder), "no@g.us" (no usable folder), ' +
        '"text@g.us" (no usable entry), "second@g.us" (the folder main belongs to "main@g.us"), "flag@g.us" (no usable requiresTrigger), and 1 more. ' +
        "The whole file is kept as data/registered_groups.json.migrated. " +
        "Write what is missing, corrected, into a new data/registered_groups.json and start the host again.",
    ]);
    expect(query("SELECT folder, requires_trigger AS needs FROM registered_groups")).toEqual([
      { folder: "main", needs: 1 },
      { folder: "fine", needs: 0 },
    ]);
    expect(JSON.parse(readFileSync(path("registered_groups.json.migrated"), "utf8"))).toEqual(groups);
    expect(start()).toHaveLength(1);
    expect(warnings).toHaveLength(1);
  });

  test("of the cursors: what is no time is named, the other chats keep theirs", () => {
    put("registered_groups.json", main);
    put("router_state.json", { last_timestamp: "zzz", last_agent_timestamp: { "a@g.us": 5, "b@g.us": "2026-01-01T00:00:00.000Z" } });
    expect(start()).toEqual([expect.stringContaining('without "last_timestamp" (no time), "a@g.us" (no time). The whole file')]);
    expect(query("SELECT * FROM router_state")).toEqual([{ key: "last_agent_timestamp", value: '{"b@g.us":"2026-01-01T00:00:00.000Z"}' }]);
  });
});

describe("what is stored already", () => {
  test("a group keeps its folder and takes the rest from the file, as set-up writes it anew", () => {
    put("registered_groups.json", { ...main, "fam@g.us": entry("fam") });
    start();
    put("registered_groups.json", {
      "main@g.us": entry("elsewhere"),
      "fam@g.us": entry("fam", { name: "Family", requiresTrigger: false }),
    });
    expect(start()).toEqual([expect.stringContaining('without "main@g.us" (it is registered in the folder main)')]);
    expect(query("SELECT jid, name, folder, requires_trigger AS needs FROM registered_groups ORDER BY folder")).toEqual([
      { jid: "fam@g.us", name: "Family", folder: "fam", needs: 0 },
      { jid: "main@g.us", name: "main", folder: "main", needs: 1 },
    ]);
  });

  test("a session of ours is not replaced by an older file; at the first start the file counts", () => {
    mkdirSync(join(home, "store"));
    const old = new Database(join(home, "store", "messages.db"));
    old.exec(nanoclawTables);
    old.exec("INSERT INTO sessions VALUES ('main', 'table')");
    old.close();
    put("sessions.json", { main: "file" });
    start();
    put("sessions.json", { main: "late", fam: "late" });
    start();
    expect(sessions()).toEqual([
      { group_folder: "main", session_id: "file" },
      { group_folder: "fam", session_id: "late" },
    ]);
  });

  test("a cursor is never taken back", () => {
    const at = (second: number) => `2026-01-01T00:00:0${second}.000Z`;
    put("router_state.json", { last_timestamp: at(5), last_agent_timestamp: { "a@g.us": at(5), "b@g.us": at(1) } });
    start();
    put("router_state.json", { last_timestamp: at(3), last_agent_timestamp: { "a@g.us": at(3), "b@g.us": at(3) } });
    start();
    expect(query("SELECT value FROM router_state ORDER BY key")).toEqual([
      { value: JSON.stringify({ "a@g.us": at(5), "b@g.us": at(3) }) },
      { value: at(5) },
    ]);
  });
});

test("messages the old program had not answered wait, by the cursors of the file; those of a group from a mended file, too", () => {
  mkdirSync(join(home, "store"));
  const old = new Database(join(home, "store", "messages.db"));
  old.exec(nanoclawTables);
  for (const chat of ["main@g.us", "fam@g.us"]) {
    old.prepare("INSERT INTO chats VALUES (?, ?, NULL)").run(chat, chat);
    for (const n of [1, 2]) {
      old.prepare("INSERT INTO messages VALUES (?, ?, 's', 'Ann', 'hi', ?, 0)").run(`m${n}`, chat, `2026-01-01T00:00:0${n}.000Z`);
    }
  }
  old.close();
  const cursor = "2026-01-01T00:00:01.000Z";
  put("router_state.json", { last_timestamp: cursor, last_agent_timestamp: { "main@g.us": cursor, "fam@g.us": cursor } });
  put("registered_groups.json", main);
  const waiting = () => query("SELECT chat_jid AS chat, message_id AS id FROM hermit_inbox ORDER BY seq");
  start();
  expect(waiting()).toEqual([{ chat: "main@g.us", id: "m2" }]);
  put("registered_groups.json", { "fam@g.us": entry("fam") });
  start();
  expect(waiting()).toEqual([
    { chat: "main@g.us", id: "m2" },
    { chat: "fam@g.us", id: "m2" },
  ]);
});

test("a file that cannot be renamed stops the start, and the next one finds everything as it would have been", () => {
  put("registered_groups.json", main);
  put("sessions.json", { main: 5, fam: null });
  mkdirSync(path("sessions.json.migrated"));
  expect(start).toThrow(expect.objectContaining({ code: "HOME_UNUSABLE", message: expect.stringContaining("Cannot rename") }));
  expect(start).toThrow(expect.objectContaining({ code: "HOME_UNUSABLE" }));
  rmSync(path("sessions.json.migrated"), { recursive: true });
  expect(start()).toHaveLength(1);
  expect(sessions()).toEqual([{ group_folder: "main", session_id: "5.0" }]);
});
