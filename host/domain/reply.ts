/** What of the agent's text a person sees: `<internal>…</internal>` is cut out, then the ends are trimmed (contract §3.4). */
export function visibleReply(text: string): string {
  return text.replace(/<internal>[\s\S]*?<\/internal>/g, "").trim();
}

/** A reply on an account the assistant shares with its owner: the name in front tells who speaks (contract §3.6). */
export function signedReply(text: string, assistantName: string): string {
  return `${assistantName}: ${text}`;
}
