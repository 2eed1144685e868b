/** The calls one run of the old agent makes to its model service: counted, at a bounded rate, and a sign of life while they are answered. */
import { ModelCallError, RefusedError } from "../domain/errors.ts";
import type { AnthropicAnswer, AnthropicApi, AnthropicCall } from "../ports/anthropic-api.ts";
import type { Clock } from "../ports/clock.ts";

export interface PayloadCallsOptions {
  readonly api: AnthropicApi;
  readonly clock: Clock;
  /** Calls the run may make. */
  readonly most: number;
  /** The call has come, or a piece of its answer. */
  readonly onActivity: () => void;
}

/** An agent with helpers begins many at once; a loop without thought is slowed to one a second. */
const BURST = 30;
const REFILL_MS = 1_000;

export class PayloadCalls {
  readonly #o: PayloadCallsOptions;
  #made = 0;
  /** When the calls so far, one each REFILL_MS, would all be paid for. */
  #paidUntil: number;

  constructor(options: PayloadCallsOptions) {
    this.#o = options;
    this.#paidUntil = options.clock.now();
  }

  /** Throws RefusedError when the run has made all it may, ModelCallError when it goes too fast or the service was not reached. */
  async make(call: AnthropicCall, signal: AbortSignal): Promise<AnthropicAnswer> {
    const { api, clock, most, onActivity } = this.#o;
    if (this.#made >= most) throw new RefusedError("TURN_LIMIT", `This turn reached its limit of ${most} calls of a model.`);
    const now = clock.now();
    if (this.#paidUntil - now >= BURST * REFILL_MS) {
      throw new ModelCallError("MODEL_REFUSED", "Too many calls of a model at once; wait a second.", { retryable: true });
    }
    this.#made++;
    this.#paidUntil = Math.max(this.#paidUntil, now) + REFILL_MS;
    onActivity();
    const answer = await api.call(call, signal);
    const watched = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        onActivity();
        controller.enqueue(chunk);
      },
    });
    return { ...answer, body: answer.body.pipeThrough(watched) };
  }
}
