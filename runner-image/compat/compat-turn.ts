/**
 * One turn played by NanoClaw's old agent.
 *
 * Towards the host the agent *is* the model: each thing it says or asks for is a model step whose words we bring along, then a tool
 * call or the end of the turn. So journal, limits, keys of calls and permissions are the host's own.
 *
 *   result ──▶ held until the agent is quiet ──▶ finish ──done──▶ the link ends, `_close`
 *     │ another follows: it was a message on the way   └─more──▶ input/
 *   file ──▶ tool call          exit ──▶ finish, or the run has failed
 *
 * Events are dealt with one after the other. Files come before the output behind which they were found, as they were written before it.
 */
import { MODEL_ID_HEADER, MODEL_STEP_PATH } from "../../contracts/wire/model.ts";
import { isHostTool } from "../../contracts/wire/tools.ts";
import type { JournalEntry, PayloadFacts, TurnStart } from "../../contracts/wire/turn.ts";
import { LinkRefusal, type TurnLink } from "../runner/link-client.ts";
import type { AgentCall } from "./agent-files.ts";
import type { IpcFolder } from "./ipc-folder.ts";
import type { ModelForwarder } from "./model-forwarder.ts";
import { type Output, readOutput } from "./output-markers.ts";
import { followPayload, type Payload, type PayloadEnd, payloadInput } from "./payload.ts";

export interface CompatTask {
  readonly start: TurnStart;
  readonly facts: PayloadFacts;
  readonly link: TurnLink;
  readonly ipc: IpcFolder;
  readonly model: Pick<ModelForwarder, "calls" | "inFlight">;
  readonly startPayload: (input: string) => Payload;
  readonly patience: Patience;
}

/** How long the agent is waited for, in milliseconds. */
export interface Patience {
  /** Quiet for so long after a result, it has answered: results that belong together come within moments. */
  readonly resultMs: number;
  /** The same after an output without one: a conversation that cannot be taken up begins like this, and its error follows. */
  readonly nothingMs: number;
  /** A result held so long while calls of its model go on is sent, and what comes next waited for. */
  readonly heldMs: number;
  /** Between `_close` and the kill. It looks for that twice a second; what it keeps of a conversation is on disk by then. */
  readonly leaveMs: number;
}

export const PATIENCE: Patience = { resultMs: 250, nothingMs: 5_000, heldMs: 5_000, leaveMs: 1_500 };

/** What a tool of our own runner is said to have come to, where the turn was begun by it. */
const INTERRUPTED = "Interrupted: it may or may not have taken effect; it was not run again.";

/** The agent gave up on this run. */
class AgentFailure extends Error {
  override readonly name = "AgentFailure";
  readonly isStale: boolean;
  constructor(message: string, isStale = false) {
    super(message);
    this.isStale = isStale;
  }
}

interface Held {
  readonly text: string;
  readonly since: number;
}

export class CompatTurn {
  readonly #task: CompatTask;
  readonly #over = Promise.withResolvers<void>();
  /** Calls an earlier run of this turn made for the same inputs: asked again in the same words they are done. */
  readonly #done = new Map<string, number>();
  #chain: Promise<void> = Promise.resolve();
  #isOver = false;
  #step: number;
  #session: string | undefined;
  #saidNothing = false;
  #spoke = false;
  #held: Held | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** The newest input the agent was given through its folder. */
  #given: readonly string[] = [];
  #ended: Promise<unknown> = Promise.resolve();
  #payload: Payload | undefined;

  constructor(task: CompatTask) {
    this.#task = task;
    const { journal, session } = task.start;
    this.#session = session ?? undefined;
    this.#step = 1 + Math.max(-1, ...journal.flatMap((entry) => (entry.kind === "step" ? [entry.step] : [])));
    for (const { toolName, input } of callsOf(sinceAnswer(journal))) this.#count(keyOf(toolName, input), 1);
  }

  /** Resolves when the host has said done, or has been told why not. Never rejects. */
  async play(): Promise<void> {
    const { start, facts, ipc, link } = this.#task;
    let unwatch = (): void => undefined;
    try {
      await this.#closeOpenCalls();
      await ipc.prepare(facts);
      if (this.#isOver) return;
      unwatch = ipc.watch(() => this.#then(() => this.#takeFiles()));
      this.#begin(sinceAnswer(start.journal).flatMap((entry) => (entry.kind === "input" ? [entry.text] : [])));
      await this.#over.promise;
    } catch (error) {
      const stale = error instanceof AgentFailure && error.isStale ? { staleSession: true as const } : {};
      const retryable = error instanceof LinkRefusal ? error.status === 429 || error.status >= 500 : true;
      link.event({ type: "failed", error: messageOf(error).slice(0, 4_000), retryable, ...stale });
    } finally {
      this.#isOver = true;
      clearTimeout(this.#timer);
      unwatch();
    }
  }

  /** Asks the agent to end, and after a while makes it. */
  async leave(): Promise<void> {
    const { ipc, patience } = this.#task;
    this.#end();
    await ipc.askToClose().catch(() => undefined);
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, patience.leaveMs);
    await Promise.race([this.#ended, late.promise]);
    clearTimeout(timer);
    this.#payload?.kill();
  }

  #begin(inputs: readonly string[]): void {
    const { facts, startPayload } = this.#task;
    this.#payload = startPayload(payloadInput(inputs.join("\n"), this.#session, facts));
    const ended = followPayload(this.#payload, (output) => this.#then(() => this.#takeOutput(readOutput(output))));
    this.#ended = ended.catch(() => undefined);
    void ended.then(
      (end) => this.#then(() => this.#takeEnd(end)),
      (error: unknown) => this.#then(() => Promise.reject(error)),
    );
  }

  #then(work: () => Promise<void>): void {
    this.#chain = this.#chain.then(() => (this.#isOver ? undefined : work())).catch((error: unknown) => this.#end(error));
  }

  #end(error?: unknown): void {
    this.#isOver = true;
    if (error === undefined) this.#over.resolve();
    else this.#over.reject(error);
  }

  async #takeFiles(): Promise<void> {
    for (const call of await this.#task.ipc.takeCalls()) await this.#call(call);
  }

  async #takeOutput(output: Output | undefined): Promise<void> {
    if (output === undefined) return;
    await this.#takeFiles();
    const { start, link, patience } = this.#task;
    const isEcho = output.isError && output.session === start.session;
    if (output.session !== undefined && output.session !== this.#session && !isEcho) {
      this.#session = output.session;
      link.event({ type: "session", id: output.session });
    }
    if (output.isError) {
      if (this.#held !== undefined) await this.#say(this.#held.text);
      if (output.text !== undefined) await this.#say(output.text);
      throw new AgentFailure(output.error, this.#isStale(output));
    }
    if (output.text === undefined) {
      this.#saidNothing = true;
      if (this.#held === undefined) this.#hold("", patience.nothingMs);
      return;
    }
    this.#spoke = true;
    if (this.#held !== undefined) await this.#say(this.#held.text);
    this.#hold(output.text, patience.resultMs);
  }

  /**
   * Whether the conversation it was to go on with is what failed: it says so, or it did as it does then (contract §8.14): an output
   * without a result, then an error under the name it was given, and its model was never asked.
   */
  #isStale({ error, session }: Output): boolean {
    const { start, model } = this.#task;
    if (start.session === null || this.#spoke) return false;
    return /no conversation found|no such session/i.test(error) || (this.#saidNothing && session === start.session && model.calls === 0);
  }

  async #takeEnd({ code, stderrTail }: PayloadEnd): Promise<void> {
    await this.#takeFiles();
    const held = this.#held;
    if (held === undefined && code !== 0) {
      const how = code === null ? "was killed" : `exited with code ${code}`;
      throw new AgentFailure(`The agent ${how}${stderrTail.trim() === "" ? "." : `: ${stderrTail.trim()}`}`);
    }
    // It had made up its mind to end before it saw its last input.
    const hadInputs = await this.#task.ipc.takeBackInputs();
    const inputs = held === undefined && hadInputs ? this.#given : await this.#finish(held?.text ?? "");
    if (inputs !== undefined) this.#begin(inputs);
  }

  #hold(text: string, quietMs: number): void {
    this.#held = { text, since: Date.now() };
    this.#wait(quietMs);
  }

  #wait(quietMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#then(() => this.#beQuiet(quietMs)), quietMs);
  }

  async #beQuiet(quietMs: number): Promise<void> {
    const { model, patience } = this.#task;
    const held = this.#held;
    if (held === undefined) return;
    if (model.inFlight === 0) {
      const inputs = await this.#finish(held.text);
      if (inputs !== undefined) await this.#give(inputs);
      return;
    }
    if (held.text !== "" && Date.now() - held.since >= patience.heldMs) {
      await this.#say(held.text);
      this.#held = { text: "", since: held.since };
    }
    this.#wait(quietMs);
  }

  /** What came meanwhile, for the agent to go on with; undefined: the turn is over. */
  async #finish(text: string): Promise<readonly string[] | undefined> {
    const { link } = this.#task;
    clearTimeout(this.#timer);
    this.#held = undefined;
    await this.#takeFiles();
    if (this.#hasSteps()) await this.#modelStep({ text });
    const finished = await link.finish({ text });
    if (finished.state === "done") {
      this.#end();
      return undefined;
    }
    this.#done.clear();
    return finished.inputs;
  }

  /** As one input, so that one result answers it. */
  async #give(inputs: readonly string[]): Promise<void> {
    this.#given = inputs;
    await this.#task.ipc.giveInput(inputs.join("\n"));
  }

  async #say(text: string): Promise<void> {
    const visible = text.replace(/<internal>[\s\S]*?<\/internal>/g, "").trim();
    if (visible !== "") await this.#call({ name: "send_message", input: { text: visible } });
  }

  /** What the host says to it, the old agent never heard. */
  async #call({ name, input }: AgentCall): Promise<void> {
    const key = keyOf(name, input);
    if ((this.#done.get(key) ?? 0) > 0) return this.#count(key, -1);
    if (!this.#hasSteps()) return;
    const step = this.#step;
    const toolCallId = `call-${step}`;
    await this.#modelStep({ call: { toolCallId, name, input } });
    await this.#task.link.tool(name, { step, toolCallId, input });
  }

  #count(key: string, by: number): void {
    this.#done.set(key, (this.#done.get(key) ?? 0) + by);
  }

  #hasSteps(): boolean {
    return this.#step < this.#task.start.limits.steps;
  }

  async #modelStep(says: object): Promise<void> {
    const { start, link } = this.#task;
    const body = { prompt: [{ role: "user", content: [{ type: "text", text: JSON.stringify(says) }] }] };
    const answer = await link.fetch(`http://host${MODEL_STEP_PATH}`, {
      headers: { "content-type": "application/json", [MODEL_ID_HEADER]: start.model },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new LinkRefusal(answer.status, "INTERNAL", `The host refused a step: ${text.slice(0, 500)}`);
    if (text.includes('data: {"type":"error"')) throw new LinkRefusal(500, "INTERNAL", "The host could not record a step.");
    this.#step++;
  }

  /** Of an earlier run that was cut off between a step and its results; the host goes on only when all have one. */
  async #closeOpenCalls(): Promise<void> {
    const { start, link } = this.#task;
    const has = (step: number, toolCallId: string): boolean =>
      start.journal.some((entry) => entry.kind === "result" && entry.step === step && entry.toolCallId === toolCallId);
    for (const { step, toolCallId, toolName, input } of callsOf(start.journal)) {
      if (has(step, toolCallId)) continue;
      if (isHostTool(toolName)) await link.tool(toolName, { step, toolCallId, input });
      else await link.result({ step, toolCallId, toolName, text: INTERRUPTED, isError: true });
    }
  }
}

/** What no step has answered yet. */
function sinceAnswer(journal: readonly JournalEntry[]): readonly JournalEntry[] {
  const answered = journal.findLastIndex((entry) => entry.kind === "step" && !entry.content.some((part) => part.type === "tool-call"));
  return journal.slice(answered + 1);
}

function callsOf(journal: readonly JournalEntry[]) {
  return journal.flatMap((entry) =>
    entry.kind === "step" ? entry.content.flatMap((part) => (part.type === "tool-call" ? [{ ...part, step: entry.step }] : [])) : [],
  );
}

function keyOf(name: string, input: unknown): string {
  return `${name} ${JSON.stringify(input)}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
