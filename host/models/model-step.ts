/**
 * One model step as it streams through the door: what passes is collected into a journal record and counted.
 *
 * The last part (`finish`) is held back until `onStep` has returned: the runner may act on a step only after it is stored.
 */
import { AssistantPart } from "../../contracts/wire/turn.ts";
import { ModelCallError } from "../domain/errors.ts";
import type { ModelStreamPart } from "../ports/model.ts";

export interface CollectedStep {
  readonly content: readonly AssistantPart[];
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Characters a single step may produce; a model that runs wild is cut off, not buffered. */
const MAX_STEP_CHARS = 4 * 1024 * 1024;

export function collectStep(
  parts: ReadableStream<ModelStreamPart>,
  hooks: { onText(delta: string): void; onStep(step: CollectedStep): void; onFault(error: unknown): void },
): ReadableStream<ModelStreamPart> {
  const collector = new StepCollector();
  return parts.pipeThrough(
    new TransformStream<ModelStreamPart, ModelStreamPart>({
      transform(raw, controller) {
        assertText(raw);
        const part = collector.legal(raw);
        collector.take(part);
        if (part.type === "error") hooks.onFault(part.error);
        if (part.type === "text-delta") hooks.onText(part.delta);
        if (part.type === "finish") {
          const step = collector.collected(part);
          if (step !== undefined) hooks.onStep(step);
        }
        controller.enqueue(part);
      },
      flush() {
        if (!collector.finished) {
          throw new ModelCallError("MODEL_UNREACHABLE", "The model's answer broke off before its end.", { retryable: true });
        }
      },
    }),
  );
}

const FIELDS_OF_TEXT = ["delta", "toolCallId", "toolName", "input"] as const;

/** A model's parts are typed, not parsed; what is counted and journalled must be text. */
function assertText(part: ModelStreamPart): void {
  const fields = part as Partial<Record<(typeof FIELDS_OF_TEXT)[number], unknown>>;
  const wrong =
    part.type === "raw" ? undefined : FIELDS_OF_TEXT.find((name) => fields[name] !== undefined && typeof fields[name] !== "string");
  if (wrong !== undefined) throw new ModelCallError("MODEL_REFUSED", `The model's answer is broken: its ${wrong} is no text.`);
}

type Finish = Extract<ModelStreamPart, { type: "finish" }>;
type Block = { type: "text" | "reasoning"; text: string; providerOptions?: Record<string, unknown> };

class StepCollector {
  readonly #order: (Block | AssistantPart)[] = [];
  readonly #blocks = new Map<string, Block>();
  readonly #callIds = new Set<string>();
  #chars = 0;
  #faulty = false;
  finished = false;

  /** Models invent names and ids no wire allows; runner and journal must agree on what they became. */
  legal(part: ModelStreamPart): ModelStreamPart {
    if (part.type !== "tool-call") return part;
    const toolName = part.toolName.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 64) || "unnamed";
    const isUsable = part.toolCallId !== "" && part.toolCallId.length <= 200 && !this.#callIds.has(part.toolCallId);
    const toolCallId = isUsable ? part.toolCallId : `host-${this.#callIds.size}`;
    this.#callIds.add(toolCallId);
    return { ...part, toolName, toolCallId };
  }

  take(part: ModelStreamPart): void {
    if (this.finished) throw new ModelCallError("MODEL_REFUSED", "The model went on after the end of its answer.");
    switch (part.type) {
      case "text-start":
      case "reasoning-start":
        this.#open(part.type === "text-start" ? "text" : "reasoning", part.id, part.providerMetadata);
        break;
      case "text-delta":
      case "reasoning-delta":
        this.#grow(part.id, part.delta);
        break;
      case "text-end":
      case "reasoning-end":
        this.#close(part.id, part.providerMetadata);
        break;
      case "tool-call":
        this.#count(part.input.length);
        this.#order.push({
          type: "tool-call",
          toolCallId: part.toolCallId,
          toolName: part.toolName,
          input: parseInput(part.input),
          ...(part.providerMetadata === undefined ? {} : { providerOptions: part.providerMetadata }),
        });
        break;
      case "error":
        this.#faulty = true;
        break;
      default:
    }
  }

  /** Undefined where the provider reported a fault on the way: half a step is no step, the run that asked for it fails. */
  collected(finish: Finish): CollectedStep | undefined {
    this.finished = true;
    if (this.#faulty || finish.finishReason.unified === "error") return undefined;
    const content = AssistantPart.array().safeParse(this.#order.filter((part) => part.type === "tool-call" || part.text !== ""));
    // Stored, it could never be read again.
    if (!content.success) {
      throw new ModelCallError("MODEL_REFUSED", "The model's answer is broken: it cannot be kept.", { cause: content.error });
    }
    return {
      content: content.data,
      inputTokens: finish.usage.inputTokens.total ?? 0,
      outputTokens: finish.usage.outputTokens.total ?? 0,
    };
  }

  #open(type: Block["type"], id: string, metadata: Record<string, unknown> | undefined): void {
    const block: Block = { type, text: "", ...(metadata === undefined || type === "text" ? {} : { providerOptions: metadata }) };
    this.#blocks.set(`${type}:${id}`, block);
    this.#order.push(block);
  }

  #find(id: string): Block | undefined {
    return this.#blocks.get(`text:${id}`) ?? this.#blocks.get(`reasoning:${id}`);
  }

  #grow(id: string, delta: string): void {
    this.#count(delta.length);
    const block = this.#find(id);
    if (block !== undefined) block.text += delta;
  }

  /** Signatures that a provider wants back arrive with the end of a block; the journal keeps those of reasoning only. */
  #close(id: string, metadata: Record<string, unknown> | undefined): void {
    const block = this.#find(id);
    if (block?.type === "reasoning" && metadata !== undefined) block.providerOptions = { ...block.providerOptions, ...metadata };
    this.#blocks.delete(`text:${id}`);
    this.#blocks.delete(`reasoning:${id}`);
  }

  #count(chars: number): void {
    this.#chars += chars;
    if (this.#chars > MAX_STEP_CHARS) {
      throw new ModelCallError("MODEL_REFUSED", `The model's answer passed ${MAX_STEP_CHARS} characters and was cut off.`);
    }
  }
}

/** A model may write arguments that are not JSON; the runner answers those in words, so they are kept as they came. */
function parseInput(input: string): unknown {
  try {
    return JSON.parse(input === "" ? "{}" : input);
  } catch {
    return input;
  }
}
