/**
 * In-memory twin of a channel, and the platform behind it.
 *
 * The platform outlives channels, as a real one does: a test that kills the host makes a new channel on the same platform.
 * It keeps what it accepted in order, drops a repeated id where the channel is idempotent, and can be told to fail.
 */
import { HostError, RefusedError } from "../../domain/errors.ts";
import type { InboundMessage } from "../../domain/message.ts";
import type { ArrivalOptions, Channel, DeliveryGuarantee, Intake, OutboundReply, PlatformGroup, Receipt } from "../../ports/channel.ts";
import type { Clock, Timer } from "../../ports/clock.ts";

const CHAT_PREFIX = "memory:";
const RETRY_MS = 100;

export interface SayOptions {
  /** Without the `memory:` prefix. Default `main`. */
  readonly chat?: string;
  /** Default: one never used before. The same id in the same chat is the same message. */
  readonly id?: string;
  readonly sender?: string;
  /** Default: the platform's clock, later than any before. */
  readonly timestamp?: string;
  /** Default: registers the chat, as group `main` for chat `main`, without a trigger. Null: none, so that unregistered chats are ignored. */
  readonly arrival?: ArrivalOptions | null;
}

export interface MemoryTyping {
  readonly chat: string;
  readonly on: boolean;
}

/** Where people talk and replies arrive. */
export class MemoryPlatform {
  /** Replies as people find them, oldest first. */
  readonly replies: OutboundReply[] = [];
  readonly typing: MemoryTyping[] = [];
  /** What a channel that lists groups is told. */
  groups: readonly PlatformGroup[] = [];
  readonly #known = new Set<string>();
  readonly #clock: Clock;
  readonly #unread: Said[] = [];
  readonly #failures: { readonly error: Error; readonly arrives: boolean }[] = [];
  readonly #waiting = new Set<() => void>();
  #lastMs = Number.NEGATIVE_INFINITY;
  #counter = 0;
  #onSaid: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A person says something; kept until a connected channel has had it accepted. Returns the message's id. */
  say(text: string, options: SayOptions = {}): string {
    this.#lastMs = Math.max(this.#clock.now(), this.#lastMs + 1);
    const name = options.chat ?? "main";
    const id = options.id ?? `memory-${++this.#counter}`;
    const sender = options.sender ?? "Ada";
    const timestamp = options.timestamp ?? new Date(this.#lastMs).toISOString();
    const folder = name === "main" ? { folder: "main" } : {};
    const arrival =
      options.arrival === undefined ? { register: { ...folder, name, requiresTrigger: false } } : (options.arrival ?? undefined);
    this.#unread.push({
      message: { id, chat: `${CHAT_PREFIX}${name}`, sender, senderName: sender, text, timestamp, isFromMe: false },
      arrival,
    });
    this.#onSaid?.();
    return id;
  }

  /** The next delivery rejects with `error`. `arrives`: the platform got it all the same, as when an answer is lost. */
  failNextDelivery(error: Error, arrives = false): void {
    this.#failures.push({ error, arrives });
  }

  /** Resolves when `count` replies have arrived, with all that have. */
  replied(count: number): Promise<readonly OutboundReply[]> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (this.replies.length < count) return;
        this.#waiting.delete(check);
        resolve(this.replies);
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** For the channel: calls `onSaid` for what is said from now on, and nobody else. Returns how to stop. */
  listen(onSaid: () => void): () => void {
    this.#onSaid = onSaid;
    return () => {
      if (this.#onSaid === onSaid) this.#onSaid = undefined;
    };
  }

  /** For the channel: the oldest message no channel has had accepted. */
  nextUnread(): Said | undefined {
    return this.#unread[0];
  }

  markRead(): void {
    this.#unread.shift();
  }

  receive(reply: OutboundReply, delivery: DeliveryGuarantee): void {
    const failure = this.#failures.shift();
    if (failure === undefined || failure.arrives) this.#keep(reply, delivery);
    if (failure !== undefined) throw failure.error;
  }

  #keep(reply: OutboundReply, delivery: DeliveryGuarantee): void {
    if (delivery === "idempotent" && this.#known.has(reply.id)) return;
    this.#known.add(reply.id);
    this.replies.push(reply);
    for (const check of this.#waiting) check();
  }
}

export interface Said {
  readonly message: InboundMessage;
  readonly arrival: ArrivalOptions | undefined;
}

export interface MemoryChannelOptions {
  readonly platform: MemoryPlatform;
  readonly clock: Clock;
  /** Default "idempotent". */
  readonly delivery?: DeliveryGuarantee;
  /** Default false: a platform that has no groups to list. */
  readonly listsGroups?: boolean;
}

export class MemoryChannel implements Channel {
  readonly id = "memory";
  readonly delivery: DeliveryGuarantee;
  readonly listGroups: Channel["listGroups"];
  /** What the intake answered, in order. */
  readonly receipts: Receipt[] = [];
  /** What `accept` threw other than INBOX_FULL; nothing is received after it. */
  failure: unknown;
  readonly #platform: MemoryPlatform;
  readonly #clock: Clock;
  #intake: Intake | undefined;
  #stopListening: (() => void) | undefined;
  #retry: Timer | undefined;
  #receiving = false;
  #closed = false;

  constructor(options: MemoryChannelOptions) {
    this.#platform = options.platform;
    this.#clock = options.clock;
    this.delivery = options.delivery ?? "idempotent";
    this.listGroups = options.listsGroups === true ? async () => this.#listed() : undefined;
  }

  owns(chat: string): boolean {
    return chat.startsWith(CHAT_PREFIX);
  }

  async connect(intake: Intake): Promise<void> {
    this.#intake = intake;
    this.#stopListening = this.#platform.listen(() => this.#receive());
    this.#receive();
  }

  async deliver(reply: OutboundReply): Promise<void> {
    if (this.#intake === undefined) {
      throw new HostError("DELIVERY_FAILED", "The memory channel is not connected.", { retryable: true, hint: "Connect it first." });
    }
    this.#platform.receive(reply, this.delivery);
  }

  typing(chat: string, on: boolean): void {
    if (this.#intake !== undefined) this.#platform.typing.push({ chat, on });
  }

  #listed(): readonly PlatformGroup[] {
    if (this.#intake !== undefined) return this.#platform.groups;
    throw new HostError("CHANNEL_UNREACHABLE", "The memory channel is not connected.", { retryable: true, hint: "Connect it first." });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#intake !== undefined) this.#stopReceiving();
    this.#intake = undefined;
  }

  /** Offers everything unread; not while a message is held, nor from within `accept`: the loop that runs goes on by itself. */
  #receive(): void {
    if (this.#receiving || this.#retry !== undefined) return;
    this.#receiving = true;
    try {
      for (let next = this.#platform.nextUnread(); next !== undefined && this.#intake !== undefined; next = this.#platform.nextUnread()) {
        this.receipts.push(this.#intake.accept(next.message, next.arrival));
        this.#platform.markRead();
      }
    } catch (error) {
      if (error instanceof RefusedError && error.code === "INBOX_FULL") this.#holdOn();
      else {
        this.failure = error;
        this.#stopReceiving();
      }
    } finally {
      this.#receiving = false;
    }
  }

  #holdOn(): void {
    this.#retry = this.#clock.setTimer(RETRY_MS, () => {
      this.#retry = undefined;
      this.#receive();
    });
  }

  #stopReceiving(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#stopListening?.();
  }
}
