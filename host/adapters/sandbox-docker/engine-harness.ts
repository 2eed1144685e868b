/**
 * For engine tests: a runtime on a real engine whose runner is the suite's, in the real runner image. Fails where there is no engine or image.
 */
import { randomBytes } from "node:crypto";
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { SandboxHarness } from "../../../contracts/suites/sandbox-runtime.ts";
import type { Clock } from "../../ports/clock.ts";
import type { SandboxSpec } from "../../ports/sandbox-runtime.ts";
import { createDockerRuntime, type DockerRuntimeOptions } from "./docker-runtime.ts";
import { connectEngine } from "./engine-api.ts";
import { engineCandidates, findEngine } from "./find-engine.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
/** Nobody's on the machines of tests; any unprivileged number will do. */
const SANDBOX_USER = 61_234;
const MIB = 1024 * 1024;

export interface TestEngine {
  readonly name: string;
  readonly socketPath: string;
}

export interface EngineHarness extends SandboxHarness {
  readonly options: DockerRuntimeOptions;
  readonly workspace: string;
  readonly logged: readonly { readonly level: string; readonly message: string; readonly fields: object }[];
}

/** Docker, or what HERMIT_ENGINE names; beside it Podman where HERMIT_TEST_PODMAN_SOCKET names its socket. */
export async function testEngines(): Promise<readonly TestEngine[]> {
  const found = await findEngine(engineCandidates(process.env));
  if (!found) throw new Error("These tests need a container engine. Run `make setup`, or name one in HERMIT_ENGINE.");
  const engines: TestEngine[] = [{ name: found.kind, socketPath: found.socketPath }];
  const podman = process.env["HERMIT_TEST_PODMAN_SOCKET"];
  if (podman) engines.push({ name: "podman (second engine)", socketPath: podman });
  return engines;
}

/** The built one, or what HERMIT_TEST_IMAGE names. */
function runnerImage(): string {
  const named = process.env["HERMIT_TEST_IMAGE"];
  if (named) return named;
  return (JSON.parse(readFileSync(join(ROOT, "dist", "image.json"), "utf8")) as { image: string }).image;
}

export async function makeEngineHarness(socketPath: string, changes: Partial<DockerRuntimeOptions> = {}): Promise<EngineHarness> {
  const image = runnerImage();
  await ensureImage(socketPath, image);
  const runtimeDir = mkdtempSync(join(tmpdir(), "hsr-"));
  const workspace = mkdtempSync(join(tmpdir(), "hsw-"));
  chownSync(workspace, SANDBOX_USER, SANDBOX_USER);
  const instance = `suite-${randomBytes(4).toString("hex")}`;
  const logged: { level: string; message: string; fields: object }[] = [];
  const note = (level: string) => (fields: object, message: string) => void logged.push({ level, message, fields });
  const options: DockerRuntimeOptions = {
    socketPath,
    image,
    runtimeDir,
    link: "socket",
    clock: systemClock,
    log: { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") },
    // The folder has no package.json: without the flag Node says on stderr that it had to guess the module type.
    entrypoint: ["/usr/local/bin/node", "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "/suite/sandbox-suite-runner.ts"],
    ...changes,
  };
  const runtime = createDockerRuntime(options);
  const failing = createDockerRuntime({
    ...options,
    entrypoint: ["/usr/local/bin/node", "-e", "console.error('no link for me'); process.exit(3)"],
  });
  const imageless = createDockerRuntime({ ...options, image: "hermit-suite:is-not-there" });
  const engine = connectEngine(socketPath);
  const spec = (owner: Partial<SandboxSpec["owner"]> = {}): SandboxSpec => ({
    owner: { instance, generation: 1, folder: "main", ...owner },
    mounts: [
      { hostPath: workspace, containerPath: "/workspace/group", readOnly: false },
      { hostPath: join(ROOT, "contracts", "suites"), containerPath: "/suite", readOnly: true },
    ],
    limits: { memoryBytes: 256 * MIB, pids: 64, cpus: 1.5, tmpBytes: 16 * MIB },
    user: { uid: SANDBOX_USER, gid: SANDBOX_USER },
    startTimeoutMs: 20_000,
  });
  const leftOver = async (): Promise<string[]> => {
    const containers = await engine.list(["hermit.role=sandbox"], { abortSignal: AbortSignal.timeout(10_000) });
    const ours = containers.filter(({ Labels }) => Labels["hermit.instance"]?.startsWith(instance));
    // Podman's system call filter is not a sandbox's.
    const folders = readdirSync(runtimeDir).filter((name) => name !== "seccomp.json");
    return [...ours.map(({ Id }) => `container ${Id}`), ...folders.map((name) => `folder ${name}`)];
  };
  return {
    runtime,
    failing,
    imageless,
    options,
    workspace,
    logged,
    spec,
    leftOver,
    close: async () => {
      await Promise.all([runtime.close(), failing.close(), imageless.close()]);
      for (const folder of [runtimeDir, workspace]) rmSync(folder, { recursive: true, force: true });
    },
  };
}

const systemClock: Clock = {
  now: () => Date.now(),
  setTimer: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** The second engine has no image of its own: it gets the first one's. */
async function ensureImage(socketPath: string, image: string): Promise<void> {
  const first = (await testEngines())[0];
  const present = await connectEngine(socketPath)
    .inspectImage(image, { abortSignal: AbortSignal.timeout(10_000) })
    .then(
      () => true,
      () => false,
    );
  if (present || first === undefined || first.socketPath === socketPath) return;
  const source = await answer(
    request({ socketPath: first.socketPath, path: `/images/${encodeURIComponent(image)}/get`, agent: false }).end(),
  );
  const load = request({
    socketPath,
    path: "/images/load",
    method: "POST",
    agent: false,
    headers: { "content-type": "application/x-tar" },
  });
  const loaded = answer(load);
  await pipeline(source, load);
  (await loaded).resume();
}

function answer(call: ReturnType<typeof request>): Promise<NodeJS.ReadableStream & { statusCode?: number | undefined }> {
  return new Promise((resolve, reject) => {
    call.once("error", reject);
    call.once("response", (response) => {
      if (response.statusCode === 200) resolve(response);
      else reject(new Error(`the engine answered ${response.statusCode} to ${call.path}`));
    });
  });
}
