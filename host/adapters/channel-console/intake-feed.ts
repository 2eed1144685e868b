/**
 * Intake feed: offers lines to the host one at a time, in their order.
 *
 * Promise: every line is accepted, or reported and counted as refused; none is skipped in silence. While the inbox is full
 * the feed holds one message and asks for no further line, which in turn stops the reading of the input.
 */
import { setImmediate as nextLoopTurn } from "node:timers/promises";
import { describeError, RefusedError } from "../../domain/errors.ts";
import type { Intake, Receipt } from "../../ports/channel.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Arrival, Problem } from "./arrivals.ts";
import { quotable } from "./terminal-text.ts";

/** Short enough that a person does not notice, long enough to cost nothing while an inbox of a thousand messages is worked off. */
const RETRY_MS = 100;

/** One line of input: a message, something wrong, or blank (undefined). */
export interface InputLine {
  readonly number: number;
  readonly content: Arrival | Problem | undefined;
}

export interface IntakeFeedOptions {
  readonly intake: Intake;
  readonly clock: Clock;
  /** Aborted: the host closes the channel. */
  readonly closing: AbortSignal;
  /** Resolves when the line is written; the feed reads on only then, so that reports cannot pile up. Must not reject. */
  readonly report: (line: string) => Promise<void>;
}

export class IntakeFeed {
  readonly #options: IntakeFeedOptions;
  #refused = 0;

  constructor(options: IntakeFeedOptions) {
    this.#options = options;
  }

  /** Lines refused and reported so far. */
  get refused(): number {
    return this.#refused;
  }

  /** Resolves when the lines are exhausted or the channel closes. Rejects with whatever `accept` threw that is no refusal. */
  async run(lines: AsyncIterable<InputLine>): Promise<void> {
    for await (const { number, content } of lines) {
      if (this.#options.closing.aborted) return;
      if (content === undefined) continue;
      if ("problem" in content) await this.#refuse(number, content.problem);
      else await this.#offer(number, content);
      // Accepting is synchronous and waits for the disk: without this a long input would starve the turns already running.
      await nextLoopTurn();
    }
  }

  async #offer(number: number, arrival: Arrival): Promise<void> {
    const { intake, clock, closing } = this.#options;
    while (!closing.aborted) {
      try {
        const problem = unaccepted(intake.accept(arrival.message, arrival.options));
        if (problem !== undefined) await this.#refuse(number, problem);
        return;
      } catch (error) {
        if (!(error instanceof RefusedError)) throw error;
        if (error.code !== "INBOX_FULL") return await this.#refuse(number, `was refused: ${describeError(error)}`);
        await this.#untilClosing((resume) => clock.setTimer(RETRY_MS, resume));
      }
    }
    await this.#refuse(number, "was not accepted before the host stopped; it and everything after it is left out");
  }

  async #refuse(number: number, problem: string): Promise<void> {
    this.#refused++;
    const reported = this.#options.report(`input line ${number} ${quotable(problem)}`);
    await this.#untilClosing((resume) => {
      void reported.then(resume);
      return undefined;
    });
  }

  /** Waits for what `begin` starts, or for the channel to close; a timer still armed then is cancelled. */
  #untilClosing(begin: (resume: () => void) => Timer | undefined): Promise<void> {
    const { closing } = this.#options;
    if (closing.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        closing.removeEventListener("abort", done);
        timer?.cancel();
        resolve();
      };
      closing.addEventListener("abort", done);
      const timer = begin(done);
    });
  }
}

function unaccepted(receipt: Receipt): string | undefined {
  if (receipt === "refused") return "was refused: the message is larger than allowed";
  if (receipt === "ignored") return "was ignored: its chat is not registered";
  return undefined;
}
