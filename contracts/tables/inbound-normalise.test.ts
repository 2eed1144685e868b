/** From what WhatsApp sends to what is stored: each row through the normaliser and the real store. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as z from "zod";
import { normalise, type WhatsAppUpdate } from "../../host/adapters/channel-whatsapp/normalise.ts";
import { openStore } from "../../host/adapters/store-sqlite/index.ts";
import type { Group } from "../../host/domain/group.ts";
import { formatMessages } from "../../host/domain/prompt.ts";
import { startsTurn } from "../../host/domain/trigger.ts";
import type { Store } from "../../host/ports/store.ts";
import { readTable, wrongRows } from "./table.ts";

const Update = z.custom<WhatsAppUpdate>((value) => typeof value === "object" && value !== null && "key" in value);

const inbound = readTable("inbound-normalise", {
  in: z.strictObject({
    registered: z.array(z.string()),
    ownAccount: z.strictObject({ phone: z.string(), lid: z.string() }),
    lidDirectory: z.record(z.string(), z.string()),
    updates: z.array(Update),
  }),
  out: z.strictObject({
    chats: z.array(z.strictObject({ jid: z.string(), name: z.string(), last_message_time: z.string() })),
    messages: z.array(
      z.strictObject({
        id: z.string(),
        chat_jid: z.string(),
        sender: z.string(),
        sender_name: z.string(),
        content: z.string(),
        timestamp: z.string(),
        is_from_me: z.number(),
      }),
    ),
  }),
});
type Given = (typeof inbound.rows)[number]["in"];

const NOW = Date.UTC(2026, 2, 2, 9, 0, 5);

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-inbound-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function receive(store: Store, { registered, ownAccount, lidDirectory, updates }: Given): void {
  for (const [n, chat] of registered.entries()) {
    store.registerGroup({ chat, name: chat, folder: `g${n}`, trigger: "@Andy", requiresTrigger: false }, NOW);
  }
  const phones = new Map([[ownAccount.lid, ownAccount.phone], ...Object.entries(lidDirectory)]);
  for (const update of updates) {
    const message = normalise(update, { now: NOW, phoneOf: (lid) => phones.get(lid) });
    if (message !== undefined) store.accept(message, { now: NOW, replyVia: null });
  }
}

test("updates are stored as recorded: chats by their time, messages of registered chats by their words", () => {
  expect(
    wrongRows(inbound, (given, { id }) => {
      const rowHome = join(home, id);
      const store = openStore(rowHome);
      receive(store, given);
      store.close();
      const db = new Database(join(rowHome, "store", "messages.db"), { readonly: true });
      const all = (table: string): unknown[] => db.prepare(`SELECT * FROM ${table} ORDER BY rowid`).all();
      const found = { chats: all("chats"), messages: all("messages") };
      db.close();
      return found;
    }),
  ).toEqual([]);
});

test("what is stored without words waits as context and starts no turn, also where no trigger is needed", () => {
  const wordless = inbound.rows.filter(({ out }) => out.messages.length > 0 && out.messages.every(({ content }) => content === ""));
  const store = openStore(home);
  const registered = ["fam@g.us"];
  for (const [n, { in: given, id }] of wordless.entries()) {
    const updates = given.updates.map((update) => ({ ...update, key: { ...update.key, id } }));
    receive(store, { ...given, registered: n === 0 ? registered : [], updates });
  }
  expect(store.waiting("g0")).toBe(wordless.length);
  expect(wordless.length).toBeGreaterThan(10);
  const starts = (group: Group, texts: readonly string[]): boolean => startsTurn(group, texts, "Andy");
  expect(store.claimTurn("g0", { now: NOW, maxMessages: 100, maxBytes: 1e6, starts, format: formatMessages })).toBeUndefined();
  store.close();
});
