/**
 * Sandboxes on Docker, or on Podman through its Docker-compatible socket.
 *
 * Privileges: whoever may open the engine's socket is root on this machine (the docker group), or its own user with a rootless engine.
 * Elsewhere: what a sandbox is to the engine (container-body.ts), one start (start-container.ts), one sandbox's life (docker-sandbox.ts),
 * whether limits hold (enforced-limits.ts).
 */
import { HostError, SandboxError } from "../../domain/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { OwnedSandbox, RuntimeReport, Sandbox, SandboxRuntime, SandboxSpec } from "../../ports/sandbox-runtime.ts";
import { LABELS, ROLE } from "./container-body.ts";
import type { DockerSandbox } from "./docker-sandbox.ts";
import { assertEngineCanLimit } from "./enforced-limits.ts";
import { callEngine, connectEngine, type Engine, type EngineFacts, hasSecurityOption, statusOf } from "./engine-api.ts";
import { assertRoomForSockets } from "./link-folder.ts";
import { removeContainer } from "./remove-container.ts";
import { imageMissing, isPodman, startContainer } from "./start-container.ts";

export interface DockerRuntimeOptions {
  /** The engine's Unix socket on this machine. */
  readonly socketPath: string;
  /** Name or id of the runner image. */
  readonly image: string;
  /** Absolute; created 0700. Short: each sandbox's socket path below it adds 28 bytes and must stay under 100. */
  readonly runtimeDir: string;
  /** How the runner reaches us. "stdio" where a host socket cannot cross into the container. */
  readonly link: "socket" | "stdio";
  readonly clock: Clock;
  readonly log: Log;
  /** Instead of the image's own entrypoint: for suites, and for an image that holds no runner of ours. */
  readonly entrypoint?: readonly string[];
  /** Folders in memory beside `/tmp`, each with its size as bound; all count as the sandbox's memory. Default: none. */
  readonly scratch?: readonly string[];
  /** What to do where the image is missing. Default: build ours. */
  readonly imageHint?: string;
  /** Instead of the engine behind `socketPath`. For tests that break it on purpose. */
  readonly engine?: Engine;
}

export function createDockerRuntime(options: DockerRuntimeOptions): SandboxRuntime {
  return new DockerRuntime(options);
}

class DockerRuntime implements SandboxRuntime {
  readonly id = "docker";
  readonly #options: DockerRuntimeOptions;
  readonly #engine: Engine;
  /** What this process started and has not stopped. Kept by `start` and `stop`. */
  readonly #alive = new Map<string, DockerSandbox>();
  #facts: Promise<EngineFacts> | undefined;
  readonly #closing = new AbortController();
  readonly #starts = new Set<Promise<unknown>>();

  constructor(options: DockerRuntimeOptions) {
    this.#options = options;
    this.#engine = options.engine ?? connectEngine(options.socketPath);
  }

  async check(): Promise<RuntimeReport> {
    const { clock, image, imageHint, socketPath, runtimeDir, link, log } = this.#options;
    if (link === "socket") assertRoomForSockets(runtimeDir);
    this.#facts = undefined;
    const facts = await this.#askFacts();
    await callEngine(clock, `Cannot look for image ${image}`, (call) => this.#engine.inspectImage(image, call)).catch((error: unknown) => {
      throw statusOf(Object(error).cause) === 404 ? imageMissing({ image, imageHint }, error) : error;
    });
    if (hasSecurityOption(facts, "userns")) {
      log.warn(
        {},
        "the container engine renumbers containers' users (userns-remap); sandboxes are left out of it: their workspaces keep their owner",
      );
    }
    return { engine: `${isPodman(facts) ? "Podman" : "Docker"} ${facts.ServerVersion} at ${socketPath}`, image };
  }

  async start(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    if (this.#closing.signal.aborted) throw hostStopping();
    if (spec.user.uid === 0 || spec.user.gid === 0) {
      throw new SandboxError("SANDBOX_START_FAILED", "A sandbox never runs as root.", { hint: "Give it an unprivileged user and group." });
    }
    const starting = this.#start(spec, AbortSignal.any([signal, this.#closing.signal]));
    this.#starts.add(starting);
    try {
      return await starting;
    } finally {
      this.#starts.delete(starting);
    }
  }

  async listOwned(instance: string): Promise<readonly OwnedSandbox[]> {
    const labels = [`${LABELS.role}=${ROLE}`, `${LABELS.instance}=${instance}`];
    const found = await callEngine(this.#options.clock, "Cannot list sandboxes", (call) => this.#engine.list(labels, call));
    return found.map(({ Id, Labels }) => ({
      id: Id,
      // A label nobody can read belongs to no living host.
      generation: readGeneration(Labels[LABELS.generation]),
      folder: Labels[LABELS.folder] ?? "",
    }));
  }

  async reap(id: string): Promise<void> {
    const own = this.#alive.get(id);
    if (own) await own.stop(0);
    else await removeContainer(this.#engine.container(id), this.#options.clock);
  }

  /** Refuses and calls off starts, kills and removes what this process started. Rejects with the first failure, after trying all. */
  async close(): Promise<void> {
    this.#closing.abort(hostStopping());
    await Promise.allSettled(this.#starts);
    const stopped = await Promise.allSettled([...this.#alive.values()].map((sandbox) => sandbox.stop(0)));
    for (const outcome of stopped) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #start(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    const { image, imageHint, runtimeDir, link, entrypoint, scratch = [], clock, log } = this.#options;
    const parts = {
      engine: this.#engine,
      facts: () => this.#askFacts(),
      image,
      imageHint,
      runtimeDir,
      link,
      entrypoint,
      scratch,
      clock,
      log,
    };
    const sandbox = await startContainer(parts, spec, signal);
    this.#alive.set(sandbox.id, sandbox);
    void sandbox.removed.then(() => this.#alive.delete(sandbox.id));
    return sandbox;
  }

  /** Asked once: an engine's abilities change with the kernel it runs on. What failed is asked again. */
  #askFacts(): Promise<EngineFacts> {
    this.#facts ??= callEngine(this.#options.clock, "Cannot ask the container engine what it can do", (call) =>
      this.#engine.info(call),
    ).then((facts) => {
      assertEngineCanLimit(facts);
      return facts;
    });
    const asked = this.#facts;
    asked.catch(() => {
      if (this.#facts === asked) this.#facts = undefined;
    });
    return asked;
  }
}

function readGeneration(label: string | undefined): number {
  const generation = Number(label);
  return Number.isSafeInteger(generation) ? generation : 0;
}

function hostStopping(): HostError {
  return new HostError("HOST_STOPPING", "The host is shutting down and starts no sandbox.", { retryable: true });
}
