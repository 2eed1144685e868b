/**
 * A model step whose content is known beforehand, as the parts a model streams. For models that live in the host; one that
 * calls a provider has its parts from the provider.
 *
 * The part types are the ones of ports/model.ts that such a step needs, written out because the domain imports nothing.
 */

export interface WholeStep {
  /** Streamed one after the other as one block of text. */
  readonly deltas: readonly string[];
  readonly toolCalls: readonly { readonly toolCallId: string; readonly toolName: string; readonly input: unknown }[];
}

export type WholeStepPart =
  | { type: "stream-start"; warnings: [] }
  | { type: "response-metadata"; id: string; modelId: string }
  | { type: "text-start"; id: string }
  | { type: "text-delta"; id: string; delta: string }
  | { type: "text-end"; id: string }
  | { type: "tool-input-start"; id: string; toolName: string }
  | { type: "tool-input-delta"; id: string; delta: string }
  | { type: "tool-input-end"; id: string }
  | { type: "tool-call"; toolCallId: string; toolName: string; input: string }
  | { type: "error"; error: unknown }
  | { type: "finish"; finishReason: StepFinishReason; usage: StepUsage };

interface StepFinishReason {
  unified: "stop" | "tool-calls" | "error";
  raw: undefined;
}

interface StepUsage {
  inputTokens: { total: number; noCache: number; cacheRead: number; cacheWrite: number };
  outputTokens: { total: number; text: number; reasoning: number };
}

export interface StepOrigin {
  readonly modelId: string;
  readonly responseId: string;
  readonly inputTokens: number;
}

/** `fault`: the step breaks off after its content with this as an `error` part. */
export function* wholeStepParts(step: WholeStep, origin: StepOrigin, fault?: Error): Generator<WholeStepPart, void, undefined> {
  yield { type: "stream-start", warnings: [] };
  yield { type: "response-metadata", id: origin.responseId, modelId: origin.modelId };
  let characters = 0;
  if (step.deltas.length > 0) {
    yield { type: "text-start", id: "text-0" };
    for (const delta of step.deltas) {
      characters += delta.length;
      yield { type: "text-delta", id: "text-0", delta };
    }
    yield { type: "text-end", id: "text-0" };
  }
  for (const call of step.toolCalls) {
    const input = JSON.stringify(call.input) ?? "{}";
    characters += call.toolName.length + input.length;
    yield { type: "tool-input-start", id: call.toolCallId, toolName: call.toolName };
    yield { type: "tool-input-delta", id: call.toolCallId, delta: input };
    yield { type: "tool-input-end", id: call.toolCallId };
    yield { type: "tool-call", toolCallId: call.toolCallId, toolName: call.toolName, input };
  }
  if (fault !== undefined) yield { type: "error", error: fault };
  const reason = fault !== undefined ? "error" : step.toolCalls.length > 0 ? "tool-calls" : "stop";
  yield { type: "finish", finishReason: { unified: reason, raw: undefined }, usage: usageOf(origin.inputTokens, tokensOf(characters)) };
}

/** An estimate where no tokenizer counts: four characters a token. */
export function tokensOf(characters: number): number {
  return Math.ceil(characters / 4);
}

function usageOf(input: number, output: number): StepUsage {
  return {
    inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: output, text: output, reasoning: 0 },
  };
}

/**
 * The parts as a stream that makes one when one is asked for and none ahead. After the signal the next read rejects with the
 * signal's reason; cancelling the stream ends the generator.
 */
export function streamOfParts<Part>(parts: Generator<Part, void, undefined>, signal: AbortSignal): ReadableStream<Part> {
  return new ReadableStream<Part>(
    {
      pull(controller) {
        if (signal.aborted) {
          parts.return();
          controller.error(signal.reason);
          return;
        }
        const next = parts.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      cancel() {
        parts.return();
      },
    },
    { highWaterMark: 0 },
  );
}
