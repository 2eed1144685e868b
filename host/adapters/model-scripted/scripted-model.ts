/**
 * The scripted model: plays recorded steps, for replays, benches and tests.
 *
 * It keeps no state. Which step is due follows from the prompt: step n of a turn (n = assistant messages already in it, those of earlier turns left out) plays
 * the first step whose `when` holds, else the n-th of those without `when`. A turn resumed from its journal goes on where it was.
 */
import { isEarlier } from "../../../contracts/wire/model.ts";
import { ModelCallError } from "../../domain/errors.ts";
import { streamOfParts, tokensOf, type WholeStep, wholeStepParts } from "../../domain/model-step.ts";
import { refusalOfStatus } from "../../domain/provider-refusal.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Model, ModelCallOptions } from "../../ports/model.ts";
import { loadScript, Script, type ScriptStep } from "./script.ts";

const MODEL_ID = "scripted";

export type ScriptedModelOptions = { readonly clock: Clock } & (
  | { readonly path: string }
  | { readonly steps: readonly ScriptStep[]; readonly loop?: boolean }
);

/** Reads the file now. Throws RefusedError (CONFIG_INVALID) when the script cannot be played. */
export function createScriptedModel(options: ScriptedModelOptions): Model {
  const script = "path" in options ? loadScript(options.path) : Script.parse({ loop: options.loop ?? false, steps: options.steps });
  const sequence = script.steps.filter((step) => step.when === undefined);
  const conditional = script.steps.filter((step) => step.when !== undefined);
  const source = "path" in options ? options.path : "given in code";

  function dueStep(prompt: ModelCallOptions["prompt"]): ScriptStep {
    const taken = stepsTaken(prompt);
    const asked = lastUserText(prompt);
    const matching = conditional.find(
      ({ when }) => (when?.step ?? taken) === taken && (when?.lastUserContains === undefined || asked.includes(when.lastUserContains)),
    );
    const due = matching ?? sequence[script.loop && sequence.length > 0 ? taken % sequence.length : taken];
    if (due !== undefined) return due;
    throw new ModelCallError("SCRIPT_EXHAUSTED", `script ${source}: nothing to play for step ${taken} of this turn.`, {
      hint: 'Add steps to the script, or "loop": true.',
    });
  }

  return {
    id: MODEL_ID,
    async stream({ prompt }, signal) {
      signal.throwIfAborted();
      const step = dueStep(prompt);
      if (step.delayMs !== undefined && step.delayMs > 0) await delay(options.clock, step.delayMs, signal);
      const whole = wholeStep(step, prompt);
      const fault = step.error === undefined ? undefined : scriptedFault(step.error);
      if (fault !== undefined && whole.deltas.length === 0 && whole.toolCalls.length === 0) throw fault;
      const inputTokens = tokensOf(JSON.stringify(prompt).length);
      const origin = { modelId: MODEL_ID, responseId: `scripted-${stepsTaken(prompt)}`, inputTokens };
      return streamOfParts(wholeStepParts(whole, origin, fault), signal);
    },
  };
}

function stepsTaken(prompt: ModelCallOptions["prompt"]): number {
  return prompt.filter((message) => message.role === "assistant" && !isEarlier(message)).length;
}

function wholeStep(step: ScriptStep, prompt: ModelCallOptions["prompt"]): WholeStep {
  const callsBefore = prompt
    .filter((message) => message.role === "assistant")
    .flatMap((message) => message.content)
    .filter((part) => part.type === "tool-call").length;
  const toolCalls = (step.toolCalls ?? []).map(({ name, input }, index) => ({
    toolCallId: `call-${callsBefore + index + 1}`,
    toolName: name,
    input,
  }));
  return { deltas: step.deltas ?? (step.text === undefined || step.text === "" ? [] : [step.text]), toolCalls };
}

function scriptedFault({ status, message }: NonNullable<ScriptStep["error"]>): ModelCallError {
  const { code, retryable, hint } = refusalOfStatus(status);
  return new ModelCallError(code, `${MODEL_ID}: answered ${status}: ${message}`, { hint, retryable });
}

function lastUserText(prompt: ModelCallOptions["prompt"]): string {
  const last = prompt.findLast((message) => message.role === "user");
  return last === undefined ? "" : last.content.map((part) => (part.type === "text" ? part.text : "")).join("");
}

function delay(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      timer.cancel();
      reject(signal.reason);
    };
    const timer = clock.setTimer(ms, () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
    signal.addEventListener("abort", stop, { once: true });
  });
}
