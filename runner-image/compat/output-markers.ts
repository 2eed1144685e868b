/**
 * NanoClaw's output protocol (contract §7.3): an output is one JSON value between two marker lines on standard output; whatever
 * stands outside is noise. A marker counts as a whole line only, so a text that mentions one breaks nothing.
 */
import { StringDecoder } from "node:string_decoder";
import { SessionId } from "../../contracts/wire/turn.ts";

const START = "---NANOCLAW_OUTPUT_START---";
const END = "---NANOCLAW_OUTPUT_END---";
/** Characters of one output, far above what the host takes as a reply; a larger one counts as an error of the agent's. */
const MAX_OUTPUT_CHARS = 1024 * 1024;
const TOO_LARGE = { status: "error", error: `An output of the agent was larger than ${MAX_OUTPUT_CHARS} characters.` };

export class OutputMarkers {
  readonly #onOutput: (output: unknown) => void;
  readonly #decoder = new StringDecoder("utf8");
  /** The unfinished line; undefined: already too long to be one of ours. */
  #line: string | undefined = "";
  /** What stands since the start marker; undefined outside. */
  #body: string | undefined;
  #isTooLarge = false;

  constructor(onOutput: (output: unknown) => void) {
    this.#onOutput = onOutput;
  }

  push(chunk: Buffer): void {
    this.#take(this.#decoder.write(chunk));
  }

  /** The stream has ended: what has no line break at its end is a line all the same. */
  end(): void {
    this.#take(`${this.#decoder.end()}\n`);
  }

  #take(text: string): void {
    const [first = "", ...rest] = text.split("\n");
    this.#hold(first);
    for (const piece of rest) {
      this.#endLine(this.#line?.replace(/\r$/, ""));
      this.#line = "";
      this.#hold(piece);
    }
  }

  #hold(piece: string): void {
    if (this.#line !== undefined) this.#line = this.#line.length + piece.length > MAX_OUTPUT_CHARS ? undefined : this.#line + piece;
  }

  #endLine(line: string | undefined): void {
    if (this.#body === undefined) {
      if (line === START) this.#body = "";
    } else if (line === END) {
      const output = this.#isTooLarge ? TOO_LARGE : parseOrUndefined(this.#body);
      this.#body = undefined;
      this.#isTooLarge = false;
      if (output !== undefined) this.#onOutput(output);
    } else {
      this.#isTooLarge ||= line === undefined || this.#body.length + line.length > MAX_OUTPUT_CHARS;
      if (!this.#isTooLarge) this.#body += `${line}\n`;
    }
  }
}

function parseOrUndefined(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

export interface Output {
  readonly isError: boolean;
  /** Undefined: it said nothing. */
  readonly text: string | undefined;
  /** What the agent calls its conversation; undefined: it names none, or none that can be named on the wire. */
  readonly session: string | undefined;
  readonly error: string;
}

/** What an output means; undefined: nothing. A result that is no text is shown as JSON, as it always was (contract §3.4). */
export function readOutput(value: unknown): Output | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { status, result, newSessionId, error } = value as Record<string, unknown>;
  return {
    isError: status === "error",
    text: typeof result === "string" && result !== "" ? result : result ? JSON.stringify(result) : undefined,
    session: SessionId.safeParse(newSessionId).data,
    error: typeof error === "string" && error !== "" ? error : "The agent reported an error.",
  };
}
