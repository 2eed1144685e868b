/**
 * Agents in real sandboxes: the runner image on a container engine, the real link, the real workspaces and transcripts. The model is the
 * recorded agent (model-agent.ts).
 *
 * The host's time is the replay's all the same. It stands still while a sandbox works, and moves on when every running turn waits for it:
 * so a scenario of minutes takes as long as its sandboxes need to start and end.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../adapters/clock-system/index.ts";
import { createLinkServer } from "../adapters/link-http2/index.ts";
import { partsOf } from "../adapters/model-payload/index.ts";
import { createDockerRuntime } from "../adapters/sandbox-docker/index.ts";
import { createTranscripts } from "../adapters/transcripts-jsonl/index.ts";
import { createWorkspaces } from "../adapters/workspace-fs/index.ts";
import { SandboxError } from "../domain/errors.ts";
import type { Host, HostSettings } from "../host-parts.ts";
import type { Clock } from "../ports/clock.ts";
import type { LinkServer, TurnDoors } from "../ports/link.ts";
import type { Log } from "../ports/log.ts";
import type { Sandbox, SandboxRuntime } from "../ports/sandbox-runtime.ts";
import { ModelAgent } from "./model-agent.ts";
import type { Stage, Staging, Surroundings } from "./staging.ts";

export interface EngineOptions {
  readonly socketPath: string;
  readonly image: string;
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

const MIB = 1024 * 1024;
/** As small as the runner can live in. */
const SANDBOX_LIMITS = { memoryBytes: 256 * MIB, pids: 64, cpus: 1, tmpBytes: 16 * MIB };
const HISTORY_BYTES = 64 * 1024;
/** Longer than any start, stop or removal; a replay that waits longer has lost something. */
const QUIET_MS = 30_000;
/** Of the machine's time. A start that fails is played when a recording says so, not when the machine is busy. */
const START_MS = 20_000;
const LOOK_AGAIN_MS = 4;

/** Sessions are the host's own here, and so are their names. */
export function engineStaging(options: EngineOptions): Staging {
  return { lacks: ["sessions"], open: async (around) => new EngineStage(options, around) };
}

class EngineStage implements Stage {
  readonly parts: Stage["parts"];
  readonly #around: Surroundings;
  readonly #runtime: SandboxRuntime;
  readonly #sandboxes = new Set<Sandbox>();
  readonly #byLink = new WeakMap<Duplex, { readonly folder: string; readonly sandbox: Sandbox }>();
  /** Turns that wait for the replay's clock. */
  readonly #waits: Waits;
  #isClosing = false;

  constructor({ socketPath, image }: EngineOptions, around: Surroundings) {
    const { home } = around;
    this.#around = around;
    this.#waits = new Waits(around.clock);
    const runtimeDir = join(home, "run");
    this.#runtime = createDockerRuntime({ socketPath, image, runtimeDir, link: "socket", clock: systemClock, log: silent });
    const asking = new AsyncLocalStorage<ModelAgent>();
    this.parts = {
      runtime: this.#watchedRuntime(),
      links: this.#watchedLinks(asking),
      model: {
        id: "recorded-agent",
        async stream({ prompt }, signal) {
          const agent = asking.getStore();
          if (agent === undefined) throw new Error("nobody asks");
          return ReadableStream.from(partsOf(await agent.says(prompt, signal)));
        },
      },
      workspaces: createWorkspaces(home, process.getuid?.() ?? 0, process.getgid?.() ?? 0),
      transcripts: createTranscripts(home),
    };
  }

  settings(usual: HostSettings): HostSettings {
    return {
      ...usual,
      turn: { ...usual.turn, historyBytes: HISTORY_BYTES, agentNamesSessions: false },
      sandboxLimits: SANDBOX_LIMITS,
      sandboxStartTimeoutMs: START_MS,
    };
  }

  /** The engine's doings have no promise of their own: it is looked whether each running turn waits for the clock, twice in a row. */
  async quiet(host: Host): Promise<void> {
    const deadline = performance.now() + QUIET_MS;
    for (let looks = 0; looks < 2; ) {
      await pause(LOOK_AGAIN_MS);
      looks = !this.#isClosing && host.status().slots.used === this.#waits.count ? looks + 1 : 0;
      if (performance.now() > deadline) throw new Error("a turn neither ends nor waits");
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sandboxes].map((sandbox) => sandbox.stop(0)));
    await this.#runtime.close();
  }

  #watchedRuntime(): SandboxRuntime {
    const { script } = this.#around;
    const runtime = this.#runtime;
    return {
      id: runtime.id,
      check: () => runtime.check(),
      listOwned: (instance) => runtime.listOwned(instance),
      reap: (id) => runtime.reap(id),
      close: async () => {
        this.#isClosing = true;
        await runtime.close();
        this.#isClosing = false;
      },
      start: async (spec, signal) => {
        const { folder } = spec.owner;
        if (script.nextCannotStart(folder)) {
          script.skip(folder);
          throw new SandboxError("SANDBOX_START_FAILED", "The sandbox could not be started.", { retryable: true });
        }
        const sandbox = await runtime.start(spec, signal);
        this.#sandboxes.add(sandbox);
        this.#byLink.set(sandbox.link, { folder, sandbox });
        void sandbox.exited.then(() => this.#sandboxes.delete(sandbox));
        return sandbox;
      },
    };
  }

  /** The stream is the identity: whose model step it is, is known here and nowhere behind it. */
  #watchedLinks(asking: AsyncLocalStorage<ModelAgent>): LinkServer {
    const { scenario, script, onFollowUp } = this.#around;
    const links = createLinkServer();
    return {
      serve: (stream, doors) => {
        const at = this.#byLink.get(stream);
        if (at === undefined) throw new Error("no such sandbox");
        const agent = new ModelAgent({
          folder: at.folder,
          script,
          bootMs: scenario.agentDefault.bootMs,
          wait: (ms, signal) => this.#waits.wait(ms, signal),
          crash: () => this.#runtime.reap(at.sandbox.id),
          onFollowUp: (text) => onFollowUp(at.folder, text),
        });
        const watched: TurnDoors = {
          event: (event) => doors.event(event),
          result: (result) => doors.result(result),
          boundary: () => doors.boundary(),
          finish: (finish) => doors.finish(finish),
          tool: (name, call) => doors.tool(name, call),
          model: (id, call, signal) => asking.run(agent, () => doors.model(id, call, signal)),
          redeem: (request) => doors.redeem(request),
          egress: doors.egress,
        };
        return links.serve(stream, watched);
      },
    };
  }
}

/** Waits on a clock, counted. */
class Waits {
  readonly #clock: Clock;
  count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Infinity: until the signal. Rejects with the signal's reason. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.count++;
    // Counted down in the moment it ends: what goes on must not be taken for waiting.
    const end = (settle: () => void): void => {
      this.count--;
      timer?.cancel();
      signal.removeEventListener("abort", onAbort);
      settle();
    };
    const onAbort = (): void => end(() => reject(signal.reason));
    const timer = Number.isFinite(ms) ? this.#clock.setTimer(ms, () => end(resolve)) : undefined;
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    return promise;
  }
}
