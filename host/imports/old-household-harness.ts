/** A NanoClaw folder for tests, around the database the real program left: groups, WhatsApp's keys, one conversation, a key of its own. */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { vi } from "vitest";
import { adoptHousehold } from "../cli/adopt.ts";
import { crosscheckDatabase } from "../cli/crosscheck.ts";
import { handHouseholdBack } from "../cli/hand-back.ts";
import type { Channel, Intake, PlatformGroup } from "../ports/channel.ts";

export const RECORDED = join(import.meta.dirname, "..", "..", "fixtures", "golden", "databases", "nanoclaw-1.0.0.db");
/** Of the group `fam` in the recorded database. */
export const SESSION = "22222222-aaaa-4bbb-8ccc-000000000001";
export const KEY = "sk-ant-do-not-copy";

const NAMES = ["chats", "messages", "scheduled_tasks", "task_run_logs", "router_state", "sessions", "registered_groups"] as const;

/** One question with a tool used, and its answer, as Claude Code writes them down. */
const CONVERSATION = [
  { type: "user", uuid: "u1", message: { role: "user", content: "where do the bikes stand?" } },
  {
    type: "assistant",
    uuid: "a1",
    message: { id: "m1", content: [{ type: "tool_use", id: "t1", name: "Bash", input: { command: "cat bikes" } }] },
  },
  { type: "user", uuid: "u2", message: { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "in the shed" }] } },
  { type: "assistant", uuid: "a2", message: { id: "m2", content: [{ type: "text", text: "In the shed behind the house." }] } },
].map((line) => JSON.stringify({ ...line, timestamp: "2026-03-01T10:00:00.000Z", isSidechain: false }));

export class OldHousehold implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "hermit-old-"));
  readonly path = join(this.root, "nanoclaw");
  /** Of the household's owner: nothing of the machine's is read. */
  readonly ownersFolder = join(this.root, "owner");
  home = join(this.root, "home");

  /** `like`: a copy of this one, adopted or not, which takes less time than adopting. */
  constructor(like?: OldHousehold) {
    if (like !== undefined) {
      cpSync(like.root, this.root, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
      const record = join(this.home, "adoption.json");
      writeFileSync(record, readFileSync(record, "utf8").replaceAll(like.root, this.root));
      return;
    }
    this.write("groups/fam/CLAUDE.md", "# Family\n");
    this.write("groups/fam/logs/container.log", "a run\n");
    this.write("groups/main/notes/list.txt", "milk\n");
    this.write("groups/global/CLAUDE.md", "# Everybody\n");
    this.write("store/auth/creds.json", "{}");
    this.write("store/auth/session-1.json", "[1]");
    this.write(".env", `ANTHROPIC_API_KEY=${KEY}\n# OLD=1\nexport TZ="Europe/Berlin"\n`);
    this.transcript(CONVERSATION.join("\n"));
    copyFileSync(RECORDED, this.database);
    mkdirSync(this.ownersFolder);
  }

  get database(): string {
    return join(this.path, "store", "messages.db");
  }

  get auth(): string {
    return join(this.path, "store", "auth");
  }

  write(path: string, content: string | Buffer): string {
    const whole = join(this.path, path);
    mkdirSync(dirname(whole), { recursive: true });
    writeFileSync(whole, content);
    return whole;
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), "utf8");
  }

  transcript(text: string): void {
    this.write(`data/sessions/fam/.claude/projects/-workspace-group/${SESSION}.jsonl`, text);
  }

  /** Of the old database, before it is taken over. */
  sql(text: string): void {
    const db = new Database(this.database);
    db.exec(text);
    db.close();
  }

  adopt(options: { readonly dryRun?: boolean; readonly json?: boolean } = {}): Promise<string> {
    return told(this.ownersFolder, () => adoptHousehold({ home: this.home, folder: this.path, ...options }));
  }

  handBack(options: { readonly dryRun?: boolean; readonly json?: boolean; readonly folder?: string } = {}): Promise<string> {
    return told(this.ownersFolder, () => handHouseholdBack({ home: this.home, ...options }));
  }

  /** Of the old database, or of the one in the home. */
  async crosscheck(
    options: { readonly json?: boolean; readonly database?: string } = {},
  ): Promise<{ readonly said: string; readonly exitCode: number }> {
    let exitCode = -1;
    const said = await told(this.ownersFolder, async () => {
      exitCode = await crosscheckDatabase({ home: this.home, database: this.path, ...options });
    });
    return { said, exitCode };
  }

  copyOf(path: string): string {
    const copy = join(this.root, `copy of ${path}`);
    rmSync(copy, { recursive: true, force: true });
    cpSync(join(this.root, path), copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    return copy;
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Owns every chat; keeps what it is given. */
export class AnyChannel implements Channel {
  readonly id = "any";
  readonly delivery = "idempotent";
  readonly delivered: string[] = [];
  #intake: Intake | undefined;
  owns = (): boolean => true;
  connect = async (intake: Intake): Promise<void> => {
    this.#intake = intake;
  };
  deliver = async ({ chat, text }: { chat: string; text: string }): Promise<void> => {
    this.delivered.push(`${chat}: ${text}`);
  };
  listGroups = async (): Promise<readonly PlatformGroup[]> => [{ chat: "fam@g.us", name: "Family" }];
  close = async (): Promise<void> => {};

  says(chat: string, text: string, at: number): void {
    const timestamp = new Date(at).toISOString();
    this.#intake?.accept({ id: `${chat} ${at}`, chat, sender: "s@x", senderName: "Ann", text, timestamp, isFromMe: false });
  }
}

/** What the command says, on standard output and error. */
async function told(ownersFolder: string, command: () => Promise<void>): Promise<string> {
  const said: string[] = [];
  const spies = [process.stdout, process.stderr].map((stream) =>
    vi.spyOn(stream, "write").mockImplementation((text) => {
      said.push(String(text));
      return true;
    }),
  );
  vi.stubEnv("HOME", ownersFolder);
  try {
    await command();
  } finally {
    vi.unstubAllEnvs();
    for (const spy of spies) spy.mockRestore();
  }
  return said.join("");
}

/** Everything below a folder: kind, mode, time and content. */
export function listing(folder: string): Readonly<Record<string, string>> {
  const entries = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name): [string, string] => {
    const path = join(folder, name);
    const stat = lstatSync(path, { bigint: true });
    const content = stat.isSymbolicLink()
      ? readlinkSync(path)
      : stat.isFile()
        ? createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 12)
        : "";
    return [name, `${stat.mode} ${stat.isDirectory() ? "" : stat.mtimeNs} ${content}`];
  });
  return Object.fromEntries(entries);
}

type Tables = Readonly<Record<(typeof NAMES)[number], readonly Readonly<Record<string, unknown>>[]>>;

/** All rows of NanoClaw's tables. */
export function tablesOf(database: string): Tables {
  const db = new Database(database, { readonly: true });
  try {
    return Object.fromEntries(NAMES.map((name) => [name, db.prepare(`SELECT * FROM ${name} ORDER BY 1, 2`).all()])) as unknown as Tables;
  } finally {
    db.close();
  }
}

/** How NanoClaw's tables and indexes are made. */
export function shapeOf(database: string): readonly unknown[] {
  const db = new Database(database, { readonly: true });
  try {
    const all = db.prepare("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").all() as {
      name: string;
      tbl_name: string;
    }[];
    return all.filter(({ tbl_name }) => (NAMES as readonly string[]).includes(tbl_name));
  } finally {
    db.close();
  }
}
