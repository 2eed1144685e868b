/** Which adapters a host is made of. The only file that names them; each that not every host needs is loaded when it is chosen. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "./adapters/clock-system/index.ts";
import { createLinkServer } from "./adapters/link-http2/index.ts";
import { createLog } from "./adapters/log-pino/index.ts";
import { engineCandidates, findEngine } from "./adapters/sandbox-docker/find-engine.ts";
import { payloadModel } from "./adapters/model-payload/index.ts";
import { createDockerRuntime, type DockerRuntimeOptions, sweepRuntimeDir } from "./adapters/sandbox-docker/index.ts";
import { openStore } from "./adapters/store-sqlite/index.ts";
import { systemTimeZones } from "./adapters/time-zones-system/index.ts";
import { createTranscripts } from "./adapters/transcripts-jsonl/index.ts";
import { COMPAT_PROGRAM, COMPAT_SCRATCH, createCompatWorkspaces, createWorkspaces } from "./adapters/workspace-fs/index.ts";
import type { CompatibilityConfig, Config } from "./config/index.ts";
import { HostError, SandboxError } from "./domain/errors.ts";
import { type CompatibilityParts, createHost, type Host, type HostSettings } from "./host.ts";
import type { Channel } from "./ports/channel.ts";
import type { Log } from "./ports/log.ts";
import type { Model } from "./ports/model.ts";
import type { Store } from "./ports/store.ts";
import type { TimeZones } from "./ports/time-zones.ts";
import type { Workspaces } from "./ports/workspace.ts";
import { VERSION } from "./version.ts";

/** Where the build leaves its results; the same place seen from the source tree and from the bundle. */
const DIST = join(import.meta.dirname, "..", "dist");

const SYSTEM_PROMPT = `You are a personal assistant in a group chat. Messages come as <message sender="…" time="…"> elements; times are UTC.
You work in a sandbox without network: /workspace/group is this group's folder and your working directory. Use the tools to do things rather than to describe them.
Answer in plain text, short enough for a phone. What you put in <internal>…</internal> is not shown.`;

export interface StandardHost {
  readonly host: Host;
  readonly store: Store;
}

/**
 * The host of `hermit run`: SQLite in the home folder, a Docker-compatible engine, the configured model.
 * `channels` get the opened store, because some need to know what is registered. Rejects with HostError; then nothing is left open.
 */
export async function createStandardHost(config: Config, channels: (store: Store) => readonly Channel[]): Promise<StandardHost> {
  const log = createLog(config.logLevel);
  const engine = await findEngine(engineCandidates(config.sandbox.engineEnvironment));
  if (engine === undefined) {
    throw new SandboxError(
      "ENGINE_UNREACHABLE",
      `No container engine answers (tried ${engineCandidates(config.sandbox.engineEnvironment).join(", ")}).`,
      {
        hint: "Run `make engine`, or point HERMIT_ENGINE at the socket of Docker or Podman.",
      },
    );
  }
  const image = config.sandbox.image ?? builtImage();
  const model = await createModel(config);
  const timeZones = systemTimeZones();
  const store = openStore(config.home, { assistantName: config.assistantName, log });
  try {
    const runtimeDir = join(config.home, "run");
    // Whatever still uses one of these folders belongs to a dead host, and is reaped before the first turn.
    await sweepRuntimeDir(runtimeDir);
    const docker = { socketPath: engine.socketPath, runtimeDir, link: config.sandbox.link, clock: systemClock, log };
    const workspaces = createWorkspaces(config.home, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
    const { compatibility } = config;
    const host = createHost(
      {
        store,
        runtime: createDockerRuntime({ ...docker, image }),
        workspaces,
        transcripts: createTranscripts(config.home),
        timeZones,
        links: createLinkServer(),
        model,
        channels: channels(store),
        clock: systemClock,
        log,
        random: Math.random,
        ...(compatibility === undefined
          ? {}
          : { compatibility: await createCompatibility(compatibility, config, { docker, workspaces, log }) }),
      },
      hostSettings(config, timeZones),
    );
    return { host, store };
  } catch (error) {
    store.close();
    throw error;
  }
}

/** Sandboxes as all others in what binds them; only image, program and mounts are their own. */
async function createCompatibility(
  { until, endsAt, groups, image, command, baseUrl, key, mountAllowlist, ownersFolder }: CompatibilityConfig,
  { home, model }: Config,
  shared: { readonly docker: Omit<DockerRuntimeOptions, "image">; readonly workspaces: Workspaces; readonly log: Log },
): Promise<CompatibilityParts> {
  const { createAnthropicApi } = await import("./adapters/anthropic-api/index.ts");
  const { docker, workspaces, log } = shared;
  return {
    rules: { until, endsAt, groups },
    runtime: createDockerRuntime({
      ...docker,
      image,
      // The image is not ours: its own Node runs our program, which runs the image's.
      entrypoint: ["node", COMPAT_PROGRAM, ...command],
      scratch: COMPAT_SCRATCH,
      imageHint: "Build it where NanoClaw's folder is, with container/build.sh, or take [compatibility] out of the configuration.",
    }),
    workspaces: createCompatWorkspaces({
      home,
      workspaces,
      program: join(DIST, "compat.cjs"),
      mountAllowlist,
      engineSocket: docker.socketPath,
      ownersFolder,
      log,
    }),
    model: payloadModel,
    anthropic: createAnthropicApi({
      baseURL: baseUrl,
      apiKey: key?.reveal(),
      clock: systemClock,
      firstTokenTimeoutMs: model.firstTokenTimeoutMs,
      totalTimeoutMs: model.timeoutMs,
    }),
  };
}

function hostSettings(config: Config, timeZones: TimeZones): HostSettings {
  const { turn, queue, sandbox } = config;
  return {
    home: config.home,
    version: VERSION,
    turn: {
      assistantName: config.assistantName,
      timeZone: config.timeZone ?? timeZones.local(),
      system: SYSTEM_PROMPT,
      limits: {
        steps: turn.steps,
        toolCalls: turn.toolCalls,
        toolOutputBytes: turn.toolOutputBytes,
        toolTimeoutMs: turn.toolTimeoutMs,
      },
      replyBytes: turn.replyBytes,
      idleTimeoutMs: turn.idleTimeoutMs,
      hardTimeoutMs: turn.hardTimeoutMs,
      stopGraceMs: sandbox.stopGraceMs,
      retry: config.retry,
      historyBytes: turn.historyBytes,
      agentNamesSessions: false,
    },
    slots: queue.slots,
    maxWaitingMessages: queue.maxWaitingMessages,
    maxMessageBytes: queue.maxMessageBytes,
    maxBatchMessages: queue.maxBatchMessages,
    maxBatchBytes: queue.maxBatchBytes,
    sandboxLimits: sandbox.limits,
    sandboxStartTimeoutMs: sandbox.startTimeoutMs,
    shutdownGraceMs: config.shutdown.graceMs,
    maxTaskFailures: config.tasks.maxFailures,
  };
}

/** The image the last `make image` made. */
function builtImage(): string {
  try {
    const { image } = JSON.parse(readFileSync(join(DIST, "image.json"), "utf8")) as { image?: unknown };
    if (typeof image === "string") return image;
  } catch {}
  throw new SandboxError("IMAGE_MISSING", "The runner image has not been built.", { hint: "Run `make image`." });
}

async function createModel(config: Config): Promise<Model> {
  const { model } = config;
  switch (model.kind) {
    case "offline": {
      const { createOfflineModel } = await import("./adapters/model-offline/index.ts");
      return createOfflineModel();
    }
    case "scripted": {
      const { createScriptedModel } = await import("./adapters/model-scripted/index.ts");
      return createScriptedModel({ path: model.script, clock: systemClock });
    }
    case "openai-compatible": {
      const { createOpenAICompatibleModel } = await import("./adapters/model-openai-compatible/index.ts");
      return createOpenAICompatibleModel({
        baseURL: model.baseUrl,
        modelId: model.id,
        clock: systemClock,
        ...(model.key === undefined ? {} : { apiKey: model.key.reveal() }),
        firstTokenTimeoutMs: model.firstTokenTimeoutMs,
        totalTimeoutMs: model.timeoutMs,
      });
    }
    default:
      throw new HostError("CONFIG_INVALID", `Unknown model kind ${String((model as { kind: unknown }).kind)}.`);
  }
}
