/** The console's JSONL form: a recorded chat in, replies out, one JSON object a line. */
import * as z from "zod";

/** One message. The same `id` in the same `chat` is the same message: feeding it again changes nothing. */
export const ConsoleLine = z.strictObject({
  id: z.string().min(1).max(200),
  chat: z.string().min(1).max(200),
  sender: z.string().min(1).max(200),
  text: z.string(),
  /** When it was said, ISO 8601; absent: now. */
  ts: z.iso.datetime({ offset: true }).optional(),
});
export type ConsoleLine = z.infer<typeof ConsoleLine>;

/** One reply. `id` is the delivery's own and never repeats in the delivery journal. */
export const ConsoleReply = z.strictObject({ id: z.string(), chat: z.string(), text: z.string() });
export type ConsoleReply = z.infer<typeof ConsoleReply>;
