/**
 * What one live turn may ask of the host, and in which order.
 *
 * Promise: each model step that asks for tools, and each tool result, is on disk before the next step begins; a host tool has
 * its effect at most once per (step, call); the limits hold whatever the sandbox sends, in any order, any number of times.
 * The journal in the store is the truth; the counters here are rebuilt from it when a turn is resumed.
 */
import { type HostToolCall, type HostToolOutcome, SendMessageInput } from "../../contracts/wire/tools.ts";
import type { Boundary, Finish, Finished, JournalEntry, ToolResult, TurnEvent, TurnLimits } from "../../contracts/wire/turn.ts";
import { boundText } from "../domain/bounded-text.ts";
import { describeError, isHostError, RefusedError } from "../domain/errors.ts";
import { visibleReply } from "../domain/reply.ts";
import type { RunFigures } from "../domain/turn.ts";
import { type CollectedStep, collectStep } from "../models/model-step.ts";
import type { Clock } from "../ports/clock.ts";
import type { TurnDoors } from "../ports/link.ts";
import type { Model, ModelCallOptions, ModelStreamPart } from "../ports/model.ts";
import type { BatchRules, ClaimedTurn, StepRecord, Store } from "../ports/store.ts";

export interface TurnDoorsOptions {
  readonly claim: ClaimedTurn;
  readonly store: Store;
  readonly model: Model;
  readonly clock: Clock;
  readonly limits: TurnLimits;
  /** UTF-8 bytes of one reply; the middle of a longer one is cut and marked. */
  readonly replyBytes: number;
  readonly batchRules: () => BatchRules;
  /** Anything the sandbox does; resets the idle timer. */
  readonly onActivity: () => void;
  readonly onText: (delta: string) => void;
  readonly onReply: () => void;
  /** The turn is closed in the store. */
  readonly onDone: () => void;
  /** The runner gives up. */
  readonly onFailed: (error: string, retryable: boolean) => void;
}

/** Steps the model may take while it also takes in new messages; past it they wait for the next turn. */
const FOLLOW_UP_SHARE = 0.5;

export class LiveTurn implements TurnDoors {
  readonly #o: TurnDoorsOptions;
  /** Model steps so far, the one under way included. */
  #steps = 0;
  #toolCalls = 0;
  /** Calls of the newest stored step that have no result yet: id → tool name. */
  #open = new Map<string, string>();
  #openStep = -1;
  /** A step without tool calls, stored together with the finish that follows it. */
  #unstored: StepRecord | undefined;
  #modelBusy = false;
  #modelFault: unknown;
  #over = false;
  #firstTokenAt: number | null = null;
  #inputTokens = 0;
  #outputTokens = 0;

  constructor(options: TurnDoorsOptions) {
    this.#o = options;
    for (const entry of options.claim.journal) this.#replay(entry);
  }

  get figures(): RunFigures {
    return {
      firstTokenAt: this.#firstTokenAt,
      steps: this.#steps,
      toolCalls: this.#toolCalls,
      inputTokens: this.#inputTokens,
      outputTokens: this.#outputTokens,
    };
  }

  /** No door opens any more. Called when the run ends, before the sandbox is known to be gone. */
  shut(): void {
    this.#over = true;
  }

  event(event: TurnEvent): void {
    if (this.#over) return;
    this.#o.onActivity();
    if (event.type === "text") {
      this.#firstTokenAt ??= this.#o.clock.now();
      this.#o.onText(event.delta);
    } else if (event.type === "failed") this.#fail(event.error, event.retryable);
  }

  result(result: ToolResult): void {
    this.#mustBeOpen();
    if (result.step !== this.#openStep || this.#open.get(result.toolCallId) !== result.toolName) {
      throw new RefusedError("LINK_PROTOCOL", `No open call ${result.toolCallId} of ${result.toolName} in step ${result.step}.`);
    }
    if (result.toolName === "send_message") throw new RefusedError("LINK_PROTOCOL", "send_message is done by the host; ask its door.");
    // Twice the limit: the runner cuts to the limit and adds its mark.
    const text = boundText(result.text, this.#o.limits.toolOutputBytes * 2);
    this.#o.store.recordResult(this.#o.claim.id, { ...result, text }, this.#o.clock.now());
    this.#open.delete(result.toolCallId);
  }

  boundary(): Boundary {
    this.#mustBeOpen();
    this.#noOpenCalls();
    if (this.#unstored !== undefined) throw new RefusedError("LINK_PROTOCOL", "The last step called no tool: finish the turn first.");
    if (!this.#takesFollowUps()) return { inputs: [] };
    const input = this.#o.store.takeInput(this.#o.claim.id, this.#o.batchRules());
    return { inputs: input === undefined ? [] : [input] };
  }

  finish(finish: Finish): Finished {
    this.#mustBeOpen();
    this.#noOpenCalls();
    if (this.#modelBusy) throw new RefusedError("LINK_PROTOCOL", "A model step is under way.");
    const { claim, store, clock } = this.#o;
    const reply = boundText(visibleReply(finish.text), this.#o.replyBytes);
    const more = store.finishTurn(claim.id, {
      runId: claim.runId,
      ...(this.#unstored === undefined ? {} : { step: this.#unstored }),
      reply,
      figures: this.figures,
      now: clock.now(),
      ...(this.#takesFollowUps() ? { rules: this.#o.batchRules() } : {}),
    });
    this.#unstored = undefined;
    if (reply !== "") this.#o.onReply();
    if (more !== undefined) return { state: "more", inputs: [more] };
    this.#over = true;
    this.#o.onDone();
    return { state: "done" };
  }

  async tool(name: string, call: HostToolCall): Promise<HostToolOutcome> {
    this.#mustBeOpen();
    const { claim, store, clock } = this.#o;
    const known = store.findResult(claim.id, call.step, call.toolCallId);
    if (known !== undefined && known.toolName === name) return { text: known.text, isError: known.isError };
    if (call.step !== this.#openStep || this.#open.get(call.toolCallId) !== name) {
      throw new RefusedError("LINK_PROTOCOL", `No open call ${call.toolCallId} of ${name} in step ${call.step}.`);
    }
    const result = { step: call.step, toolCallId: call.toolCallId, toolName: name };
    const outcome =
      name === "send_message" ? this.#sendMessage(result, call.input) : { text: `There is no host tool ${name}.`, isError: true };
    if (outcome.isError) store.recordResult(claim.id, { ...result, ...outcome }, clock.now());
    this.#open.delete(call.toolCallId);
    return outcome;
  }

  async model(modelId: string, options: ModelCallOptions, signal: AbortSignal): Promise<ReadableStream<ModelStreamPart>> {
    this.#mustBeOpen();
    this.#noOpenCalls();
    const { model, limits, claim, store, clock } = this.#o;
    if (modelId !== model.id) {
      throw new RefusedError("MODEL_UNKNOWN", `No model ${modelId} here.`, { hint: `Ask for ${model.id}.` });
    }
    if (this.#modelBusy) throw new RefusedError("LINK_PROTOCOL", "One model step at a time.");
    if (this.#steps >= limits.steps) throw new RefusedError("TURN_LIMIT", `This turn reached its limit of ${limits.steps} model steps.`);
    if (this.#unstored !== undefined) {
      store.recordStep(claim.id, this.#unstored, clock.now());
      this.#unstored = undefined;
    }
    this.#modelBusy = true;
    const step = this.#steps;
    const free = (): void => {
      this.#modelBusy = false;
    };
    try {
      this.#o.onActivity();
      const parts = await model.stream(options, signal);
      this.#steps++;
      return collectStep(watchEnd(parts, free), {
        onText: () => this.#o.onActivity(),
        onStep: (collected) => this.#store(step, collected),
        onFault: (fault) => {
          this.#modelFault = fault;
        },
      });
    } catch (error) {
      free();
      throw error;
    }
  }

  #store(step: number, { content, inputTokens, outputTokens }: CollectedStep): void {
    this.#mustBeOpen();
    this.#inputTokens += inputTokens;
    this.#outputTokens += outputTokens;
    const calls = content.filter((part) => part.type === "tool-call");
    if (calls.length === 0) {
      this.#unstored = { step, content };
      return;
    }
    this.#o.store.recordStep(this.#o.claim.id, { step, content }, this.#o.clock.now());
    this.#openStep = step;
    this.#open = new Map(calls.map((call) => [call.toolCallId, call.toolName]));
    this.#toolCalls += calls.length;
  }

  #sendMessage(result: Omit<ToolResult, "text" | "isError">, input: unknown): HostToolOutcome {
    if (this.#toolCalls > this.#o.limits.toolCalls) {
      return { text: `Tool-call limit of ${this.#o.limits.toolCalls} reached; answer with what you have.`, isError: true };
    }
    const parsed = SendMessageInput.safeParse(input);
    if (!parsed.success) return { text: 'send_message needs {"text": "…"} with a non-empty text.', isError: true };
    const text = boundText(visibleReply(parsed.data.text), this.#o.replyBytes);
    if (text === "") return { text: "Nothing was left to send after internal parts were cut.", isError: true };
    const outcome = { text: "Sent.", isError: false };
    this.#o.store.recordReply(this.#o.claim.id, { ...result, ...outcome }, text, this.#o.clock.now());
    this.#o.onReply();
    return outcome;
  }

  #replay(entry: JournalEntry): void {
    if (entry.kind === "step") {
      this.#steps = Math.max(this.#steps, entry.step + 1);
      const calls = entry.content.filter((part) => part.type === "tool-call");
      this.#toolCalls += calls.length;
      this.#openStep = entry.step;
      this.#open = new Map(calls.map((call) => [call.toolCallId, call.toolName]));
    } else if (entry.kind === "result" && entry.step === this.#openStep) this.#open.delete(entry.toolCallId);
  }

  #takesFollowUps(): boolean {
    const { steps, toolCalls } = this.#o.limits;
    return this.#steps < steps * FOLLOW_UP_SHARE && this.#toolCalls < toolCalls * FOLLOW_UP_SHARE;
  }

  /** The runner reads a fault in mid-stream as text and cannot tell whether it will pass; we can. */
  #fail(error: string, retryable: boolean): void {
    const fault = this.#modelFault;
    if (isHostError(fault)) this.#o.onFailed(describeError(fault), fault.retryable);
    else this.#o.onFailed(error, retryable);
  }

  #mustBeOpen(): void {
    this.#o.onActivity();
    if (this.#over) throw new RefusedError("LINK_PROTOCOL", "The turn is over; every door is shut.");
  }

  #noOpenCalls(): void {
    if (this.#open.size > 0) {
      throw new RefusedError("LINK_PROTOCOL", `Results of ${[...this.#open.keys()].join(", ")} are missing.`);
    }
  }
}

/** Calls `onEnd` when the stream has ended, failed or been given up. */
function watchEnd<Part>(stream: ReadableStream<Part>, onEnd: () => void): ReadableStream<Part> {
  const reader = stream.getReader();
  return new ReadableStream<Part>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) {
          controller.enqueue(value);
          return;
        }
        onEnd();
        controller.close();
      } catch (error) {
        onEnd();
        controller.error(error);
      }
    },
    async cancel(reason) {
      onEnd();
      await reader.cancel(reason);
    },
  });
}
