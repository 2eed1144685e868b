/**
 * Intake: a message from a channel into the inbox.
 *
 * Promise: what was accepted is on disk before its group is woken. What is not accepted has either changed nothing (a full
 * inbox: the channel holds the message back) or has left a notice in the chat.
 */
import { boundText } from "../domain/bounded-text.ts";
import { RefusedError } from "../domain/errors.ts";
import { folderForChat, type Group, isMain, MAIN_FOLDER } from "../domain/group.ts";
import type { InboundMessage } from "../domain/message.ts";
import { tooLargeNotice } from "../domain/notice.ts";
import type { ArrivalOptions, Receipt } from "../ports/channel.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Store } from "../ports/store.ts";

export interface IntakeOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly assistantName: string;
  readonly maxWaitingMessages: number;
  readonly maxMessageBytes: number;
  readonly onAccepted: (folder: string) => void;
  readonly onNotice: () => void;
}

/** Bytes of a refused message that are kept, so that the owner can see which one it was. */
const REFUSED_EXCERPT_BYTES = 1024;

export class MessageIntake {
  readonly #o: IntakeOptions;
  #waiting: number;
  #ignored = 0;

  constructor(options: IntakeOptions) {
    this.#o = options;
    this.#waiting = options.store.waiting();
  }

  /** Messages of chats nobody registered, since the start. */
  get ignored(): number {
    return this.#ignored;
  }

  accept(message: InboundMessage, channelId: string, options: ArrivalOptions = {}): Receipt {
    const { store, clock } = this.#o;
    const replyVia = options.replyHere === true ? channelId : null;
    const known = store.groupByChat(message.chat);
    const register = known === undefined && options.register !== undefined ? this.#newGroup(message.chat, options.register) : undefined;
    const arrival = { now: clock.now(), replyVia, ...(register === undefined ? {} : { register }) };
    const bytes = Buffer.byteLength(message.text);
    if (bytes > this.#o.maxMessageBytes) return this.#refuse(message, arrival, bytes);
    this.#mustHaveRoom();
    const receipt = store.accept(message, arrival);
    if (receipt === "ignored") this.#ignored++;
    if (receipt !== "new") return receipt;
    this.#waiting++;
    const folder = (known ?? register)?.folder;
    if (folder !== undefined) this.#o.onAccepted(folder);
    return "new";
  }

  #refuse(message: InboundMessage, arrival: { now: number; replyVia: string | null; register?: Group }, bytes: number): Receipt {
    const excerpt = { ...message, text: boundText(message.text, REFUSED_EXCERPT_BYTES) };
    const receipt = this.#o.store.refuse(excerpt, { ...arrival, notice: tooLargeNotice(bytes, this.#o.maxMessageBytes) });
    if (receipt === "refused") {
      this.#o.log.warn({ chat: message.chat, bytes, limit: this.#o.maxMessageBytes }, "a message was too large and was refused");
      this.#o.onNotice();
    }
    return receipt;
  }

  /** Counting in the store on each message would read the index each time; the count only has to be right when it is near the limit. */
  #mustHaveRoom(): void {
    const limit = this.#o.maxWaitingMessages;
    if (this.#waiting < limit) return;
    this.#waiting = this.#o.store.waiting();
    if (this.#waiting >= limit) {
      throw new RefusedError("INBOX_FULL", `${this.#waiting} messages wait for their turn; the limit is ${limit}.`, {
        hint: "Wait until some are answered, or raise queue.max_waiting_messages.",
        retryable: true,
      });
    }
  }

  #newGroup(chat: string, seed: NonNullable<ArrivalOptions["register"]>): Group {
    const { store, assistantName } = this.#o;
    const folder = seed.folder ?? folderForChat(chat.slice(chat.indexOf(":") + 1), (taken) => store.groupByFolder(taken) !== undefined);
    if (isMain({ folder }) && store.groupByFolder(MAIN_FOLDER) !== undefined) {
      throw new RefusedError("MAIN_TAKEN", `The main group is ${store.groupByFolder(MAIN_FOLDER)?.chat}.`, {
        hint: `Speak as it with --group ${MAIN_FOLDER}, or as another group with --group <folder>.`,
      });
    }
    return { chat, name: seed.name, folder, trigger: `@${assistantName}`, requiresTrigger: seed.requiresTrigger };
  }
}
