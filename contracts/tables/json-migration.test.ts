/** What a start makes of NanoClaw's JSON state files: each row on a real folder, opened by the real store as often as recorded. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { openStore } from "../../host/adapters/store-sqlite/index.ts";
import { readTable, wrongRows } from "./table.ts";

const Registered = z.strictObject({
  jid: z.string(),
  name: z.string(),
  folder: z.string(),
  trigger_pattern: z.string(),
  added_at: z.string(),
  container_config: z.string().nullable(),
  requires_trigger: z.number(),
});

const jsonMigration = readTable("json-migration", {
  in: z.strictObject({ dataFiles: z.record(z.string(), z.unknown()), starts: z.int() }),
  out: z.strictObject({
    startFails: z.string().nullable(),
    router_state: z.array(z.strictObject({ key: z.string(), value: z.string() })),
    sessions: z.array(z.strictObject({ group_folder: z.string(), session_id: z.string() })),
    registered_groups: z.array(Registered),
    dataFilesAfter: z.array(z.string()),
  }),
  correct: z.string(),
});
type Out = (typeof jsonMigration.rows)[number]["out"];

const plain = { trigger_pattern: "@Andy", added_at: "2026-01-01T00:00:00.000Z", container_config: null, requires_trigger: 1 };

/** Where a row differs: why, what holds instead, and what the log says of it. */
const OTHERWISE: Record<string, { readonly why: string; readonly out: Partial<Out>; readonly said: RegExp }> = {
  "json-migration-0006": {
    why: "defect: of two chats with one folder the first is registered, the second reported",
    out: { registered_groups: [{ jid: "a@g.us", name: "A", folder: "same", ...plain }] },
    said: /registered_groups\.json was taken over without "b@g\.us" \(the folder same belongs to "a@g\.us"\)/,
  },
  "json-migration-0035": {
    why: "the old start failed at the first entry, with the file renamed already; here a bad entry costs itself only",
    out: { registered_groups: [{ jid: "b@g.us", name: "B", folder: "b", ...plain }] },
    said: /without "a@g\.us" \(no usable trigger\)/,
  },
  "json-migration-0036": {
    why: "defect: a bad entry does not stop the start",
    out: { startFails: null },
    said: /sessions\.json was taken over without "main" \(no usable session id\)/,
  },
};

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-json-"));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

test("the old JSON state goes into the tables as recorded, and its files aside", () => {
  const differing = new Set<string>();
  expect(
    wrongRows(jsonMigration, ({ dataFiles, starts }, { id, out, correct }) => {
      const { found, said } = start(join(home, id), dataFiles, starts);
      const otherwise = OTHERWISE[id];
      if (otherwise === undefined) return found;
      differing.add(id);
      expect(found, otherwise.why).toEqual({ ...out, ...otherwise.out });
      expect(said, otherwise.why).toMatch(otherwise.said);
      return correct ?? out;
    }),
  ).toEqual([]);
  expect([...differing].toSorted()).toEqual(Object.keys(OTHERWISE));
});

function start(rowHome: string, dataFiles: Readonly<Record<string, unknown>>, starts: number): { found: Out; said: string } {
  const data = join(rowHome, "data");
  mkdirSync(data, { recursive: true });
  for (const [name, content] of Object.entries(dataFiles)) {
    writeFileSync(join(data, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  const said: string[] = [];
  for (let n = 0; n < starts; n++) openStore(rowHome, { log: { warn: (_fields, text) => said.push(text) } }).close();
  const db = new Database(join(rowHome, "store", "messages.db"), { readonly: true });
  const all = <Row>(table: string): Row[] => db.prepare(`SELECT * FROM ${table} ORDER BY rowid`).all() as Row[];
  const tables = {
    router_state: all<Out["router_state"][number]>("router_state"),
    sessions: all<Out["sessions"][number]>("sessions"),
    registered_groups: all<Out["registered_groups"][number]>("registered_groups"),
  };
  db.close();
  return { found: { startFails: null, ...tables, dataFilesAfter: readdirSync(data).toSorted() }, said: said.join("\n") };
}
