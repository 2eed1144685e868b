import { type IncomingHttpHeaders, request } from "node:http";

export interface EngineInfo {
  readonly socketPath: string;
  readonly kind: "docker" | "podman";
  readonly version: string;
  readonly apiVersion: string;
}

export interface EngineEnvironment {
  readonly HERMIT_ENGINE?: string | undefined;
  readonly DOCKER_HOST?: string | undefined;
  readonly XDG_RUNTIME_DIR?: string | undefined;
}

const PROBE_TIMEOUT_MS = 2_000;

/**
 * Where an engine may listen, best first. HERMIT_ENGINE stands alone: whoever names an engine must not get another
 * one silently. A DOCKER_HOST over tcp or ssh is left out: bind mounts and link sockets need the engine's own disk.
 */
export function engineCandidates(env: EngineEnvironment): readonly string[] {
  if (env.HERMIT_ENGINE) return [withoutScheme(env.HERMIT_ENGINE)];
  const candidates: string[] = [];
  if (env.DOCKER_HOST?.startsWith("unix://")) candidates.push(withoutScheme(env.DOCKER_HOST));
  candidates.push("/var/run/docker.sock");
  if (env.XDG_RUNTIME_DIR) {
    candidates.push(`${env.XDG_RUNTIME_DIR}/docker.sock`, `${env.XDG_RUNTIME_DIR}/podman/podman.sock`);
  }
  candidates.push("/run/podman/podman.sock");
  return [...new Set(candidates)];
}

/** The first candidate that answers. One after the other: an engine lower in the list is not woken without need. */
export async function findEngine(candidates: readonly string[]): Promise<EngineInfo | undefined> {
  for (const socketPath of candidates) {
    const headers = await ping(socketPath);
    const engine = headers && describe(socketPath, headers);
    if (engine) return engine;
  }
  return undefined;
}

function withoutScheme(address: string): string {
  return address.replace(/^unix:\/\//, "");
}

/**
 * A ping and not a request for the version: its headers name engine and version, and a small board's Podman takes
 * most of a second to describe itself in full.
 */
function ping(socketPath: string): Promise<IncomingHttpHeaders | undefined> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    const call = request({ socketPath, path: "/_ping", headers: { host: "engine" }, agent: false, signal });
    call.once("error", () => resolve(undefined));
    call.once("response", (response) => {
      resolve(response.statusCode === 200 ? response.headers : undefined);
      response.destroy();
    });
    call.end();
  });
}

/** Any web server may listen on a socket; only an engine tells the version of the API. */
function describe(socketPath: string, headers: IncomingHttpHeaders): EngineInfo | undefined {
  const apiVersion = headers["api-version"];
  if (typeof apiVersion !== "string") return undefined;
  const kind = headers["libpod-api-version"] === undefined ? "docker" : "podman";
  const version = /^\w+\/(\S+)/.exec(String(headers.server))?.[1] ?? "unknown";
  return { socketPath, kind, version, apiVersion };
}
