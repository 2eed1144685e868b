/** A home folder for one test: what the host left in it, and nothing left of it afterwards. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import Database from "better-sqlite3";
import { removeSandboxesOf } from "./engine.ts";

const FILE_MS = 30_000;

export interface Reply {
  readonly id: string;
  readonly chat: string;
  readonly text: string;
}

/** A row of hermit_runs with its turn's group and state. Times are epoch milliseconds. */
export interface RunRecord {
  readonly group: string;
  readonly turn: number;
  readonly turnState: string;
  readonly attempt: number;
  readonly outcome: string | null;
  readonly error: string | null;
  readonly startedAt: number;
  readonly firstTokenAt: number | null;
  readonly endedAt: number | null;
}

export class TemporaryHome implements AsyncDisposable {
  /** Short: the link's sockets live below it. */
  readonly path = mkdtempSync(join(tmpdir(), "hermit-acc-"));
  readonly #mounted: string[] = [];

  get database(): string {
    return join(this.path, "store", "messages.db");
  }

  get controlSocket(): string {
    return join(this.path, "run", "control.sock");
  }

  configure(toml: string): void {
    writeFileSync(join(this.path, "hermit.toml"), toml);
  }

  /** The group's folder, made beforehand where the host has not been here yet. */
  workspace(folder: string): string {
    const path = join(this.path, "groups", folder);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Resolves when a command in the sandbox of `folder` has made the file. */
  async fileIn(folder: string, name: string): Promise<void> {
    await fileAppears(join(this.workspace(folder), name));
  }

  /** Makes an empty file that a command in the sandbox waits for. */
  letGo(folder: string, name: string): void {
    writeFileSync(join(this.workspace(folder), name), "");
  }

  /** Puts a small file system of its own over `below` (default: the whole home). Needs root. */
  mountSmallDisk(sizeBytes: number, below = "."): string {
    if (process.getuid?.() !== 0) throw new Error("This test mounts a small disk: run it as root.");
    const path = join(this.path, below);
    mkdirSync(path, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes},mode=700`, "tmpfs", path]);
    this.#mounted.push(path);
    return path;
  }

  /** What the console has said so far, oldest first. */
  journal(): readonly Reply[] {
    return parseReplies(this.journalText());
  }

  journalText(): string {
    const path = join(this.path, "console", "journal.jsonl");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** The label value of this home's containers; undefined where no host has been here. */
  instance(): string | undefined {
    if (!existsSync(this.database)) return undefined;
    return this.#query<{ value: string }>("SELECT value FROM hermit_meta WHERE key = 'instance'")[0]?.value;
  }

  runs(): readonly RunRecord[] {
    return this.#query<RunRecord>(
      `SELECT t.group_folder AS "group", t.id AS turn, t.state AS turnState, r.attempt, r.outcome, r.error, r.started_at AS startedAt,
              r.first_token_at AS firstTokenAt, r.ended_at AS endedAt
       FROM hermit_runs r JOIN hermit_turns t ON t.id = r.turn_id ORDER BY r.id`,
    );
  }

  /** Ids of accepted messages that no turn has taken. */
  waiting(): readonly string[] {
    const rows = this.#query<{ id: string }>("SELECT message_id AS id FROM hermit_inbox WHERE turn_id IS NULL AND refused = 0");
    return rows.map(({ id }) => id);
  }

  /** What the host left in its folder for sockets and links. */
  runtimeLeftovers(): readonly string[] {
    const path = join(this.path, "run");
    return existsSync(path) ? readdirSync(path) : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const instance = this.instance();
    if (instance !== undefined) await removeSandboxesOf(instance);
    for (const path of this.#mounted.toReversed()) execFileSync("umount", ["--lazy", path]);
    rmSync(this.path, { recursive: true, force: true });
  }

  #query<Row>(sql: string): Row[] {
    const db = new Database(this.database, { readonly: true });
    try {
      return db.prepare(sql).all() as Row[];
    } finally {
      db.close();
    }
  }
}

export function parseReplies(jsonl: string): readonly Reply[] {
  const lines = jsonl.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Reply);
}

/** Its folder must exist. */
async function fileAppears(path: string): Promise<void> {
  const appeared = Promise.withResolvers<void>();
  const look = (): void => {
    if (existsSync(path)) appeared.resolve();
  };
  const watcher = watch(dirname(path), look);
  const timer = setTimeout(() => appeared.reject(new Error(`no ${basename(path)} after ${FILE_MS / 1000} s`)), FILE_MS);
  look();
  try {
    await appeared.promise;
  } finally {
    clearTimeout(timer);
    watcher.close();
  }
}
