/**
 * A turn's journal as the runner knows it, and the prompt made from it.
 *
 * The host keeps the journal that counts; this is the same list, so that a turn resumed from it and a turn that was never
 * interrupted ask the model the same question.
 */
import type {
  LanguageModelV4Message,
  LanguageModelV4Prompt,
  LanguageModelV4ToolResultPart,
  SharedV4ProviderOptions,
} from "@ai-sdk/provider";
import { EARLIER } from "../../contracts/wire/model.ts";
import type { AssistantPart, JournalEntry, ToolResult } from "../../contracts/wire/turn.ts";

export type ToolCall = Extract<AssistantPart, { type: "tool-call" }>;

export interface OpenStep {
  readonly step: number;
  readonly text: string;
  readonly calls: readonly ToolCall[];
  /** Tool calls the turn made before this step's. */
  readonly callsBefore: number;
}

export class Conversation {
  private readonly system: string;
  private readonly earlier: LanguageModelV4Message[];
  private readonly entries: JournalEntry[];

  /** `history`: the journals of earlier turns. */
  constructor(system: string, history: readonly (readonly JournalEntry[])[], journal: readonly JournalEntry[]) {
    this.system = system;
    this.earlier = history.flatMap(messagesOf).map((message) => ({ ...message, providerOptions: EARLIER }));
    this.entries = journal.slice();
  }

  /** Model steps taken, and so the number of the next. */
  get steps(): number {
    return this.entries.filter((entry) => entry.kind === "step").length;
  }

  /** The last step, unless an input came after it: what it asked for or answered is still to be dealt with. */
  openStep(): OpenStep | undefined {
    let callsBefore = 0;
    let open: OpenStep | undefined;
    for (const entry of this.entries) {
      if (entry.kind === "input") open = undefined;
      if (entry.kind !== "step") continue;
      const calls = toolCalls(entry.content);
      open = { step: entry.step, text: textOf(entry.content), calls, callsBefore };
      callsBefore += calls.length;
    }
    return open;
  }

  hasResult(step: number, toolCallId: string): boolean {
    return this.entries.some((entry) => entry.kind === "result" && entry.step === step && entry.toolCallId === toolCallId);
  }

  addInputs(inputs: readonly string[]): void {
    for (const text of inputs) this.entries.push({ kind: "input", text });
  }

  addStep(content: AssistantPart[]): void {
    this.entries.push({ kind: "step", step: this.steps, content });
  }

  addResult(result: ToolResult): void {
    this.entries.push({ kind: "result", ...result });
  }

  prompt(): LanguageModelV4Prompt {
    const system: LanguageModelV4Message[] = this.system === "" ? [] : [{ role: "system", content: this.system }];
    return [...system, ...this.earlier, ...messagesOf(this.entries)];
  }
}

function messagesOf(entries: readonly JournalEntry[]): LanguageModelV4Message[] {
  return entries.flatMap((entry): LanguageModelV4Message[] => {
    if (entry.kind === "input") return [{ role: "user", content: [{ type: "text", text: entry.text }] }];
    return entry.kind === "step" ? stepMessages(entry.step, entry.content, entries) : [];
  });
}

/** Results follow the step that asked for them, in the order it asked: providers insist on both. */
function stepMessages(step: number, content: readonly AssistantPart[], entries: readonly JournalEntry[]): LanguageModelV4Message[] {
  const calls = toolCalls(content);
  const parts = content.filter((part) => (part.type === "tool-call" ? calls.includes(part) : part.type !== "text" || part.text !== ""));
  if (parts.length === 0) return [];
  const assistant: LanguageModelV4Message = { role: "assistant", content: parts.map(promptPart) };
  if (calls.length === 0) return [assistant];
  return [assistant, { role: "tool", content: calls.map((call) => resultPart(step, call, entries)) }];
}

function resultPart(step: number, call: ToolCall, entries: readonly JournalEntry[]): LanguageModelV4ToolResultPart {
  const result = entries.find((entry) => entry.kind === "result" && entry.step === step && entry.toolCallId === call.toolCallId);
  const output =
    result?.kind !== "result"
      ? ({ type: "error-text", value: "No result was recorded." } as const)
      : ({ type: result.isError ? "error-text" : "text", value: result.text } as const);
  return { type: "tool-result", toolCallId: call.toolCallId, toolName: call.toolName, output };
}

/** Some models repeat an id within one step; the first call with it is the one that counts, as its key is what the host knows. */
function toolCalls(content: readonly AssistantPart[]): ToolCall[] {
  const seen = new Set<string>();
  const calls: ToolCall[] = [];
  for (const part of content) {
    if (part.type !== "tool-call" || seen.has(part.toolCallId)) continue;
    seen.add(part.toolCallId);
    calls.push(part);
  }
  return calls;
}

function textOf(content: readonly AssistantPart[]): string {
  return content.map((part) => (part.type === "text" ? part.text : "")).join("");
}

function promptPart(part: AssistantPart) {
  if (part.type === "text") return part;
  // On the wire they are any record; what came from a provider goes back to it unread.
  const providerOptions = part.providerOptions as SharedV4ProviderOptions | undefined;
  if (part.type === "reasoning") return { ...part, providerOptions };
  // Providers want an object here; arguments that were not one have been answered with an error.
  const input = typeof part.input === "object" && part.input !== null && !Array.isArray(part.input) ? part.input : {};
  return { ...part, input, providerOptions };
}
