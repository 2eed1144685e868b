/** What a host left in its home, read past all of its code: rows, and the text of files. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";

export interface StoredTurn {
  /** 0: no turn began. */
  readonly id: number;
  readonly outcome: string | null;
  readonly error: string | null;
  /** What commands came to, by command. */
  readonly results: ReadonlyMap<string, string>;
  /** Its journal as it is stored. */
  readonly journal: string;
}

/** As a group's row has it. */
export interface RequestedMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readonly: boolean;
}

const NO_TURN: StoredTurn = { id: 0, outcome: null, error: null, results: new Map(), journal: "" };
const FIND_TURN = "SELECT turn_id AS id FROM hermit_journal WHERE kind = 'input' AND instr(body, ?) > 0 ORDER BY turn_id";
const FIND_RUN = "SELECT outcome, error FROM hermit_runs WHERE turn_id = ? ORDER BY id DESC";
const FIND_JOURNAL = "SELECT body FROM hermit_journal WHERE turn_id = ? ORDER BY seq";
const OPEN_REPLIES = "SELECT 1 FROM hermit_outbox WHERE chat_jid = ? AND state IN ('pending', 'sending') LIMIT 1";
const SET_MOUNTS = "UPDATE registered_groups SET container_config = ? WHERE folder = ?";

/** The first turn whose input holds the mark. */
export function seenTurn(home: string, mark: string): StoredTurn {
  return onDatabase(home, true, (database) => {
    const found = database.prepare(FIND_TURN).get(mark) as { id: number } | undefined;
    if (found === undefined) return NO_TURN;
    const run = database.prepare(FIND_RUN).get(found.id) as Pick<StoredTurn, "outcome" | "error"> | undefined;
    const journal = database.prepare(FIND_JOURNAL).pluck().all(found.id) as string[];
    return {
      id: found.id,
      outcome: run?.outcome ?? null,
      error: run?.error ?? null,
      results: resultsIn(journal),
      journal: journal.join("\n"),
    };
  });
}

export function hasOpenReplies(home: string, chat: string): boolean {
  return onDatabase(home, true, (database) => database.prepare(OPEN_REPLIES).get(chat) !== undefined);
}

export function setMounts(home: string, folder: string, mounts: readonly RequestedMount[]): void {
  onDatabase(home, false, (database) => database.prepare(SET_MOUNTS).run(JSON.stringify({ additionalMounts: mounts }), folder));
}

function onDatabase<Result>(home: string, readonly: boolean, ask: (database: Database.Database) => Result): Result {
  const database = new Database(join(home, "store", "messages.db"), { readonly });
  try {
    return ask(database);
  } finally {
    database.close();
  }
}

interface JournalLine {
  readonly kind?: string;
  readonly text?: string;
  readonly toolCallId?: string;
  readonly content?: readonly { readonly type: string; readonly toolCallId: string; readonly input: unknown }[];
}

function resultsIn(journal: readonly string[]): ReadonlyMap<string, string> {
  const commands = new Map<string, string>();
  const results = new Map<string, string>();
  for (const line of journal) {
    const { content, text, toolCallId } = parse(line);
    for (const part of content ?? []) {
      const input = part.input as { command?: string } | null;
      if (part.type === "tool-call") commands.set(part.toolCallId, input?.command ?? JSON.stringify(input));
    }
    const command = toolCallId === undefined ? undefined : commands.get(toolCallId);
    if (command !== undefined && text !== undefined) results.set(command, text);
  }
  return results;
}

function parse(line: string): JournalLine {
  try {
    return JSON.parse(line) as JournalLine;
  } catch {
    return {};
  }
}

/** Empty where it cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** Of all files in it. */
export function readTree(path: string): string {
  try {
    const names = readdirSync(path);
    return names.map((name) => readTree(join(path, name))).join("\n");
  } catch {
    return readText(path);
  }
}
