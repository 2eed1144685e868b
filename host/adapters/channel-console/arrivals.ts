/**
 * What a line of input means: a message and how its chat is to be met, or what is wrong with it.
 *
 * Console chats are `console:<name>`. Plain lines belong to `console:main`, a JSONL line names its own. With a group given,
 * every line is a message of that group, whatever chat it names, and nothing is registered.
 */
import { randomBytes } from "node:crypto";
import { isUtf8 } from "node:buffer";
import { ConsoleLine } from "../../../contracts/wire/console.ts";
import { MAIN_FOLDER } from "../../domain/group.ts";
import type { InboundMessage } from "../../domain/message.ts";
import type { ArrivalOptions } from "../../ports/channel.ts";
import { quotable } from "./terminal-text.ts";

export const CHAT_PREFIX = "console:";
export const MAIN_CHAT = `${CHAT_PREFIX}${MAIN_FOLDER}`;

/** The chat as people wrote it. Chats of other channels, met through a given group, keep their full id. */
export function chatForPeople(chat: string): string {
  return chat.startsWith(CHAT_PREFIX) ? chat.slice(CHAT_PREFIX.length) : chat;
}

export interface Arrival {
  readonly message: InboundMessage;
  readonly options: ArrivalOptions;
}

export interface Problem {
  /** One line, safe to print. */
  readonly problem: string;
}

export interface ArrivalOrigin {
  readonly now: () => number;
  readonly userName: string;
  readonly group: { readonly chat: string; readonly folder: string } | undefined;
}

export class ArrivalReader {
  readonly #origin: ArrivalOrigin;
  /** Together with the counter: no id of any process is ever met again. */
  readonly #process = randomBytes(6).toString("hex");
  #counter = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(origin: ArrivalOrigin) {
    this.#origin = origin;
  }

  /** Undefined: a blank line. Bytes that are no UTF-8 become U+FFFD: a person typed this, most of it can be read. */
  plain(line: string): Arrival | undefined {
    if (line.trim() === "") return undefined;
    const ms = this.#tick();
    const { userName } = this.#origin;
    const id = `console-${ms}-${++this.#counter}-${this.#process}`;
    return this.#arrival(MAIN_FOLDER, { id, sender: userName, text: line, timestamp: new Date(ms).toISOString() });
  }

  /** Undefined: a blank line. */
  json(bytes: Buffer): Arrival | Problem | undefined {
    if (!isUtf8(bytes)) return { problem: "is not valid UTF-8" };
    const line = bytes.toString("utf8");
    if (line.trim() === "") return undefined;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      return { problem: `is not valid JSON${jsonFault(error)}` };
    }
    const parsed = ConsoleLine.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const path = issue === undefined || issue.path.length === 0 ? "" : `"${issue.path.join(".")}": `;
      return { problem: quotable(`is not a message: ${path}${issue?.message ?? "wrong shape"}`) };
    }
    const { id, chat, sender, text, ts } = parsed.data;
    // The store keeps UTF-8, where all lone surrogates look alike: two ids could become one. In text they are just a blemish.
    if (!id.isWellFormed() || !chat.isWellFormed()) return { problem: 'is not a message: "id" or "chat" holds half a character' };
    const timestamp = ts === undefined ? new Date(this.#tick()).toISOString() : utcTimestamp(ts);
    if (timestamp === undefined) return { problem: 'is not a message: "ts" is no point in time between the years 0 and 9999' };
    return this.#arrival(chat, { id, sender: sender.toWellFormed(), text: text.toWellFormed(), timestamp });
  }

  #arrival(name: string, said: Pick<InboundMessage, "id" | "sender" | "text" | "timestamp">): Arrival {
    const { group } = this.#origin;
    const message = { ...said, chat: group?.chat ?? `${CHAT_PREFIX}${name}`, senderName: said.sender, isFromMe: false };
    if (group !== undefined) return { message, options: { replyHere: true } };
    const folder = name === MAIN_FOLDER ? { folder: MAIN_FOLDER } : {};
    return { message, options: { register: { ...folder, name, requiresTrigger: false } } };
  }

  /** Now, but later than every time given out before: the order of messages is read from their timestamps. */
  #tick(): number {
    this.#lastMs = Math.max(Math.floor(this.#origin.now()), this.#lastMs + 1);
    return this.#lastMs;
  }
}

/** Undefined where the instant has no four-digit year in UTC: such a text would not sort with the others. */
function utcTimestamp(ts: string): string | undefined {
  const date = new Date(ts);
  if (Number.isNaN(date.getTime())) return undefined;
  const text = date.toISOString();
  return /^\d{4}-/.test(text) ? text : undefined;
}

/** The parser's own words without the piece of the input it quotes: reports end up in logs, messages must not. */
function jsonFault(error: unknown): string {
  return error instanceof SyntaxError ? `: ${quotable(error.message.replace(/, (?:\.{3})?"[\s\S]*$/, ""))}` : "";
}
