/**
 * One turn, from its journal to its end: model step, tool calls, model step, until the host says done.
 *
 *   model step ──▶ calls? ──no──▶ finish ──▶ done
 *       ▲            │yes            └─more─┐
 *       └─boundary◀─ tool calls in order    │
 *       └───────────────────────────────────┘
 *
 * Order is what makes a turn resumable: a tool's result is with the host before the next call begins, and a step is
 * journalled by the host when its `finish` part has passed. Nothing here touches the process, so a test or the memory twin
 * runs the same loop.
 */
import type { ToolResult, TurnStart } from "../../contracts/wire/turn.ts";
import type { Toolbox, ToolDefinition } from "../tools/registry.ts";
import type { ToolOutcome } from "../tools/tool.ts";
import { Conversation, type OpenStep, type ToolCall } from "./conversation.ts";
import { LinkRefusal, type TurnLink } from "./link-client.ts";
import { ModelStepError, takeModelStep } from "./model-step.ts";
import { TextRelay } from "./text-relay.ts";

export interface TurnTask {
  readonly start: TurnStart;
  readonly link: TurnLink;
  readonly tools: Toolbox;
  /** Ends the turn: the running tool or model step is aborted and nothing more is sent. */
  readonly signal: AbortSignal;
}

/** `failed`: the host has been told why. `stopped`: the signal fired. */
export type TurnEnding = "done" | "failed" | "stopped";

export const INTERRUPTED =
  "Interrupted: the sandbox or its host went down while this tool ran. It may or may not have taken effect; it was not run again.";

/** Never rejects. */
export async function runTurn(task: TurnTask): Promise<TurnEnding> {
  try {
    await new TurnLoop(task).run();
    return "done";
  } catch (error) {
    if (task.signal.aborted) return "stopped";
    task.link.event({ type: "failed", error: describe(error).slice(0, 4_000), retryable: isRetryable(error) });
    return "failed";
  }
}

class TurnLoop {
  private readonly task: TurnTask;
  private readonly conversation: Conversation;
  /** What to say when the last step ended without text for a reason of its own. */
  private silence = "";

  constructor(task: TurnTask) {
    this.task = task;
    this.conversation = new Conversation(task.start.system, task.start.history, task.start.journal);
  }

  async run(): Promise<void> {
    const { link, start } = this.task;
    let fromJournal = true;
    for (;;) {
      const open = this.conversation.openStep();
      if (open !== undefined && open.calls.length === 0) {
        if (await this.finish(open.text === "" ? this.silence : open.text)) return;
      } else if (open !== undefined) {
        await this.answerCalls(open, fromJournal);
        this.conversation.addInputs((await link.boundary()).inputs);
      }
      fromJournal = false;
      if (this.conversation.steps < start.limits.steps) await this.modelStep();
      else if (await this.finish(this.stoppedText(open))) return;
    }
  }

  /** True when the turn is done; else the inputs that keep it going have been added. */
  private async finish(text: string): Promise<boolean> {
    const finished = await this.task.link.finish({ text });
    this.task.signal.throwIfAborted();
    if (finished.state === "done") return true;
    this.conversation.addInputs(finished.inputs);
    return false;
  }

  private stoppedText(last: OpenStep | undefined): string {
    const { steps } = this.task.start.limits;
    const stopped = `Stopped: this turn reached its limit of ${steps} model ${steps === 1 ? "step" : "steps"}.`;
    return last === undefined || last.calls.length === 0 || last.text === "" ? stopped : `${last.text}\n\n${stopped}`;
  }

  private async modelStep(): Promise<void> {
    const { start, link, tools, signal } = this.task;
    const step = this.conversation.steps;
    const relay = new TextRelay((delta) => link.event({ type: "text", step, delta }));
    try {
      const { content, finishReason } = await takeModelStep({
        model: start.model,
        prompt: this.conversation.prompt(),
        tools: tools.definitions,
        fetch: link.fetch,
        signal,
        onText: (delta) => relay.add(delta),
      });
      this.silence = SILENCE[finishReason] ?? "";
      this.conversation.addStep(content);
    } finally {
      relay.flush();
    }
  }

  private async answerCalls(open: OpenStep, fromJournal: boolean): Promise<void> {
    for (const [index, call] of open.calls.entries()) {
      if (this.conversation.hasResult(open.step, call.toolCallId)) continue;
      const result = await this.answerCall(open.step, call, open.callsBefore + index, fromJournal);
      this.conversation.addResult(result);
      this.task.signal.throwIfAborted();
    }
  }

  private async answerCall(step: number, call: ToolCall, callsBefore: number, fromJournal: boolean): Promise<ToolResult> {
    const { start, tools, link } = this.task;
    const key = { step, toolCallId: call.toolCallId, toolName: wireName(call.toolName) };
    const tool = tools.definitions.find((definition) => definition.name === call.toolName);
    const refusal = refusalOf(call, tool, callsBefore, start.limits.toolCalls, tools.definitions);
    if (refusal !== undefined || tool === undefined) return this.report(key, { text: refusal ?? "", isError: true });
    // A host tool may be asked again: the host knows the call by its key. A sandbox tool may have had its effect.
    if (fromJournal && tool.runsOn === "sandbox") return this.report(key, { text: INTERRUPTED, isError: true });
    link.event({ type: "tool-started", ...key });
    const began = performance.now();
    const result = tool.runsOn === "host" ? await this.callHost(key, call) : await this.runHere(key, call);
    link.event({ type: "tool-ended", step, toolCallId: key.toolCallId, isError: result.isError, ms: performance.now() - began });
    return result;
  }

  private async runHere(key: ResultKey, call: ToolCall): Promise<ToolResult> {
    const { tools, start, signal } = this.task;
    const outcome = await tools.run(call.toolName, call.input, {
      signal,
      outputBytes: start.limits.toolOutputBytes,
      timeoutMs: start.limits.toolTimeoutMs,
    });
    signal.throwIfAborted();
    return this.report(key, outcome);
  }

  /** The host journals what it did; only its refusals are ours to report. */
  private async callHost(key: ResultKey, call: ToolCall): Promise<ToolResult> {
    try {
      const outcome = await this.task.link.tool(key.toolName, { step: key.step, toolCallId: key.toolCallId, input: call.input });
      return { ...key, ...outcome };
    } catch (error) {
      // 409: the turn itself is no longer ours to work on.
      if (!(error instanceof LinkRefusal) || error.status === 409) throw error;
      return this.report(key, { text: error.message, isError: true });
    }
  }

  private async report(key: ResultKey, outcome: ToolOutcome): Promise<ToolResult> {
    const result = { ...key, text: outcome.text, isError: outcome.isError };
    await this.task.link.result(result);
    return result;
  }
}

type ResultKey = Pick<ToolResult, "step" | "toolCallId" | "toolName">;

const SILENCE: Partial<Record<string, string>> = {
  length: "The model reached its output limit before it answered.",
  "content-filter": "The model's provider withheld the answer (content filter).",
};

function refusalOf(
  call: ToolCall,
  tool: ToolDefinition | undefined,
  callsBefore: number,
  limit: number,
  available: readonly ToolDefinition[],
): string | undefined {
  if (callsBefore >= limit) return `Tool-call limit of ${limit} reached; answer with what you have.`;
  if (tool === undefined) {
    return `There is no tool named ${JSON.stringify(call.toolName.slice(0, 80))}. Available: ${available.map(({ name }) => name).join(", ")}.`;
  }
  if (typeof call.input === "string") {
    return `The arguments of ${tool.name} are not valid JSON. Call it again with ${JSON.stringify(tool.inputSchema)}.`;
  }
  return undefined;
}

/** A name the model made up may hold anything; the wire takes plain names only. */
function wireName(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 64) || "_";
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isRetryable(error: unknown): boolean {
  if (error instanceof ModelStepError) return error.retryable;
  return error instanceof LinkRefusal && (error.status === 429 || error.status >= 500);
}
