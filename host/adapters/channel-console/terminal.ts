/**
 * The interactive console: a prompt that keeps what is being typed while replies appear above it.
 *
 * node:readline does the editing. It redraws from where it believes its prompt begins, `prevRows` above the cursor: we write
 * text there and let it draw the prompt anew below. The typing indicator is the first line of a two-line prompt, so that
 * readline itself erases it.
 */
import { clearScreenDown, createInterface, cursorTo, type Interface, type Key, moveCursor } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { MAX_HISTORY_LINES } from "./command-history.ts";
import { neutralise } from "./terminal-text.ts";

export interface TerminalOptions {
  readonly input: Readable;
  readonly output: Writable;
  readonly color: boolean;
  readonly assistantName: string;
  /** Newest first. */
  readonly history: string[];
}

/**
 * What we need of readline beyond its documentation: rows between the top of its prompt and the cursor, as it last drew
 * them. Text pasted over the edge of the screen leaves it wrong (Node 24), which is why we set it wherever it matters.
 */
type RowKeeper = Interface & { prevRows: number };

const STYLES = { prompt: "36", name: "1;32", faint: "2" } as const;

export class Terminal {
  readonly #options: TerminalOptions;
  readonly #readline: RowKeeper;
  readonly #lines: AsyncIterable<string>;
  #history: readonly string[];
  #isTyping = false;
  #isClosing = false;
  /** Set when readline has closed, for whatever reason. */
  #closed = false;

  constructor(options: TerminalOptions) {
    this.#options = options;
    this.#history = options.history;
    const { input, output, history } = options;
    this.#readline = createInterface({
      input,
      output,
      terminal: true,
      history,
      historySize: MAX_HISTORY_LINES,
      removeHistoryDuplicates: true,
    }) as RowKeeper;
    // Before anything can be typed: lines that come before somebody asks for them wait inside, and many of them pause the input.
    this.#lines = this.#readline[Symbol.asyncIterator]() as AsyncIterable<string>;
    this.#readline.on("history", (entries) => {
      this.#history = [...entries];
    });
    this.#readline.on("line", () => this.#drawPrompt(this.#isTyping));
    this.#readline.on("SIGINT", () => this.#interrupt());
    this.#readline.once("close", () => this.#finish());
    // A hung-up terminal ends or fails with EIO. Ahead of readline, which would send what is half typed, or throw.
    input.prependListener("end", () => this.close());
    input.prependListener("error", () => this.close());
    this.#readline.on("error", () => undefined);
    input.prependListener("data", () => this.#countRows());
    input.prependListener("keypress", (_text: string | undefined, key: Key) => this.#beforeKey(key));
    this.#drawPrompt(false);
  }

  /** Typed lines; ends with Ctrl-D or Ctrl-C on an empty line, or when the terminal is gone. */
  async *lines(): AsyncGenerator<string> {
    try {
      for await (const line of this.#lines) yield line;
    } catch {
      // Reading a terminal fails only when it is gone.
    }
  }

  /** Newest first. */
  get history(): readonly string[] {
    return this.#history;
  }

  /** `from` names the chat where it is not the one typed into. */
  showReply(text: string, from?: string): void {
    this.#isTyping = false;
    const origin = from === undefined ? "" : this.#styled(`[${neutralise(from)}] `, "faint");
    this.#above(`${origin}${this.#styled(`${neutralise(this.#options.assistantName)}:`, "name")} ${neutralise(text).trimEnd()}`);
  }

  showNotice(text: string): void {
    this.#above(this.#styled(neutralise(text), "faint"));
  }

  showTyping(on: boolean): void {
    if (this.#closed || on === this.#isTyping) return;
    this.#isTyping = on;
    this.#countRows();
    this.#drawPrompt(on);
  }

  close(): void {
    // Leaving raw mode on a terminal that is gone is an error event, which comes back here.
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#readline.close();
  }

  /** Ahead of readline's own listener. */
  #beforeKey(key: Key): void {
    const isEnter = key.name === "return" || key.name === "enter";
    if (!isEnter && !key.ctrl && !key.meta && !key.sequence?.startsWith("\u001b") && key.name !== "backspace") return;
    this.#countRows();
    // The line about to be sent stays on the screen, but as it is (what is pasted into the middle of a line readline draws over
    // what follows), and without the indicator above it.
    if (isEnter) this.#drawPrompt(false);
  }

  #above(text: string): void {
    const { output } = this.#options;
    if (this.#closed) return void output.write(`${text}\n`);
    this.#erasePrompt();
    output.write(`${text}\n`);
    this.#drawPrompt(this.#isTyping);
  }

  /** Draws the prompt, with or without the indicator, around what is being typed. */
  #drawPrompt(withIndicator: boolean): void {
    if (this.#closed) return;
    const indicator = withIndicator ? `${this.#styled(`… ${neutralise(this.#options.assistantName)} is typing`, "faint")}\n` : "";
    this.#readline.setPrompt(`${indicator}${this.#styled(">", "prompt")} `);
    this.#readline.prompt(true);
  }

  /** Leaves the cursor where the prompt began. */
  #erasePrompt(): void {
    const { output } = this.#options;
    moveCursor(output, 0, -this.#readline.getCursorPos().rows);
    cursorTo(output, 0);
    clearScreenDown(output);
    this.#readline.prevRows = 0;
  }

  #countRows(): void {
    if (!this.#closed) this.#readline.prevRows = this.#readline.getCursorPos().rows;
  }

  #interrupt(): void {
    if (this.#readline.line === "") return this.close();
    this.#readline.write(null, { ctrl: true, name: "e" });
    this.#readline.write(null, { ctrl: true, name: "u" });
  }

  #finish(): void {
    this.#closed = true;
    const { output } = this.#options;
    // Whatever is written next, a shell's prompt perhaps, begins on its own line, and nobody is typing any more.
    if (this.#isTyping) this.#erasePrompt();
    else output.write("\n");
  }

  #styled(text: string, style: keyof typeof STYLES): string {
    return this.#options.color ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text;
  }
}
