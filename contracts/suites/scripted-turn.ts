/** For tests of the runner: doors that play a script on a served link, and remember what they were asked. */
import type { Duplex } from "node:stream";
import type { LanguageModelV4StreamPart } from "@ai-sdk/provider";
import { SHUT_DOORS } from "./shut-doors.ts";
import { openSocketPair } from "./socket-pair.ts";
import type { HostToolCall, HostToolOutcome } from "../wire/tools.ts";
import type { Boundary, Finished, JournalEntry, ToolResult, TurnEvent, TurnLimits, TurnStart } from "../wire/turn.ts";
import type { LinkServer, LinkSession, TurnDoors } from "../../host/ports/link.ts";
import type { ModelCallOptions } from "../../host/ports/model.ts";

export type Part = LanguageModelV4StreamPart;

export interface Script {
  /** Model steps in order; a function may look at the call, and throw. */
  readonly steps: readonly (
    | readonly Part[]
    | ((options: ModelCallOptions, signal: AbortSignal) => readonly Part[] | ReadableStream<Part>)
  )[];
  /** Inputs that arrive before each boundary, in order; none once they are used up. */
  readonly boundaries?: readonly (readonly string[])[];
  /** Answers to finish in order; `done` once they are used up. */
  readonly finishes?: readonly Finished[];
  readonly tool?: (name: string, call: HostToolCall) => Promise<HostToolOutcome>;
  readonly result?: (result: ToolResult) => void;
  readonly journal?: readonly JournalEntry[];
  /** Journals of earlier turns. */
  readonly history?: readonly (readonly JournalEntry[])[];
  readonly limits?: Partial<TurnLimits>;
  readonly leases?: TurnStart["leases"];
  readonly decoys?: TurnStart["decoys"];
  /** Default: nothing outside the group may be reached. */
  readonly outside?: Partial<Pick<TurnDoors, "redeem" | "egress">>;
}

export interface PlayedTurn {
  readonly events: TurnEvent[];
  readonly results: ToolResult[];
  readonly finishes: string[];
  readonly hostCalls: { name: string; call: HostToolCall }[];
  /** What the model was asked, step by step. */
  readonly prompts: ModelCallOptions["prompt"][];
  readonly calls: ModelCallOptions[];
}

export interface OpenTurn extends AsyncDisposable {
  readonly played: PlayedTurn;
  readonly link: LinkSession;
  /** Resolves when the host has seen the turn end. */
  readonly over: Promise<void>;
  /** Resolves when the runner is gone. */
  readonly runner: Promise<void>;
  /** Ends the runner as SIGTERM would. */
  readonly leave: () => void;
}

/** Waits for the turn's end, `done` or a `failed` event, and gives what was seen of it. */
export async function playTurn(opening: Promise<OpenTurn>): Promise<PlayedTurn> {
  await using turn = await opening;
  await turn.over;
  return turn.played;
}

/** A turn on a real socket; `run` is the runner, which ends when its stream or its signal does. */
export async function openTurn(
  server: LinkServer,
  run: (stream: Duplex, signal: AbortSignal) => Promise<void>,
  script: Script,
): Promise<OpenTurn> {
  const pair = await openSocketPair();
  const { played, link, over } = serveScript(server, pair.host, script);
  const leaving = new AbortController();
  const runner = run(pair.sandbox, leaving.signal);
  await link.ready;
  return {
    played,
    link,
    over,
    runner,
    leave: () => leaving.abort(),
    async [Symbol.asyncDispose]() {
      link.close();
      await runner;
      await pair[Symbol.asyncDispose]();
    },
  };
}

/** The host's end alone, on a stream whose other end is a runner of any kind. The turn starts as soon as it is there. */
export function serveScript(server: LinkServer, stream: Duplex, script: Script): Pick<OpenTurn, "played" | "link" | "over"> {
  const played: PlayedTurn = { events: [], results: [], finishes: [], hostCalls: [], prompts: [], calls: [] };
  const over = Promise.withResolvers<void>();
  let step = 0;
  const boundaries = (script.boundaries ?? []).slice();
  const finishes = (script.finishes ?? []).slice();
  const doors: TurnDoors = {
    event(event) {
      played.events.push(event);
      if (event.type === "failed") over.resolve();
    },
    result(result) {
      script.result?.(result);
      played.results.push(result);
    },
    boundary: (): Boundary => ({ inputs: [...(boundaries.shift() ?? [])] }),
    finish({ text }) {
      played.finishes.push(text);
      const finished = finishes.shift() ?? { state: "done" };
      if (finished.state === "done") over.resolve();
      return finished;
    },
    async tool(name, call) {
      played.hostCalls.push({ name, call });
      return (await script.tool?.(name, call)) ?? { text: "sent", isError: false };
    },
    async model(_modelId, options, signal) {
      played.prompts.push(options.prompt);
      played.calls.push(options);
      const next = script.steps[step++];
      if (next === undefined) throw new Error("the script has no such step");
      const parts = typeof next === "function" ? next(options, signal) : next;
      return parts instanceof ReadableStream ? parts : (ReadableStream.from(parts) as ReadableStream<Part>);
    },
    ...SHUT_DOORS,
    ...script.outside,
  };
  const link = server.serve(stream, doors);
  link.feed(startOf(script));
  return { played, link, over: over.promise };
}

function startOf(script: Script): TurnStart {
  return {
    v: 1,
    type: "start",
    assistantName: "Andy",
    timeZone: "Europe/Madrid",
    model: "scripted",
    system: "You are Andy.",
    limits: { steps: 10, toolCalls: 10, toolOutputBytes: 10_000, toolTimeoutMs: 10_000, ...script.limits },
    session: null,
    history: [...(script.history ?? [])].map((turn) => [...turn]),
    journal: [...(script.journal ?? [{ kind: "input", text: "hello" }])],
    leases: [...(script.leases ?? [])],
    decoys: [...(script.decoys ?? [])],
  };
}

const USAGE = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

export function finish(unified: "stop" | "tool-calls" | "length" | "content-filter" | "error" = "stop"): Part {
  return { type: "finish", usage: USAGE, finishReason: { unified, raw: undefined } };
}

export function says(...deltas: string[]): Part[] {
  return [
    { type: "text-start", id: "t" },
    ...deltas.map((delta): Part => ({ type: "text-delta", id: "t", delta })),
    { type: "text-end", id: "t" },
    finish(),
  ];
}

export function call(toolName: string, input: unknown, toolCallId = "c1"): Part {
  return { type: "tool-call", toolCallId, toolName, input: typeof input === "string" ? input : JSON.stringify(input) };
}

export function calls(...parts: Part[]): Part[] {
  return [...parts, finish("tool-calls")];
}

/** A toolbox whose one sandbox tool, `echo`, gives back its `text`; it remembers what ran. */
export function echoToolbox() {
  const ran: string[] = [];
  return {
    ran,
    closed: false,
    definitions: [
      { name: "echo", description: "echo", inputSchema: { type: "object" }, runsOn: "sandbox" as const },
      { name: "send_message", description: "send", inputSchema: { type: "object" }, runsOn: "host" as const },
    ],
    async run(_name: string, input: unknown, _limits: { readonly signal: AbortSignal }): Promise<{ text: string; isError: boolean }> {
      const { text } = input as { text: string };
      ran.push(text);
      return { text, isError: false };
    },
    close() {
      this.closed = true;
    },
  };
}
