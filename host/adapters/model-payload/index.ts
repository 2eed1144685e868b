/**
 * The model of an agent that brings its own words: it says what the newest message of the prompt asks it to say. So a turn of the
 * compatibility runner, or of a recording, goes through steps and journal as any other.
 */
import * as z from "zod";
import { ModelCallError } from "../../domain/errors.ts";
import type { Model, ModelStreamPart } from "../../ports/model.ts";

const Said = z.strictObject({
  text: z.string().optional(),
  call: z
    .strictObject({
      toolCallId: z.string(),
      name: z.string(),
      input: z.custom<object>((input) => typeof input === "object" && input !== null && !Array.isArray(input)),
    })
    .optional(),
});
export type Said = z.infer<typeof Said>;

/** What its words cost is counted by nobody here. */
const USAGE = {
  inputTokens: { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 0, text: 0, reasoning: 0 },
};

export const payloadModel: Model = {
  id: "payload",
  async stream({ prompt }) {
    const last = prompt.at(-1)?.content.at(-1);
    if (typeof last !== "object" || last.type !== "text") throw new ModelCallError("MODEL_REFUSED", "The prompt does not end in text.");
    return ReadableStream.from(partsOf(parseSaid(last.text)));
  },
};

/** The text comes from inside a sandbox. */
function parseSaid(text: string): Said {
  try {
    return Said.parse(JSON.parse(text));
  } catch (cause) {
    throw new ModelCallError("MODEL_REFUSED", "The prompt does not say what to say.", { cause });
  }
}

export function partsOf({ text, call }: Said): readonly ModelStreamPart[] {
  const parts: ModelStreamPart[] = [];
  if (text !== undefined && text !== "") {
    parts.push({ type: "text-start", id: "t" }, { type: "text-delta", id: "t", delta: text }, { type: "text-end", id: "t" });
  }
  if (call !== undefined) {
    parts.push({ type: "tool-call", toolCallId: call.toolCallId, toolName: call.name, input: JSON.stringify(call.input) });
  }
  const unified = call === undefined ? "stop" : "tool-calls";
  return [...parts, { type: "finish", usage: USAGE, finishReason: { unified, raw: undefined } }];
}
