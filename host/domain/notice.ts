/**
 * Notices: what the host itself says in a chat, when a turn fails or a message is refused. The mark in front tells people and
 * replays that it is not the assistant speaking, so nobody else's words may bear it, and a notice is one line: what it quotes cannot
 * begin another.
 */
import { firstCharacters } from "./bounded-text.ts";

export const NOTICE_MARK = "[hermit]";

/** The mark as a reader would take it: in any case, with what does not show and with spaces at its brackets. */
const LOOKS_LIKE_MARK = /\[[\s\p{DI}]*h\p{DI}*e\p{DI}*r\p{DI}*m\p{DI}*i\p{DI}*t[\s\p{DI}]*\]/giu;

/** Line ends, controls, and what turns the direction of the text around it. */
const DRIVES_LINES = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_C}]+/gu;

/** Of words in a notice that are not the host's. */
const QUOTED_CHARACTERS = 500;

export function notice(text: string): string {
  return `${NOTICE_MARK} ${text.replace(DRIVES_LINES, " ")}`;
}

/** Somebody else's words, with the host's mark in them made visibly another. */
export function withoutNoticeMark(text: string): string {
  return text.replace(LOOKS_LIKE_MARK, "(hermit)");
}

/** Somebody else's words in a notice or a log: one line, of bounded length, and where they end is plain. */
export function quoted(words: string, most = QUOTED_CHARACTERS): string {
  const start = words.length > most ? `${firstCharacters(words, most)}…` : words;
  return `“${withoutNoticeMark(start).replace(DRIVES_LINES, " ").replace(/[“”]/g, '"').trim()}”`;
}

export function failedTurnNotice(reason: string): string {
  return notice(`I could not finish this: ${reason}`);
}

export function freshSessionNotice(): string {
  return notice(
    "I could not take up our earlier conversation, so this begins a new one. What we said before is kept, but I do not remember it.",
  );
}

export function tooLargeNotice(bytes: number, limit: number): string {
  return notice(`That message is too large (${bytes} bytes; the limit is ${limit}). I did not read it. Send it in parts.`);
}

export function maybeSentNotice(text: string): string {
  return notice(`The host stopped while this was being sent, so it may or may not have arrived: ${quoted(text, 60)}`);
}
