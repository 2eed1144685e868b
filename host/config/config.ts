/** The configuration as the host uses it: complete, checked, frozen; durations in milliseconds, sizes in bytes. */
import { join } from "node:path";
import { DEFAULTS } from "./defaults.ts";
import type { Layer, SettingName, SettingValue } from "./schema.ts";
import type { Secret } from "./secret.ts";

const SECOND_MS = 1000;
const MIB_BYTES = 1024 * 1024;

export interface Config {
  /** Absolute. Not created here. */
  readonly home: string;
  readonly assistantName: string;
  /** IANA name, checked. Undefined: the system's, which only whoever needs it looks up. */
  readonly timeZone: string | undefined;
  readonly logLevel: SettingValue<"log_level">;
  readonly model: ModelConfig & ModelTimeouts;
  readonly queue: {
    readonly slots: number;
    readonly maxWaitingMessages: number;
    readonly maxMessageBytes: number;
    readonly maxBatchMessages: number;
    readonly maxBatchBytes: number;
  };
  readonly turn: {
    readonly idleTimeoutMs: number;
    readonly hardTimeoutMs: number;
    readonly steps: number;
    readonly toolCalls: number;
    readonly toolOutputBytes: number;
    readonly toolTimeoutMs: number;
    readonly replyBytes: number;
    readonly historyBytes: number;
  };
  /** A domain RetryPolicy. */
  readonly retry: { readonly baseMs: number; readonly maxRetries: number; readonly jitter: number };
  readonly sandbox: {
    /** What the search for an engine looks at. HERMIT_ENGINE, from whichever layer, is an absolute path and rules out all others. */
    readonly engineEnvironment: EngineEnvironment;
    /** Undefined: the one the image build recorded. */
    readonly image: string | undefined;
    readonly link: SettingValue<"sandbox.link">;
    /** Ports' SandboxLimits. */
    readonly limits: { readonly memoryBytes: number; readonly pids: number; readonly cpus: number; readonly tmpBytes: number };
    readonly startTimeoutMs: number;
    readonly stopGraceMs: number;
  };
  readonly egress: {
    readonly connections: number;
    readonly connectionsPerMinute: number;
    readonly turnBytes: number;
    readonly connectTimeoutMs: number;
    readonly idleTimeoutMs: number;
    /** Undefined: the host connects by itself. */
    readonly proxy: string | undefined;
  };
  readonly secrets: SecretsConfig;
  readonly workspace: { readonly maxBytes: number; readonly maxFiles: number; readonly freeBytes: number };
  readonly audit: { readonly maxBytes: number };
  /** Folders beside a group's own. */
  readonly mounts: {
    /** Absolute. Undefined: the owner has no folder, and nothing beside a group's own is mounted. */
    readonly allowlist: string | undefined;
    /** What `~` means in a group's mounts. Absolute. */
    readonly ownersFolder: string | undefined;
    /** Files with keys and folders of them, absolute: shown to no group, whatever the list says. */
    readonly never: readonly string[];
  };
  readonly tasks: { readonly maxFailures: number };
  /** Undefined: off. */
  readonly compatibility: CompatibilityConfig | undefined;
  readonly shutdown: { readonly graceMs: number };
}

export interface SecretsConfig {
  /** Absolute; undefined: the owner has no folder, and none is named. */
  readonly keyFile: string | undefined;
  /** systemd's, absolute; undefined: not started by it. */
  readonly credentials: string | undefined;
  /** Values of HERMIT_SECRET_ variables, by the secret's name. */
  readonly environment: ReadonlyMap<string, Secret>;
}

export interface CompatibilityConfig {
  readonly image: string;
  readonly command: readonly string[];
  /** The last day, as configured. */
  readonly until: string;
  /** Epoch milliseconds of the first moment after it. */
  readonly endsAt: number;
  /** Folders; undefined: every group. */
  readonly groups: readonly string[] | undefined;
  readonly baseUrl: string;
  /** Undefined: the service asks for none. */
  readonly key: Secret | undefined;
}

export type ModelConfig =
  | { readonly kind: "offline" }
  /** `script`: absolute path. */
  | { readonly kind: "scripted"; readonly script: string }
  /** `key` undefined: the service asks for none. */
  | { readonly kind: "openai-compatible"; readonly baseUrl: string; readonly id: string; readonly key: Secret | undefined };

interface ModelTimeouts {
  readonly firstTokenTimeoutMs: number;
  readonly timeoutMs: number;
}

interface EngineEnvironment {
  readonly HERMIT_ENGINE: string | undefined;
  readonly DOCKER_HOST: string | undefined;
  readonly XDG_RUNTIME_DIR: string | undefined;
}

/** Every setting with the value that won, in the file's units. */
export type Values = Readonly<{ [K in SettingName]: SettingValue<K> | (undefined extends (typeof DEFAULTS)[K] ? undefined : never) }>;

/** Later layers win. */
export function mergeLayers(layers: readonly Layer[]): Values {
  return Object.assign({}, DEFAULTS, ...layers);
}

export interface Surroundings {
  readonly home: string;
  readonly model: ModelConfig;
  readonly compatibility: CompatibilityConfig | undefined;
  readonly secrets: SecretsConfig;
  /** Absolute; undefined: this user has none. */
  readonly ownersFolder: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export function assembleConfig(values: Values, { home, model, compatibility, secrets, ownersFolder, env }: Surroundings): Config {
  return deepFreeze({
    home,
    assistantName: values.assistant_name,
    timeZone: values.time_zone,
    logLevel: values.log_level,
    model: {
      ...model,
      firstTokenTimeoutMs: milliseconds(values["model.first_token_timeout_s"]),
      timeoutMs: milliseconds(values["model.timeout_s"]),
    },
    queue: {
      slots: values["queue.slots"],
      maxWaitingMessages: values["queue.max_waiting_messages"],
      maxMessageBytes: values["queue.max_message_bytes"],
      maxBatchMessages: values["queue.max_batch_messages"],
      maxBatchBytes: values["queue.max_batch_bytes"],
    },
    turn: {
      idleTimeoutMs: milliseconds(values["turn.idle_timeout_s"]),
      hardTimeoutMs: milliseconds(values["turn.hard_timeout_s"]),
      steps: values["turn.steps"],
      toolCalls: values["turn.tool_calls"],
      toolOutputBytes: values["turn.tool_output_bytes"],
      toolTimeoutMs: milliseconds(values["turn.tool_timeout_s"]),
      replyBytes: values["turn.reply_bytes"],
      historyBytes: values["turn.history_bytes"],
    },
    retry: {
      baseMs: milliseconds(values["retry.base_s"]),
      maxRetries: values["retry.max"],
      jitter: values["retry.jitter"],
    },
    sandbox: {
      engineEnvironment: {
        HERMIT_ENGINE: values["sandbox.engine"]?.replace(/^unix:\/\//, ""),
        DOCKER_HOST: env["DOCKER_HOST"],
        XDG_RUNTIME_DIR: env["XDG_RUNTIME_DIR"],
      },
      image: values["sandbox.image"],
      link: values["sandbox.link"],
      limits: {
        memoryBytes: values["sandbox.memory_mb"] * MIB_BYTES,
        pids: values["sandbox.pids"],
        cpus: values["sandbox.cpus"],
        tmpBytes: values["sandbox.tmp_mb"] * MIB_BYTES,
      },
      startTimeoutMs: milliseconds(values["sandbox.start_timeout_s"]),
      stopGraceMs: milliseconds(values["sandbox.stop_grace_s"]),
    },
    egress: {
      connections: values["egress.connections"],
      connectionsPerMinute: values["egress.connections_per_minute"],
      turnBytes: values["egress.turn_mb"] * MIB_BYTES,
      connectTimeoutMs: milliseconds(values["egress.connect_timeout_s"]),
      idleTimeoutMs: milliseconds(values["egress.idle_timeout_s"]),
      proxy: values["egress.proxy"],
    },
    secrets,
    workspace: {
      maxBytes: values["workspace.max_mb"] * MIB_BYTES,
      maxFiles: values["workspace.max_files"],
      freeBytes: values["workspace.free_mb"] * MIB_BYTES,
    },
    audit: { maxBytes: values["audit.max_mb"] * MIB_BYTES },
    mounts: {
      allowlist: ownersFolder === undefined ? undefined : join(ownersFolder, ".config", "hermit", "mount-allowlist.json"),
      ownersFolder,
      never: [values["model.key_file"], values["compatibility.key_file"], secrets.keyFile, secrets.credentials].filter(
        (path) => path !== undefined,
      ),
    },
    tasks: { maxFailures: values["tasks.max_failures"] },
    compatibility,
    shutdown: { graceMs: milliseconds(values["shutdown.grace_s"]) },
  });
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * SECOND_MS);
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === "object" && part !== null) deepFreeze(part);
  return Object.freeze(value);
}
