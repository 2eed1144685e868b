/** One model step: asks the host's model door and collects what it streams. */
import { createGateway } from "@ai-sdk/gateway";
import type { JSONSchema7, LanguageModelV4FinishReason, LanguageModelV4Prompt, LanguageModelV4StreamPart } from "@ai-sdk/provider";
import { MODEL_BASE_PATH } from "../../contracts/wire/model.ts";
import type { AssistantPart } from "../../contracts/wire/turn.ts";
import type { ToolDefinition } from "../tools/registry.ts";

/** The step failed and left nothing behind; `retryable` as the host's status said, or because the answer was cut. */
export class ModelStepError extends Error {
  override readonly name = "ModelStepError";
  readonly retryable: boolean;
  constructor(message: string, retryable: boolean) {
    super(message);
    this.retryable = retryable;
  }
}

export interface ModelStepRequest {
  readonly model: string;
  readonly prompt: LanguageModelV4Prompt;
  readonly tools: readonly ToolDefinition[];
  readonly fetch: typeof globalThis.fetch;
  readonly signal: AbortSignal;
  readonly onText: (delta: string) => void;
}

export interface ModelStep {
  readonly content: AssistantPart[];
  readonly finishReason: LanguageModelV4FinishReason["unified"];
}

/** Rejects with ModelStepError, or with the signal's reason. */
export async function takeModelStep(request: ModelStepRequest): Promise<ModelStep> {
  const collected = new StepContent(request.onText);
  try {
    const reader = (await openStream(request)).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      collected.add(value);
    }
  } catch (error) {
    request.signal.throwIfAborted();
    if (error instanceof ModelStepError) throw error;
    throw new ModelStepError(`The model's answer broke off: ${messageOf(error)}`, true);
  }
  request.signal.throwIfAborted();
  return collected.finished();
}

async function openStream(request: ModelStepRequest): Promise<ReadableStream<LanguageModelV4StreamPart>> {
  // The key is demanded by the library and means nothing: the link is the identity.
  const gateway = createGateway({ baseURL: `http://host${MODEL_BASE_PATH}`, apiKey: "link", fetch: request.fetch });
  try {
    const { stream } = await gateway(request.model).doStream({
      prompt: request.prompt,
      tools: request.tools.map((tool) => ({
        type: "function",
        name: tool.name,
        description: tool.description,
        inputSchema: tool.inputSchema as JSONSchema7,
      })),
      toolChoice: { type: "auto" },
      abortSignal: request.signal,
    });
    return stream;
  } catch (error) {
    const status = (error as { statusCode?: number }).statusCode ?? 500;
    throw new ModelStepError(messageOf(error), status === 429 || status >= 500);
  }
}

type TextPart = Extract<AssistantPart, { type: "text" }>;
type ReasoningPart = Extract<AssistantPart, { type: "reasoning" }>;

/** Parts in the order they began. */
class StepContent {
  private readonly parts: AssistantPart[] = [];
  /** Open text and reasoning parts by the stream's own id. */
  private readonly open = new Map<string, TextPart | ReasoningPart>();
  private finishReason: ModelStep["finishReason"] | undefined;
  private readonly onText: (delta: string) => void;
  constructor(onText: (delta: string) => void) {
    this.onText = onText;
  }

  add(part: LanguageModelV4StreamPart): void {
    switch (part.type) {
      case "text-start":
      case "text-delta":
      case "text-end": {
        if (part.type !== "text-delta" || part.delta === "") return;
        this.opened({ type: "text", text: "" }, part.id).text += part.delta;
        return this.onText(part.delta);
      }
      case "reasoning-start":
      case "reasoning-delta":
      case "reasoning-end": {
        const reasoning = this.opened<ReasoningPart>({ type: "reasoning", text: "" }, part.id);
        if (part.type === "reasoning-delta") reasoning.text += part.delta;
        // The signature may come with any of the three; the last one given holds.
        if (part.providerMetadata !== undefined) reasoning.providerOptions = part.providerMetadata;
        return;
      }
      case "tool-call": {
        if (part.providerExecuted === true) return;
        const { toolCallId, toolName, providerMetadata } = part;
        const call: AssistantPart = { type: "tool-call", toolCallId, toolName, input: parseArguments(part.input) };
        this.parts.push(providerMetadata === undefined ? call : { ...call, providerOptions: providerMetadata });
        return;
      }
      case "finish":
        this.finishReason = part.finishReason.unified;
        return;
      case "error":
        throw new ModelStepError(typeof part.error === "string" ? part.error : messageOf(part.error), true);
    }
  }

  finished(): ModelStep {
    if (this.finishReason === undefined) throw new ModelStepError("The model's answer ended before it was finished.", true);
    if (this.finishReason === "error") throw new ModelStepError("The model ended its answer with an error.", true);
    return { content: this.parts, finishReason: this.finishReason };
  }

  /** The open part of this kind and id, or `fresh` where there is none yet. */
  private opened<P extends TextPart | ReasoningPart>(fresh: P, id: string): P {
    const key = `${fresh.type} ${id}`;
    const known = this.open.get(key);
    if (known !== undefined) return known as P;
    this.open.set(key, fresh);
    this.parts.push(fresh);
    return fresh;
  }
}

/** What is not JSON stays text: the tool's schema refuses it in words the model can act on. */
function parseArguments(input: string): unknown {
  if (input.trim() === "") return {};
  try {
    return JSON.parse(input);
  } catch {
    return input;
  }
}

function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return typeof error === "string" ? error : JSON.stringify(error);
}
