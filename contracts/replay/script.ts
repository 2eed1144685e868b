/**
 * Which of a scenario's scripted turns an input gets.
 *
 * The recorded agent counted runs and inputs; a host that divides the same messages differently would be off by one for good. So a
 * script is found by its input: the messages given are matched against the recorded inputs of that folder, in order. Inputs that
 * came as one get their scripts one after the other; an input that came in parts gets its script with the last part.
 */
import * as z from "zod";
import type { AgentAction, AgentFile, Binding, Scenario } from "./scenario.ts";

const TaskReference = z.strictObject({ $task: z.int().positive() });

export interface ScriptedTurn {
  /** The recorded agent's numbers: for its texts, and for who reads the report. */
  readonly run: number;
  readonly turn: number;
  readonly actions: readonly AgentAction[];
  /** What the agent calls its conversation; undefined: as it was asked to resume, else a name of its own. Null: it says none. */
  readonly session: string | null | undefined;
  /** The run cannot even be started. */
  readonly spawnError: boolean;
}

interface RecordedInput {
  readonly run: number;
  readonly turn: number;
  /** Message lines; of a scheduled prompt the prompt itself. */
  readonly lines: readonly string[];
}

export class Script {
  readonly #scenario: Scenario;
  readonly #now: () => number;
  readonly #isBinding: boolean;
  readonly #recorded = new Map<string, RecordedInput[]>();
  /** Per folder, lines that were given and not yet answered. */
  readonly #open = new Map<string, string[]>();
  /** Ids of the tasks the host made, in order. */
  readonly #tasks: string[] = [];

  /** `now`: milliseconds since the host's first start. */
  constructor(scenario: Scenario, now: () => number) {
    this.#scenario = scenario;
    this.#now = now;
    this.#isBinding = scenario.binding !== undefined;
    const source = scenario.binding ?? scenario.expected;
    const turns = new Map<string, number>();
    for (const one of source) {
      if (one.obs !== "run" && one.obs !== "followup") continue;
      const turn = one.obs === "run" ? 1 : (turns.get(one.group) ?? 0) + 1;
      turns.set(one.group, turn);
      const inputs = this.#recorded.get(one.group) ?? [];
      inputs.push({ run: one.run, turn, lines: linesOf(one) });
      this.#recorded.set(one.group, inputs);
    }
  }

  /** Whether the next run of the folder is one that was recorded to fail before its agent began. */
  nextCannotStart(folder: string): boolean {
    const next = this.#recorded.get(folder)?.[0];
    return next !== undefined && next.turn === 1 && this.#turn(folder, next).spawnError;
  }

  /** A new run begins: what an earlier one was given and did not answer is given again. */
  begin(folder: string): void {
    this.#open.delete(folder);
  }

  /** The recorded next run could not start; its input counts as given. */
  skip(folder: string): void {
    this.#recorded.get(folder)?.shift();
  }

  /** The turns this input completes, in order; none: the rest of the recorded input is still to come. */
  take(folder: string, text: string): readonly ScriptedTurn[] {
    const open = [...(this.#open.get(folder) ?? []), ...scriptLines(text)];
    const recorded = this.#recorded.get(folder) ?? [];
    // What was recorded need not happen here: inputs that only the faulty host gave are passed over.
    if (!this.#isBinding)
      recorded.splice(
        0,
        Math.max(
          0,
          recorded.findIndex(({ lines }) => holdsAll(open, lines)),
        ),
      );
    const turns: ScriptedTurn[] = [];
    for (let next = recorded[0]; next !== undefined && holdsAll(open, next.lines); next = recorded[0]) {
      recorded.shift();
      for (const line of next.lines) open.splice(open.indexOf(line), 1);
      turns.push(this.#turn(folder, next));
      if (open.length === 0) break;
    }
    const isExpected = this.#isBinding && recorded.some(({ lines }) => lines.some((line) => open.includes(line)));
    // An input that was never recorded gets an answer all the same, and the comparison says that it should not have come.
    if (turns.length === 0 && !isExpected) {
      turns.push({ run: 0, turn: 0, actions: this.#scenario.agentDefault.turn, session: undefined, spawnError: false });
      open.length = 0;
    }
    this.#open.set(folder, open);
    return this.#timed(turns);
  }

  taskMade(id: string): void {
    this.#tasks.push(id);
  }

  /** What the agent writes, with the ids of tasks where it was recorded whose they are. */
  withTaskIds(body: AgentFile["body"]): AgentFile["body"] {
    return JSON.parse(
      JSON.stringify(body, (_key, value: unknown) => {
        const task = TaskReference.safeParse(value).data;
        return task === undefined ? value : (this.#tasks[task.$task - 1] ?? "");
      }),
    ) as AgentFile["body"];
  }

  /** Moments as waits, from now on. */
  #timed(turns: readonly ScriptedTurn[]): readonly ScriptedTurn[] {
    let at = this.#now();
    const waitFor = (action: AgentAction): AgentAction => {
      const wait = "until" in action ? Math.max(0, action.until - at) : "wait" in action ? action.wait : 0;
      at += wait;
      return "until" in action ? { wait } : action;
    };
    return turns.map((turn) => ({ ...turn, actions: turn.actions.map(waitFor) }));
  }

  #turn(folder: string, { run, turn }: RecordedInput): ScriptedTurn {
    const { seed, agents, agentDefault } = this.#scenario;
    const own = agents.find((agent) => agent.group === folder && agent.run === run);
    const any = agents.find((agent) => agent.group === folder && agent.run === "*");
    const script = own ?? any;
    const actions = script?.turns?.[turn - 1] ?? script?.otherTurns ?? agentDefault.turn;
    const named = (): AgentAction[] =>
      JSON.parse(
        JSON.stringify(actions).replaceAll("<folder>", folder).replaceAll("<run>", String(run)).replaceAll("<turn>", String(turn)),
      ) as AgentAction[];
    return {
      run,
      turn,
      actions: seed.own === undefined ? named() : actions,
      session: script?.session,
      spawnError: own?.spawnError !== undefined,
    };
  }
}

/** Bodies are escaped, so that a line that begins a message does begin one; a body may hold line breaks. */
export function messageLines(input: string): readonly string[] {
  const messages = input.match(/<message sender="[^]*?<\/message>/g);
  return messages === null ? [input] : messages;
}

function linesOf(one: Extract<Binding, { obs: "run" | "followup" }>): readonly string[] {
  return scriptLines(one.obs === "run" ? one.prompt : one.text);
}

/** A message without text starts nothing here (contract §8.23), and whether the agent sees it beside another is free. */
export function spokenLines(input: string): readonly string[] {
  return messageLines(input).filter((line) => !/^<message [^>]*>\s*<\/message>$/.test(line));
}

/** By what is said; of an input in which nothing is, by what there is. */
function scriptLines(input: string): readonly string[] {
  const spoken = spokenLines(input);
  return spoken.length === 0 ? messageLines(input) : spoken;
}

/** As many of each as `lines` has. */
function holdsAll(open: readonly string[], lines: readonly string[]): boolean {
  const left = [...open];
  return lines.every((line) => {
    const at = left.indexOf(line);
    if (at < 0) return false;
    left.splice(at, 1);
    return true;
  });
}
