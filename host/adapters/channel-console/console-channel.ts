/**
 * Console channel: standard input in, replies out.
 *
 * Promise: a line is accepted (on disk) or reported, in order; a reply is in the delivery journal before it is shown, and
 * there once, however often it is delivered. What is shown may repeat after a crash, the journal never does.
 * interactive: a person at a terminal. lines: a message a line, plain replies. jsonl: contracts/wire/console.ts both ways.
 * Elsewhere: what a line means (arrivals.ts), holding back while the inbox is full (intake-feed.ts).
 */
import type { Readable, Writable } from "node:stream";
import type { ConsoleReply } from "../../../contracts/wire/console.ts";
import { HostError } from "../../domain/errors.ts";
import type { Channel, Intake, OutboundReply } from "../../ports/channel.ts";
import type { Clock } from "../../ports/clock.ts";
import { ArrivalReader, CHAT_PREFIX, chatForPeople, MAIN_CHAT } from "./arrivals.ts";
import { loadHistory, saveHistory } from "./command-history.ts";
import { DeliveryJournal, replyLine } from "./delivery-journal.ts";
import { type InputLine, IntakeFeed } from "./intake-feed.ts";
import { LineSplitter, MAX_LINE_BYTES } from "./line-splitter.ts";
import { ReplyOutput } from "./reply-output.ts";
import { Terminal } from "./terminal.ts";
import { neutralise } from "./terminal-text.ts";

export interface ConsoleOptions {
  /** Destroyed by `close` in the modes lines and jsonl. */
  readonly input: Readable;
  readonly output: Writable;
  /** Reports, a line each. In interactive mode they appear above the prompt instead. */
  readonly errors: Writable;
  readonly mode: "interactive" | "lines" | "jsonl";
  /** Created 0600, its folder 0700. No other process may write it. */
  readonly journalPath: string;
  readonly clock: Clock;
  /** Every line is a message of this group, and replies to it come here. Absent: console chats of our own. */
  readonly group?: { readonly chat: string; readonly folder: string };
  /** Interactive only. */
  readonly color: boolean;
  readonly assistantName: string;
  /** Interactive only; absent: history lasts as long as the process. */
  readonly historyPath?: string;
  /** Who says what is typed; JSONL lines name their sender themselves. */
  readonly userName: string;
}

export interface ConsoleChannel extends Channel {
  /**
   * Settles when no more input will be accepted: it is exhausted and every line accepted or reported, or `close` was called.
   * Rejects with the StoreError `accept` threw, or with HostError INPUT_MALFORMED where the input could not be read.
   */
  readonly ended: Promise<{ readonly refused: number }>;
}

export function createConsoleChannel(options: ConsoleOptions): ConsoleChannel {
  return new Console(options);
}

class Console implements ConsoleChannel {
  readonly id = "console";
  readonly delivery = "idempotent";
  readonly ended: Promise<{ readonly refused: number }>;
  readonly #options: ConsoleOptions;
  readonly #end = Promise.withResolvers<{ readonly refused: number }>();
  readonly #closing = new AbortController();
  readonly #output: ReplyOutput;
  readonly #errors: ReplyOutput;
  #connecting = false;
  /** Set by `connect`; while it is undefined nothing can be delivered. */
  #journal: DeliveryJournal | undefined;
  #terminal: Terminal | undefined;
  #feeding: Promise<void> = Promise.resolve();
  /** The last delivery begun; each waits for the one before. Never rejects. */
  #lastDelivery: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor(options: ConsoleOptions) {
    this.#options = options;
    this.#output = new ReplyOutput(
      options.output,
      () => void this.#report("nobody reads the replies any more (standard output is closed); they are kept in the delivery journal only"),
    );
    this.#errors = new ReplyOutput(options.errors, () => undefined);
    this.ended = this.#end.promise;
    // Not everybody waits for the end; those who do still see the rejection.
    this.ended.catch(() => undefined);
  }

  owns(chat: string): boolean {
    return chat.startsWith(CHAT_PREFIX);
  }

  /** Rejects with HostError HOME_UNUSABLE where the journal cannot be opened. */
  async connect(intake: Intake): Promise<void> {
    if (this.#connecting || this.#closed !== undefined) throw new Error("A console channel connects once.");
    this.#connecting = true;
    const journal = await DeliveryJournal.open(this.#options.journalPath);
    if (this.#closed !== undefined) {
      await journal.close();
      throw new HostError("HOST_STOPPING", "The console was closed while it connected.");
    }
    this.#journal = journal;
    if (journal.cutBytes > 0) void this.#report(`the delivery journal ended in half a line; ${journal.cutBytes} bytes were cut off`);
    const lines = this.#options.mode === "interactive" ? this.#typedLines(await this.#openTerminal()) : this.#streamedLines();
    const feed = new IntakeFeed({
      intake,
      clock: this.#options.clock,
      closing: this.#closing.signal,
      report: (line) => this.#report(line),
    });
    this.#feeding = feed.run(lines).then(
      () => this.#end.resolve({ refused: feed.refused }),
      (error: unknown) => {
        this.#stopReading();
        this.#end.reject(error);
      },
    );
  }

  deliver(reply: OutboundReply): Promise<void> {
    const journal = this.#journal;
    if (journal === undefined || this.#closed !== undefined) {
      const state = this.#closed === undefined ? "not connected yet" : "closed";
      return Promise.reject(
        new HostError("DELIVERY_FAILED", `The console is ${state}.`, { hint: "The reply is kept and offered again.", retryable: true }),
      );
    }
    const delivery = this.#lastDelivery.then(async () => {
      const { id, text } = reply;
      const shown = { id, chat: chatForPeople(reply.chat), text };
      if (!journal.has(id)) await journal.append(shown);
      await this.#show(shown, reply.chat);
    });
    this.#lastDelivery = delivery.catch(() => undefined);
    return delivery;
  }

  typing(chat: string, on: boolean): void {
    if (chat === this.#ownChat) this.#terminal?.showTyping(on);
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown();
    return this.#closed;
  }

  async #shutDown(): Promise<void> {
    this.#closing.abort();
    this.#stopReading();
    await this.#feeding;
    this.#end.resolve({ refused: 0 });
    await this.#lastDelivery;
    await this.#journal?.close();
    const { historyPath } = this.#options;
    if (this.#terminal !== undefined && historyPath !== undefined) {
      await saveHistory(historyPath, this.#terminal.history).catch((error: Error) =>
        this.#report(`the history was not saved: ${error.message}`),
      );
    }
  }

  get #ownChat(): string {
    return this.#options.group?.chat ?? MAIN_CHAT;
  }

  async #openTerminal(): Promise<Terminal> {
    const { input, output, color, assistantName, historyPath } = this.#options;
    const history = historyPath === undefined ? [] : await loadHistory(historyPath);
    this.#terminal = new Terminal({ input, output, color, assistantName, history });
    if (this.#closed !== undefined) this.#terminal.close();
    return this.#terminal;
  }

  async *#typedLines(terminal: Terminal): AsyncGenerator<InputLine> {
    const reader = this.#arrivalReader();
    let number = 0;
    for await (const line of terminal.lines()) yield { number: ++number, content: reader.plain(line) };
  }

  async *#streamedLines(): AsyncGenerator<InputLine> {
    const reader = this.#arrivalReader();
    const read =
      this.#options.mode === "jsonl" ? (line: Buffer) => reader.json(line) : (line: Buffer) => reader.plain(line.toString("utf8"));
    const splitter = new LineSplitter();
    for await (const chunk of this.#chunks()) {
      for (const line of splitter.push(chunk)) {
        const content = line.bytes === undefined ? { problem: `is longer than ${MAX_LINE_BYTES} bytes and was dropped` } : read(line.bytes);
        yield { number: line.number, content };
      }
    }
    for (const line of splitter.end()) if (line.bytes !== undefined) yield { number: line.number, content: read(line.bytes) };
  }

  async *#chunks(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of this.#options.input) yield typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    } catch (cause) {
      // Our own `close` destroys the input, which readers see as a premature end.
      if (this.#closing.signal.aborted) return;
      throw new HostError("INPUT_MALFORMED", `The input could not be read: ${cause instanceof Error ? cause.message : String(cause)}.`, {
        hint: "Give the messages as a file or a pipe.",
        cause,
      });
    }
  }

  #arrivalReader(): ArrivalReader {
    return new ArrivalReader({ now: () => this.#options.clock.now(), userName: this.#options.userName, group: this.#options.group });
  }

  #stopReading(): void {
    if (this.#options.mode === "interactive") this.#terminal?.close();
    else this.#options.input.destroy();
  }

  async #show(reply: ConsoleReply, chat: string): Promise<void> {
    if (this.#terminal !== undefined) {
      if (!this.#output.isGone) this.#terminal.showReply(reply.text, chat === this.#ownChat ? undefined : reply.chat);
    } else if (this.#options.mode === "jsonl") await this.#output.write(replyLine(reply));
    else {
      // A file or a pipe gets every byte; a terminal, standard input being a pipe or not, must not be driven by a reply.
      const text = isTerminal(this.#options.output) ? neutralise(reply.text) : reply.text;
      await this.#output.write(text.endsWith("\n") ? text : `${text}\n`);
    }
  }

  async #report(line: string): Promise<void> {
    if (this.#terminal !== undefined && !this.#output.isGone) this.#terminal.showNotice(`console: ${line}`);
    else await this.#errors.write(`console: ${line}\n`);
  }
}

function isTerminal(stream: Writable): boolean {
  return "isTTY" in stream && stream.isTTY === true;
}
