/**
 * Notices: what the host itself says in a chat, when a turn fails or a message is refused. The mark in front tells people and
 * replays that it is not the assistant speaking.
 */
export const NOTICE_MARK = "[hermit]";

export function notice(text: string): string {
  return `${NOTICE_MARK} ${text}`;
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
  const start = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return notice(`The host stopped while this was being sent, so it may or may not have arrived: “${start}”`);
}
