/** The replay's model: says what it is asked to say. The agent writes the step it wants into its prompt. */
import type { Model, ModelStreamPart } from "../ports/model.ts";

export interface Said {
  readonly text?: string;
  readonly call?: { readonly toolCallId: string; readonly name: string; readonly input: object };
}

const USAGE = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

export const puppetModel: Model = {
  id: "puppet",
  async stream({ prompt }) {
    const last = prompt.at(-1)?.content.at(-1);
    if (typeof last !== "object" || last.type !== "text") throw new Error("the prompt does not end in text");
    return ReadableStream.from(partsOf(JSON.parse(last.text) as Said));
  },
};

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
