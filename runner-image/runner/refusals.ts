/** What commands were refused outside, for whoever ran them: git, npm and curl show a status and hide the sentence. */

/** More different ones than this in one command are counted. */
const MAX_LINES = 5;
const MAX_CHARS = 240;
/** The place was not reached: nothing forbids it. */
const NOT_REACHED = new Set([502, 504]);

export class Refusals {
  readonly #lines = new Set<string>();
  #more = 0;

  note(status: number, sentence: string): void {
    const line = `[egress ${NOT_REACHED.has(status) ? "failed" : "refused"}: ${onOneLine(sentence)}]`;
    if (this.#lines.has(line)) return;
    if (this.#lines.size < MAX_LINES) this.#lines.add(line);
    else this.#more++;
  }

  /** Those since it was last asked, oldest first, each once. */
  take(): readonly string[] {
    const lines = [...this.#lines, ...(this.#more === 0 ? [] : [`[egress: and ${this.#more} more]`])];
    this.#lines.clear();
    this.#more = 0;
    return lines;
  }
}

/** A sentence repeats names the sandbox made up. */
function onOneLine(sentence: string): string {
  const line = sentence.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return line.length <= MAX_CHARS ? line : `${line.slice(0, MAX_CHARS - 1)}…`;
}
