/**
 * State that NanoClaw kept in JSON files before it had tables for it, and that its set-up still hands over that way (contract §1):
 * `data/router_state.json`, `data/sessions.json`, `data/registered_groups.json`.
 *
 * Order: read and check; then into the tables, in one transaction with the notice about what could not be taken over; only then the
 * files are renamed. Cut off in between, the next start does the same again, which changes nothing. A file that cannot be read stays
 * where it is, one with bad entries loses only those, and the main group is told of each once.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod";
import { StoreError } from "../../domain/errors.ts";
import { isValidFolder, MAIN_FOLDER } from "../../domain/group.ts";
import { notice } from "../../domain/notice.ts";
import type { Sqlite } from "./open.ts";
import { outboxTable } from "./outbox.ts";
import { routerState } from "./router-state.ts";

type Entries = readonly (readonly [key: string, value: unknown])[];

export interface StateFile {
  readonly name: (typeof NAMES)[number];
  readonly path: string;
  /** Epoch milliseconds; a file mended in vain is told of again. */
  readonly writtenAt: number;
  /** A string says why it has none. */
  readonly entries: Entries | string;
}

export interface JsonImport {
  /** Chats that were not registered before. */
  readonly registered: readonly string[];
  /** A sentence for each file that was not taken over whole: what is missing, what to do. */
  readonly warnings: readonly { readonly file: string; readonly text: string }[];
}

interface Target {
  readonly takesOver: boolean;
  readonly registered: string[];
}

const NAMES = ["registered_groups.json", "sessions.json", "router_state.json"] as const;
const MIGRATED = ".migrated";
/** Of the entries left out, in one notice. */
const NAMED_ENTRIES = 5;
const KEY_LENGTH = 80;

/** Compared as text, so one that is no time could hide every message. Empty: nothing was seen yet. */
const Cursor = z.union([z.literal(""), z.iso.datetime()]);
/** A number becomes what SQLite makes of it in a column of text, `5.0` of 5, as recorded. */
const SessionId = z.union([z.string().min(1), z.number()]);
const RegisteredGroup = z.object({
  name: z.string(),
  folder: z.string().refine(isValidFolder),
  trigger: z.string(),
  added_at: z.string(),
  containerConfig: z.looseObject({}).nullish(),
  requiresTrigger: z.boolean().default(true),
});

/** The files that are there. Changes nothing, never throws on what they hold. `home`: absolute path. */
export function readJsonState(home: string): readonly StateFile[] {
  return NAMES.flatMap((name) => {
    const path = join(home, "data", name);
    try {
      const stats = statSync(path, { throwIfNoEntry: false });
      if (stats === undefined) return [];
      return [{ name, path, writtenAt: stats.mtimeMs, entries: stats.isFile() ? readEntries(path, name) : "it is not a file" }];
    } catch (error) {
      return [{ name, path, writtenAt: 0, entries: `it cannot be read (${(error as NodeJS.ErrnoException).code})` }];
    }
  });
}

function readEntries(path: string, name: StateFile["name"]): Entries | string {
  const bytes = readFileSync(path);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return "it is not JSON, perhaps because only half of it was written";
  }
  // `null` holds nothing, and a list of sessions counts by position: both as recorded.
  const isObject = typeof value === "object" && (!Array.isArray(value) || name === "sessions.json");
  return isObject ? Object.entries(value ?? {}) : "it does not hold a JSON object";
}

/**
 * Into the tables, inside a transaction of the caller. `takesOver`: the database has been NanoClaw's alone so far. Later on our own
 * sessions are the newer ones, and a file brings only those that are missing.
 */
export function importJsonState(
  db: Sqlite,
  files: readonly StateFile[],
  { takesOver, now }: { takesOver: boolean; now: number },
): JsonImport {
  const registered: string[] = [];
  const importers = { "registered_groups.json": importGroups, "sessions.json": importSessions, "router_state.json": importCursors };
  const warnings = files.flatMap((file) => {
    const { name, entries } = file;
    if (typeof entries === "string") return [{ file, text: leftText(name, entries) }];
    const bad = importers[name](db, entries, { takesOver, registered });
    return bad.length === 0 ? [] : [{ file, text: partlyText(name, bad) }];
  });
  // Who is main may have stood in one of the files.
  for (const { file, text } of warnings) tellOnce(db, file, text, now);
  return { registered, warnings: warnings.map(({ file, text }) => ({ file: file.path, text })) };
}

/**
 * After the commit: nothing is taken over twice. Throws HOME_UNUSABLE where a file cannot be renamed, because a later start would put
 * its state over what is newer by then.
 */
export function setAside(files: readonly StateFile[]): void {
  const done = files.filter(({ entries }) => typeof entries !== "string");
  for (const { path } of done) {
    try {
      renameSync(path, path + MIGRATED);
    } catch (cause) {
      throw new StoreError("HOME_UNUSABLE", `Cannot rename ${path} to ${path}${MIGRATED}: ${(cause as Error).message}.`, {
        cause,
        hint: "Mend the folder's permissions and start again; what the file holds is in the database already.",
      });
    }
  }
  if (done[0] === undefined) return;
  const folder = openSync(dirname(done[0].path), "r");
  fsyncSync(folder);
  closeSync(folder);
}

/** What is registered already gets what the file says; only a chat keeps its folder and a folder its chat. */
function importGroups(db: Sqlite, entries: Entries, { registered }: Target): readonly string[] {
  const folderOf = db.prepare("SELECT folder FROM registered_groups WHERE jid = ?").pluck();
  const chatOf = db.prepare("SELECT jid FROM registered_groups WHERE folder = ?").pluck();
  const put = db.prepare("INSERT OR REPLACE INTO registered_groups VALUES (?, ?, ?, ?, ?, ?, ?)");
  return entries.flatMap(([chat, value]) => {
    const parsed = RegisteredGroup.safeParse(value);
    if (!parsed.success) return [`${quoted(chat)} (no usable ${String(parsed.error.issues[0]?.path[0] ?? "entry")})`];
    const { name, folder, trigger, added_at, containerConfig, requiresTrigger } = parsed.data;
    const folderNow = folderOf.get(chat) as string | undefined;
    if (folderNow !== undefined && folderNow !== folder) return [`${quoted(chat)} (it is registered in the folder ${folderNow})`];
    const chatNow = chatOf.get(folder) as string | undefined;
    if (chatNow !== undefined && chatNow !== chat) return [`${quoted(chat)} (the folder ${folder} belongs to ${quoted(chatNow)})`];
    const config = containerConfig == null ? null : JSON.stringify(containerConfig);
    put.run(chat, name, folder, trigger, added_at, config, requiresTrigger ? 1 : 0);
    if (folderNow === undefined) registered.push(chat);
    return [];
  });
}

function importSessions(db: Sqlite, entries: Entries, { takesOver }: Target): readonly string[] {
  const put = db.prepare(`INSERT OR ${takesOver ? "REPLACE" : "IGNORE"} INTO sessions (group_folder, session_id) VALUES (?, ?)`);
  return entries.flatMap(([folder, value]) => {
    const session = SessionId.safeParse(value);
    if (session.success) put.run(folder, session.data);
    return session.success ? [] : [`${quoted(folder)} (no usable session id)`];
  });
}

/** A cursor is never taken back: what it has passed was answered. */
function importCursors(db: Sqlite, entries: Entries): readonly string[] {
  const cursors = routerState(db);
  const { last_timestamp: seen = "", last_agent_timestamp: given = {} } = Object.fromEntries(entries);
  const bad: string[] = [];
  const raise = (key: string, value: unknown, put: (timestamp: string) => void): void => {
    const cursor = Cursor.safeParse(value);
    if (cursor.success) put(cursor.data);
    else bad.push(`${quoted(key)} (no time)`);
  };
  raise("last_timestamp", seen, cursors.seen);
  if (typeof given !== "object" || given === null) bad.push('"last_agent_timestamp" (no JSON object)');
  else {
    if (entries.some(([key]) => key === "last_agent_timestamp")) cursors.begin();
    for (const [chat, value] of Object.entries(given)) raise(chat, value, (timestamp) => cursors.given(chat, timestamp));
  }
  return bad;
}

function leftText(name: string, why: string): string {
  return `data/${name} could not be taken over: ${why}. It was left as it is. Mend it or delete it, then start the host again.`;
}

function partlyText(name: string, bad: readonly string[]): string {
  const more = bad.length > NAMED_ENTRIES ? `, and ${bad.length - NAMED_ENTRIES} more` : "";
  const list = `${bad.slice(0, NAMED_ENTRIES).join(", ")}${more}`;
  return `data/${name} was taken over without ${list}. The whole file is kept as data/${name}${MIGRATED}. Write what is missing, corrected, into a new data/${name} and start the host again.`;
}

/** The log hears of it at each start, the main group once. Without a main group nobody was told, so a later start tries again. */
function tellOnce(db: Sqlite, { name, writtenAt }: StateFile, text: string, now: number): void {
  const main = db.prepare("SELECT jid FROM registered_groups WHERE folder = ?").pluck().get(MAIN_FOLDER) as string | undefined;
  const [key, told] = [`told:${name}`, `${writtenAt} ${text}`];
  if (main === undefined || db.prepare("SELECT value FROM hermit_meta WHERE key = ?").pluck().get(key) === told) return;
  db.prepare("INSERT OR REPLACE INTO hermit_meta VALUES (?, ?)").run(key, told);
  outboxTable(db).put({ turnId: null, effect: null, chat: main, replyVia: null, text: notice(text), now });
}

function quoted(key: string): string {
  return JSON.stringify(key.length > KEY_LENGTH ? `${key.slice(0, KEY_LENGTH)}…` : key);
}
