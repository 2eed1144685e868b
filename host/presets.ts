/** Which adapters a host is made of. The only file that names them; each that not every host needs is loaded when it is chosen. */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type AuditLog, auditKeyFile, openAuditLog } from "./adapters/audit-files/index.ts";
import { systemClock } from "./adapters/clock-system/index.ts";
import { createLinkServer } from "./adapters/link-http2/index.ts";
import { createLog } from "./adapters/log-pino/index.ts";
import { engineCandidates, findEngine } from "./adapters/sandbox-docker/find-engine.ts";
import { createOutsideNet } from "./adapters/outside-net/index.ts";
import { payloadModel } from "./adapters/model-payload/index.ts";
import { createDockerRuntime, type DockerRuntimeOptions, sweepRuntimeDir } from "./adapters/sandbox-docker/index.ts";
import { LocalSecrets } from "./adapters/secrets-local/index.ts";
import { openStore } from "./adapters/store-sqlite/index.ts";
import { systemTimeZones } from "./adapters/time-zones-system/index.ts";
import { createTranscripts } from "./adapters/transcripts-jsonl/index.ts";
import {
  COMPAT_PROGRAM,
  COMPAT_SCRATCH,
  createCompatWorkspaces,
  createExtraMounts,
  createWorkspaceMeter,
  createWorkspaces,
} from "./adapters/workspace-fs/index.ts";
import { type CompatibilityConfig, type Config, loadPolicy } from "./config/index.ts";
import { HostError, SandboxError } from "./domain/errors.ts";
import { MAIN_FOLDER } from "./domain/group.ts";
import { notice } from "./domain/notice.ts";
import type { Policy } from "./domain/policy.ts";
import type { Redact } from "./domain/redaction.ts";
import type { CompatibilityParts, Host, HostSettings } from "./host-parts.ts";
import { createHost } from "./host.ts";
import type { AuditEntry } from "./ports/audit.ts";
import type { Channel } from "./ports/channel.ts";
import type { Log } from "./ports/log.ts";
import type { Model } from "./ports/model.ts";
import type { Store } from "./ports/store.ts";
import type { TimeZones } from "./ports/time-zones.ts";
import type { Workspaces } from "./ports/workspace.ts";
import { HostScreen, type NamedValue } from "./secrets/screen.ts";
import { VERSION } from "./version.ts";

/** Where the build leaves its results; the same place seen from the source tree and from the bundle. */
const DIST = join(import.meta.dirname, "..", "dist");

const SYSTEM_PROMPT = `You are a personal assistant in a group chat. Messages come as <message sender="…" time="…"> elements; times are UTC.
You work in a sandbox: /workspace/group is this group's folder and your working directory. Use the tools to do things rather than to describe them.
Programs reach outside through a proxy that is set in their environment, and only what the owner allows; what was refused stands behind a command's output, with the reason.
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
  const secrets = new LocalSecrets({ ...config.secrets, home: config.home, now: systemClock.now });
  const screen = new HostScreen(secrets, keysOf(config));
  const redact = (text: string): string => screen.redact(text);
  const log = createLog(config.logLevel, redact);
  const policy = await loadPolicy(config.home);
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
  let audit: AuditLog | undefined;
  try {
    const auditKey = auditKeyFile({ home: config.home, ownersFolder: config.mounts.ownersFolder });
    audit = openAudit(config, auditKey, store, redact, log);
    audit.record(startOf(config, policy));
    const runtimeDir = join(config.home, "run");
    // Whatever still uses one of these folders belongs to a dead host, and is reaped before the first turn.
    await sweepRuntimeDir(runtimeDir);
    const docker = { socketPath: engine.socketPath, runtimeDir, link: config.sandbox.link, clock: systemClock, log };
    const extraMounts = createExtraMounts({
      ...config.mounts,
      own: [config.home, DIST, engine.socketPath, auditKey, ...config.mounts.never],
      audit,
      log,
    });
    const workspaces = createWorkspaces(config.home, process.getuid?.() ?? 0, process.getgid?.() ?? 0, extraMounts);
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
        guard: {
          policy,
          secrets,
          screen,
          audit,
          outside: createOutsideNet({
            proxy: config.egress.proxy,
            lookupThreads: Math.ceil(Number(process.env["UV_THREADPOOL_SIZE"] ?? 4) / 2),
          }),
          meter: createWorkspaceMeter(config.home),
          randomBytes,
        },
        ...(compatibility === undefined ? {} : { compatibility: await createCompatibility(compatibility, config, { docker, workspaces }) }),
      },
      hostSettings(config, timeZones),
    );
    return { host, store };
  } catch (error) {
    await audit?.close().catch(() => {});
    store.close();
    throw error;
  }
}

/** What was found of it not as it was left is told to the owner, once. */
function openAudit({ home, audit }: Config, keyFile: string, store: Store, redact: Redact, log: Log): AuditLog {
  const tellOwner = (text: string): void => {
    log.error({ home }, text);
    const main = store.groupByFolder(MAIN_FOLDER);
    if (main !== undefined) store.notify(main.chat, notice(text), systemClock.now());
  };
  const opened = openAuditLog({
    home,
    instance: store.instance,
    keyFile,
    maxBytes: audit.maxBytes,
    head: store,
    clock: systemClock,
    redact,
    onDamage: tellOwner,
  });
  if (opened.recovered?.kind === "damaged") tellOwner(opened.recovered.text);
  return opened;
}

/** What the host starts with; a change shows beside the record of the start before. */
function startOf(config: Config, policy: Policy): AuditEntry {
  const digest = (value: unknown): string => createHash("sha256").update(JSON.stringify(value, mapsAsLists)).digest("hex").slice(0, 16);
  return {
    kind: "config",
    decision: "noted",
    group: null,
    turn: null,
    subject: `hermit ${VERSION}`,
    reason: `the host starts with settings ${digest(config)} and policy ${digest(policy)}`,
  };
}

function mapsAsLists(_key: string, value: unknown): unknown {
  return value instanceof Map ? [...value] : value;
}

/** Secrets that are kept elsewhere and must not be shown either. */
function keysOf({ model, compatibility }: Config): NamedValue[] {
  return [
    ...("key" in model && model.key !== undefined ? [{ name: "model key", value: model.key.reveal() }] : []),
    ...(compatibility?.key === undefined ? [] : [{ name: "key of the old agent's model", value: compatibility.key.reveal() }]),
  ];
}

/** Sandboxes as all others in what binds them; only image, program and mounts are their own. */
async function createCompatibility(
  { until, endsAt, groups, image, command, baseUrl, key }: CompatibilityConfig,
  { home, model }: Config,
  shared: { readonly docker: Omit<DockerRuntimeOptions, "image">; readonly workspaces: Workspaces },
): Promise<CompatibilityParts> {
  const { createAnthropicApi } = await import("./adapters/anthropic-api/index.ts");
  const { docker, workspaces } = shared;
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
    workspaces: createCompatWorkspaces({ home, workspaces, program: join(DIST, "compat.cjs") }),
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
  const { turn, queue, sandbox, egress, workspace } = config;
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
    egress,
    workspaceLimit: { bytes: workspace.maxBytes, files: workspace.maxFiles },
    workspaceFreeBytes: workspace.freeBytes,
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
