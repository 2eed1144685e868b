/**
 * A home with a past, for tests that record it: the real store, runner and link, an agent that is told what to say, a clock moved by hand.
 * Every tool takes a quarter of a second of it, every model step a tenth.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HOST_TOOLS } from "../contracts/wire/tools.ts";
import { isEarlier } from "../contracts/wire/model.ts";
import { runOnLink } from "../runner-image/runner/run-on-link.ts";
import type { Toolbox } from "../runner-image/tools/registry.ts";
import { createLinkServer } from "./adapters/link-http2/index.ts";
import { FakeClock } from "./adapters/memory/fake-clock.ts";
import { MemoryChannel, MemoryPlatform } from "./adapters/memory/memory-channel.ts";
import { createMemoryRuntime, type MemoryRuntime } from "./adapters/memory/memory-sandbox-runtime.ts";
import { openStore } from "./adapters/store-sqlite/index.ts";
import { type Past, readPast, type Standing } from "./adapters/store-sqlite/past.ts";
import { systemTimeZones } from "./adapters/time-zones-system/index.ts";
import { createTranscripts } from "./adapters/transcripts-jsonl/index.ts";
import { streamOfParts, type WholeStep, wholeStepParts } from "./domain/model-step.ts";
import type { Host, HostSettings } from "./host-parts.ts";
import { createHost } from "./host.ts";
import { closedGuard } from "./replay/closed-guard.ts";
import { settings } from "./host-harness.ts";
import type { ModelCallOptions, ModelStreamPart } from "./ports/model.ts";
import type { RecordedHost } from "./recording/recording.ts";

const SECOND_MS = 1000;
const STEP_MS = 100;
const TOOL_MS = 250;

/** `said`: the newest input as the agent reads it. `step`: of this turn, from 0. */
export type Answer = (said: string, step: number) => string | WholeStep["toolCalls"] | Error;

export const HOST: RecordedHost = {
  version: "test",
  assistantName: "Andy",
  timeZone: "UTC",
  slots: 2,
  retry: { baseMs: 5 * SECOND_MS, maxRetries: 2 },
  maxTaskFailures: 3,
};

export class RecordedHome implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), "hermit-past-"));
  readonly clock = new FakeClock(Date.UTC(2026, 4, 4, 9));
  readonly platform = new MemoryPlatform(this.clock);
  answer: Answer = () => "yes";
  runtime!: MemoryRuntime;
  host!: Host;
  /** When it was first started, epoch milliseconds, and how the tables stood then. */
  startedAt = 0;
  before!: Standing;
  #drawn = 0;
  readonly #gates = new Map<string, { readonly called: () => void; readonly open: Promise<void> }>();

  /** A host on the home as it is. */
  async start(): Promise<Host> {
    const store = openStore(this.path);
    if (this.startedAt === 0) {
      this.startedAt = this.clock.now();
      this.before = readPast(this.path, { from: this.startedAt, until: this.startedAt }).standing;
    }
    this.runtime = createMemoryRuntime({
      clock: this.clock,
      runner: async (stream, signal) => {
        await runOnLink({ stream, signal, pid: 1, openToolbox: async () => this.#toolbox() });
        return 0;
      },
    });
    this.host = createHost(
      {
        store,
        runtime: this.runtime,
        workspaces: { prepare: () => ({ mounts: [], user: { uid: 1, gid: 1 } }) },
        transcripts: createTranscripts(this.path),
        timeZones: systemTimeZones(),
        links: createLinkServer(),
        model: { id: "told", stream: async (options, signal) => this.#step(options, signal) },
        channels: [new MemoryChannel({ platform: this.platform, clock: this.clock })],
        clock: this.clock,
        log: { debug() {}, info() {}, warn() {}, error() {} },
        // No chance, but never the same twice: two tasks of one moment have names of their own.
        random: () => (this.#drawn = (this.#drawn + 0.37) % 1),
        guard: closedGuard(randomBytes),
      },
      settingsOf(this.path),
    );
    await this.host.start();
    return this.host;
  }

  /** Says it and waits until all is quiet. */
  async says(text: string, chat = "main", sender = "Ada"): Promise<void> {
    this.platform.say(text, { chat, sender });
    await this.quiet();
  }

  async quiet(): Promise<void> {
    await this.host.settled();
    this.clock.advance(1);
  }

  /** The next `exec` of this command waits until the returned function is called. */
  hold(command: string): { readonly called: Promise<void>; readonly release: () => void } {
    const [called, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    this.#gates.set(command, { called: called.resolve, open: open.promise });
    return { called: called.promise, release: open.resolve };
  }

  past(from = this.startedAt): Past {
    return readPast(this.path, { from, until: this.clock.now() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host.close();
    rmSync(this.path, { recursive: true, force: true });
  }

  #toolbox(): Toolbox {
    const inputSchema = { type: "object" };
    return {
      definitions: [
        { name: "exec", description: "", inputSchema, runsOn: "sandbox" },
        ...Object.keys(HOST_TOOLS).map((name) => ({ name, description: "", inputSchema, runsOn: "host" as const })),
      ],
      run: async (_name, input, { signal }) => {
        const { command } = input as { command: string };
        const gate = this.#gates.get(command);
        gate?.called();
        const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
        await Promise.race([gate?.open, aborted]);
        this.clock.advance(TOOL_MS);
        return { text: `did ${command}`, isError: false };
      },
      close() {},
    };
  }

  #step({ prompt }: ModelCallOptions, signal: AbortSignal): ReadableStream<ModelStreamPart> {
    const own = prompt.filter((message) => !isEarlier(message));
    const said = own.findLast(({ role }) => role === "user")?.content.at(-1);
    const step = own.filter(({ role }) => role === "assistant").length;
    this.clock.advance(STEP_MS);
    const answer = this.answer(typeof said === "object" && said.type === "text" ? said.text : "", step);
    if (answer instanceof Error) throw answer;
    const whole = typeof answer === "string" ? { deltas: answer === "" ? [] : [answer], toolCalls: [] } : { deltas: [], toolCalls: answer };
    return streamOfParts(wholeStepParts(whole, { modelId: "told", responseId: "r", inputTokens: 1 }), signal);
  }
}

/** One call of a tool, as a model's step. */
export function call(toolName: string, input: object, toolCallId = `call-${toolName}`): WholeStep["toolCalls"] {
  return [{ toolCallId, toolName, input }];
}

function settingsOf(home: string): HostSettings {
  const usual = settings(home);
  return {
    ...usual,
    turn: { ...usual.turn, retry: { ...HOST.retry, jitter: 0.2 } },
    slots: HOST.slots,
    maxTaskFailures: HOST.maxTaskFailures,
  };
}
