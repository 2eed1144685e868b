/**
 * The scripted agent of a recording, on our wire.
 *
 * What the old agent did by streaming results and writing files becomes: a model step for what it says, a tool call for what it
 * asks, a finish for the end of a turn. A result with more to come is sent as a message on the way, cut as a result would be, because
 * a turn here has one answer.
 */
import type { LanguageModelV4Prompt } from "@ai-sdk/provider";
import type { AgentAction, AgentFile } from "../../contracts/replay/scenario.ts";
import type { Script, ScriptedTurn } from "../../contracts/replay/script.ts";
import type { JournalEntry, TurnStart } from "../../contracts/wire/turn.ts";
import { visibleReply } from "../domain/reply.ts";
import type { Clock } from "../ports/clock.ts";
import type { TurnDoors } from "../ports/link.ts";
import type { Agent } from "./scripted-sandboxes.ts";

export interface AgentOptions {
  readonly script: Script;
  readonly clock: Clock;
  /** From start to the first action. */
  readonly bootMs: number;
  readonly onFollowUp: (folder: string, text: string) => void;
}

/** How a turn's script ended. */
type Ending =
  | { readonly text: string }
  | { readonly looks: true }
  | { readonly exit: number }
  | { readonly failed: string; readonly isStale: boolean; readonly retryable: boolean };

export function createScriptedAgent(options: AgentOptions): Agent {
  return (folder, start, doors, signal) => new Run(options, folder, start, doors, signal).play();
}

class Run {
  readonly #o: AgentOptions;
  readonly #folder: string;
  readonly #start: TurnStart;
  readonly #doors: TurnDoors;
  readonly #signal: AbortSignal;
  #step: number;

  constructor(options: AgentOptions, folder: string, start: TurnStart, doors: TurnDoors, signal: AbortSignal) {
    this.#o = options;
    this.#folder = folder;
    this.#start = start;
    this.#doors = doors;
    this.#signal = signal;
    this.#step = 1 + Math.max(-1, ...start.journal.flatMap((entry) => (entry.kind === "step" ? [entry.step] : [])));
  }

  async play(): Promise<number> {
    const { script, bootMs } = this.#o;
    script.begin(this.#folder);
    const inputs = unanswered(this.#start.journal);
    await this.#wait(bootMs);
    for (let next: readonly string[] | undefined = inputs; next !== undefined; ) {
      let ending: Ending = { text: "" };
      for (const input of next) {
        for (const turn of script.take(this.#folder, input)) {
          if ("text" in ending && ending.text !== "") await this.#sendMessage(visibleReply(ending.text));
          ending = await this.#playTurn(turn);
          if ("failed" in ending || "exit" in ending) break;
        }
      }
      if ("failed" in ending) {
        const stale = ending.isStale ? { staleSession: true as const } : {};
        this.#doors.event({ type: "failed", error: ending.failed, retryable: ending.retryable, ...stale });
        await this.#untilEnded();
      }
      if ("exit" in ending) return ending.exit;
      next = ("looks" in ending ? this.#look() : undefined) ?? (await this.#finish("text" in ending ? ending.text : ""));
    }
    return 0;
  }

  async #playTurn({ run, actions, session }: ScriptedTurn): Promise<Ending> {
    const own = session === undefined ? (this.#start.session ?? `sess-${this.#folder}-${run}`) : session;
    let said = "";
    for (const [n, action] of actions.entries()) {
      if ("reply" in action || "nullResult" in action || "errorOutput" in action) {
        const id = action.session === undefined ? own : action.session;
        if (id !== null) this.#doors.event({ type: "session", id });
      }
      if ("wait" in action) await this.#wait(action.wait);
      else if ("reply" in action) {
        if (isOver(actions.slice(n + 1))) return { text: action.reply };
        said = visibleReply(action.reply);
        if (said !== "") await this.#sendMessage(said);
      } else if ("ipc" in action) await this.#callTool(action.ipc);
      else if ("errorOutput" in action) {
        if (action.result !== undefined) await this.#sendMessage(visibleReply(action.result));
        const isStale = /\bno such session\b/.test(action.errorOutput);
        return { failed: action.errorOutput, isStale, retryable: action.retryable ?? true };
      } else if ("hang" in action) await this.#untilEnded();
      else if ("look" in action) return { looks: true };
      else if ("exit" in action) return action.exit === 0 ? { text: "" } : { exit: action.exit };
    }
    return { text: "" };
  }

  /** Undefined: nothing came. */
  #look(): readonly string[] | undefined {
    const { inputs } = this.#doors.boundary();
    for (const input of inputs) this.#o.onFollowUp(this.#folder, input);
    return inputs.length === 0 ? undefined : inputs;
  }

  /** The inputs that came meanwhile; undefined: the turn is over. */
  async #finish(text: string): Promise<readonly string[] | undefined> {
    await this.#modelStep({ text });
    const finished = this.#doors.finish({ text });
    if (finished.state === "done") return undefined;
    for (const input of finished.inputs) this.#o.onFollowUp(this.#folder, input);
    return finished.inputs;
  }

  async #sendMessage(text: string): Promise<void> {
    await this.#call("send_message", { text });
  }

  async #callTool({ body }: AgentFile): Promise<void> {
    const [name, input] = toolCallOf(this.#o.script.withTaskIds(body));
    await this.#call(name, input);
  }

  async #call(name: string, input: object): Promise<void> {
    const step = this.#step;
    const toolCallId = `call-${step}`;
    await this.#modelStep({ call: { toolCallId, name, input } });
    await this.#doors.tool(name, { step, toolCallId, input });
  }

  /** The replay's model says what it is asked to say (host/adapters/model-payload). */
  async #modelStep(says: object): Promise<void> {
    this.#step++;
    const prompt: LanguageModelV4Prompt = [{ role: "user", content: [{ type: "text", text: JSON.stringify(says) }] }];
    const parts = await this.#doors.model(this.#start.model, { prompt }, this.#signal);
    for await (const part of parts) if (part.type === "error") throw part.error;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#o.clock.setTimer(ms, resolve);
      this.#signal.addEventListener(
        "abort",
        () => {
          timer.cancel();
          reject(this.#signal.reason);
        },
        { once: true },
      );
    });
  }

  #untilEnded(): Promise<never> {
    return new Promise((_resolve, reject) => this.#signal.addEventListener("abort", () => reject(this.#signal.reason), { once: true }));
  }
}

/** Nothing more is said, asked or broken: for our turn this is its end, and what it waits for is nobody's concern. */
export function isOver(rest: readonly AgentAction[]): boolean {
  return rest.every(
    (action) => "wait" in action || "stderr" in action || "nullResult" in action || ("exit" in action && action.exit === 0),
  );
}

/** What no step has answered: the inputs after the last step that asked for no tool. */
export function unanswered(journal: readonly JournalEntry[]): readonly string[] {
  const answered = journal.findLastIndex((entry) => entry.kind === "step" && !entry.content.some((part) => part.type === "tool-call"));
  return journal.slice(answered + 1).flatMap((entry) => (entry.kind === "input" ? [entry.text] : []));
}

/** A recorded file as a call at our tool door. Fields the old host ignored are left out; everything else goes as it is, valid or not. */
export function toolCallOf(body: AgentFile["body"]): readonly [name: string, input: object] {
  const { type, ...fields } = body;
  const {
    chatJid,
    targetJid,
    taskId,
    jid,
    sender: _s,
    groupFolder: _g,
    timestamp: _t,
    createdBy: _c,
    requiresTrigger: _r,
    ...rest
  } = fields;
  const chat = chatJid ?? targetJid ?? jid;
  const input = { ...rest, ...(chat === undefined ? {} : { chat }), ...(taskId === undefined ? {} : { task_id: taskId }) };
  return [type === "message" ? "send_message" : typeof type === "string" ? type : "", input];
}
