/**
 * What WhatsApp sends, as a message of ours (contract §3.1). Pure; who is registered, and what starts a turn, is decided elsewhere.
 *
 * Dropped: what has no payload or no chat, and status posts. Anything else is handed on, also without words (a voice note, a
 * reaction): it says that the chat is alive, and an empty text starts nothing.
 */
import type { InboundMessage } from "../../domain/message.ts";

/** The part of a platform update that is read. Names and optionality are the platform's. */
export interface WhatsAppUpdate {
  readonly key: {
    readonly id?: string | null | undefined;
    readonly remoteJid?: string | null | undefined;
    /** Who wrote, in a group. */
    readonly participant?: string | null | undefined;
    readonly fromMe?: boolean | null | undefined;
  };
  readonly pushName?: string | null | undefined;
  /** Seconds since 1970: a number, its digits, or a 64-bit integer object that prints as such. */
  readonly messageTimestamp?: number | string | { toString(): string } | null | undefined;
  readonly message?: WhatsAppPayload | null | undefined;
}

export interface WhatsAppPayload {
  readonly conversation?: string | null | undefined;
  readonly extendedTextMessage?: { readonly text?: string | null | undefined } | null | undefined;
  readonly imageMessage?: Captioned | null | undefined;
  readonly videoMessage?: Captioned | null | undefined;
}
interface Captioned {
  readonly caption?: string | null | undefined;
}

export interface Surroundings {
  /** Epoch milliseconds; the message's time where it has none that can be read. */
  readonly now: number;
  /** The phone number, digits only, behind the number of an `@lid` address; undefined: not known. */
  phoneOf(lid: string): string | undefined;
}

const STATUS_POSTS = "status@broadcast";
/** `<number>[:<device>]@lid`: an address that hides a phone number. */
const HIDDEN = /^([^@:]+)(?::\d+)?@lid$/;
const LAST_SECOND = 8_640_000_000_000;

/** Undefined: nothing to hand on. The sender stays as it came; only the chat is translated, because groups are registered by phone number. */
export function normalise(
  { key, message, pushName, messageTimestamp }: WhatsAppUpdate,
  surroundings: Surroundings,
): InboundMessage | undefined {
  const from = key.remoteJid;
  if (!message || !from || from === STATUS_POSTS) return undefined;
  const sender = key.participant || from;
  return {
    id: key.id ?? "",
    chat: shownChat(from, surroundings),
    sender,
    senderName: pushName || (sender.split("@")[0] ?? sender),
    text: textOf(message),
    timestamp: timeOf(messageTimestamp, surroundings.now),
    isFromMe: key.fromMe === true,
  };
}

function shownChat(jid: string, { phoneOf }: Surroundings): string {
  const lid = HIDDEN.exec(jid)?.[1];
  const phone = lid === undefined ? undefined : phoneOf(lid);
  return phone === undefined ? jid : `${phone}@s.whatsapp.net`;
}

function textOf({ conversation, extendedTextMessage, imageMessage, videoMessage }: WhatsAppPayload): string {
  return conversation || extendedTextMessage?.text || imageMessage?.caption || videoMessage?.caption || "";
}

function timeOf(seconds: WhatsAppUpdate["messageTimestamp"], now: number): string {
  const at = seconds == null || seconds === "" ? Number.NaN : Number(seconds);
  return new Date(Math.abs(at) <= LAST_SECOND ? at * 1000 : now).toISOString();
}
