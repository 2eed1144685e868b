/**
 * The part of the engine's API we use, as dockerode 5 offers it, and what its failures mean.
 *
 * Docker and Podman both answer it. Nothing here is typed after the whole library: an engine double in a test needs these
 * members only, and a new version of dockerode is compared with this file alone.
 */
import { Agent } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import Docker from "dockerode";
import { type ErrorCode, SandboxError } from "../../domain/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import { type AttachedStreams, attachToContainer } from "./attach.ts";
import type { ContainerBody } from "./container-body.ts";

export interface EngineCall {
  readonly abortSignal: AbortSignal;
}

export interface ContainerInspection {
  readonly State: {
    readonly Running: boolean;
    readonly Paused: boolean;
    readonly OOMKilled: boolean;
    readonly Status: string;
    readonly Pid: number;
    readonly ExitCode: number;
  };
  readonly Config: { readonly Env: readonly string[] | null };
  readonly Mounts?: readonly { readonly Type: string; readonly Destination: string }[] | null;
  readonly HostConfig: {
    readonly Memory?: number;
    readonly MemorySwap?: number;
    readonly PidsLimit?: number | null;
    readonly NanoCpus?: number;
    readonly ReadonlyRootfs?: boolean;
    readonly NetworkMode?: string;
    readonly Privileged?: boolean;
    readonly CapAdd?: readonly string[] | null;
    readonly CapDrop?: readonly string[] | null;
    readonly SecurityOpt?: readonly string[] | null;
  };
}

export interface ContainerStats {
  readonly memory_stats?: { readonly usage?: number; readonly stats?: Readonly<Record<string, number>> };
  readonly cpu_stats?: { readonly cpu_usage?: { readonly total_usage?: number } };
  readonly pids_stats?: { readonly current?: number };
}

export interface EngineContainer {
  readonly id: string;
  inspect(call: EngineCall): Promise<ContainerInspection>;
  start(call: EngineCall): Promise<unknown>;
  stats(options: { stream: false; "one-shot": true } & EngineCall): Promise<ContainerStats>;
  pause(call: EngineCall): Promise<unknown>;
  unpause(call: EngineCall): Promise<unknown>;
  kill(options: { signal: "SIGTERM" | "SIGKILL" } & EngineCall): Promise<unknown>;
  remove(options: { force: true; v: true } & EngineCall): Promise<unknown>;
}

/** `docker info`, as far as it decides whether limits can hold. A flag the engine does not send is unknown, not false. */
export interface EngineFacts {
  readonly ServerVersion: string;
  readonly MemoryLimit?: boolean;
  readonly PidsLimit?: boolean;
  readonly CpuCfsQuota?: boolean;
  /** `name=seccomp,profile=default`, `name=userns`, `name=rootless`… */
  readonly SecurityOptions?: readonly string[];
  readonly InitBinary?: string;
  readonly InitCommit?: { readonly ID: string };
  /** Only Podman sends it. */
  readonly BuildahVersion?: string;
}

export function hasSecurityOption({ SecurityOptions = [] }: EngineFacts, name: "seccomp" | "userns" | "rootless"): boolean {
  return SecurityOptions.some((option) => option.split(",").includes(`name=${name}`));
}

export interface CreatedContainer {
  readonly Id: string;
  readonly Warnings?: readonly string[] | null;
}

export interface Engine {
  info(call: EngineCall): Promise<EngineFacts>;
  /** Not cancellable: a request given up half-way may still leave a container behind. */
  create(name: string, body: ContainerBody): Promise<CreatedContainer>;
  container(id: string): EngineContainer;
  /** Resolves when the container has ended; rejects when the engine gives the request up or goes away. */
  waitForEnd(id: string, condition: "next-exit" | "not-running", call: EngineCall): Promise<void>;
  /** stderr always; frames as described in stdio-link.ts. */
  attach(id: string, streams: AttachedStreams, call: EngineCall): Promise<Duplex>;
  list(
    labels: readonly string[],
    call: EngineCall,
  ): Promise<readonly { readonly Id: string; readonly Labels: Readonly<Record<string, string>> }[]>;
  /** Rejects with status 404 where there is no such image. */
  inspectImage(name: string, call: EngineCall): Promise<unknown>;
}

interface DockerodeShape {
  readonly modem: Modem;
  info(call: EngineCall): Promise<EngineFacts>;
  getContainer(id: string): EngineContainer;
  getImage(name: string): { inspect(call: EngineCall): Promise<unknown> };
  listContainers(options: object): Promise<{ Id: string; Labels: Record<string, string> }[]>;
}

interface Modem {
  dial(request: object, done: (error: unknown, answer: unknown) => void): void;
}

export function connectEngine(socketPath: string): Engine {
  // The named parts keep DOCKER_HOST and its relatives in the environment from redirecting us: docker-modem reads them unasked.
  // No kept-alive connections: after an engine restart the first call would fail on a dead one.
  const options = {
    socketPath,
    host: undefined,
    port: undefined,
    protocol: "http" as const,
    ca: undefined,
    cert: undefined,
    key: undefined,
    agent: new Agent({ keepAlive: false }),
  };
  const docker = new Docker(options) as unknown as DockerodeShape;
  return {
    info: (call) => docker.info({ ...call }),
    container: (id) => docker.getContainer(id),
    attach: (id, streams, { abortSignal }) => attachToContainer(socketPath, id, streams, abortSignal),
    inspectImage: (name, call) => docker.getImage(name).inspect({ ...call }),
    list: (labels, call) => docker.listContainers({ all: true, filters: { label: [...labels] }, ...call }),
    // dockerode's own createContainer drops the warnings and repeats the whole body in the address.
    create: async (name, body) => {
      const statusCodes = { 200: true, 201: true, 400: "bad parameter", 404: "not found", 409: "conflict", 500: "server error" };
      const options = { _query: { name }, _body: body };
      return (await dial(docker.modem, { path: "/containers/create?", method: "POST", options, statusCodes })) as CreatedContainer;
    },
    // Nor its own wait: engines answer the head at once and the body at the end, and where they go away in between it never settles.
    waitForEnd: async (id, condition, { abortSignal }) => {
      const request = { path: `/containers/${id}/wait?`, method: "POST", isStream: true, options: { condition }, abortSignal };
      const answer = await dial(docker.modem, { ...request, statusCodes: { 200: true, 404: "no such container", 500: "server error" } });
      await text(answer as Readable);
    },
  };
}

function dial(modem: Modem, request: object): Promise<unknown> {
  return new Promise((resolve, reject) => modem.dial(request, (error, answer) => (error ? reject(error) : resolve(answer))));
}

/** HTTP status the engine answered with; undefined when it was never reached. */
export function statusOf(error: unknown): number | undefined {
  const status: unknown = Object(error).statusCode;
  return typeof status === "number" ? status : undefined;
}

const UNREACHABLE = new Set(["ENOENT", "ECONNREFUSED", "EACCES", "EPERM", "ECONNRESET", "EPIPE", "ETIMEDOUT"]);

/** What the catcher may conclude from a failed engine call. `otherwise`: the code where the engine was there and said no. */
export function engineError(operation: string, cause: unknown, otherwise: ErrorCode = "SANDBOX_START_FAILED"): SandboxError {
  if (cause instanceof SandboxError) return cause;
  const words = cause instanceof Error ? cause.message.trim() : String(cause);
  const code: unknown = Object(cause).code;
  if (statusOf(cause) === undefined && typeof code === "string" && UNREACHABLE.has(code)) {
    const denied = code === "EACCES" || code === "EPERM";
    return new SandboxError("ENGINE_UNREACHABLE", `${operation}: the container engine does not answer (${words}).`, {
      hint: denied
        ? "Let this user open the engine's socket: add it to the docker group and log in again."
        : "Start the container engine, for example: sudo systemctl start docker",
      retryable: true,
      cause,
    });
  }
  return new SandboxError(otherwise, `${operation}: ${words}`, { retryable: true, cause });
}

/** No engine call outside a start may hang for ever. 30 s: removing a container from a busy SD card takes several. */
const CALL_MS = 30_000;

/** Runs one engine call with a deadline. Rejects with SandboxError. */
export async function callEngine<T>(
  clock: Clock,
  operation: string,
  call: (options: EngineCall) => Promise<T>,
  otherwise?: ErrorCode,
): Promise<T> {
  const abort = new AbortController();
  const late = Promise.withResolvers<never>();
  const timer = clock.setTimer(CALL_MS, () => {
    const seconds = CALL_MS / 1_000;
    const hint = "Look at the engine's log; restart it if it hangs.";
    late.reject(
      new SandboxError("ENGINE_UNREACHABLE", `${operation}: no answer from the container engine in ${seconds} s.`, {
        hint,
        retryable: true,
      }),
    );
    abort.abort();
  });
  try {
    return await Promise.race([call({ abortSignal: abort.signal }), late.promise]);
  } catch (error) {
    throw error instanceof SandboxError ? error : engineError(operation, error, otherwise);
  } finally {
    timer.cancel();
  }
}
