/** Answers of models as they are written: a step's V4 parts as server-sent events, and another service's bytes as they come. */
import { once } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import type { AnthropicAnswer } from "../../ports/anthropic-api.ts";
import type { ModelStreamPart } from "../../ports/model.ts";

/** Writes parts until the stream ends, waiting where the runner reads slowly. Rejects when the runner is gone. */
export async function writeParts(stream: ServerHttp2Stream, parts: ReadableStream<ModelStreamPart>, gone: AbortSignal): Promise<void> {
  const reader = parts.getReader();
  const cancel = (): void => void reader.cancel().catch(() => undefined);
  gone.addEventListener("abort", cancel, { once: true });
  if (gone.aborted) cancel();
  try {
    stream.respond({ ":status": 200, "content-type": "text/event-stream", "cache-control": "no-store" });
    for (;;) {
      const { part, last } = await nextPart(reader);
      if (gone.aborted) return;
      if (part !== undefined && !stream.write(sseLine(part))) await once(stream, "drain", { signal: gone });
      if (last) break;
    }
    stream.end("data: [DONE]\n\n");
  } finally {
    gone.removeEventListener("abort", cancel);
    cancel();
  }
}

/** Passes an answer on, waiting where it is read slowly. Rejects when it broke off, or its reader is gone. */
export async function writeBytes(stream: ServerHttp2Stream, answer: AnthropicAnswer, gone: AbortSignal): Promise<void> {
  const { status, contentType, retryAfter, body } = answer;
  stream.respond({ ":status": status, "content-type": contentType, ...(retryAfter === undefined ? {} : { "retry-after": retryAfter }) });
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    if (gone.aborted) return;
    if (!stream.write(chunk)) await once(stream, "drain", { signal: gone });
  }
  stream.end();
}

/** A source that fails in the middle ends with an `error` part: the answer has begun, so its status can no longer say it. */
async function nextPart(reader: ReadableStreamDefaultReader<ModelStreamPart>): Promise<{ part?: ModelStreamPart; last: boolean }> {
  try {
    const { done, value } = await reader.read();
    return done ? { last: true } : { part: value, last: false };
  } catch (error) {
    return { part: { type: "error", error }, last: true };
  }
}

function sseLine(part: ModelStreamPart): string {
  const sent = part.type === "error" ? { type: "error", error: errorText(part.error) } : part;
  return `data: ${JSON.stringify(sent, bytesAsBase64)}\n\n`;
}

// Reads the holder, not the value: a Buffer has already turned itself into an object by then.
function bytesAsBase64(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const held = this[key];
  return held instanceof Uint8Array ? Buffer.from(held).toString("base64") : value;
}

const MAX_ERROR_CHARS = 4_000;

function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message : typeof error === "string" ? error : JSON.stringify(error);
  return String(text).slice(0, MAX_ERROR_CHARS);
}
