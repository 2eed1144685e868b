/**
 * What scenarios run on: fresh homes on a real disk, hosts on them, the engine they will find, and one place that clears all of it away.
 *
 * Promise: when `close` has resolved, no process, container or folder of this bench is left, however its scenarios ended.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectEngine } from "../../host/adapters/sandbox-docker/engine-api.ts";
import { type EngineInfo, engineCandidates, findEngine } from "../../host/adapters/sandbox-docker/find-engine.ts";
import { BenchError } from "./bench-error.ts";
import { ANSWER, HostProcess } from "./host-process.ts";
import { isOnDisk } from "./machine.ts";
import { instanceOf } from "./store-times.ts";

export const ROOT = join(import.meta.dirname, "..", "..");
const ENGINE_CALL_MS = 20_000;
/** `/var/tmp` is kept over restarts, so it lies on a disk where `/tmp` is memory. */
const HOME_PLACES = [tmpdir(), "/var/tmp"];

/** Two pieces, as a stream has; for ever, as many turns as are asked for. */
const SCRIPT = { loop: true, steps: [{ deltas: [ANSWER.slice(0, 2), ANSWER.slice(2)] }] };

export interface BenchOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Replaces every scenario's own number of repetitions. */
  readonly runs: number | undefined;
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

export class Bench {
  readonly engine: EngineInfo;
  readonly image: string;
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
  /** Parent of all homes. */
  readonly folder: string;
  readonly #runs: number | undefined;
  readonly #env: Record<string, string>;
  readonly #hosts: HostProcess[] = [];
  readonly #cleanUp: (() => Promise<unknown>)[] = [];

  /** Rejects with BenchError where engine, image or bundle is missing. */
  static async open(options: BenchOptions): Promise<Bench> {
    const engine = await findEngine(engineCandidates(options.env));
    if (engine === undefined) {
      const tried = engineCandidates(options.env).join(", ");
      throw new BenchError(`No container engine answers (tried ${tried}).`, "Run `make engine`, or name its socket in HERMIT_ENGINE.");
    }
    return new Bench(options, engine, await builtImage(engine));
  }

  private constructor({ env, runs, signal, progress }: BenchOptions, engine: EngineInfo, image: string) {
    const place = HOME_PLACES.find(isOnDisk);
    if (place === undefined) throw new BenchError(`${HOME_PLACES.join(" and ")} lie in memory.`, "Point TMPDIR at a folder on the disk.");
    this.engine = engine;
    this.image = image;
    this.signal = signal;
    this.progress = progress;
    this.folder = mkdtempSync(join(place, "hermit-bench-"));
    this.#runs = runs;
    const script = join(this.folder, "script.json");
    writeFileSync(script, JSON.stringify(SCRIPT));
    this.#env = {
      ...foreign(env),
      HERMIT_ENGINE: engine.socketPath,
      HERMIT_MODEL_KIND: "scripted",
      HERMIT_MODEL_SCRIPT: script,
      // A turn that fails ends its scenario: the time of a second attempt means nothing.
      HERMIT_RETRY_MAX: "0",
    };
  }

  count(usual: number): number {
    return this.#runs ?? usual;
  }

  newHome(): string {
    return mkdtempSync(join(this.folder, "h"));
  }

  startHost(home = this.newHome(), settings: Readonly<Record<string, string>> = {}): HostProcess {
    this.signal.throwIfAborted();
    const host = new HostProcess({ home, env: { ...this.#env, ...settings }, signal: this.signal });
    this.#hosts.push(host);
    return host;
  }

  /** Run at `close`, last in first out, after the hosts have ended. */
  defer(cleanUp: () => Promise<unknown>): void {
    this.#cleanUp.push(cleanUp);
  }

  /** Never rejects; what could not be cleared away is named in the progress. */
  async close(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.end()));
    const last = [() => this.#removeSandboxes(), ...this.#cleanUp.toReversed(), async () => this.#removeFolder()];
    for (const step of last) await step().catch((error: unknown) => this.progress(`left behind: ${String(error)}`));
  }

  /** A host that ended by itself leaves none; one that was killed may. */
  async #removeSandboxes(): Promise<void> {
    const ours = new Set(this.#hosts.map(({ database }) => instanceOf(database)));
    ours.delete(undefined);
    if (ours.size === 0) return;
    const engine = connectEngine(this.engine.socketPath);
    const call = { abortSignal: AbortSignal.timeout(ENGINE_CALL_MS) };
    for (const { Id, Labels } of await engine.list(["hermit.role=sandbox"], call)) {
      if (ours.has(Labels["hermit.instance"])) await engine.container(Id).remove({ force: true, v: true, ...call });
    }
  }

  #removeFolder(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Whatever configures a Hermit of the person who runs the bench must not configure the ones measured. */
function foreign(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept = Object.entries(env).filter(([name]) => !name.startsWith("HERMIT_") && name !== "ASSISTANT_NAME");
  return Object.fromEntries(kept.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

async function builtImage({ socketPath }: EngineInfo): Promise<string> {
  const missing = (cause: unknown): never => {
    throw new BenchError("The bundles or the runner image have not been built for this engine.", "Run `make image`.", { cause });
  };
  try {
    readFileSync(join(ROOT, "dist", "hermit.cjs"));
    const { image } = JSON.parse(readFileSync(join(ROOT, "dist", "image.json"), "utf8")) as { image: string };
    await connectEngine(socketPath).inspectImage(image, { abortSignal: AbortSignal.timeout(ENGINE_CALL_MS) });
    return image;
  } catch (cause) {
    return missing(cause);
  }
}
