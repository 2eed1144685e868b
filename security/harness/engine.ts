/** The container engine's own word on what a host did: asked over its socket, past all of our code. */
import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { engineCandidates, findEngine } from "../../host/adapters/sandbox-docker/find-engine.ts";

const ANSWER_MS = 15_000;
const REMOVAL_ATTEMPTS = 10;
const BETWEEN_REMOVALS_MS = 200;

interface ContainerRow {
  readonly Id: string;
  readonly State: string;
  readonly Labels: Readonly<Record<string, string>>;
}

/** The part of the engine's answer that tests read. */
export interface Inspection {
  readonly Id: string;
  readonly Image: string;
  readonly Config: { readonly User: string; readonly Env: readonly string[]; readonly Image: string };
  readonly HostConfig: {
    readonly NetworkMode: string;
    readonly ReadonlyRootfs: boolean;
    readonly Privileged: boolean;
    readonly CapAdd: readonly string[] | null;
    readonly CapDrop: readonly string[] | null;
    readonly SecurityOpt: readonly string[] | null;
    readonly Memory: number;
    readonly MemorySwap: number;
    readonly PidsLimit: number;
    readonly NanoCpus: number;
    readonly LogConfig: { readonly Type: string };
    readonly Devices: readonly unknown[] | null;
    readonly Tmpfs: Readonly<Record<string, string>> | null;
    readonly PidMode: string;
    readonly UTSMode: string;
    readonly IpcMode: string;
  };
  readonly Mounts: readonly { readonly Type: string; readonly Source: string; readonly Destination: string; readonly RW: boolean }[];
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, unknown>> };
}

/** The engine the tests use. Throws where none answers: these tests fail without one, they never skip. */
async function engineSocket(): Promise<string> {
  const { HERMIT_ENGINE, DOCKER_HOST, XDG_RUNTIME_DIR } = process.env;
  const found = await findEngine(engineCandidates({ HERMIT_ENGINE, DOCKER_HOST, XDG_RUNTIME_DIR }));
  if (found === undefined) throw new Error("These tests need a container engine. Run `make setup`, or name one in HERMIT_ENGINE.");
  return found.socketPath;
}

/** Answers as text. Rejects on any status above 299. */
async function ask(method: string, path: string): Promise<string> {
  const socketPath = await engineSocket();
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const call = request({ socketPath, method, path, headers: { host: "engine" }, agent: false, signal }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.once("error", reject);
      response.once("end", () => {
        if ((response.statusCode ?? 500) < 300) resolve(text);
        else reject(new Error(`the engine answered ${response.statusCode} to ${method} ${path}: ${text.slice(0, 500)}`));
      });
    });
    call.once("error", reject);
    call.end();
  });
}

async function listByLabel(label: string, all: boolean): Promise<readonly ContainerRow[]> {
  const query = new URLSearchParams({ all: String(all), filters: JSON.stringify({ label: [label] }) });
  return JSON.parse(await ask("GET", `/containers/json?${query.toString()}`)) as ContainerRow[];
}

/** Ids of a home's containers in any state. */
export async function sandboxesOf(instance: string): Promise<readonly string[]> {
  return (await listByLabel(`hermit.instance=${instance}`, true)).map(({ Id }) => Id);
}

/** Group folder → container id, of those that run. */
export async function runningSandboxesOf(instance: string): Promise<ReadonlyMap<string, string>> {
  const rows = await listByLabel(`hermit.instance=${instance}`, false);
  return new Map(rows.map(({ Id, Labels }) => [Labels["hermit.folder"] ?? "", Id]));
}

/** A container that is just ending may refuse to be removed for a moment. */
export async function removeSandboxesOf(instance: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const outcomes = await Promise.allSettled(
      (await sandboxesOf(instance)).map((id) => ask("DELETE", `/containers/${id}?force=true&v=true`)),
    );
    const refused = outcomes.find((outcome) => outcome.status === "rejected");
    if (outcomes.length === 0) return;
    if (attempt === REMOVAL_ATTEMPTS && refused !== undefined) throw refused.reason;
    await pause(BETWEEN_REMOVALS_MS);
  }
}

/** As text, for searching, and parsed. */
export async function inspectSandbox(id: string): Promise<{ readonly text: string; readonly parsed: Inspection }> {
  const text = await ask("GET", `/containers/${id}/json`);
  return { text, parsed: JSON.parse(text) as Inspection };
}

/** Configuration and history of an image, as the engine tells them. */
export async function imageRecords(image: string): Promise<string> {
  const name = encodeURIComponent(image);
  return (await ask("GET", `/images/${name}/json`)) + (await ask("GET", `/images/${name}/history`));
}

export async function tagImage(image: string, repository: string, tag: string): Promise<void> {
  const query = new URLSearchParams({ repo: repository, tag });
  await ask("POST", `/images/${encodeURIComponent(image)}/tag?${query.toString()}`);
}

/** Takes one name from an image that has others. */
export async function untagImage(name: string): Promise<void> {
  await ask("DELETE", `/images/${encodeURIComponent(name)}?noprune=true`);
}

/** Command lines of living processes whose environment, arguments or cgroup contain one of `marks`. */
export function processesWith(marks: readonly string[]): readonly string[] {
  const found: string[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name) && name !== String(process.pid))) {
    const [environment, command, cgroup] = ["environ", "cmdline", "cgroup"].map((name) => readOrNothing(`/proc/${pid}/${name}`));
    if (marks.some((mark) => `${environment}\n${command}\n${cgroup}`.includes(mark))) found.push(`${pid}: ${command}`);
  }
  return found;
}

/** Lines of the mount table that contain one of `marks`. */
export function mountsWith(marks: readonly string[]): readonly string[] {
  const lines = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return lines.filter((line) => marks.some((mark) => line.includes(mark)));
}

/** Processes end while they are looked at. */
function readOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
