/**
 * The configuration file: every key with its environment variable, its bounds and its meaning. One table; the reading of all
 * layers, the messages, `hermit config show` and docs/configuration.md are made from it.
 *
 * Adding a key: a row here, its default in defaults.ts, its place in config.ts; then `node host/config/reference.ts`.
 */
import * as z from "zod";
import { date, decimal, oneOf, path, type Setting, seconds, serviceUrl, socketPath, text, timeZone, whole } from "./setting.ts";

/** Sixteen mebibytes: twice the largest frame of a link, beyond which bounding a text means nothing. */
const MOST_BYTES = 16 * 1024 * 1024;
/** A day. Timers count milliseconds in 31 bits, which ends after 24. */
const DAY_S = 24 * 60 * 60;

export const SETTINGS = {
  assistant_name: text({
    env: "HERMIT_ASSISTANT_NAME",
    alias: "ASSISTANT_NAME",
    about: "Name the assistant answers to: a message that starts with `@` and this name is for it.",
    max: 64,
  }),
  time_zone: timeZone({
    env: "HERMIT_TIME_ZONE",
    alias: "TZ",
    about: "Zone that schedules and times in prompts are in.",
    whenUnset: "the system's zone",
  }),
  log_level: oneOf(["debug", "info", "warn", "error", "silent"], {
    env: "HERMIT_LOG_LEVEL",
    about: "Least serious entries that reach the log. The text of messages appears at `debug` only.",
  }),

  "model.kind": oneOf(["offline", "scripted", "openai-compatible"], {
    env: "HERMIT_MODEL_KIND",
    about: "Who answers: the built-in offline model, recorded steps, or a service that speaks the OpenAI chat protocol.",
    whenUnset: '"openai-compatible" where `base_url` is set, else "offline"',
  }),
  "model.base_url": serviceUrl({
    env: "HERMIT_MODEL_BASE_URL",
    about: "Address of the service, up to and without `/chat/completions`.",
    whenUnset: "none",
  }),
  "model.id": text({
    env: "HERMIT_MODEL_ID",
    about: "The model's name as the service knows it, such as `llama3.2`.",
    max: 256,
    whenUnset: "none; needed with a service",
  }),
  "model.key_file": path({
    env: "HERMIT_MODEL_KEY_FILE",
    about: "File that holds the service's key and nothing else, readable by its owner alone.",
    whenUnset: "the systemd credential `model-key` if there is one, else no key",
  }),
  "model.script": path({
    env: "HERMIT_MODEL_SCRIPT",
    about: "File with the recorded steps of the scripted model.",
    whenUnset: "none; needed with the scripted model",
  }),
  "model.first_token_timeout_s": seconds({
    env: "HERMIT_MODEL_FIRST_TOKEN_TIMEOUT_S",
    about: "How long a model step may stay silent before its first token.",
    min: 0.1,
    max: 3600,
  }),
  "model.timeout_s": seconds({
    env: "HERMIT_MODEL_TIMEOUT_S",
    about: "How long one model step may take from request to last token.",
    min: 0.1,
    max: DAY_S,
  }),

  "queue.slots": whole({
    env: "HERMIT_SLOTS",
    about: "Turns that run at the same time, over all groups. Each needs a sandbox's memory.",
    unit: "turns",
    min: 1,
    max: 64,
  }),
  "queue.max_waiting_messages": whole({
    env: "HERMIT_QUEUE_MAX_WAITING_MESSAGES",
    about: "Messages that wait for a turn, over all groups; past it new ones are refused with an explanation.",
    unit: "messages",
    min: 1,
    max: 1_000_000,
  }),
  "queue.max_message_bytes": whole({
    env: "HERMIT_QUEUE_MAX_MESSAGE_BYTES",
    about: "Largest message accepted; a larger one is refused with an explanation.",
    unit: "bytes",
    min: 1024,
    max: MOST_BYTES,
  }),
  "queue.max_batch_messages": whole({
    env: "HERMIT_QUEUE_MAX_BATCH_MESSAGES",
    about: "Messages one turn takes; the rest waits for the next turn.",
    unit: "messages",
    min: 1,
    max: 1000,
  }),
  "queue.max_batch_bytes": whole({
    env: "HERMIT_QUEUE_MAX_BATCH_BYTES",
    about: "Text one turn takes; the rest waits for the next turn. At least `max_message_bytes`.",
    unit: "bytes",
    min: 1024,
    max: MOST_BYTES,
  }),

  "turn.idle_timeout_s": seconds({
    env: "HERMIT_TURN_IDLE_TIMEOUT_S",
    about: "How long a turn may go without any event from its sandbox.",
    min: 0.1,
    max: DAY_S,
  }),
  "turn.hard_timeout_s": seconds({ env: "HERMIT_TURN_HARD_TIMEOUT_S", about: "How long a turn may take in all.", min: 0.1, max: DAY_S }),
  "turn.steps": whole({ env: "HERMIT_TURN_STEPS", about: "Model round-trips a turn may make.", unit: "steps", min: 1, max: 10_000 }),
  "turn.tool_calls": whole({ env: "HERMIT_TURN_TOOL_CALLS", about: "Tool calls a turn may make.", unit: "calls", min: 0, max: 100_000 }),
  "turn.tool_output_bytes": whole({
    env: "HERMIT_TURN_TOOL_OUTPUT_BYTES",
    about: "Output of one tool call the model gets to see; the middle of a longer one is cut out, with a mark.",
    unit: "bytes",
    min: 1024,
    max: MOST_BYTES / 2,
  }),
  "turn.tool_timeout_s": seconds({
    env: "HERMIT_TURN_TOOL_TIMEOUT_S",
    about: "How long one tool call may take; keep it below `idle_timeout_s`, which would end the whole turn.",
    min: 0.1,
    max: DAY_S,
  }),
  "turn.reply_bytes": whole({
    env: "HERMIT_TURN_REPLY_BYTES",
    about: "Longest reply; the middle of a longer one is cut out, with a mark.",
    unit: "bytes",
    min: 1024,
    max: MOST_BYTES / 2,
  }),
  "turn.history_bytes": whole({
    env: "HERMIT_TURN_HISTORY_BYTES",
    about: "How much of a conversation's earlier turns a turn is given, newest first; 0: nothing.",
    unit: "bytes",
    min: 0,
    max: 1024 * 1024,
  }),

  "retry.base_s": seconds({
    env: "HERMIT_RETRY_BASE_S",
    about: "Wait before the first retry of a failed turn; doubled for each later one.",
    min: 0.01,
    max: 600,
  }),
  // 600 s doubled nine times, and jitter on top, still fits a timer.
  "retry.max": whole({ env: "HERMIT_RETRY_MAX", about: "Retries before the turn has failed.", unit: "retries", min: 0, max: 10 }),
  "retry.jitter": decimal({ env: "HERMIT_RETRY_JITTER", about: "Largest share of the wait added by chance.", min: 0, max: 1 }),

  "sandbox.engine": socketPath({
    env: "HERMIT_ENGINE",
    about: "Socket of the container engine. No other engine is tried then.",
    whenUnset: "looked for: `DOCKER_HOST`, Docker's and Podman's usual places",
  }),
  "sandbox.image": text({
    env: "HERMIT_SANDBOX_IMAGE",
    about: "Runner image, by name or digest.",
    max: 512,
    whenUnset: "the one `make image` recorded in `dist/image.json`",
  }),
  "sandbox.link": oneOf(["socket", "stdio"], {
    env: "HERMIT_SANDBOX_LINK",
    about: "How host and sandbox are joined: a mounted Unix socket, or standard input and output where a socket cannot cross.",
  }),
  "sandbox.memory_mb": whole({
    env: "HERMIT_SANDBOX_MEMORY_MB",
    about: "Memory of one sandbox, its `/tmp` included; past it the sandbox is killed.",
    unit: "MiB",
    min: 64,
    max: 65_536,
  }),
  "sandbox.pids": whole({
    env: "HERMIT_SANDBOX_PIDS",
    about: "Processes and threads in one sandbox.",
    unit: "processes",
    min: 16,
    max: 32_768,
  }),
  "sandbox.cpus": decimal({ env: "HERMIT_SANDBOX_CPUS", about: "Processor time of one sandbox.", unit: "cores", min: 0.1, max: 256 }),
  "sandbox.tmp_mb": whole({ env: "HERMIT_SANDBOX_TMP_MB", about: "Size of `/tmp` in one sandbox.", unit: "MiB", min: 1, max: 65_536 }),
  "sandbox.start_timeout_s": seconds({
    env: "HERMIT_SANDBOX_START_TIMEOUT_S",
    about: "How long a sandbox may take until its runner has connected.",
    min: 0.1,
    max: 600,
  }),
  "sandbox.stop_grace_s": seconds({
    env: "HERMIT_SANDBOX_STOP_GRACE_S",
    about: "How long a sandbox that is asked to end may take before it is killed; 0 kills at once.",
    min: 0,
    max: 60,
  }),

  "egress.connections": whole({
    env: "HERMIT_EGRESS_CONNECTIONS",
    about: "Connections to the outside one turn may have open at the same time.",
    unit: "connections",
    min: 0,
    max: 256,
  }),
  "egress.connections_per_minute": whole({
    env: "HERMIT_EGRESS_CONNECTIONS_PER_MINUTE",
    about: "Connections to the outside one turn may begin in a minute, refused ones counted.",
    unit: "connections",
    min: 1,
    max: 100_000,
  }),
  "egress.turn_mb": whole({
    env: "HERMIT_EGRESS_TURN_MB",
    about: "What one turn may send and receive through the egress door, both ways together.",
    unit: "MiB",
    min: 1,
    max: 1_048_576,
  }),
  "egress.connect_timeout_s": seconds({
    env: "HERMIT_EGRESS_CONNECT_TIMEOUT_S",
    about: "How long looking up a name and connecting may take.",
    min: 0.1,
    max: 300,
  }),
  "egress.idle_timeout_s": seconds({
    env: "HERMIT_EGRESS_IDLE_TIMEOUT_S",
    about: "How long a connection to the outside may carry nothing.",
    min: 0.1,
    max: DAY_S,
  }),
  "egress.proxy": serviceUrl({
    env: "HERMIT_EGRESS_PROXY",
    about:
      "HTTP proxy the host itself goes out through, such as `http://proxy.lan:3128`. It is asked for addresses, which the host looks up.",
    whenUnset: "none; the host connects by itself",
  }),

  "secrets.key_file": path({
    env: "HERMIT_SECRETS_KEY_FILE",
    about: "File with the key of the sealed store of secrets, readable by its owner alone. `hermit secrets set` makes it.",
    whenUnset: "the systemd credential `hermit-seal-key` if there is one, else `~/.config/hermit/seal.key`",
  }),

  "workspace.max_mb": whole({
    env: "HERMIT_WORKSPACE_MAX_MB",
    about: "What the files of one group's workspace may take on the disk; past it a turn is stopped.",
    unit: "MiB",
    min: 1,
    max: 16_777_216,
  }),
  "workspace.max_files": whole({
    env: "HERMIT_WORKSPACE_MAX_FILES",
    about: "Files and folders one group's workspace may hold; past it a turn is stopped.",
    unit: "files",
    min: 16,
    max: 100_000_000,
  }),
  "workspace.free_mb": whole({
    env: "HERMIT_WORKSPACE_FREE_MB",
    about: "Space kept free on the disk of the workspaces: below it no turn starts, and one that runs is stopped.",
    unit: "MiB",
    min: 0,
    max: 16_777_216,
  }),

  "audit.max_mb": whole({
    env: "HERMIT_AUDIT_MAX_MB",
    about: "What the audit log may take on the disk; its oldest part goes first, which it notes.",
    unit: "MiB",
    min: 2,
    max: 1_048_576,
  }),

  "tasks.max_failures": whole({
    env: "HERMIT_TASKS_MAX_FAILURES",
    about: "Failures in a row after which a task is paused and its chat told; from the second on its runs are held back, longer each time.",
    unit: "failures",
    min: 1,
    max: 1000,
  }),

  "compatibility.image": text({
    env: "HERMIT_COMPATIBILITY_IMAGE",
    about: "Image of NanoClaw's old agent. Naming one turns the compatibility runner on, until the day below.",
    max: 512,
    whenUnset: "none; Hermit's own runner",
  }),
  "compatibility.until": date({
    env: "HERMIT_COMPATIBILITY_UNTIL",
    about: "Its last day (UTC), at most 90 days ahead. From the next on Hermit's own runner is used again.",
    whenUnset: "none; needed with an image",
  }),
  "compatibility.command": text({
    env: "HERMIT_COMPATIBILITY_COMMAND",
    about: "Program in the image and its arguments, with spaces between them.",
    max: 1024,
  }),
  "compatibility.groups": text({
    env: "HERMIT_COMPATIBILITY_GROUPS",
    about: "Folders of the groups it serves, with commas between them.",
    max: 4096,
    whenUnset: "all",
  }),
  "compatibility.base_url": serviceUrl({
    env: "HERMIT_COMPATIBILITY_BASE_URL",
    about: "Where the old agent's calls of its model go: a service that speaks Anthropic's protocol, up to and without `/v1/messages`.",
  }),
  "compatibility.key_file": path({
    env: "HERMIT_COMPATIBILITY_KEY_FILE",
    about: "File that holds that service's key, or a token of Claude Code, and nothing else, readable by its owner alone.",
    whenUnset: "no key",
  }),

  "shutdown.grace_s": seconds({
    env: "HERMIT_SHUTDOWN_GRACE_S",
    about: "How long running turns may go on when the host is told to stop; what is unfinished resumes at the next start.",
    min: 0,
    max: 3600,
  }),
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;
export type SettingValue<K extends SettingName> = (typeof SETTINGS)[K] extends Setting<infer T> ? T : never;
/** What one layer sets, by dotted name, in the file's units. */
export type Layer = { readonly [K in SettingName]?: SettingValue<K> };

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];
export const SECTIONS: readonly string[] = [...new Set(SETTING_NAMES.flatMap((name) => name.split(".").slice(0, -1)))];

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}

/** As TOML nests it: top-level keys, then a strict object a section, where everything is optional and nothing unknown passes. */
export const ConfigFile = z.strictObject({
  ...sectionShape(undefined),
  ...Object.fromEntries(SECTIONS.map((section) => [section, z.strictObject(sectionShape(section)).optional()])),
});

function sectionShape(section: string | undefined): Record<string, z.ZodType> {
  const shape: Record<string, z.ZodType> = {};
  for (const name of SETTING_NAMES) {
    const [key, of] = name.split(".").reverse();
    if (key !== undefined && of === section) shape[key] = SETTINGS[name].schema.optional();
  }
  return shape;
}
