/**
 * One started sandbox: running ⇄ paused → ended → removed. Ended comes from outside (the runner exits, the engine loses it) or from `stop`.
 */
import type { Duplex } from "node:stream";
import type { Clock } from "../../ports/clock.ts";
import type { Sandbox, SandboxExit, SandboxRest, SandboxStats } from "../../ports/sandbox-runtime.ts";
import { type RestingContainer, readRest } from "./at-rest.ts";
import { readEngineStats, readKernelUsage } from "./container-usage.ts";
import { callEngine, type EngineContainer } from "./engine-api.ts";
import { removeContainer } from "./remove-container.ts";

/** After SIGKILL; a process in an uninterruptible read from a slow disk may take this long to go. */
const KILL_WAIT_MS = 5_000;

export interface StartedContainer {
  readonly container: EngineContainer;
  /** Its first process, as the engine's machine numbers it. */
  readonly pid: number;
  readonly init: boolean;
  readonly scratch: readonly string[];
  readonly link: Duplex;
  readonly exited: Promise<SandboxExit>;
  readonly clock: Clock;
  /** Frees everything but the container. Called once, after the container is gone; must not throw. */
  readonly release: () => Promise<void>;
}

export class DockerSandbox implements Sandbox {
  readonly id: string;
  readonly link: Duplex;
  readonly exited: Promise<SandboxExit>;
  /** Resolves when nothing is left of it; never rejects. */
  readonly removed: Promise<void>;
  readonly #container: EngineContainer;
  readonly #resting: RestingContainer;
  readonly #clock: Clock;
  readonly #release: () => Promise<void>;
  readonly #hurry = Promise.withResolvers<void>();
  readonly #gone = Promise.withResolvers<void>();
  #paused = false;
  #ended = false;
  #stopping: Promise<void> | undefined;

  constructor(started: StartedContainer) {
    this.id = started.container.id;
    this.link = started.link;
    this.exited = started.exited;
    this.removed = this.#gone.promise;
    this.#container = started.container;
    const { pid, init, scratch } = started;
    this.#resting = { id: this.id, pid, init, scratch };
    this.#clock = started.clock;
    this.#release = started.release;
    void started.exited.then(() => {
      this.#ended = true;
    });
  }

  async pause(): Promise<void> {
    if (this.#paused) return;
    await this.#call("pause", (call) => this.#container.pause(call));
    this.#paused = true;
  }

  async resume(): Promise<void> {
    if (!this.#paused) return;
    await this.#call("resume", (call) => this.#container.unpause(call));
    this.#paused = false;
  }

  async stats(): Promise<SandboxStats> {
    const seen = await readKernelUsage(this.#resting.pid, this.id);
    return (
      seen ?? readEngineStats(await this.#call("measure", (call) => this.#container.stats({ stream: false, "one-shot": true, ...call })))
    );
  }

  async inspectRest(): Promise<SandboxRest | undefined> {
    return this.#ended ? undefined : readRest(this.#resting);
  }

  stop(graceMs: number): Promise<void> {
    if (graceMs <= 0) this.#hurry.resolve();
    // A failed attempt (the engine was away) may be made again; a finished one is never repeated.
    this.#stopping ??= this.#end(graceMs).catch((error: unknown) => {
      this.#stopping = undefined;
      throw error;
    });
    return this.#stopping;
  }

  async #end(graceMs: number): Promise<void> {
    if (graceMs > 0) await this.#ask(graceMs);
    await this.#killAndAwaitExit();
    await removeContainer(this.#container, this.#clock);
    await this.#release();
    this.#gone.resolve();
  }

  /** Best effort: whatever goes wrong here, the kill follows. */
  async #ask(graceMs: number): Promise<void> {
    try {
      // A frozen process gets no signal before it thaws.
      await this.resume();
      await this.#call("stop", (call) => this.#container.kill({ signal: "SIGTERM", ...call }));
    } catch {
      return;
    }
    await this.#exitedWithin(graceMs, this.#hurry.promise);
  }

  /** The exit is awaited before the removal, which would take its reason along. */
  async #killAndAwaitExit(): Promise<void> {
    if (this.#ended) return;
    // Refused where it has just ended, and by engines that cannot kill what is frozen: removing by force settles both.
    const killed = await this.#call("kill", (call) => this.#container.kill({ signal: "SIGKILL", ...call })).then(
      () => true,
      () => false,
    );
    if (killed) await this.#exitedWithin(KILL_WAIT_MS);
  }

  async #exitedWithin(ms: number, hurry?: Promise<void>): Promise<void> {
    const over = Promise.withResolvers<void>();
    const timer = this.#clock.setTimer(ms, over.resolve);
    await Promise.race([this.exited, over.promise, ...(hurry === undefined ? [] : [hurry])]);
    timer.cancel();
  }

  #call<T>(verb: string, call: (options: { abortSignal: AbortSignal }) => Promise<T>): Promise<T> {
    return callEngine(this.#clock, `Cannot ${verb} sandbox ${this.id.slice(0, 12)}`, call, "SANDBOX_DIED");
  }
}
