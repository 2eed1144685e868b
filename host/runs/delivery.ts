/**
 * Delivery: takes replies from the outbox to their channel.
 *
 * Promise: the replies of a chat leave in the order they were stored, one at a time; chats do not wait for each other. A reply
 * leaves the outbox only when its channel has it. On a channel that cannot repeat, the intent is stored first, and a reply whose
 * sending was cut off is never sent again but reported as "maybe sent".
 */
import { describeError, HostError, isRetryable } from "../domain/errors.ts";
import { type RetryPolicy, retryDelayMs } from "../domain/retry.ts";
import type { Channel } from "../ports/channel.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { OutboxRow, Store } from "../ports/store.ts";

export interface DeliveryOptions {
  readonly store: Store;
  readonly channels: readonly Channel[];
  readonly clock: Clock;
  readonly log: Log;
  readonly retry: RetryPolicy;
  readonly random: () => number;
  readonly onFailed: (row: OutboxRow) => void;
}

export class Delivery {
  readonly #o: DeliveryOptions;
  /** Lanes (chat and way out) with a delivery under way. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #backingOff = new Map<string, Timer>();
  #closed = false;
  #isQuiet = true;
  #quiet = Promise.withResolvers<void>();

  constructor(options: DeliveryOptions) {
    this.#o = options;
    this.#quiet.resolve();
  }

  /** Something may be in the outbox. Idempotent; never throws. */
  wake(): void {
    if (this.#closed) return;
    for (const row of this.#o.store.outboxHeads()) {
      const lane = `${row.replyVia ?? ""} ${row.chat}`;
      if (this.#busy.has(lane) || this.#backingOff.has(lane)) continue;
      this.#enter();
      this.#busy.set(lane, this.#deliver(lane, row));
    }
  }

  /** Resolves when nothing is being delivered or waits for its next attempt. */
  quiet(): Promise<void> {
    return this.#quiet.promise;
  }

  /** Starts nothing more; resolves when deliveries under way have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#backingOff.values()) timer.cancel();
    this.#backingOff.clear();
    await Promise.all(this.#busy.values());
    this.#leave();
  }

  async #deliver(lane: string, row: OutboxRow): Promise<void> {
    const { store, clock, log } = this.#o;
    try {
      const channel = this.#channelOf(row);
      if (channel.delivery === "uncertain") store.markSending(row.id);
      await channel.deliver({ id: `out-${row.id}`, chat: row.chat, text: row.text });
      store.markSent(row.id, clock.now());
    } catch (error) {
      const retryInMs = isRetryable(error) ? retryDelayMs(this.#o.retry, row.attempts + 1, this.#o.random()) : undefined;
      const failure = { chat: row.chat, reply: row.id, reason: describeError(error) };
      // A store that fails here has stopped the host; the row stays as it was last written.
      try {
        store.markUndelivered(row.id, { error: failure.reason, final: retryInMs === undefined, now: clock.now() });
      } catch {
        this.#closed = true;
      }
      if (retryInMs === undefined) {
        log.error(failure, "a reply could not be delivered");
        this.#o.onFailed(row);
      } else if (!this.#closed) {
        log.warn({ ...failure, retryInMs }, "a reply could not be delivered yet");
        this.#backingOff.set(
          lane,
          clock.setTimer(retryInMs, () => {
            this.#backingOff.delete(lane);
            this.wake();
            this.#leave();
          }),
        );
      }
    }
    this.#busy.delete(lane);
    this.wake();
    this.#leave();
  }

  #channelOf(row: OutboxRow): Channel {
    const channel = this.#o.channels.find((one) => (row.replyVia === null ? one.owns(row.chat) : one.id === row.replyVia));
    if (channel !== undefined) return channel;
    throw new HostError("DELIVERY_FAILED", `No connected channel serves ${row.chat}.`, {
      hint: "Enable the channel this chat belongs to.",
      retryable: true,
    });
  }

  #enter(): void {
    if (!this.#isQuiet) return;
    this.#isQuiet = false;
    this.#quiet = Promise.withResolvers<void>();
  }

  #leave(): void {
    if (this.#busy.size > 0 || this.#backingOff.size > 0) return;
    this.#isQuiet = true;
    this.#quiet.resolve();
  }
}
