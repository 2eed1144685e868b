/**
 * The scripted agent of a recording as a model, for a real runner in a real sandbox: what it says is a model step, what it asks is a
 * tool call, its waits are the model's. How it breaks is done to it: `crash` ends its sandbox.
 */
import type { LanguageModelV4Prompt } from "@ai-sdk/provider";
import type { AgentAction } from "../../contracts/replay/scenario.ts";
import type { Script, ScriptedTurn } from "../../contracts/replay/script.ts";
import { isEarlier } from "../../contracts/wire/model.ts";
import type { Said } from "../adapters/model-payload/index.ts";
import { ModelCallError } from "../domain/errors.ts";
import { visibleReply } from "../domain/reply.ts";
import { isOver, toolCallOf } from "./scripted-agent.ts";

export interface ModelAgentOptions {
  readonly folder: string;
  readonly script: Script;
  /** From start to the first action. */
  readonly bootMs: number;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Ends the sandbox under it, as an agent that exits. */
  readonly crash: () => Promise<void>;
  readonly onFollowUp: (text: string) => void;
}

/** One run's: asked step by step, it goes on where it was. */
export class ModelAgent {
  readonly #o: ModelAgentOptions;
  readonly #turns: ScriptedTurn[] = [];
  /** Of the turn that is being played. */
  #actions: AgentAction[] = [];
  /** Messages of people in the prompt that were taken. */
  #taken: number | undefined;
  #calls = 0;

  constructor(options: ModelAgentOptions) {
    this.#o = options;
    options.script.begin(options.folder);
  }

  /** The next model step. Rejects as a model does. */
  async says(prompt: LanguageModelV4Prompt, signal: AbortSignal): Promise<Said> {
    const { folder, script, bootMs, wait, onFollowUp } = this.#o;
    const inputs = textsOf(prompt);
    const isFirst = this.#taken === undefined;
    if (isFirst) await wait(bootMs, signal);
    for (const text of inputs.slice(this.#taken ?? answeredIn(prompt))) {
      if (!isFirst) onFollowUp(text);
      this.#turns.push(...script.take(folder, text));
    }
    this.#taken = inputs.length;
    for (;;) {
      const action = this.#actions.shift();
      if (action === undefined) {
        const next = this.#turns.shift();
        if (next === undefined) return { text: "" };
        this.#actions = [...next.actions];
      } else {
        const said = await this.#play(action, signal);
        if (said !== undefined) return said;
      }
    }
  }

  async #play(action: AgentAction, signal: AbortSignal): Promise<Said | undefined> {
    const { wait, crash } = this.#o;
    if ("wait" in action) await wait(action.wait, signal);
    else if ("reply" in action) {
      if (isOver(this.#actions)) this.#actions = [];
      if (this.#actions.length === 0 && this.#turns.length === 0) return { text: action.reply };
      return this.#sendMessage(action.reply);
    } else if ("ipc" in action) return this.#call(...toolCallOf(this.#o.script.withTaskIds(action.ipc.body)));
    else if ("errorOutput" in action) {
      const { result, ...failure } = action;
      const retryable = action.retryable ?? true;
      if (result === undefined) throw new ModelCallError("MODEL_UNREACHABLE", action.errorOutput, { retryable });
      this.#actions.unshift(failure);
      return this.#sendMessage(result);
    } else if ("hang" in action) await wait(Number.POSITIVE_INFINITY, signal);
    else if ("exit" in action && action.exit !== 0) {
      await crash();
      await wait(Number.POSITIVE_INFINITY, signal);
    }
    return undefined;
  }

  /** A result with more to come; undefined where nothing of it is for the chat. */
  #sendMessage(result: string): Said | undefined {
    const text = visibleReply(result);
    return text === "" ? undefined : this.#call("send_message", { text });
  }

  #call(name: string, input: object): Said {
    return { call: { toolCallId: `call-${this.#calls++}`, name, input } };
  }
}

/** What people said in this turn. */
function textsOf(prompt: LanguageModelV4Prompt): readonly string[] {
  return prompt.flatMap((message) => {
    if (message.role !== "user" || isEarlier(message)) return [];
    return message.content.flatMap((part) => (part.type === "text" ? [part.text] : []));
  });
}

/** Of a turn that is taken up again, how many inputs were answered: those before the last step that asked for no tool. */
function answeredIn(prompt: LanguageModelV4Prompt): number {
  const last = prompt.findLastIndex(
    ({ role, content }) => role === "assistant" && Array.isArray(content) && content.every(({ type }) => type !== "tool-call"),
  );
  return textsOf(prompt.slice(0, last + 1)).length;
}
