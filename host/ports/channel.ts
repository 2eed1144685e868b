/**
 * Channel: a connection to one platform account.
 *
 * Contract. Inbound goes to `Intake.accept`, which has committed it to disk when it returns. Outbound comes from the outbox
 * only, through `deliver`. An adapter never decides who may start a turn.
 */
import type { InboundMessage } from "../domain/message.ts";

/**
 * `idempotent`: delivering the same reply id again is safe, the platform (or the adapter's own journal) drops the second.
 * `uncertain`: it is not; an attempt whose outcome is unknown is never repeated.
 */
export type DeliveryGuarantee = "idempotent" | "uncertain";

export interface OutboundReply {
  /** Unique for ever. The idempotency key. */
  readonly id: string;
  readonly chat: string;
  readonly text: string;
}

export interface ArrivalOptions {
  /** Register the chat if it is new. Absent: messages of unregistered chats are counted and dropped. */
  readonly register?: { readonly folder?: string; readonly name: string; readonly requiresTrigger: boolean };
  /** Replies to this message leave through the channel that accepted it, even where the chat belongs to another. */
  readonly replyHere?: boolean;
}

/** A group of the platform, as the account sees it. */
export interface PlatformGroup {
  readonly chat: string;
  /** Set by people of the group: any text, of any length. */
  readonly name: string;
}

/** `new`: stored now. `known`: this id was stored before, nothing changed. `refused`: too large; the chat was told. `ignored`: not registered. */
export type Receipt = "new" | "known" | "refused" | "ignored";

export interface Intake {
  /**
   * Stores a message and wakes its group; synchronous, on disk when it returns.
   * Throws StoreError (the host is about to stop) or RefusedError (INBOX_FULL: hold the message and offer it again later).
   */
  accept(message: InboundMessage, options?: ArrivalOptions): Receipt;
}

export interface Channel {
  readonly id: string;
  readonly delivery: DeliveryGuarantee;
  /** The account is its owner's too: replies carry the assistant's name in front. Default: they do not. Notices never do. */
  readonly signsReplies?: boolean;
  /** Whether this channel serves the chat. Exactly one connected channel should. */
  owns(chat: string): boolean;
  /** Starts receiving. Rejects when it cannot. */
  connect(intake: Intake): Promise<void>;
  /** Resolves when the platform has the reply. Rejects with HostError; `retryable` says whether to offer it again. */
  deliver(reply: OutboundReply): Promise<void>;
  /** Typing indicator; best effort, must not throw. */
  typing?(chat: string, on: boolean): void;
  /**
   * The groups the account is in. Absent: the platform has none to list. Rejects with HostError; while it is not connected, with
   * CHANNEL_UNREACHABLE, retryable.
   */
  listGroups?(): Promise<readonly PlatformGroup[]>;
  /** Text of the running turn as it streams; best effort, must not throw. Replies still come through `deliver`. */
  progress?(chat: string, delta: string): void;
  /** Stops receiving; idempotent. Deliveries already begun are finished. */
  close(): Promise<void>;
}
