/**
 * Where a turn stands, read from its prompt alone.
 *
 * Messages and answers are walked in prompt order. A message is answered by a `send_message` call, failed or not, or by the
 * text of a step that calls no tool; the result of any other tool belongs to the oldest message that waits for one.
 */
import { isEarlier } from "../../../contracts/wire/model.ts";
import type { ModelCallOptions } from "../../ports/model.ts";
import { type Command, parseCommand, parseSay } from "./command.ts";

type PromptMessage = ModelCallOptions["prompt"][number];
type ToolOutput = Extract<Extract<PromptMessage, { role: "tool" }>["content"][number], { type: "tool-result" }>["output"];

export interface PendingMessage {
  readonly text: string;
  readonly command: Command | undefined;
  /** Output of the tool its command needs; undefined until it has run. */
  result: string | undefined;
}

export interface Conversation {
  /** Messages without an answer, oldest first. */
  readonly pending: readonly PendingMessage[];
  readonly toolCalls: number;
  readonly steps: number;
}

/** What earlier turns left unanswered stays so. `separately`: a text answers one message; otherwise it answers all that were waiting. */
export function readConversation(prompt: readonly PromptMessage[], separately: boolean): Conversation {
  const pending: PendingMessage[] = [];
  let toolCalls = 0;
  let steps = 0;
  for (const message of prompt) {
    if (isEarlier(message)) continue;
    if (message.role === "user") {
      for (const { text, saidAt } of messagesIn(textOf(message.content))) {
        pending.push({ text, command: parseCommand(text, saidAt), result: parseSay(text) });
      }
    } else if (message.role === "assistant") {
      steps += 1;
      const calls = message.content.filter((part) => part.type === "tool-call");
      toolCalls += calls.length;
      for (const call of calls) if (call.toolName === "send_message") pending.shift();
      if (calls.length === 0 && textOf(message.content) !== "") pending.splice(0, separately ? 1 : pending.length);
    } else if (message.role === "tool") {
      for (const part of message.content) {
        if (part.type !== "tool-result" || part.toolName === "send_message") continue;
        const waiting = pending.find((candidate) => candidate.command !== undefined && candidate.result === undefined);
        if (waiting !== undefined) waiting.result = outputText(part.output);
      }
    }
  }
  return { pending, toolCalls, steps };
}

function textOf(content: readonly { readonly type: string }[]): string {
  return content
    .filter((part): part is { type: "text"; text: string } => part.type === "text")
    .map((part) => part.text)
    .join("");
}

const WRAPPED = /^\s*<messages>([\s\S]*)<\/messages>\s*$/;
/** A body holds no `<`: it is escaped, so no message can pretend to be two. */
const MESSAGE = /<message\b([^>]*)>([^<]*)<\/message>/g;
const TIME = /\btime="(\d{4}-[^"]{4,40})"$/;
const ENTITIES: Readonly<Record<string, string>> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"' };

/** The texts inside NanoClaw's wrapper (contract §3.5); without the wrapper the whole is one message. */
function messagesIn(input: string): { text: string; saidAt: string | undefined }[] {
  const inner = WRAPPED.exec(input)?.[1];
  if (inner === undefined) return [{ text: input, saidAt: undefined }];
  return Array.from(inner.matchAll(MESSAGE), ([, attributes = "", body = ""]) => ({
    text: body.replace(/&(?:amp|lt|gt|quot);/g, (entity) => ENTITIES[entity] ?? entity),
    saidAt: TIME.exec(attributes)?.[1],
  }));
}

function outputText(output: ToolOutput): string {
  switch (output.type) {
    case "text":
    case "error-text":
      return output.value;
    case "json":
    case "error-json":
      return typeof output.value === "string" ? output.value : JSON.stringify(output.value);
    case "execution-denied":
      return output.reason ?? "The tool was not allowed to run.";
    case "content":
      return textOf(output.value);
  }
}
