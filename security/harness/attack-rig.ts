/**
 * A household made to be attacked: the host as the program puts it together, on a real engine, in a home of its own that is gone afterwards.
 * It keeps planted secrets, serves three groups and a model service of this machine, and remembers all that happened.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { auditFolder, newestRecords } from "../../host/adapters/audit-files/index.ts";
import { systemClock } from "../../host/adapters/clock-system/index.ts";
import { MemoryChannel, MemoryPlatform } from "../../host/adapters/memory/memory-channel.ts";
import { engineCandidates, findEngine } from "../../host/adapters/sandbox-docker/find-engine.ts";
import { LocalSecrets } from "../../host/adapters/secrets-local/index.ts";
import type { AuditRecord } from "../../host/audit/record.ts";
import type { Config } from "../../host/config/index.ts";
import { SandboxError } from "../../host/domain/errors.ts";
import type { MountAllowlist } from "../../host/domain/mount-allowlist.ts";
import type { Host } from "../../host/host-parts.ts";
import { createStandardHost } from "../../host/presets.ts";
import { HostScreen } from "../../host/secrets/screen.ts";
import { GROUPS, type GroupName, LONGEST_TURN_MS, makeHousehold, plantedValues } from "./attacked-household.ts";
import { type Changes, openEngineProxy } from "./engine-proxy.ts";
import { OutsidePlaces } from "./outside-places.ts";
import { hasOpenReplies, readText, readTree, type RequestedMount, seenTurn, setMounts, type StoredTurn } from "./household-files.ts";
import { ScriptedService, type ServiceStep } from "./scripted-service.ts";

const HOSTILE_PROGRAM = ["/usr/local/bin/node", "/workspace/group/runner.mjs"];
/** More than any suite writes. */
const ALL_RECORDS = 100_000;
const LOOK_MS = 15;
/** Past the longest turn, its start and its end. */
const REST_MS = LONGEST_TURN_MS + 60_000;

export interface RigOptions {
  /** What is put to the test: engine, image, link, limits. Home, model, secrets and mounts are replaced. */
  readonly config: Config;
  /** The owner's own policy; the suite's rules are added to it. */
  readonly policy?: string;
  /** The owner's own list of folders that may be seen. */
  readonly allowlist?: MountAllowlist;
  /** Values to look for beside the planted ones; never put anywhere. */
  readonly liveValues?: readonly string[];
  /** An engine that lies. */
  readonly changes?: Changes;
}

export interface TurnSeen extends StoredTurn {
  readonly group: GroupName;
  /** What reached the chat. */
  readonly replies: readonly string[];
  readonly ms: number;
}

export class AttackRig implements AsyncDisposable {
  readonly home = mkdtempSync(join(tmpdir(), "ha-"));
  /** The owner's own folder, outside the home. */
  readonly owner = mkdtempSync(join(tmpdir(), "ho-"));
  readonly places = new OutsidePlaces();
  readonly planted = plantedValues();
  readonly service = new ScriptedService(this.planted.model);
  readonly #o: RigOptions;
  readonly #platform = new MemoryPlatform(systemClock);
  readonly #release = new AsyncDisposableStack();
  #host: Host | undefined;
  #turns = 0;
  #config: Config | undefined;
  engineSocket = "";
  image = "";
  instance = "";

  private constructor(options: RigOptions) {
    this.#o = options;
  }

  static async open(options: RigOptions): Promise<AttackRig> {
    const rig = new AttackRig(options);
    try {
      await rig.#open();
      return rig;
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** As the host has it. */
  get config(): Config {
    return this.#config ?? this.#o.config;
  }

  /** Whatever must not be found anywhere but where the owner put it. */
  get values(): readonly string[] {
    return [...Object.values(this.planted), ...(this.#o.liveValues ?? [])];
  }

  /** Where the owner's own things are, if the suite runs for one. */
  get ownersPlaces(): readonly string[] {
    const { home, mounts } = this.#o.config;
    return [
      home,
      ...(mounts.ownersFolder === undefined ? [] : [join(mounts.ownersFolder, ".ssh"), join(mounts.ownersFolder, ".config", "hermit")]),
    ];
  }

  workspace(group: GroupName): string {
    return join(this.home, "groups", GROUPS[group]);
  }

  /** A turn of that group, played to its end. */
  async turn(group: GroupName, steps: readonly ServiceStep[], words = ""): Promise<TurnSeen> {
    const mark = `attack-${++this.#turns}-of-${GROUPS[group]}`;
    this.service.plays(mark, steps);
    const from = performance.now();
    const before = this.#repliesIn(group).length;
    const register = { folder: GROUPS[group], name: GROUPS[group], requiresTrigger: false };
    this.#platform.say(`${words}[${mark}]`, { chat: GROUPS[group], sender: "Ada", arrival: { register } });
    await this.#rests(group);
    const replies = this.#repliesIn(group).slice(before);
    return { ...seenTurn(this.home, `[${mark}]`), group, replies, ms: performance.now() - from };
  }

  /** A turn with this program, JavaScript, in the runner's place. It writes what it has to say to `/workspace/group/report`. */
  async hostile(program: string, steps: readonly ServiceStep[] = []): Promise<{ readonly turn: TurnSeen; readonly report: string }> {
    const folder = this.workspace("hostile");
    rmSync(join(folder, "report"), { force: true });
    writeFileSync(join(folder, "runner.mjs"), program, { mode: 0o644 });
    const turn = await this.turn("hostile", steps);
    return { turn, report: readText(join(folder, "report")) };
  }

  /** As the group asks for it, in the form of its row. */
  askForMounts(group: GroupName, mounts: readonly RequestedMount[]): void {
    setMounts(this.home, GROUPS[group], mounts);
  }

  audit(): readonly AuditRecord[] {
    return newestRecords(auditFolder(this.home), ALL_RECORDS, () => true).records;
  }

  /** What the host looks through its words with. */
  screen(): HostScreen {
    return new HostScreen(new LocalSecrets({ ...this.config.secrets, home: this.home, now: Date.now }), [
      { name: "model key", value: this.planted.model },
    ]);
  }

  /** The text of everything the host keeps: log of decisions, database, transcripts; not the owner's sealed store. */
  kept(): string {
    const skipped = new Set(["groups", "run", "secrets.sealed"]);
    return readdirSync(this.home)
      .filter((name) => !skipped.has(name))
      .map((name) => readTree(join(this.home, name)))
      .join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host?.close().catch(() => undefined);
    await this.#release.disposeAsync();
    for (const folder of [this.home, this.owner]) rmSync(folder, { recursive: true, force: true });
  }

  async #open(): Promise<void> {
    const { config, policy = "", allowlist, changes = {} } = this.#o;
    const { engineEnvironment } = config.sandbox;
    const engine = await findEngine(engineCandidates(engineEnvironment));
    if (engine === undefined) {
      throw new SandboxError("ENGINE_UNREACHABLE", "No container engine answers: there is nothing to prove anything on.", {
        hint: "Run `make engine`, or point HERMIT_ENGINE at the socket of Docker or Podman.",
      });
    }
    this.engineSocket = engine.socketPath;
    this.#release.use(this.places);
    await this.places.open();
    this.#release.use(this.service);
    const baseUrl = await this.service.open();
    const proxy = await openEngineProxy(engine.socketPath, this.home, {
      ...changes,
      create: (body) => {
        if (body.Labels["hermit.folder"] === GROUPS.hostile) Object.assign(body, { Entrypoint: HOSTILE_PROGRAM, Cmd: [] });
        this.image = String((body as unknown as { Image: unknown }).Image);
        changes.create?.(body);
      },
    });
    this.#release.use(proxy);
    const { home, owner, planted, places } = this;
    this.#config = await makeHousehold({
      config,
      policy,
      allowlist,
      home,
      owner,
      planted,
      places,
      modelUrl: baseUrl,
      engineSocket: proxy.socketPath,
    });
    const { host, store } = await createStandardHost(this.#config, () => [
      new MemoryChannel({ platform: this.#platform, clock: systemClock }),
    ]);
    this.instance = store.instance;
    this.#host = host;
    await host.start();
    // The hostile runner's program lies in its workspace before the host has made that.
    for (const group of ["attacker", "hostile", "victim"] as const) mkdirSync(this.workspace(group), { recursive: true });
  }

  #repliesIn(group: GroupName): readonly string[] {
    const chat = `memory:${GROUPS[group]}`;
    return this.#platform.replies.filter((reply) => reply.chat === chat).map(({ text }) => text);
  }

  /** Its turn is over and all it said has been delivered; what others do is not waited for. */
  async #rests(group: GroupName): Promise<void> {
    const until = performance.now() + REST_MS;
    while (performance.now() < until) {
      await pause(LOOK_MS);
      const status = this.#host?.status();
      const own = status?.groups.find(({ folder }) => folder === GROUPS[group]);
      if (own?.state !== "idle" || own.queued > 0) continue;
      if (!hasOpenReplies(this.home, `memory:${GROUPS[group]}`)) return;
    }
    throw new Error(`a turn of ${group} did not end in ${REST_MS / 1000} s`);
  }
}
