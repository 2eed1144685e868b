/**
 * What every channel must keep, as facts. Each adapter's test runs it on its real self against its own platform, the
 * in-memory twin included; an adapter that cannot keep one lists its title in `deviations` with the reason.
 */
import { afterEach, describe, expect, test } from "vitest";
import { type ErrorCode, HostError, RefusedError, StoreError } from "../../host/domain/errors.ts";
import type { InboundMessage } from "../../host/domain/message.ts";
import type { ArrivalOptions, Channel, Intake, OutboundReply, PlatformGroup, Receipt } from "../../host/ports/channel.ts";
import type { Clock, Timer } from "../../host/ports/clock.ts";

export interface ChannelHarness {
  /** Not connected yet. */
  readonly channel: Channel;
  /** A chat of the platform that the channel owns. */
  readonly chat: string;
  /** The groups the account is in. Absent: the platform has none to list, and the channel no `listGroups`. */
  readonly groups?: readonly PlatformGroup[];
  /** A person says something in that chat. Does not wait for the channel to take it. */
  say(text: string): void;
  /** What the platform has of the channel's replies, oldest first, each as often as a person would find it there. */
  delivered(): Promise<readonly OutboundReply[]>;
  /** The host died without closing the channel and started again: a new channel on the same platform account. */
  restart(): Promise<ChannelHarness>;
  /** Releases everything, the channel included. */
  dispose(): Promise<void>;
}

export type MakeChannelHarness = (clock: Clock) => Promise<ChannelHarness>;

/** Title of a fact → why this channel cannot keep it. */
export type ChannelDeviations = Readonly<Record<string, string>>;

const RETRY_STEP_MS = 1_000;
const TEST_TIMEOUT_MS = 10_000;

export function runChannelSuite(name: string, makeHarness: MakeChannelHarness, deviations: ChannelDeviations = {}): void {
  describe(`channel suite: ${name}`, () => {
    const held: ChannelHarness[] = [];
    afterEach(async () => {
      for (const harness of held.splice(0).toReversed()) await harness.dispose();
    });

    interface Stage {
      readonly harness: ChannelHarness;
      readonly channel: Channel;
      readonly intake: ScriptedIntake;
      readonly clock: SteppedClock;
    }
    async function stage(connected = true): Promise<Stage> {
      const clock = new SteppedClock();
      const harness = await makeHarness(clock);
      held.push(harness);
      const intake = new ScriptedIntake();
      if (connected) await harness.channel.connect(intake);
      return { harness, channel: harness.channel, intake, clock };
    }
    function fact(title: string, check: () => Promise<void>): void {
      const reason = deviations[title];
      if (reason === undefined) test(title, check, TEST_TIMEOUT_MS);
      // Expected to fail and not skipped: a deviation that has healed must be struck from the list.
      else test.fails(`${title} (deviates: ${reason})`, check, TEST_TIMEOUT_MS);
    }
    const reply = (harness: ChannelHarness, id: string, text = `reply ${id}`): OutboundReply => ({ id, chat: harness.chat, text });

    fact("a chat messages come from is owned, a chat of another platform is not", async () => {
      const { harness, channel, intake } = await stage();
      harness.say("hello");
      const [message] = await intake.accepted(1);
      expect(message?.chat).toBe(harness.chat);
      expect(channel.owns(harness.chat)).toBe(true);
      expect(channel.owns("elsewhere:1")).toBe(false);
      expect(channel.owns("")).toBe(false);
    });

    fact("messages are accepted in the order they were said, word for word", async () => {
      const { harness, intake } = await stage();
      const said = ["one", "zwei – größer", "три", "四 🦀👩‍👩‍👧", '{"five": "\\n"}', "  six, indented"];
      for (const text of said) harness.say(text);
      const messages = await intake.accepted(said.length);
      expect(messages.map((message) => message.text)).toEqual(said);
    });

    fact("the same words said twice are two messages with ids of their own", async () => {
      const { harness, intake } = await stage();
      harness.say("again");
      harness.say("again");
      const messages = await intake.accepted(2);
      expect(new Set(messages.map((message) => message.id)).size).toBe(2);
    });

    fact("timestamps are UTC with milliseconds and do not run backwards", async () => {
      const { harness, intake } = await stage();
      for (const text of ["a", "b", "c"]) harness.say(text);
      const stamps = (await intake.accepted(3)).map((message) => message.timestamp);
      for (const stamp of stamps) expect(stamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(stamps.toSorted()).toEqual(stamps);
    });

    fact("a message the full inbox refuses is held, offered again and overtaken by none", async () => {
      const { harness, intake, clock } = await stage();
      intake.full = true;
      harness.say("first");
      harness.say("second");
      await intake.offered(1);
      for (let attempt = 2; attempt <= 4; attempt++) {
        await clock.step(RETRY_STEP_MS);
        await intake.offered(attempt);
      }
      expect(new Set(intake.offers.map((offer) => offer.text))).toEqual(new Set(["first"]));
      expect(new Set(intake.offers.map((offer) => offer.id)).size).toBe(1);
      intake.full = false;
      harness.say("third");
      await clock.step(RETRY_STEP_MS);
      const messages = await intake.accepted(3);
      expect(messages.map((message) => message.text)).toEqual(["first", "second", "third"]);
    });

    fact("once the store has failed nothing more is offered", async () => {
      const { harness, channel, intake } = await stage();
      intake.broken = true;
      harness.say("unlucky");
      harness.say("never offered");
      await intake.offered(1);
      await channel.close();
      expect(intake.offers.map((offer) => offer.text)).toEqual(["unlucky"]);
    });

    fact("a delivered reply is on the platform, word for word, when deliver resolves", async () => {
      const { harness, channel } = await stage();
      const text = 'two\nlines, "quotes", \\ and 🦀 – ünïcödé\u2028';
      await channel.deliver(reply(harness, "r1", text));
      expect(await harness.delivered()).toEqual([reply(harness, "r1", text)]);
    });

    fact("replies delivered at once arrive in the order they were given", async () => {
      const { harness, channel } = await stage();
      const replies = Array.from({ length: 20 }, (_, n) => reply(harness, `r${n}`));
      await Promise.all(replies.map((each) => channel.deliver(each)));
      expect(await harness.delivered()).toEqual(replies);
    });

    fact("an idempotent channel delivers a repeated id to the platform once", async () => {
      const { harness, channel } = await stage();
      const repeated = reply(harness, "same");
      await Promise.all([channel.deliver(repeated), channel.deliver(repeated)]);
      await channel.deliver(reply(harness, "other"));
      await channel.deliver(repeated);
      const found = (await harness.delivered()).filter((each) => each.id === "same");
      expect(found).toHaveLength(channel.delivery === "idempotent" ? 1 : 3);
    });

    fact("an idempotent channel knows after a crash what it has delivered", async () => {
      const { harness, channel } = await stage();
      await channel.deliver(reply(harness, "before"));
      const restarted = await harness.restart();
      held.push(restarted);
      await restarted.channel.connect(new ScriptedIntake());
      await restarted.channel.deliver(reply(harness, "before"));
      await restarted.channel.deliver(reply(harness, "after"));
      const again = channel.delivery === "idempotent" ? [] : ["before"];
      expect((await restarted.delivered()).map((each) => each.id)).toEqual(["before", ...again, "after"]);
    });

    fact("before it is connected a channel refuses to deliver, and says that it can be tried again", async () => {
      const { harness, channel } = await stage(false);
      await expect(channel.deliver(reply(harness, "early"))).rejects.toSatisfy(isRetryableRefusal);
      expect(await harness.delivered()).toEqual([]);
    });

    fact("after close a channel refuses to deliver, and says that it can be tried again", async () => {
      const { harness, channel } = await stage();
      await channel.close();
      await expect(channel.deliver(reply(harness, "late"))).rejects.toSatisfy(isRetryableRefusal);
      expect(await harness.delivered()).toEqual([]);
    });

    fact("close lets the deliveries under way finish", async () => {
      const { harness, channel } = await stage();
      const replies = Array.from({ length: 5 }, (_, n) => reply(harness, `r${n}`));
      const underWay = replies.map((each) => channel.deliver(each));
      await channel.close();
      expect(await harness.delivered()).toEqual(replies);
      await Promise.all(underWay);
    });

    fact("the groups listed are those of the platform, word for word, and the channel owns each", async () => {
      const { harness, channel } = await stage();
      const listed = await channel.listGroups?.();
      expect(listed).toEqual(harness.groups);
      for (const { chat } of listed ?? []) expect(channel.owns(chat)).toBe(true);
    });

    fact("before it is connected and after close a channel refuses to list groups, and says that it can be tried again", async () => {
      const { channel, harness } = await stage(false);
      const { channel: closed } = await stage();
      await closed.close();
      for (const one of [channel, closed]) {
        const answer = one.listGroups?.().catch((error: unknown) => isRetryable(error, "CHANNEL_UNREACHABLE"));
        expect(await answer).toBe(harness.groups === undefined ? undefined : true);
      }
    });

    fact("close may be called any number of times, connected or not", async () => {
      const { channel } = await stage();
      await Promise.all([channel.close(), channel.close()]);
      await channel.close();
      const { channel: neverConnected } = await stage(false);
      await neverConnected.close();
      await neverConnected.close();
    });

    fact("after close nothing is accepted, what was held for a full inbox included", async () => {
      const { harness, channel, intake, clock } = await stage();
      intake.full = true;
      harness.say("held");
      await intake.offered(1);
      await channel.close();
      expect(clock.armed).toBe(0);
      const offers = intake.offers.length;
      intake.full = false;
      harness.say("too late");
      clock.advance(RETRY_STEP_MS);
      await new Promise((resolve) => setImmediate(resolve));
      expect(intake.offers).toHaveLength(offers);
    });

    fact("typing and progress never throw, whatever the chat and whenever they come", async () => {
      const { harness, channel } = await stage(false);
      const show = (): void => {
        for (const chat of [harness.chat, "elsewhere:1", ""]) {
          channel.typing?.(chat, true);
          channel.progress?.(chat, "half a wo");
          channel.typing?.(chat, false);
        }
      };
      show();
      await channel.connect(new ScriptedIntake());
      show();
      await channel.close();
      show();
      expect(await harness.delivered()).toEqual([]);
    });
  });
}

function isRetryableRefusal(error: unknown): boolean {
  return isRetryable(error, "DELIVERY_FAILED");
}

function isRetryable(error: unknown, code: ErrorCode): boolean {
  return error instanceof HostError && error.code === code && error.retryable;
}

/** An intake that keeps what it is offered and refuses on command. */
export class ScriptedIntake implements Intake {
  /** Every call, refused ones included. */
  readonly offers: InboundMessage[] = [];
  readonly options: (ArrivalOptions | undefined)[] = [];
  /** Refuse with INBOX_FULL. */
  full = false;
  /** Fail with StoreError. */
  broken = false;
  /** What an accepted message gets. */
  receipt: Receipt = "new";
  readonly #accepted: InboundMessage[] = [];
  readonly #waiting = new Set<() => void>();

  accept(message: InboundMessage, options?: ArrivalOptions): Receipt {
    this.offers.push(message);
    for (const check of this.#waiting) queueMicrotask(check);
    if (this.broken) throw new StoreError("STORE_BROKEN", "The test's store is broken.");
    if (this.full) throw new RefusedError("INBOX_FULL", "The test's inbox is full.");
    this.#accepted.push(message);
    this.options.push(options);
    return this.receipt;
  }

  /** Resolves when `count` messages have been accepted, with all that have. */
  accepted(count: number): Promise<readonly InboundMessage[]> {
    return this.#until(() => (this.#accepted.length >= count ? this.#accepted : undefined));
  }

  /** Resolves when `accept` has been called `count` times. */
  offered(count: number): Promise<readonly InboundMessage[]> {
    return this.#until(() => (this.offers.length >= count ? this.offers : undefined));
  }

  #until<T>(ready: () => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const check = (): void => {
        const value = ready();
        if (value === undefined) return;
        this.#waiting.delete(check);
        resolve(value);
      };
      this.#waiting.add(check);
      check();
    });
  }
}

/** A clock that stands still until it is moved. */
export class SteppedClock implements Clock {
  #now = Date.UTC(2026, 0, 2, 3, 4, 5, 6);
  readonly #timers = new Map<number, { readonly at: number; readonly callback: () => void }>();
  #nextTimer = 0;
  #onArmed: (() => void) | undefined;

  /** Timers that are set and not yet due. */
  get armed(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#now;
  }

  setTimer(ms: number, callback: () => void): Timer {
    const id = this.#nextTimer++;
    this.#timers.set(id, { at: this.#now + ms, callback });
    this.#onArmed?.();
    return { cancel: () => void this.#timers.delete(id) };
  }

  /** Moves on and runs what has come due, earliest first. */
  advance(ms: number): void {
    this.#now += ms;
    const due = [...this.#timers].filter(([, timer]) => timer.at <= this.#now).sort(([, a], [, b]) => a.at - b.at);
    for (const [id, timer] of due) if (this.#timers.delete(id)) timer.callback();
  }

  /** Waits until a timer is set, then moves on. */
  async step(ms: number): Promise<void> {
    if (this.#timers.size === 0) {
      await new Promise<void>((resolve) => {
        this.#onArmed = resolve;
      });
      this.#onArmed = undefined;
    }
    this.advance(ms);
  }
}
