/**
 * Follows one container to its end, by one held request; nothing is polled.
 *
 * Order: the request is opened before the container starts, so that no exit is missed; `confirmStarted` looks once after the start, for the
 * container that ended before the engine had registered the request.
 */
import type { SandboxExit } from "../../ports/sandbox-runtime.ts";
import type { ContainerInspection, Engine, EngineContainer } from "./engine-api.ts";

/** 128 + SIGKILL: what engines report for a container that was killed. */
const KILLED = 137;

export class ExitWatch {
  /** Never rejects. */
  readonly exited: Promise<SandboxExit>;
  readonly #engine: Engine;
  readonly #container: EngineContainer;
  readonly #settled = Promise.withResolvers<SandboxExit>();
  readonly #abort = new AbortController();
  #lost = false;

  constructor(engine: Engine, container: EngineContainer) {
    this.#engine = engine;
    this.#container = container;
    this.exited = this.#settled.promise;
    void this.#follow("next-exit");
  }

  /** Call once when the engine says the container has started. Returns the process number on the engine's machine. */
  async confirmStarted(): Promise<number> {
    const found = await this.#container.inspect({ abortSignal: this.#abort.signal });
    if (hasEnded(found)) this.#settle(exitOf(found));
    return found.State.Pid;
  }

  /** The engine gave the container up before it told us of its end. */
  get isLost(): boolean {
    return this.#lost;
  }

  /** Stops following. What has not ended counts as lost. Idempotent. */
  close(): void {
    this.#settle({ code: null, outOfMemory: false });
  }

  #settle(exit: SandboxExit): void {
    this.#settled.resolve(exit);
    this.#abort.abort();
  }

  async #follow(condition: "next-exit" | "not-running"): Promise<void> {
    const abortSignal = this.#abort.signal;
    try {
      await this.#engine.waitForEnd(this.#container.id, condition, { abortSignal }).catch(() => {});
      if (abortSignal.aborted) return;
      const found = await this.#container.inspect({ abortSignal });
      if (hasEnded(found)) this.#settle(exitOf(found));
      // The engine gave the request up, for example while it restarts under living containers. A second loss is final.
      else if (condition === "next-exit" && found.State.Running) await this.#follow("not-running");
      else this.#lose();
    } catch {
      // Removed by somebody else, or the engine is gone, and with it all knowledge of the sandbox.
      if (!abortSignal.aborted) this.#lose();
    }
  }

  #lose(): void {
    this.#lost = true;
    this.close();
  }
}

/** `Running` stays true while paused. A container never started has not ended. */
function hasEnded(found: ContainerInspection): boolean {
  return !found.State.Running && !found.State.Paused && found.State.Status !== "created";
}

function exitOf(found: ContainerInspection): SandboxExit {
  const { ExitCode: code, OOMKilled: oom } = found.State;
  // Engines also flag a container in which only a child ran out of memory; that one ended by itself.
  return { code: code === KILLED ? null : code, outOfMemory: oom && code !== 0 };
}
