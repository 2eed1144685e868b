import type { InboundMessage } from "./message.ts";

/** The batch as the agent reads it, byte for byte NanoClaw's form (contract §3.5). */
export function formatMessages(messages: readonly Pick<InboundMessage, "senderName" | "timestamp" | "text">[]): string {
  const lines = messages.map(
    ({ senderName, timestamp, text }) => `<message sender="${escape(senderName)}" time="${timestamp}">${escape(text)}</message>`,
  );
  return `<messages>\n${lines.join("\n")}\n</messages>`;
}

/** How many messages a formatted batch holds. Exact: a `<` of the messages themselves is escaped. */
export function countMessages(batch: string): number {
  return batch.split("<message ").length - 1;
}

/** Ampersand first, or the others' entities would be escaped again. Apostrophes stay. */
function escape(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}
