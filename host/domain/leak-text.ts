/** Text on its way in pieces, as a model streams it: a LeakStream for strings. */
import type { Found, LeakStream } from "./leak-scanner.ts";

/** The first half of a character that UTF-16 writes as two; pieces are cut anywhere. */
const HALF_AT_END = /[\uD800-\uDBFF]$/;

export class LeakText {
  readonly #stream: LeakStream;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #half = "";

  constructor(stream: LeakStream) {
    this.#stream = stream;
  }

  get found(): readonly Found[] {
    return this.#stream.found;
  }

  /** What may be shown of it and of what came before. */
  push(piece: string): string {
    const text = this.#half + piece;
    this.#half = HALF_AT_END.exec(text)?.[0] ?? "";
    const whole = this.#half === "" ? text : text.slice(0, -1);
    return this.#decoder.decode(this.#stream.push(Buffer.from(whole)), { stream: true });
  }

  end(): string {
    const rest = this.push("") + this.#decoder.decode(this.#stream.end(), { stream: true });
    const half = this.#half;
    this.#half = "";
    return rest + half;
  }
}
