/**
 * One start, all or nothing.
 *
 * Order: what the mounts are, folder and listener, create, look at what was created, start, the runner's connection, then what the kernel
 * holds and has mounted. Engines put the system call filter on last of all: only a program that runs shows it.
 * Everything acquired goes on the release stack before the next step begins, and comes off in reverse on any failure, the signal included.
 * A create or start request is never broken off: what it left behind would be unknown. It is awaited, then undone.
 */
import { SandboxError, isHostError } from "../../domain/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { SandboxExit, SandboxSpec } from "../../ports/sandbox-runtime.ts";
import { containerBody } from "./container-body.ts";
import { DockerSandbox } from "./docker-sandbox.ts";
import { assertCreatedAsAsked, assertKernelHolds } from "./enforced-limits.ts";
import { type Engine, type EngineContainer, type EngineFacts, engineError, hasSecurityOption, statusOf } from "./engine-api.ts";
import { ExitWatch } from "./exit-watch.ts";
import { readKernelView } from "./kernel-limits.ts";
import { newSandboxId, openLinkFolder } from "./link-folder.ts";
import { assertMounted, identifyMounts } from "./mount-identity.ts";
import { removeContainer } from "./remove-container.ts";
import { SECCOMP_PROFILE, seccompFile } from "./seccomp-profile.ts";
import { openStartDeadline } from "./start-deadline.ts";
import { StdioLink } from "./stdio-link.ts";

export interface StartParts {
  readonly engine: Engine;
  readonly facts: () => Promise<EngineFacts>;
  readonly image: string;
  readonly imageHint: string | undefined;
  readonly runtimeDir: string;
  readonly link: "socket" | "stdio";
  readonly entrypoint: readonly string[] | undefined;
  readonly scratch: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

/** An engine that does not even answer a create in this time after we gave up is left to the reaper. */
const UNDO_WAIT_MS = 10_000;
/** The last words of a runner that ended come on another connection than its exit. */
const LAST_WORDS_MS = 500;
const NOT_FOUND = 404;

export async function startContainer(parts: StartParts, spec: SandboxSpec, signal: AbortSignal): Promise<DockerSandbox> {
  const { engine, clock, log } = parts;
  const begunAt = clock.now();
  await using undo = new AsyncDisposableStack();
  const deadline = undo.use(openStartDeadline(clock, spec.startTimeoutMs, signal));
  deadline.throwIfOver();
  const facts = await deadline.race(parts.facts());
  const mounts = await deadline.race(identifyMounts(spec.mounts));

  const sandboxId = newSandboxId();
  const folder = parts.link === "socket" ? await openLinkFolder(parts.runtimeDir, sandboxId) : undefined;
  if (folder) undo.defer(() => folder.close().catch(logLeftOver(log, "its socket folder")));

  deadline.throwIfOver();
  const pending = new PendingContainer(parts, `hermit-${spec.owner.folder}-${sandboxId.slice(2)}`);
  undo.defer(() => pending.undo());
  const podman = isPodman(facts);
  const seccomp = await deadline.race(podman ? seccompFile(parts.runtimeDir) : Promise.resolve(SECCOMP_PROFILE));
  const init = hasInit(facts);
  const body = containerBody(spec, {
    image: parts.image,
    link: parts.link,
    linkFolder: folder?.mounted,
    init,
    podman,
    rootless: hasSecurityOption(facts, "rootless"),
    seccomp,
    entrypoint: parts.entrypoint,
    scratch: parts.scratch,
  });
  const container = await deadline.race(pending.create(body));

  const watch = new ExitWatch(engine, container);
  undo.defer(() => watch.close());
  const [made, attached] = await deadline.race(
    Promise.all([
      container.inspect({ abortSignal: deadline.signal }),
      engine.attach(container.id, { stdin: parts.link === "stdio", stdout: parts.link === "stdio" }, { abortSignal: deadline.signal }),
    ]).catch(rethrow("Cannot look at the new sandbox")),
  );
  const stdio = new StdioLink(attached);
  undo.defer(() => void stdio.destroy());
  for (const warning of assertCreatedAsAsked(made, spec.limits, seccomp)) log.warn({ sandbox: container.id }, warning);

  await deadline.race(pending.start());
  deadline.startedAt(() => stdio.stderrTail);

  const started = watch.confirmStarted().catch(rethrow("Cannot look at the started sandbox"));
  const connected = folder ? folder.connected : stdio.connected.then(() => stdio);
  const early = watch.exited.then((exit) => rejectEarlyExit(exit, stdio, clock));
  early.catch(() => {});
  const [link, pid] = await deadline.race(Promise.race([Promise.all([connected, started]), early]));
  assertKernelHolds(await deadline.race(readKernelView(pid, container.id)), spec);
  await deadline.race(assertMounted(mounts, pid, container.id));

  // Over a socket stderr was for diagnosis only; the engine keeps no connection for it while the sandbox lives.
  if (folder) stdio.destroy();
  deadline.end();
  undo.move();
  void watch.exited.then((exit) => {
    // Lost: the engine is gone, the container perhaps not. Its link must not outlive what we know of it.
    if (watch.isLost) link.destroy();
    log.debug({ sandbox: container.id, ...exit, stderr: stdio.stderrTail }, "sandbox ended");
  });
  log.debug({ sandbox: container.id, ms: clock.now() - begunAt }, "sandbox started");
  return new DockerSandbox({
    container,
    pid,
    init,
    scratch: parts.scratch,
    link,
    exited: watch.exited,
    clock,
    release: async () => {
      watch.close();
      link.destroy();
      await folder?.close().catch(logLeftOver(log, "its socket folder"));
    },
  });
}

/** A container from the moment its creation is asked for, so that it can be undone at any moment after. */
class PendingContainer {
  readonly #parts: StartParts;
  readonly #name: string;
  #creating: Promise<EngineContainer | undefined> = Promise.resolve(undefined);
  #starting: Promise<unknown> = Promise.resolve();

  constructor(parts: StartParts, name: string) {
    this.#parts = parts;
    this.#name = name;
  }

  async create(body: ReturnType<typeof containerBody>): Promise<EngineContainer> {
    const { engine, log } = this.#parts;
    const creating = engine.create(this.#name, body);
    this.#creating = creating.then(
      (made) => engine.container(made.Id),
      // Refused: there is nothing. Broken off: there may be, and then under this name.
      (error) => (statusOf(error) === undefined ? engine.container(this.#name) : undefined),
    );
    const made = await creating.catch((cause: unknown): never => {
      if (statusOf(cause) !== NOT_FOUND) throw engineError("Cannot create a sandbox", cause);
      throw imageMissing(this.#parts, cause);
    });
    for (const warning of made.Warnings ?? []) log.warn({ sandbox: made.Id, warning }, "the container engine warns about a new sandbox");
    return engine.container(made.Id);
  }

  async start(): Promise<void> {
    const container = await this.#creating;
    const starting = container?.start({ abortSignal: new AbortController().signal });
    this.#starting = Promise.resolve(starting).catch(() => {});
    await Promise.resolve(starting).catch(rethrow("Cannot start the sandbox"));
  }

  /** Never rejects; what the engine would not let go is named in the log and left to the reaper. */
  async undo(): Promise<void> {
    const { clock, log } = this.#parts;
    const removed = Promise.all([this.#creating, this.#starting])
      .then(async ([container]) => {
        if (container) await removeContainer(container, clock);
      })
      .catch(logLeftOver(log, `container ${this.#name}`));
    const tooLong = Promise.withResolvers<void>();
    const timer = clock.setTimer(UNDO_WAIT_MS, tooLong.resolve);
    await Promise.race([removed, tooLong.promise]);
    timer.cancel();
  }
}

export function imageMissing(
  { image, imageHint = "Run `make image`." }: Pick<StartParts, "image" | "imageHint">,
  cause: unknown,
): SandboxError {
  return new SandboxError("IMAGE_MISSING", `The container engine has no image ${image}.`, {
    hint: imageHint,
    retryable: false,
    cause,
  });
}

export function isPodman(facts: EngineFacts): boolean {
  return typeof facts.BuildahVersion === "string";
}

/** Docker names its init and says "N/A" for one it cannot run; Podman 4 names none, and starts nothing where it is missing. */
function hasInit(facts: EngineFacts): boolean {
  return facts.InitBinary !== undefined && facts.InitBinary !== "" && facts.InitCommit?.ID !== "N/A";
}

async function rejectEarlyExit(exit: SandboxExit, stdio: StdioLink, clock: Clock): Promise<never> {
  const quiet = Promise.withResolvers<void>();
  const timer = clock.setTimer(LAST_WORDS_MS, quiet.resolve);
  await Promise.race([stdio.detached, quiet.promise]);
  timer.cancel();
  const how = exit.outOfMemory ? "ran out of memory" : exit.code === null ? "was killed" : `exited with code ${exit.code}`;
  throw linkFailed(`The runner ${how} before it connected.`, stdio.stderrTail);
}

function linkFailed(message: string, stderr: string): SandboxError {
  const words = stderr.trim();
  return new SandboxError("SANDBOX_LINK_FAILED", words === "" ? message : `${message} Its last words: ${words}`, {
    hint: "If this repeats, rebuild the runner image with `make image`.",
    retryable: true,
  });
}

function rethrow(operation: string): (cause: unknown) => never {
  return (cause) => {
    throw isHostError(cause) ? cause : engineError(operation, cause);
  };
}

function logLeftOver(log: Log, what: string): (error: unknown) => void {
  return (error) => log.warn({ err: error }, `a sandbox is gone, but not ${what}`);
}
