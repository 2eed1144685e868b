/** What no setting alone can tell: which model answers, what that one needs, and what has to fit into what. */
import type { ModelConfig, Values } from "./config.ts";
import { DEFAULTS } from "./defaults.ts";
import type { FoundKey } from "./model-key.ts";
import type { Problem } from "./problem.ts";
import type { SettingName } from "./schema.ts";

export interface Combined {
  /** Undefined where something it needs is missing. */
  readonly model: ModelConfig | undefined;
  readonly problems: readonly CombinedProblem[];
  readonly warnings: readonly string[];
}

/** Not worth saying where one of the settings it is about is already known to be wrong. */
interface CombinedProblem {
  readonly about: readonly SettingName[];
  readonly problem: Problem;
}

/** `whereIs` names the layer a setting came from. */
export function combine(values: Values, key: FoundKey, whereIs: (name: SettingName) => string): Combined {
  const { model, problems } = chooseModel(values, key, whereIs);
  const [batch, message] = [values["queue.max_batch_bytes"], values["queue.max_message_bytes"]];
  if (batch < message) problems.push(batchTooSmall(batch, message, whereIs));
  return { model, problems, warnings: model === undefined ? [] : modelWarnings(model, key) };
}

function chooseModel(values: Values, key: FoundKey, whereIs: (name: SettingName) => string) {
  const problems: CombinedProblem[] = [];
  const chosenBy = values["model.kind"] === undefined ? "model.base_url" : "model.kind";
  const need = <K extends "model.script" | "model.base_url" | "model.id">(name: K, why: string, hint: string): Values[K] => {
    const problem = { source: whereIs(chosenBy), key: name, message: `${name} is missing: ${why}.`, hint };
    if (values[name] === undefined) problems.push({ about: [name, "model.kind", chosenBy], problem });
    return values[name];
  };
  let model: ModelConfig | undefined;
  const kind = values["model.kind"] ?? (values["model.base_url"] === undefined ? "offline" : "openai-compatible");
  if (kind === "offline") {
    model = { kind };
  } else if (kind === "scripted") {
    const script = need(
      "model.script",
      "the scripted model plays recorded steps",
      "Name the recording in model.script or HERMIT_MODEL_SCRIPT.",
    );
    if (script !== undefined) model = { kind, script };
  } else {
    const baseUrl = need(
      "model.base_url",
      "the service must be found somewhere",
      "Set its address in model.base_url or HERMIT_MODEL_BASE_URL.",
    );
    const id = need("model.id", "the service must be told which model", "Set the model's name in model.id or HERMIT_MODEL_ID.");
    if (baseUrl !== undefined && id !== undefined) model = { kind, baseUrl, id, key: key.key };
  }
  return { model, problems };
}

function modelWarnings(model: ModelConfig, { key }: FoundKey): string[] {
  if (key === undefined) return [];
  if (model.kind === "offline") return ["A model key is set, but the offline model answers; set model.base_url to use the key."];
  if (model.kind === "scripted") return [];
  // On this machine nobody can listen to plain http; everywhere else whoever carries it reads the key.
  const { protocol, hostname } = new URL(model.baseUrl);
  if (protocol === "https:" || hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.")) return [];
  return [`The model's key goes to ${hostname} over plain http, where the network can read it; use https.`];
}

function batchTooSmall(batch: number, message: number, whereIs: (name: SettingName) => string): CombinedProblem {
  return {
    about: ["queue.max_batch_bytes", "queue.max_message_bytes"],
    problem: {
      source: whereIs(batch === DEFAULTS["queue.max_batch_bytes"] ? "queue.max_message_bytes" : "queue.max_batch_bytes"),
      key: "queue.max_batch_bytes",
      message: `queue.max_batch_bytes (${batch}) is below queue.max_message_bytes (${message}): the largest message would never get its turn.`,
      hint: "Raise the first or lower the second.",
    },
  };
}
