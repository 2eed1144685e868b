/** A whole host for tests: the real store on a folder of its own, the real runner and link in this process, a clock that is moved by hand. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOnLink } from "../runner-image/runner/run-on-link.ts";
import type { Duplex } from "node:stream";
import type { Toolbox } from "../runner-image/tools/registry.ts";
import { createLinkServer } from "./adapters/link-http2/index.ts";
import { FakeClock } from "./adapters/memory/fake-clock.ts";
import { MemoryChannel, MemoryPlatform } from "./adapters/memory/memory-channel.ts";
import { createMemoryRuntime, type MemoryRuntime } from "./adapters/memory/memory-sandbox-runtime.ts";
import { createOfflineModel } from "./adapters/model-offline/index.ts";
import { createTranscripts } from "./adapters/transcripts-jsonl/index.ts";
import { openStore } from "./adapters/store-sqlite/index.ts";
import { streamOfParts, type WholeStep, wholeStepParts } from "./domain/model-step.ts";
import type { Zone } from "./domain/schedule-zone.ts";
import type { CompatibilityParts, GuardParts, Host, HostSettings } from "./host-parts.ts";
import { createHost } from "./host.ts";
import type { Channel, DeliveryGuarantee } from "./ports/channel.ts";
import type { Model, ModelCallOptions } from "./ports/model.ts";
import type { Store } from "./ports/store.ts";
import type { Transcripts } from "./ports/transcripts.ts";
import { CLOSED_LIMITS, closedGuard } from "./replay/closed-guard.ts";

const SECOND_MS = 1000;
const UTC: Zone = { name: "UTC", stretchAt: () => ({ from: -Infinity, until: Infinity, offset: 0, before: 0 }) };

type Prompt = ModelCallOptions["prompt"];

/** Answers each turn with one text, and remembers what it was asked. */
export class ListeningModel implements Model {
  readonly id = "listening";
  readonly prompts: Prompt[] = [];
  /** The next calls that meet this are refused with what it returns. */
  refuse: (prompt: Prompt) => Error | undefined = () => undefined;

  async stream({ prompt }: ModelCallOptions, signal: AbortSignal) {
    this.prompts.push(prompt);
    const refusal = this.refuse(prompt);
    if (refusal !== undefined) throw refusal;
    const step: WholeStep = { deltas: [`answer ${this.prompts.length}`], toolCalls: [] };
    return streamOfParts(wholeStepParts(step, { modelId: this.id, responseId: "r", inputTokens: 1 }), signal);
  }

  /** The texts of the newest prompt, speaker first. */
  get heard(): readonly string[] {
    return (this.prompts.at(-1) ?? []).flatMap(({ role, content }) =>
      typeof content === "string" ? [] : content.flatMap((part) => (part.type === "text" ? [`${role}: ${bare(part.text)}`] : [])),
    );
  }
}

/** Without NanoClaw's wrapper. */
function bare(text: string): string {
  const bodies = Array.from(text.matchAll(/<message [^>]*>([^<]*)<\/message>/g), ([, body]) => body);
  return bodies.length === 0 ? text : bodies.join(" | ");
}

/** Tools that run no command: `exec` answers from a table, and says when it was called. */
class TableTools {
  readonly calls: string[] = [];
  readonly #gates = new Map<string, Promise<void>>();
  readonly #called = new Map<string, () => void>();

  /** `exec` of this command waits until the returned function is called. */
  hold(command: string): { called: Promise<void>; release: () => void } {
    const gate = Promise.withResolvers<void>();
    const called = Promise.withResolvers<void>();
    this.#gates.set(command, gate.promise);
    this.#called.set(command, called.resolve);
    return { called: called.promise, release: gate.resolve };
  }

  toolbox(): Toolbox {
    const schema = { type: "object" };
    return {
      definitions: [
        { name: "exec", description: "", inputSchema: schema, runsOn: "sandbox" },
        { name: "send_message", description: "", inputSchema: schema, runsOn: "host" },
        { name: "schedule_task", description: "", inputSchema: schema, runsOn: "host" },
      ],
      run: async (_name, input, { signal }) => {
        const { command } = input as { command: string };
        this.calls.push(command);
        this.#called.get(command)?.();
        const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
        await Promise.race([this.#gates.get(command), aborted]);
        return { text: `did ${command}`, isError: false };
      },
      close() {},
    };
  }
}

export interface TestParts {
  /** Default: the offline model. */
  readonly model?: Model;
  readonly delivery?: DeliveryGuarantee;
  readonly listsGroups?: boolean;
  /** Default: the real runner, in this process, with `tools`. */
  readonly runner?: (link: Duplex, signal: AbortSignal) => Promise<number>;
  /** Default: files in the home. */
  readonly transcripts?: Transcripts;
  /** Default: one on the platform. */
  readonly channels?: readonly Channel[];
  readonly compatibility?: CompatibilityParts;
  /** Default: no secrets, and nothing outside may be reached. */
  readonly guard?: Partial<GuardParts>;
  readonly over?: Partial<HostSettings>;
}

export class TestHost {
  readonly home = mkdtempSync(join(tmpdir(), "hermit-host-"));
  readonly clock = new FakeClock();
  readonly platform = new MemoryPlatform(this.clock);
  readonly tools = new TableTools();
  readonly warnings: string[] = [];
  runtime!: MemoryRuntime;
  store!: Store;
  host!: Host;

  /** A host on the home as it is. The one before must be closed, or gone as a killed one is. */
  open(parts: TestParts = {}): Host {
    const { delivery = "idempotent", listsGroups = false } = parts;
    const { clock, platform, home } = this;
    this.runtime = createMemoryRuntime({
      clock,
      runner:
        parts.runner ??
        (async (stream, signal) => {
          await runOnLink({ stream, signal, pid: 1, openToolbox: async () => this.tools.toolbox() });
          return 0;
        }),
    });
    this.store = openStore(home);
    this.host = createHost(
      {
        store: this.store,
        runtime: this.runtime,
        workspaces: { prepare: () => ({ mounts: [], user: { uid: 1, gid: 1 } }) },
        transcripts: parts.transcripts ?? createTranscripts(home),
        timeZones: { find: (name) => (name === "UTC" ? UTC : undefined), local: () => "UTC" },
        links: createLinkServer(),
        model: parts.model ?? createOfflineModel(),
        channels: parts.channels ?? [new MemoryChannel({ platform, clock, delivery, listsGroups })],
        clock,
        log: { debug() {}, info() {}, warn: (_fields, message) => this.warnings.push(message), error() {} },
        random: () => 0,
        guard: { ...closedGuard(randomBytes), ...parts.guard },
        ...(parts.compatibility === undefined ? {} : { compatibility: parts.compatibility }),
      },
      { ...settings(home), ...parts.over },
    );
    return this.host;
  }

  /** Says it and waits until all is quiet. */
  async says(text: string, chat = "main"): Promise<void> {
    this.platform.say(text, { chat });
    await this.host.settled();
  }

  get texts(): readonly string[] {
    return this.platform.replies.map(({ text }) => text);
  }

  repliesIn(chat: string): readonly string[] {
    return this.platform.replies.filter((reply) => reply.chat === `memory:${chat}`).map(({ text }) => text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closing = this.host.close();
    // Whatever a failed test left running is cut off.
    const nudge = setInterval(() => this.clock.advance(SECOND_MS), 10);
    await closing;
    clearInterval(nudge);
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** Lets timers of the runner's own process and sockets make progress without moving the host's clock. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

export function settings(home: string): HostSettings {
  return {
    home,
    version: "test",
    turn: {
      assistantName: "Andy",
      timeZone: "UTC",
      system: "You are a test.",
      limits: { steps: 40, toolCalls: 100, toolOutputBytes: 4096, toolTimeoutMs: 5 * SECOND_MS },
      replyBytes: 4096,
      idleTimeoutMs: 60 * SECOND_MS,
      hardTimeoutMs: 600 * SECOND_MS,
      stopGraceMs: SECOND_MS,
      retry: { baseMs: 5 * SECOND_MS, maxRetries: 5, jitter: 0 },
      historyBytes: 10_000,
      agentNamesSessions: false,
    },
    slots: 2,
    maxWaitingMessages: 100,
    maxMessageBytes: 10_000,
    maxBatchMessages: 16,
    maxBatchBytes: 100_000,
    sandboxLimits: { memoryBytes: 1, pids: 1, cpus: 1, tmpBytes: 1 },
    sandboxStartTimeoutMs: 5 * SECOND_MS,
    ...CLOSED_LIMITS,
    shutdownGraceMs: SECOND_MS,
    maxTaskFailures: 5,
  };
}
