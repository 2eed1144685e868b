/** What of the agent's text a person sees: `<internal>…</internal>` is cut out, then the ends are trimmed (contract §3.4). */
export function visibleReply(text: string): string {
  return text.replace(/<internal>[\s\S]*?<\/internal>/g, "").trim();
}
