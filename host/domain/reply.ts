import { boundText } from "./bounded-text.ts";
import { withoutNoticeMark } from "./notice.ts";

const OPENING = "<internal>";
const CLOSING = "</internal>";

/** What of the agent's text a person sees: `<internal>…</internal>` is cut out, then the ends are trimmed (contract §3.4). */
export function visibleReply(text: string): string {
  let visible = "";
  let from = 0;
  for (const { start, end } of internalParts(text)) {
    visible += text.slice(from, start);
    from = end;
  }
  return (visible + text.slice(from)).trim();
}

/** What a person sees of the agent's text and what not, in turn, beginning with the first; what not has its marks around it. */
export function partsOfReply(text: string): string[] {
  const parts: string[] = [];
  let from = 0;
  for (const { start, end } of internalParts(text)) {
    parts.push(text.slice(from, start), text.slice(start, end));
    from = end;
  }
  return [...parts, text.slice(from)];
}

/** Goes through the text once, however many marks it holds: whether one that opens is ever closed is not looked for from each anew. */
function* internalParts(text: string): Generator<{ readonly start: number; readonly end: number }> {
  for (let end = 0; ; ) {
    const start = text.indexOf(OPENING, end);
    const closing = start === -1 ? -1 : text.indexOf(CLOSING, start + OPENING.length);
    if (closing === -1) return;
    end = closing + CLOSING.length;
    yield { start, end };
  }
}

/** The assistant's words as they go to a chat: of bounded length, and no notice of the host. */
export function spokenText(text: string, maxBytes: number): string {
  return withoutNoticeMark(boundText(text, maxBytes));
}

/** A reply on an account the assistant shares with its owner: the name in front tells who speaks (contract §3.6). */
export function signedReply(text: string, assistantName: string): string {
  return `${assistantName}: ${text}`;
}
