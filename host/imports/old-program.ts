import type { Sqlite } from "../adapters/store-sqlite/open.ts";
import { OLD_MIGRATION, OLD_READS, OLD_START } from "./old-statements.ts";

export interface OldMessage {
  id: string;
  content: string;
  timestamp: string;
}
export interface OldGroup {
  jid: string;
  name: string;
  folder: string;
  requires_trigger: number | null;
}
export interface OldTask {
  id: string;
  group_folder: string;
  next_run: string | null;
}
export type Row = Readonly<Record<string, unknown>>;

/** What NanoClaw makes of its database (contract §3.2–3.4, §5). */
export class OldProgram {
  readonly #db: Sqlite;
  readonly #own: string;
  readonly #trigger: RegExp;
  readonly cursors: Readonly<Record<string, unknown>>;

  /** Opens it as the old program does, adding what is missing. */
  constructor(db: Sqlite, assistantName: string) {
    for (const sql of Object.values(OLD_START)) db.exec(sql);
    addColumn(db);
    this.#db = db;
    this.#own = `${assistantName}:%`;
    this.#trigger = new RegExp(`^@${assistantName.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\b`, "i");
    this.cursors = this.#agentCursors();
  }

  all<Found = Row>(read: keyof typeof OLD_READS, parameters: Row = {}): readonly Found[] {
    return this.#db.prepare(OLD_READS[read]).all(parameters) as Found[];
  }

  /** Empty: not there. */
  state(key: string): string {
    return routerState(this.#db, key);
  }

  cursor(chat: string): string {
    const cursor = this.cursors[chat];
    return typeof cursor === "string" ? cursor : "";
  }

  waiting(chat: string): readonly OldMessage[] {
    return this.all("messages of a chat", { chat, cursor: this.cursor(chat), own: this.#own });
  }

  isOwn(content: string): boolean {
    return this.#db.prepare("SELECT ? LIKE ?").pluck().get(content, this.#own) === 1;
  }

  needsTrigger({ folder, requires_trigger }: OldGroup): boolean {
    return folder !== "main" && requires_trigger !== 0;
  }

  starts(group: OldGroup, messages: readonly OldMessage[]): boolean {
    return messages.length > 0 && (!this.needsTrigger(group) || messages.some(({ content }) => this.#trigger.test(content.trim())));
  }

  #agentCursors(): Record<string, unknown> {
    try {
      return Object(JSON.parse(this.state("last_agent_timestamp") || "{}")) as Record<string, unknown>;
    } catch {
      return {};
    }
  }
}

/** Empty: not there. */
export function routerState(db: Sqlite, key: string): string {
  return (db.prepare(OLD_READS.state).pluck().get({ key }) as string | undefined) ?? "";
}

/** As it does: whatever goes wrong is ignored. */
function addColumn(db: Sqlite): void {
  try {
    db.exec(OLD_MIGRATION);
  } catch {}
}
