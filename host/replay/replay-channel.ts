/** The channel of a replay: WhatsApp's chat ids and its shared account, or the chats a recording of our own names; a connection that can be cut. */
import { HostError } from "../domain/errors.ts";
import type { InboundMessage } from "../domain/message.ts";
import type { Channel, Intake, OutboundReply, PlatformGroup } from "../ports/channel.ts";

export interface ReplayChannelOptions {
  /** Of a recording of our own: what is served. Absent: WhatsApp is. */
  readonly chats?: readonly string[];
  readonly onSend: (chat: string, text: string) => void;
  readonly onSendFailed: (chat: string, text: string) => void;
  readonly onTyping: (chat: string, on: boolean) => void;
}

/** Outlives hosts, as an account does: each host connects to it anew. */
export class ReplayPlatform {
  readonly #options: ReplayChannelOptions;
  readonly #delivered = new Set<string>();
  #connected: Intake | undefined;
  #failing = 0;
  isUp = true;
  /** As a recording has them: by chat. */
  groups: Readonly<Record<string, { readonly subject: string }>> = {};
  /** How often somebody asked for them. */
  listings = 0;

  constructor(options: ReplayChannelOptions) {
    this.#options = options;
  }

  /** The next `count` sends fail. */
  failSends(count: number): void {
    this.#failing += count;
  }

  /** A status is nobody's message; the platform's adapter drops it. */
  say(messages: readonly InboundMessage[]): void {
    for (const message of messages) if (message.chat !== "status@broadcast") this.#connected?.accept(message);
  }

  channel(): Channel {
    let intake: Intake | undefined;
    const { chats } = this.#options;
    const isWhatsApp = (chat: string): boolean => chat.endsWith("@g.us") || chat.endsWith("@s.whatsapp.net");
    return {
      id: "replay",
      delivery: "idempotent",
      ...(chats === undefined
        ? { signsReplies: true, owns: isWhatsApp, listGroups: async () => this.#list() }
        : { owns: (chat) => chats.includes(chat) }),
      connect: async (connecting) => {
        intake = connecting;
        this.#connected = connecting;
      },
      deliver: async (reply) => this.#deliver(reply),
      typing: (chat, on) => this.#options.onTyping(chat, on),
      close: async () => {
        if (this.#connected === intake) this.#connected = undefined;
      },
    };
  }

  #list(): readonly PlatformGroup[] {
    this.listings++;
    if (this.isUp) return Object.entries(this.groups).map(([chat, { subject }]) => ({ chat, name: subject }));
    throw new HostError("CHANNEL_UNREACHABLE", "The platform cannot be reached.", { retryable: true, hint: "It is asked again." });
  }

  #deliver({ id, chat, text }: OutboundReply): void {
    const isFailing = this.#failing > 0;
    if (isFailing) this.#failing--;
    if (isFailing || !this.isUp) {
      this.#options.onSendFailed(chat, text);
      throw new HostError("DELIVERY_FAILED", "The platform cannot be reached.", { retryable: true, hint: "It is tried again." });
    }
    if (this.#delivered.has(id)) return;
    this.#delivered.add(id);
    this.#options.onSend(chat, text);
  }
}
