/**
 * What one live turn may ask of the host, and in which order.
 *
 * Promise: each model step that asks for tools, and each tool result, is on disk before the next step begins; a host tool has
 * its effect at most once per (step, call); the limits hold whatever the sandbox sends, in any order, any number of times.
 * The journal in the store is the truth; the counters here are rebuilt from it when a turn is resumed.
 */
import { type HostToolCall, type HostToolOutcome, isHostTool } from "../../contracts/wire/tools.ts";
import type { Boundary, Finish, Finished, JournalEntry, ToolResult, TurnEvent, TurnLimits } from "../../contracts/wire/turn.ts";
import { boundText } from "../domain/bounded-text.ts";
import { describeError, HostError, isHostError, RefusedError } from "../domain/errors.ts";
import { quoted } from "../domain/notice.ts";
import { countMessages } from "../domain/prompt.ts";
import { spokenText, visibleReply } from "../domain/reply.ts";
import type { TaskRules } from "../domain/task-rules.ts";
import { type RunFigures, roomForMessages } from "../domain/turn.ts";
import { type CollectedStep, collectStep } from "../models/model-step.ts";
import type { AnthropicAnswer, AnthropicApi, AnthropicCall } from "../ports/anthropic-api.ts";
import type { Clock } from "../ports/clock.ts";
import type { AgentDoors } from "../ports/link.ts";
import type { Model, ModelCallOptions, ModelStreamPart } from "../ports/model.ts";
import type { BatchRules, ClaimedTurn, StepRecord, Store, TaskEnd } from "../ports/store.ts";
import type { HostTools } from "./host-tools.ts";
import { PayloadCalls } from "./payload-calls.ts";

export interface TurnDoorsOptions {
  readonly claim: ClaimedTurn;
  readonly store: Store;
  readonly model: Model;
  readonly clock: Clock;
  readonly hostTools: HostTools;
  readonly taskRules: TaskRules;
  readonly limits: TurnLimits;
  /** UTF-8 bytes of one reply; the middle of a longer one is cut and marked. */
  readonly replyBytes: number;
  readonly batchRules: () => BatchRules;
  /** See Sessions. */
  readonly agentNamesSessions: boolean;
  /** The model service of an agent that brings its own loop. Absent: there is no such door. */
  readonly anthropic?: AnthropicApi;
  /** Anything the sandbox does; resets the idle timer. */
  readonly onActivity: () => void;
  readonly onText: (delta: string) => void;
  readonly onReply: () => void;
  /** The turn is closed in the store. */
  readonly onDone: () => void;
  /** The runner gives up. */
  readonly onFailed: (error: HostError) => void;
}

/** Steps the model may take while it also takes in new messages; past it they wait for the next turn. */
const FOLLOW_UP_SHARE = 0.5;

/** An agent that keeps its conversations itself begins a new one now and then; each name is a write. */
const MAX_NAMES = 16;

export class LiveTurn implements AgentDoors {
  readonly #o: TurnDoorsOptions;
  readonly anthropic?: NonNullable<AgentDoors["anthropic"]>;
  /** Model steps so far, the one under way included. */
  #steps = 0;
  #toolCalls = 0;
  /** Something was sent for the inputs that have no answer yet. */
  #hasSpoken = false;
  /** Messages taken so far. */
  #messages = 0;
  /** Calls of the newest stored step that have no result yet: id → tool name. */
  #open = new Map<string, string>();
  #openStep = -1;
  /** A step without tool calls, stored together with the finish that follows it. */
  #unstored: StepRecord | undefined;
  #modelBusy = false;
  #modelFault: unknown;
  #isSessionRefused = false;
  #sessionsNamed = 0;
  #over = false;
  #firstTokenAt: number | null = null;
  #inputTokens = 0;
  #outputTokens = 0;

  constructor(options: TurnDoorsOptions) {
    this.#o = options;
    for (const entry of options.claim.journal) this.#replay(entry);
    if (options.anthropic !== undefined) this.anthropic = this.#openAnthropic(options.anthropic);
  }

  /** A message for the newest input is on its way: to give the input again could say it twice. */
  get hasSpoken(): boolean {
    return this.#hasSpoken;
  }

  /** The conversation it goes on with is too much, as the agent or the provider says; without it the turn goes on from its own journal. */
  get isSessionRefused(): boolean {
    return this.#isSessionRefused && this.#o.claim.session?.isNew === false;
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

  /** For the store: how the task of this turn is closed, if it is a task's. `result`: the last it said; null where it said nothing. */
  taskEnd(result: string | null): { taskEnd?: TaskEnd } {
    const { claim, taskRules, clock } = this.#o;
    if (claim.taskId === null) return {};
    return {
      taskEnd: {
        result: result === "" ? null : result,
        close: (task, dueAt, outcome) => taskRules.close(task, dueAt, outcome, clock.now()),
      },
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
    } else if (event.type === "session") this.#nameSession(event.id);
    else if (event.type === "failed") this.#fail(event);
  }

  result(result: ToolResult): void {
    this.#mustBeOpen();
    if (result.step !== this.#openStep || this.#open.get(result.toolCallId) !== result.toolName) {
      throw new RefusedError("LINK_PROTOCOL", `No open call ${result.toolCallId} of ${result.toolName} in step ${result.step}.`);
    }
    if (isHostTool(result.toolName) && !result.isError) {
      throw new RefusedError("LINK_PROTOCOL", `${result.toolName} is done by the host; ask its door.`);
    }
    // Twice the limit: the runner cuts to the limit and adds its mark.
    const text = boundText(result.text, this.#o.limits.toolOutputBytes * 2);
    this.#o.store.recordResult(this.#o.claim.id, { ...result, text }, this.#o.clock.now());
    this.#open.delete(result.toolCallId);
  }

  boundary(): Boundary {
    this.#mustBeOpen();
    this.#noOpenCalls();
    if (this.#unstored !== undefined) throw new RefusedError("LINK_PROTOCOL", "The last step called no tool: finish the turn first.");
    const rules = this.#followUpRules();
    if (rules === undefined) return { inputs: [] };
    const input = this.#o.store.takeInput(this.#o.claim.id, rules);
    return { inputs: input === undefined ? [] : [this.#taken(input)] };
  }

  finish(finish: Finish): Finished {
    this.#mustBeOpen();
    this.#noOpenCalls();
    if (this.#modelBusy) throw new RefusedError("LINK_PROTOCOL", "A model step is under way.");
    const { claim, store, clock } = this.#o;
    const reply = spokenText(visibleReply(finish.text), this.#o.replyBytes);
    const rules = this.#followUpRules();
    const more = store.finishTurn(claim.id, {
      runId: claim.runId,
      ...(this.#unstored === undefined ? {} : { step: this.#unstored }),
      reply,
      figures: this.figures,
      now: clock.now(),
      ...(rules === undefined ? {} : { rules }),
      ...this.taskEnd(finish.text),
    });
    this.#unstored = undefined;
    if (reply !== "") this.#o.onReply();
    if (more !== undefined) return { state: "more", inputs: [this.#taken(more)] };
    this.#over = true;
    this.#o.onDone();
    return { state: "done" };
  }

  async tool(name: string, call: HostToolCall): Promise<HostToolOutcome> {
    this.#mustBeOpen();
    const { claim, store } = this.#o;
    const known = store.findResult(claim.id, call.step, call.toolCallId);
    if (known !== undefined && known.toolName === name) return { text: known.text, isError: known.isError };
    if (call.step !== this.#openStep || this.#open.get(call.toolCallId) !== name) {
      throw new RefusedError("LINK_PROTOCOL", `No open call ${call.toolCallId} of ${name} in step ${call.step}.`);
    }
    const outcome = this.#doHostTool(name, call);
    this.#noteSpoken(name, outcome.isError);
    this.#o.onReply();
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
    this.#modelFault = undefined;
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
      this.#modelFault = error;
      throw error;
    }
  }

  /** Each tool call of such an agent, which we do not see, brings one call of its model, as do its answers. */
  #openAnthropic(api: AnthropicApi): NonNullable<AgentDoors["anthropic"]> {
    const { clock, limits, onActivity } = this.#o;
    const calls = new PayloadCalls({ api, clock, most: limits.steps + limits.toolCalls, onActivity });
    return async (call: AnthropicCall, signal: AbortSignal): Promise<AnthropicAnswer> => {
      this.#mustBeOpen();
      return calls.make(call, signal);
    };
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

  /** One transaction: the effect and its journal entry are stored together, or neither is. */
  #doHostTool(name: string, { step, toolCallId, input }: HostToolCall): HostToolOutcome {
    const { claim, store, clock, hostTools, limits } = this.#o;
    const caller = { group: claim.group, turnId: claim.id, step, toolCallId, ...ofTask(claim) };
    const limitReached = `Tool-call limit of ${limits.toolCalls} reached; answer with what you have.`;
    return store.atomically(() => {
      const outcome =
        this.#toolCalls > limits.toolCalls ? hostTools.refuse("limit", name, limitReached, caller) : hostTools.run(name, input, caller);
      store.recordResult(claim.id, { step, toolCallId, toolName: name, ...outcome }, clock.now());
      return outcome;
    });
  }

  #replay(entry: JournalEntry): void {
    if (entry.kind === "input") this.#taken(entry.text);
    else if (entry.kind === "step") {
      this.#steps = Math.max(this.#steps, entry.step + 1);
      const calls = entry.content.filter((part) => part.type === "tool-call");
      this.#toolCalls += calls.length;
      this.#openStep = entry.step;
      this.#open = new Map(calls.map((call) => [call.toolCallId, call.toolName]));
    } else if (entry.kind === "result") {
      this.#noteSpoken(entry.toolName, entry.isError);
      if (entry.step === this.#openStep) this.#open.delete(entry.toolCallId);
    }
  }

  #noteSpoken(toolName: string, isError: boolean): void {
    if (toolName === "send_message" && !isError) this.#hasSpoken = true;
  }

  /** Undefined: what has arrived meanwhile waits for the next turn. */
  #followUpRules(): BatchRules | undefined {
    const { steps, toolCalls } = this.#o.limits;
    const room = roomForMessages(this.#o.limits) - this.#messages;
    if (room <= 0 || this.#steps >= steps * FOLLOW_UP_SHARE || this.#toolCalls >= toolCalls * FOLLOW_UP_SHARE) return undefined;
    const rules = this.#o.batchRules();
    return { ...rules, maxMessages: Math.min(rules.maxMessages, room) };
  }

  #taken(input: string): string {
    this.#hasSpoken = false;
    this.#messages += countMessages(input);
    return input;
  }

  #nameSession(id: string): void {
    const { agentNamesSessions, store, claim } = this.#o;
    if (!agentNamesSessions || this.#sessionsNamed++ >= MAX_NAMES) return;
    store.nameSession(claim.id, id);
  }

  /** The runner reads a fault of the model as text and cannot tell whether it will pass; we can. */
  #fail({ error, retryable, staleSession }: Extract<TurnEvent, { type: "failed" }>): void {
    const { agentNamesSessions, onFailed } = this.#o;
    const fault = isHostError(this.#modelFault) ? this.#modelFault : undefined;
    this.#isSessionRefused = fault?.code === "MODEL_INPUT_REFUSED" || (agentNamesSessions && staleSession === true);
    onFailed(
      new HostError("RUNNER_FAILED", fault === undefined ? quoted(error) : describeError(fault), {
        retryable: fault?.retryable ?? retryable,
      }),
    );
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

function ofTask({ taskId }: ClaimedTurn): { taskId?: string } {
  return taskId === null ? {} : { taskId };
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
