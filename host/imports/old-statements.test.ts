/** Our wording of NanoClaw's statements does what the program itself was seen to do, its faults included: the recordings as they are. */
import Database from "better-sqlite3";
import { expect, test } from "vitest";
import * as z from "zod";
import { readTable } from "../../contracts/tables/table.ts";
import { OldProgram } from "./old-program.ts";
import { OLD_READS, OLD_WRITES } from "./old-statements.ts";

const Any = z.looseObject({});
type Rows = readonly Record<string, unknown>[];

/** What is not as recorded. */
function unlike<In>(name: string, In: z.ZodType<In>, ask: (given: In) => Record<string, unknown>): readonly unknown[] {
  const { rows } = readTable(name, { in: In, out: Any, correct: z.unknown() });
  return rows.flatMap(({ id, in: given, out }) => {
    const got = ask(given);
    return JSON.stringify(got) === JSON.stringify(out) ? [] : [{ id, got, out }];
  });
}

test("messages that are new, and those a chat's agent has not been given", () => {
  const Given = z.object({
    stored: z.array(z.object({ id: z.string(), chat_jid: z.string(), content: z.string(), timestamp: z.string() })),
    cursor: z.string(),
    registered: z.array(z.string()),
  });
  const { rows } = readTable("cursor-queries", { in: Given.loose() as unknown as typeof Given, out: Any });
  const byTime = (found: Rows): string[] => found.map(({ timestamp, chat_jid, id }) => `${timestamp} ${chat_jid} ${id}`).toSorted();
  expect(rows).toHaveLength(44);
  for (const { id, in: given, out } of rows) {
    const db = new Database(":memory:");
    const old = new OldProgram(db, "Andy");
    for (const chat of new Set(given.stored.map(({ chat_jid }) => chat_jid))) db.prepare(OLD_WRITES["chat seen"]).run({ chat, at: "" });
    const store = db.prepare(OLD_WRITES["message stored"]);
    for (const { id: message, chat_jid: chat, content: text, timestamp: at } of given.stored)
      store.run({ id: message, chat, text, at, sender: "", name: "", fromMe: 0 });
    const found = old.all("new messages", { cursor: given.cursor, chats: JSON.stringify(given.registered), own: "Andy:%" });
    const chats = Object.keys(out["since"] as object);
    const since = Object.fromEntries(
      chats.map((chat) => [chat, old.all("messages of a chat", { chat, cursor: given.cursor, own: "Andy:%" })]),
    );
    // Order inside one second is free.
    const expected = (pairs: Rows): string[] =>
      byTime(
        pairs.map(({ chat_jid, id: message }) => given.stored.findLast((one) => one.chat_jid === chat_jid && one.id === message) ?? {}),
      );
    expect(byTime(found), id).toEqual(
      expected((out["new"] as [string, string][]).map(([chat_jid, message]) => ({ chat_jid, id: message }))),
    );
    for (const [chat, ids] of Object.entries(out["since"] as Record<string, string[]>)) {
      expect(byTime(since[chat] ?? []), id).toEqual(expected(ids.map((message) => ({ chat_jid: chat, id: message }))));
    }
    expect((found.at(-1)?.["timestamp"] ?? given.cursor) as string, id).toBe(out["newCursor"]);
    db.close();
  }
});

test("what one stored fact does to another", () => {
  const wrong = unlike("store-semantics", z.object({ ops: z.array(z.array(z.any())) }), ({ ops }) => {
    const db = new Database(":memory:");
    const old = new OldProgram(db, "Andy");
    let error: string | null = null;
    try {
      for (const op of ops) apply(db, op as [string, ...unknown[]]);
    } catch (thrown) {
      error = (thrown as { code: string }).code;
    }
    const chats = old
      .all("chats")
      .map((chat) => ({ ...chat, ...(chat["last_message_time"] === NOW ? { last_message_time: { $time: "last_message_time" } } : {}) }));
    const groups = old
      .all<Record<string, string | number | null>>("groups")
      .map(({ jid, name, folder, trigger_pattern, added_at, container_config, requires_trigger }) => [
        String(jid),
        {
          name,
          folder,
          trigger: trigger_pattern,
          added_at,
          ...(container_config === null ? {} : { containerConfig: JSON.parse(String(container_config)) as unknown }),
          requiresTrigger: requires_trigger === 1,
        },
      ]);
    return {
      error,
      chatsNewestFirst: chats,
      messages: db.prepare("SELECT id, chat_jid, content FROM messages ORDER BY rowid").all(),
      registered: Object.fromEntries(groups) as unknown,
      sessions: Object.fromEntries(
        old.all<{ group_folder: string; session_id: string }>("sessions").map((row) => [row.group_folder, row.session_id]),
      ),
      state: { k: db.prepare(OLD_READS.state).pluck().get({ key: "k" }) ?? null },
    };
  });
  expect(wrong).toEqual([]);
});

const NOW = "2026-06-01T00:00:00.000Z";

function apply(db: Database.Database, [op, ...args]: [string, ...unknown[]]): void {
  const write = (name: keyof typeof OLD_WRITES, values: object): void => void db.prepare(OLD_WRITES[name]).run(values);
  const [key, value, more] = args;
  if (op === "meta") write(more ? "chat seen with its name" : "chat seen", { chat: key, at: value, name: more });
  else if (op === "name") write("chat named", { chat: key, name: value, at: NOW });
  else if (op === "msg") {
    const { id, chat_jid: chat, content: text = "" } = key as Record<string, string>;
    write("message stored", { id, chat, text, sender: "", name: "", at: NOW, fromMe: 0 });
  } else if (op === "group") {
    const { name, folder, trigger, added_at: at, requiresTrigger = true, containerConfig } = value as Record<string, unknown>;
    const config = containerConfig === undefined ? null : JSON.stringify(containerConfig);
    write("group registered", { chat: key, name, folder, trigger, at, config, needsTrigger: requiresTrigger === true ? 1 : 0 });
  } else if (op === "session") write("session kept", { folder: key, value });
  else write("state kept", { key, value });
}

test("which messages are its own, and which match its trigger", () => {
  const Given = z.object({ assistantName: z.string(), content: z.string() });
  const programs = new Map<string, OldProgram>();
  const program = (name: string): OldProgram => {
    const known = programs.get(name) ?? new OldProgram(new Database(":memory:"), name);
    programs.set(name, known);
    return known;
  };
  expect(
    unlike("own-prefix-filter", Given, ({ assistantName, content }) => ({ candidate: !program(assistantName).isOwn(content) })),
  ).toEqual([]);
  const group = { jid: "g", name: "g", folder: "g", requires_trigger: 1 };
  const starts = ({ assistantName, content }: z.infer<typeof Given>) => ({
    trigger: program(assistantName).starts(group, [{ id: "m", content, timestamp: "" }]),
  });
  expect(unlike("trigger", Given, starts)).toEqual([]);
});
