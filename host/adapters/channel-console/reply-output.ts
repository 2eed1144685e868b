import type { Writable } from "node:stream";

/**
 * A stream whose reader may go away at any time. That is no fault of ours and must not end the host: from then on what is
 * written is dropped.
 */
export class ReplyOutput {
  readonly #stream: Writable;
  readonly #onGone: () => void;
  /** Writes under way: a destroyed stream does not always call back for them. */
  readonly #waiting = new Set<() => void>();
  #gone = false;

  /** `onGone` is called once, when the reader is first found to be gone. */
  constructor(stream: Writable, onGone: () => void) {
    this.#stream = stream;
    this.#onGone = onGone;
    // Never removed: an EPIPE may arrive after the channel has closed, and without a listener it would end the process.
    stream.on("error", () => this.#lose());
    stream.on("close", () => {
      // With nothing under way this may be an orderly end; the next write, if there is one, finds out.
      if (this.#waiting.size > 0) this.#lose();
    });
  }

  get isGone(): boolean {
    return this.#gone;
  }

  /** Resolves when the stream has taken the text, or its reader is gone. Waits for a slow reader; never rejects. */
  async write(text: string): Promise<void> {
    if (!this.#gone && (this.#stream.destroyed || this.#stream.writableEnded)) this.#lose();
    if (this.#gone) return;
    await new Promise<void>((resolve) => {
      this.#waiting.add(resolve);
      this.#stream.write(text, (error) => {
        if (error) this.#lose();
        this.#waiting.delete(resolve);
        resolve();
      });
    });
  }

  #lose(): void {
    if (this.#gone) return;
    this.#gone = true;
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
    this.#onGone();
  }
}
