/**
 * Delivery: takes replies from the outbox to their channel.
 *
 * Promise: the replies of a chat leave in the order they were stored, one at a time; chats do not wait for each other. A reply
 * leaves the outbox only when its channel has it. On a channel that cannot repeat, the intent is stored first, and a reply whose
 * sending was cut off is never sent again but reported as "maybe sent". A reply its channel could not take for now and for too long
 * stays in the outbox: it is offered again with the next reply of any chat, and at the next start. So does at once what no channel
 * here serves: this host cannot deliver it, and waiting for that would never end.
 */
import { describeError, isRetryable, StoreError } from "../domain/errors.ts";
import { signedReply } from "../domain/reply.ts";
import { type RetryPolicy, retryDelayMs } from "../domain/retry.ts";
import type { Channel } from "../ports/channel.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { OutboxRow, Store } from "../ports/store.ts";

export interface DeliveryOptions {
  readonly store: Store;
  readonly channels: readonly Channel[];
  readonly assistantName: string;
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
  /** Failed attempts at a lane's first reply, since the start or since it rested. What earlier hosts tried is no reason to try less. */
  readonly #failures = new Map<string, number>();
  /** Lanes whose first reply has used up its retries; only `wake` tries them again. */
  readonly #resting = new Set<string>();
  /** Lanes no channel serves, that were told of. */
  readonly #unserved = new Set<string>();
  #closed = false;
  #isQuiet = true;
  #quiet = Promise.withResolvers<void>();

  constructor(options: DeliveryOptions) {
    this.#o = options;
    this.#quiet.resolve();
  }

  /** Something may be in the outbox. Idempotent; never throws. */
  wake(): void {
    this.#resting.clear();
    this.#offer();
  }

  #offer(): void {
    for (const row of this.#heads()) {
      const lane = `${row.replyVia ?? ""} ${row.chat}`;
      if (this.#busy.has(lane) || this.#backingOff.has(lane) || this.#resting.has(lane)) continue;
      const channel = this.#channelOf(row);
      if (channel === undefined) {
        this.#keep(lane, row);
        continue;
      }
      this.#enter();
      this.#busy.set(lane, this.#deliver(lane, row, channel));
    }
  }

  #heads(): readonly OutboxRow[] {
    if (this.#closed) return [];
    try {
      return this.#o.store.outboxHeads();
    } catch {
      // The store has reported its fault, which stops the host.
      this.#closed = true;
      return [];
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

  async #deliver(lane: string, row: OutboxRow, channel: Channel): Promise<void> {
    const { store, clock } = this.#o;
    try {
      if (channel.delivery === "uncertain") store.markSending(row.id);
      const text = channel.signsReplies === true && !row.isNotice ? signedReply(row.text, this.#o.assistantName) : row.text;
      await channel.deliver({ id: `out-${row.id}`, chat: row.chat, text });
      store.markSent(row.id, clock.now());
      this.#failures.delete(lane);
    } catch (error) {
      this.#settleFailure(lane, row, error);
    }
    this.#busy.delete(lane);
    this.#offer();
    this.#leave();
  }

  /** For a host that has the channel. Told once a chat, as each reply to it would say the same. */
  #keep(lane: string, { chat, replyVia }: OutboxRow): void {
    this.#resting.add(lane);
    if (this.#unserved.has(lane)) return;
    this.#unserved.add(lane);
    this.#o.log.warn({ chat, replyVia }, "no connected channel serves this chat; its replies are kept until one does");
  }

  #settleFailure(lane: string, row: OutboxRow, error: unknown): void {
    const { store, clock, log } = this.#o;
    const failures = (this.#failures.get(lane) ?? 0) + 1;
    const isFinal = !isRetryable(error);
    const retryInMs = isFinal ? undefined : retryDelayMs(this.#o.retry, failures, this.#o.random());
    const failure = { chat: row.chat, reply: row.id, reason: describeError(error) };
    // A store that fails, here or before, has stopped the host; the row stays as it was last written.
    try {
      if (error instanceof StoreError) throw error;
      store.markUndelivered(row.id, { error: failure.reason, final: isFinal, now: clock.now() });
    } catch {
      this.#closed = true;
      return;
    }
    if (retryInMs === undefined) {
      this.#failures.delete(lane);
      if (!isFinal) this.#resting.add(lane);
      log.error(failure, isFinal ? "a reply could not be delivered" : "a reply could not be delivered; it is kept for the next start");
      this.#o.onFailed(row);
      return;
    }
    this.#failures.set(lane, failures);
    log.warn({ ...failure, retryInMs }, "a reply could not be delivered yet");
    if (this.#closed) return;
    this.#backingOff.set(
      lane,
      clock.setTimer(retryInMs, () => {
        this.#backingOff.delete(lane);
        this.#offer();
        this.#leave();
      }),
    );
  }

  #channelOf({ replyVia, chat }: OutboxRow): Channel | undefined {
    return this.#o.channels.find((one) => (replyVia === null ? one.owns(chat) : one.id === replyVia));
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
