/** What of a NanoClaw home's messages still has to be answered, and what one stored fact does to another. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as z from "zod";
import { openStore } from "../../host/adapters/store-sqlite/index.ts";
import { nanoclawTables } from "../../host/adapters/store-sqlite/migrations/0001-nanoclaw.ts";
import type { Store } from "../../host/ports/store.ts";
import { readTable, wrongRows } from "./table.ts";

const Stored = z.strictObject({
  id: z.string(),
  chat_jid: z.string(),
  sender: z.string(),
  sender_name: z.string(),
  content: z.string(),
  timestamp: z.string(),
  is_from_me: z.boolean(),
});
type Stored = z.infer<typeof Stored>;

const cursorQueries = readTable("cursor-queries", {
  in: z.strictObject({ stored: z.array(Stored), cursor: z.string(), registered: z.array(z.string()) }),
  out: z.strictObject({
    new: z.array(z.tuple([z.string(), z.string()])),
    newCursor: z.string(),
    since: z.record(z.string(), z.array(z.string())),
  }),
});

const ownPrefix = readTable("own-prefix-filter", {
  in: z.strictObject({ assistantName: z.string(), content: z.string() }),
  out: z.strictObject({ candidate: z.boolean() }),
  correct: z.strictObject({ candidate: z.boolean(), unless: z.string() }),
});

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-tables-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Ids of what a group's next turn would take, oldest first. */
function taken(store: Store, folder: string): string[] {
  const turn = store.claimTurn(folder, {
    now: 0,
    maxMessages: 1_000,
    maxBytes: 1e9,
    starts: () => true,
    format: (messages) => JSON.stringify(messages.map(({ id }) => id)),
  });
  const input = turn?.journal[0];
  return input?.kind === "input" ? (JSON.parse(input.text) as string[]) : [];
}

test("a NanoClaw database opened for the first time has the recorded messages waiting, and no other", () => {
  let n = 0;
  expect(
    wrongRows(cursorQueries, ({ stored, cursor, registered }, { out }) => {
      const rowHome = join(home, String(n++));
      writeOldHome(rowHome, stored, cursor, registered);
      const store = openStore(rowHome);
      const since = Object.fromEntries(registered.map((chat) => [chat, taken(store, folderOf(chat))]));
      store.close();
      // Compared for registered chats: the old program asks for others too, but never does anything with the answer.
      const recorded = Object.fromEntries(registered.map((chat) => [chat, out.since[chat]]));
      return sameBySecond(since, recorded, stored) ? out : { ...out, since };
    }),
  ).toEqual([]);
});

test("what a person writes is a candidate, whoever's name it begins with", () => {
  const store = openStore(home);
  store.registerGroup({ chat: "fam@g.us", name: "Fam", folder: "fam", trigger: "@Andy", requiresTrigger: false }, 0);
  expect(
    wrongRows(ownPrefix, ({ content }, { id, verdict, correct }) => {
      const message = { id, chat: "fam@g.us", sender: "s@x", senderName: "Ann", text: content, timestamp: "2026-01-01T00:00:00.000Z" };
      store.accept({ ...message, isFromMe: true }, { now: 0, replyVia: null });
      const candidate = taken(store, "fam").includes(id);
      finishTurn(store);
      return verdict === "defect" ? { ...correct, candidate } : { candidate };
    }),
  ).toEqual([]);
  store.close();
});

const Chat = z.strictObject({ jid: z.string(), name: z.string(), last_message_time: z.unknown() });
const Registered = z.strictObject({
  name: z.string(),
  folder: z.string(),
  trigger: z.string(),
  added_at: z.string(),
  requiresTrigger: z.boolean().optional(),
  containerConfig: z.unknown().optional(),
});

const storeSemantics = readTable("store-semantics", {
  in: z.strictObject({
    ops: z.array(
      z.union([
        z.tuple([z.literal("meta"), z.string(), z.string()]),
        z.tuple([z.literal("meta"), z.string(), z.string(), z.string()]),
        z.tuple([z.literal("name"), z.string(), z.string()]),
        z.tuple([z.literal("msg"), z.strictObject({ id: z.string(), chat_jid: z.string(), content: z.string().optional() })]),
        z.tuple([z.literal("group"), z.string(), Registered]),
        z.tuple([z.enum(["session", "state"]), z.string(), z.string()]),
      ]),
    ),
  }),
  out: z.strictObject({
    error: z.string().nullable(),
    chatsNewestFirst: z.array(Chat),
    messages: z.array(z.strictObject({ id: z.string(), chat_jid: z.string(), content: z.string() })),
    registered: z.record(z.string(), Registered),
    sessions: z.record(z.string(), z.string()),
    state: z.strictObject({ k: z.string().nullable() }),
  }),
  correct: z.string(),
});
type Semantics = (typeof storeSemantics.rows)[number];

/** Rows about what our store has no operation for, with the reason. */
const NO_OPERATION: Record<string, string> = {
  "store-semantics-0010": "a message is stored together with its chat; there is no way to store it alone",
  "store-semantics-0017": "registering a chat again",
  "store-semantics-0020": "mounts and timeout of a group",
  "store-semantics-0023": "router_state is written by its own two operations only",
  "store-semantics-0024": "router_state is written by its own two operations only",
};

test("stored facts have the recorded effect on each other; a folder clash is refused and loses nobody", () => {
  const covered = { ...storeSemantics, rows: storeSemantics.rows.filter(({ id }) => NO_OPERATION[id] === undefined) };
  expect(covered.rows.length + Object.keys(NO_OPERATION).length).toBe(storeSemantics.rows.length);
  expect(
    wrongRows(covered, (_given, row) => {
      const rowHome = join(home, row.id);
      const store = openStore(rowHome);
      const refused = applyOps(store, row.in.ops);
      store.close();
      const found = dump(rowHome);
      if (row.verdict !== "defect") return { ...row.out, error: refused, ...found };
      const first = row.in.ops.find((op) => op[0] === "group");
      return refused === "GROUP_TAKEN" && first !== undefined && first[1] in found.registered ? row.correct : found;
    }),
  ).toEqual([]);
});

/** Later than every recorded time. */
const NAMED_AT = Date.UTC(2026, 5, 1);

function applyOps(store: Store, ops: Semantics["in"]["ops"]): string | null {
  for (const op of ops) {
    const message = { sender: "s@x", senderName: "Ann", isFromMe: false, timestamp: "2026-01-01T00:00:01.000Z", text: "", id: "none" };
    if (op[0] === "meta") {
      store.accept({ ...message, chat: op[1], timestamp: op[2] }, { now: 0, replyVia: null });
      // A message brings no name of its chat here: a platform that knows one lists it.
      if (op[3] !== undefined) store.nameChats([{ chat: op[1], name: op[3] }], NAMED_AT);
    } else if (op[0] === "name") store.nameChats([{ chat: op[1], name: op[2] }], NAMED_AT);
    else if (op[0] === "msg") {
      const { id, chat_jid: chat, content: text = "" } = op[1];
      const register = { chat, name: chat, folder: folderOf(chat), trigger: "@Andy", requiresTrigger: true };
      store.accept({ ...message, id, chat, text }, { now: 0, replyVia: null, register });
    } else if (op[0] === "group") {
      const { name, folder, trigger, added_at, requiresTrigger = true } = op[2] as z.infer<typeof Registered>;
      try {
        store.registerGroup({ chat: op[1], name, folder, trigger, requiresTrigger }, Date.parse(added_at));
      } catch (error) {
        return (error as { code: string }).code;
      }
    } else throw new Error(`the store has no ${op[0]}`);
  }
  return null;
}

function dump(rowHome: string): Pick<Semantics["out"], "chatsNewestFirst" | "messages" | "registered"> {
  const db = new Database(join(rowHome, "store", "messages.db"), { readonly: true });
  try {
    const chats = db.prepare("SELECT * FROM chats ORDER BY last_message_time DESC, jid").all() as z.infer<typeof Chat>[];
    const messages = db.prepare("SELECT id, chat_jid, content FROM messages ORDER BY rowid").all() as Semantics["out"]["messages"];
    const groups = db
      .prepare("SELECT jid, name, folder, trigger_pattern AS trigger, added_at, requires_trigger FROM registered_groups")
      .all() as (z.infer<typeof Registered> & { jid: string; requires_trigger: number })[];
    // Storing a message registers its chat here; the old program was told to store it whoever had registered what.
    const shown = groups.filter(({ jid }) => !messages.some(({ chat_jid }) => chat_jid === jid));
    return {
      chatsNewestFirst: chats.map((chat) =>
        chat.last_message_time === new Date(NAMED_AT).toISOString() ? { ...chat, last_message_time: { $time: "last_message_time" } } : chat,
      ),
      messages,
      registered: Object.fromEntries(
        shown.map(({ jid, requires_trigger, ...group }) => [jid, { ...group, requiresTrigger: requires_trigger === 1 }]),
      ),
    };
  } finally {
    db.close();
  }
}

function folderOf(chat: string): string {
  return chat.replace(/\W/g, "-");
}

function finishTurn(store: Store): void {
  const run = store.runs().at(-1);
  if (run === undefined || run.endedAt !== null) return;
  const figures = { firstTokenAt: null, steps: 0, toolCalls: 0, inputTokens: 0, outputTokens: 0 };
  store.finishTurn(run.turnId, { runId: run.id, reply: "", figures, now: 0 });
}

/** A home as the old program leaves it: its own tables, written in order of arrival, an id stored twice being replaced. */
function writeOldHome(rowHome: string, stored: readonly Stored[], cursor: string, registered: readonly string[]): void {
  mkdirSync(join(rowHome, "store"), { recursive: true });
  const db = new Database(join(rowHome, "store", "messages.db"));
  db.exec(nanoclawTables);
  db.transaction(() => {
    const chats = new Set([...registered, ...stored.map(({ chat_jid }) => chat_jid)]);
    for (const chat of chats) db.prepare("INSERT INTO chats VALUES (?, ?, NULL)").run(chat, chat);
    const store = db.prepare(
      "INSERT OR REPLACE INTO messages VALUES (@id, @chat_jid, @sender, @sender_name, @content, @timestamp, @is_from_me)",
    );
    for (const message of stored) store.run({ ...message, is_from_me: message.is_from_me ? 1 : 0 });
    const register = db.prepare("INSERT INTO registered_groups VALUES (?, ?, ?, '@Andy', '2026-01-01T00:00:00.000Z', NULL, 1)");
    for (const chat of registered) register.run(chat, chat, folderOf(chat));
    const cursors = Object.fromEntries(registered.map((chat) => [chat, cursor]));
    db.prepare("INSERT INTO router_state VALUES ('last_agent_timestamp', ?)").run(JSON.stringify(cursors));
  })();
  db.close();
}

/** Order inside one second is free. */
function sameBySecond(
  got: Record<string, readonly string[]>,
  wanted: Record<string, readonly string[] | undefined>,
  stored: readonly Stored[],
): boolean {
  const second = (chat: string, id: string): string => stored.findLast((one) => one.chat_jid === chat && one.id === id)?.timestamp ?? "";
  return Object.entries(got).every(([chat, ids]) => {
    const list = wanted[chat] ?? [];
    const times = (all: readonly string[]): string[] => all.map((id) => second(chat, id));
    return JSON.stringify(ids.toSorted()) === JSON.stringify(list.toSorted()) && JSON.stringify(times(ids)) === JSON.stringify(times(list));
  });
}
