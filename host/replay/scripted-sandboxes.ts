/**
 * Sandboxes and links of a replay: both ports at once, without engine, sockets or bytes.
 *
 * A sandbox is a scripted agent in this process; its link is a token by which `serve` finds it again, and the doors are handed over
 * as they are. So nothing happens between two ticks of the fake clock but promises, and a replay can tell when all is done. The real
 * link and the real runner are replayed by the engine driver.
 */
import { Duplex } from "node:stream";
import type { TurnFeed, TurnStart } from "../../contracts/wire/turn.ts";
import { SandboxError } from "../domain/errors.ts";
import type { LinkServer, LinkSession, TurnDoors } from "../ports/link.ts";
import type { OwnedSandbox, RuntimeReport, Sandbox, SandboxExit, SandboxRuntime, SandboxSpec } from "../ports/sandbox-runtime.ts";

/** What is left of a process the kernel ended for want of memory; no recording has another that ends so. */
const KILLED = 137;

/** Plays one run to its end and returns the exit code. `signal`: asked to end, killed, or the link is gone. */
export type Agent = (folder: string, start: TurnStart, doors: TurnDoors, signal: AbortSignal) => Promise<number>;

export interface ScriptedSandboxesOptions {
  readonly agent: Agent;
  /** True: this start fails, as an engine that cannot make the container. */
  readonly failsToStart: (folder: string) => boolean;
}

export class ScriptedSandboxes implements SandboxRuntime, LinkServer {
  readonly id = "scripted";
  readonly #options: ScriptedSandboxesOptions;
  readonly #live = new Map<string, ScriptedSandbox>();
  #count = 0;

  constructor(options: ScriptedSandboxesOptions) {
    this.#options = options;
  }

  async check(): Promise<RuntimeReport> {
    return { engine: "scripted (nothing is isolated)", image: "none" };
  }

  async start(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    signal.throwIfAborted();
    if (this.#options.failsToStart(spec.owner.folder)) {
      throw new SandboxError("SANDBOX_START_FAILED", "The sandbox could not be started.", { retryable: true });
    }
    const sandbox = new ScriptedSandbox(`scripted-${++this.#count}`, spec, this.#options.agent, () => this.#live.delete(sandbox.id));
    this.#live.set(sandbox.id, sandbox);
    return sandbox;
  }

  serve(stream: Duplex, doors: TurnDoors): LinkSession {
    const sandbox = [...this.#live.values()].find(({ link }) => link === stream);
    if (sandbox === undefined) throw new Error("no such sandbox");
    return sandbox.open(doors);
  }

  async listOwned(instance: string): Promise<readonly OwnedSandbox[]> {
    return [...this.#live.values()]
      .filter(({ spec }) => spec.owner.instance === instance)
      .map(({ id, spec: { owner } }) => ({ id, generation: owner.generation, folder: owner.folder }));
  }

  async reap(id: string): Promise<void> {
    await this.#live.get(id)?.stop(0);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#live.values()].map((sandbox) => sandbox.stop(0)));
  }
}

class ScriptedSandbox implements Sandbox {
  readonly id: string;
  readonly spec: SandboxSpec;
  readonly link = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  readonly exited: Promise<SandboxExit>;
  readonly #agent: Agent;
  readonly #forget: () => void;
  readonly #exit = Promise.withResolvers<SandboxExit>();
  readonly #closed = Promise.withResolvers<Error | undefined>();
  readonly #ending = new AbortController();
  #started = false;

  constructor(id: string, spec: SandboxSpec, agent: Agent, forget: () => void) {
    this.id = id;
    this.spec = spec;
    this.#agent = agent;
    this.#forget = forget;
    this.exited = this.#exit.promise;
  }

  open(doors: TurnDoors): LinkSession {
    return {
      ready: Promise.resolve(),
      closed: this.#closed.promise,
      feed: (frame) => this.#take(frame, doors),
      close: () => this.#end({ code: 0, outOfMemory: false }),
    };
  }

  async pause(): Promise<void> {}
  async resume(): Promise<void> {}
  async stats() {
    return { memoryBytes: 0, cpuSeconds: 0, pids: 1 };
  }

  async inspectRest() {
    return undefined;
  }

  async stop(_graceMs: number): Promise<void> {
    this.#end({ code: null, outOfMemory: false });
    this.#forget();
  }

  #take(frame: TurnFeed, doors: TurnDoors): void {
    if (frame.type === "stop") this.#ending.abort(new Error(frame.reason));
    else if (!this.#started) {
      this.#started = true;
      this.#agent(this.spec.owner.folder, frame, doors, this.#ending.signal).then(
        (code) => this.#end({ code, outOfMemory: code === KILLED }),
        // An agent whose doors are shut has been ended; anything else it could throw is a fault of the replay, shown as a crash.
        () => this.#end({ code: 70, outOfMemory: false }),
      );
    }
  }

  #end(exit: SandboxExit): void {
    this.#exit.resolve(exit);
    this.#ending.abort(new Error("the sandbox has ended"));
    this.#closed.resolve(undefined);
  }
}
