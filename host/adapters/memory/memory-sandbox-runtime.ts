/**
 * The in-memory twin of the sandbox runtime: runs a runner in this process. For tests, replays and benches; it isolates nothing.
 *
 * True to an engine: the link is a real Unix socket (an in-process stream pair stalls HTTP/2), it ends with the sandbox, an ended sandbox is
 * listed until it is stopped or reaped. Different, and named in its suite's deviations or here: pausing holds the bytes back, not the runner's
 * own work; killing cuts the link and aborts the runner's signal, and a runner that ignores both is only forgotten; statistics are this process's;
 * there are no processes or folders of its own in which a turn could leave anything.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { HostError, SandboxError } from "../../domain/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type {
  OwnedSandbox,
  RuntimeReport,
  Sandbox,
  SandboxExit,
  SandboxRest,
  SandboxRuntime,
  SandboxSpec,
  SandboxStats,
} from "../../ports/sandbox-runtime.ts";

export interface MemoryRuntimeOptions {
  /**
   * The runner: gets its end of the link, ends with its exit code. `signal` is the request to stop, then the kill. A rejection counts as exit
   * code 1 and goes to `onCrash`.
   */
  readonly runner: (link: Duplex, signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
  readonly onCrash?: (error: unknown) => void;
}

export interface MemoryRuntime extends SandboxRuntime {
  /** The spec of every sandbox started, oldest first: what an engine would have enforced. */
  readonly started: readonly SandboxSpec[];
  /** The next start rejects with this and leaves nothing. May be called several times for several starts. */
  failNextStart(error: SandboxError): void;
  /** The next sandbox started ends with `exit` (default: killed) once its runner has sent this many bytes. */
  dieNextAfter(bytesFromRunner: number, exit?: SandboxExit): void;
}

const KILLED: SandboxExit = { code: null, outOfMemory: false };
const CRASHED = 1;
const MICROSECONDS = 1e6;

export function createMemoryRuntime(options: MemoryRuntimeOptions): MemoryRuntime {
  return new InProcessRuntime(options);
}

class InProcessRuntime implements MemoryRuntime {
  readonly id = "memory";
  readonly started: SandboxSpec[] = [];
  readonly #options: MemoryRuntimeOptions;
  readonly #known = new Map<string, { readonly spec: SandboxSpec; readonly sandbox: InProcessSandbox }>();
  readonly #failures: SandboxError[] = [];
  readonly #deaths: { readonly bytes: number; readonly exit: SandboxExit }[] = [];
  readonly #closing = new AbortController();

  constructor(options: MemoryRuntimeOptions) {
    this.#options = options;
  }

  failNextStart(error: SandboxError): void {
    this.#failures.push(error);
  }

  dieNextAfter(bytesFromRunner: number, exit: SandboxExit = KILLED): void {
    this.#deaths.push({ bytes: bytesFromRunner, exit });
  }

  async check(): Promise<RuntimeReport> {
    return { engine: "in-process (nothing is isolated)", image: "none" };
  }

  async start(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    const calledOff = AbortSignal.any([signal, this.#closing.signal]);
    throwIfCalledOff(calledOff);
    const failure = this.#failures.shift();
    if (failure) throw failure;
    await using undo = new AsyncDisposableStack();
    const outside = await openSocketPair();
    undo.defer(() => destroyBoth(outside));
    throwIfCalledOff(calledOff);
    const inside = await openSocketPair();
    undo.defer(() => destroyBoth(inside));
    throwIfCalledOff(calledOff);
    undo.move();
    const sandbox = new InProcessSandbox(this.#options, outside, inside, this.#deaths.shift(), () => this.#known.delete(sandbox.id));
    this.#known.set(sandbox.id, { spec, sandbox });
    this.started.push(spec);
    return sandbox;
  }

  async listOwned(instance: string): Promise<readonly OwnedSandbox[]> {
    return [...this.#known.values()]
      .filter(({ spec }) => spec.owner.instance === instance)
      .map(({ spec, sandbox }) => ({ id: sandbox.id, generation: spec.owner.generation, folder: spec.owner.folder }));
  }

  async reap(id: string): Promise<void> {
    await this.#known.get(id)?.sandbox.stop(0);
  }

  async close(): Promise<void> {
    this.#closing.abort(new HostError("HOST_STOPPING", "The host is shutting down and starts no sandbox.", { retryable: true }));
    await Promise.all([...this.#known.values()].map(({ sandbox }) => sandbox.stop(0)));
  }
}

/** The first of `outside` is the host's end, the first of `inside` the runner's; the others are joined here, which is where pausing holds bytes back. */
class InProcessSandbox implements Sandbox {
  readonly id = randomUUID();
  readonly link: Duplex;
  readonly exited: Promise<SandboxExit>;
  readonly #exit = Promise.withResolvers<SandboxExit>();
  readonly #stopRequest = new AbortController();
  readonly #hurry = Promise.withResolvers<void>();
  readonly #clock: Clock;
  readonly #toHost: Socket;
  readonly #toRunner: Socket;
  readonly #runnerEnd: Socket;
  readonly #forget: () => void;
  #paused = false;
  #ended = false;
  #stopping: Promise<void> | undefined;

  constructor(
    options: MemoryRuntimeOptions,
    outside: SocketPair,
    inside: SocketPair,
    death: { bytes: number; exit: SandboxExit } | undefined,
    forget: () => void,
  ) {
    [this.link, this.#toHost] = outside;
    [this.#runnerEnd, this.#toRunner] = inside;
    this.#clock = options.clock;
    this.#forget = forget;
    this.exited = this.#exit.promise;
    this.#toHost.once("close", () => this.#toRunner.destroy());
    this.#toRunner.once("close", () => this.#toHost.destroySoon());
    if (death) this.#armDeath(death.bytes, death.exit);
    this.#join();
    void this.#run(options);
  }

  async pause(): Promise<void> {
    if (this.#ended) throw new SandboxError("SANDBOX_DIED", `Cannot pause sandbox ${this.id}: it has ended.`, { retryable: true });
    if (this.#paused) return;
    this.#paused = true;
    this.#toHost.unpipe();
    this.#toRunner.unpipe();
    this.#toHost.pause();
    this.#toRunner.pause();
  }

  async resume(): Promise<void> {
    if (!this.#paused) return;
    this.#paused = false;
    this.#join();
  }

  async stats(): Promise<SandboxStats> {
    const cpu = process.cpuUsage();
    return { memoryBytes: process.memoryUsage.rss(), cpuSeconds: (cpu.user + cpu.system) / MICROSECONDS, pids: 1 };
  }

  async inspectRest(): Promise<SandboxRest | undefined> {
    return this.#ended ? undefined : { processes: 0, leftovers: [] };
  }

  stop(graceMs: number): Promise<void> {
    if (graceMs <= 0) this.#hurry.resolve();
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    if (graceMs > 0 && !this.#ended) {
      await this.resume();
      this.#stopRequest.abort();
      const over = Promise.withResolvers<void>();
      const timer = this.#clock.setTimer(graceMs, over.resolve);
      await Promise.race([this.exited, over.promise, this.#hurry.promise]);
      timer.cancel();
    }
    this.#kill(KILLED);
    this.link.destroy();
    this.#forget();
  }

  async #run({ runner, onCrash }: MemoryRuntimeOptions): Promise<void> {
    try {
      const code = await runner(this.#runnerEnd, this.#stopRequest.signal);
      this.#settle({ code, outOfMemory: false });
    } catch (error) {
      if (!this.#ended) onCrash?.(error);
      this.#settle({ code: CRASHED, outOfMemory: false });
    }
    // As a process's end does: what was written still arrives, then the link ends.
    this.#runnerEnd.destroySoon();
  }

  #kill(exit: SandboxExit): void {
    this.#settle(exit);
    this.#stopRequest.abort();
    for (const socket of [this.#runnerEnd, this.#toRunner, this.#toHost]) socket.destroy();
  }

  #settle(exit: SandboxExit): void {
    if (this.#ended) return;
    this.#ended = true;
    // Nobody thaws a dead sandbox: what it had sent must still arrive.
    if (this.#paused) void this.resume();
    this.#exit.resolve(exit);
  }

  #join(): void {
    this.#toHost.pipe(this.#toRunner);
    this.#toRunner.pipe(this.#toHost);
  }

  #armDeath(bytes: number, exit: SandboxExit): void {
    let sent = 0;
    this.#toRunner.on("data", (chunk: Buffer) => {
      sent += chunk.length;
      if (sent >= bytes) this.#kill(exit);
    });
  }
}

/** The first closes wholly when its peer ends, as a link does on both ends; the second half-closes, as a relay must. */
type SocketPair = readonly [Socket, Socket];

async function openSocketPair(): Promise<SocketPair> {
  const folder = await mkdtemp(join(tmpdir(), "hermit-pair-"));
  const path = join(folder, "s");
  const server = createServer({ allowHalfOpen: true });
  try {
    server.listen(path);
    await once(server, "listening");
    const accepted = once(server, "connection") as Promise<[Socket]>;
    const client = connect({ path });
    const [[peer]] = await Promise.all([accepted, once(client, "connect")]);
    // Without a listener a broken connection would end the process; whoever owns an end has its own.
    for (const socket of [client, peer]) socket.on("error", () => {});
    return [client, peer];
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function destroyBoth(pair: SocketPair): void {
  for (const socket of pair) socket.destroy();
}

function throwIfCalledOff(signal: AbortSignal): void {
  if (!signal.aborted) return;
  if (signal.reason instanceof HostError) throw signal.reason;
  throw new SandboxError("SANDBOX_START_FAILED", "The start of the sandbox was called off.", { retryable: true, cause: signal.reason });
}
