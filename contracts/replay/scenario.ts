/**
 * A recorded scenario: what happened to a host from outside, and what it did. Data only; fixtures/golden/scenarios holds a folder
 * each. Everything strict: a field nobody reads would be a fact nobody checks.
 *
 * Times called `at` and `seenAt` are milliseconds since the first start of the host.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as z from "zod";
import { Row, Tables } from "./tables.ts";

const Json = z.json();
const Ms = z.int().nonnegative();

export const ScenarioMeta = z.strictObject({
  title: z.string().min(1),
  /** Of the NanoClaw contract. */
  section: z.string().min(1),
  baseline: z.string(),
  /** `keep`: do as recorded. `defect`: do as `correct` says, and as corrected.jsonl where there is one. */
  verdict: z.enum(["keep", "defect"]),
  correct: z.string().optional(),
  correctedDb: z.string().optional(),
  /** How the tables stood before is not known, so what was left of them is not compared. */
  tables: z.literal(false).optional(),
});

/** A file the old agent puts into its own `ipc` folder; ours asks the tool door instead. */
export const AgentFile = z.strictObject({
  dir: z.enum(["messages", "tasks"]),
  body: z.record(z.string(), Json),
});
export type AgentFile = z.infer<typeof AgentFile>;

export const AgentAction = z.union([
  z.strictObject({ wait: Ms }),
  /** Waits for this moment; one that has passed is not waited for. */
  z.strictObject({ until: Ms }),
  /** Looks what was said meanwhile, before it has answered. */
  z.strictObject({ look: z.literal(1) }),
  /** A result for the chat; `session`: the id it reports instead of its own, null: none. */
  z.strictObject({ reply: z.string(), session: z.string().nullable().optional() }),
  z.strictObject({ nullResult: z.literal(1), session: z.string().nullable().optional() }),
  z.strictObject({
    errorOutput: z.string(),
    result: z.string().optional(),
    session: z.string().nullable().optional(),
    /** Another try would come to the same. Absent: it may not. */
    retryable: z.literal(false).optional(),
  }),
  z.strictObject({ ipc: AgentFile }),
  z.strictObject({ stderr: z.string() }),
  /** Ends the run; 137: for want of memory. */
  z.strictObject({ exit: z.int() }),
  z.strictObject({ hang: z.literal(1) }),
]);
export type AgentAction = z.infer<typeof AgentAction>;

const AgentTurn = z.array(AgentAction);

/** What a recording of the host that plays it has otherwise than one of the old program. */
const Own = z.strictObject({
  /** The channel serves these. It signs no reply and has no groups to list. */
  chats: z.array(z.string()),
  retry: z.strictObject({ baseMs: Ms, maxRetries: z.int().nonnegative() }),
  maxTaskFailures: z.int().positive(),
  /** By id, what is kept of a task beside the seven tables; tasks without are as they are made. */
  tasks: z.record(
    z.string(),
    z.strictObject({ timeZone: z.string().nullable(), catchUp: z.enum(["skip", "once", "all"]), failures: z.int().nonnegative() }),
  ),
});
export type Own = z.infer<typeof Own>;

const Seed = z.strictObject({
  op: z.literal("seed"),
  /** Wall time of millisecond 0. */
  start: z.iso.datetime(),
  tz: z.string(),
  assistantName: z.string(),
  /** Text where the scenario is about a value that is no number. */
  idleTimeoutMs: z.union([Ms, z.string()]),
  containerTimeoutMs: Ms,
  maxConcurrent: z.int().positive(),
  /** Rows there before the start; an object stands for its JSON text. */
  tables: z.partialRecord(z.enum(Tables), z.array(z.record(z.string(), Json))),
  files: z.record(z.string(), z.union([z.string(), Json])).optional(),
  channelGroups: z.record(z.string(), z.strictObject({ subject: z.string() })).optional(),
  linkedIds: z.record(z.string(), z.string()).optional(),
  noDatabase: z.boolean().optional(),
  recordSnapshots: z.boolean().optional(),
  /** Then nothing waits in the tables, tasks fall due to the millisecond, and texts hold no placeholders. */
  own: Own.optional(),
});
export type Seed = z.infer<typeof Seed>;

const AgentDefault = z.strictObject({
  op: z.literal("agentDefault"),
  bootMs: Ms,
  inputPollMs: Ms,
  exitLagMs: Ms,
  turn: AgentTurn,
  session: z.string(),
});

const AgentScript = z.strictObject({
  op: z.literal("agent"),
  group: z.string(),
  /** The n-th run of the folder; `*`: any that has no line of its own. */
  run: z.union([z.int().positive(), z.literal("*")]),
  /** The k-th serves the k-th input of that run; what is past them takes the default. */
  turns: z.array(AgentTurn).optional(),
  /** Every turn does this. */
  otherTurns: AgentTurn.optional(),
  session: z.string().nullable().optional(),
  exitLag: Ms.optional(),
  spawnError: z.union([z.string(), z.literal(true)]).optional(),
});
export type AgentScript = z.infer<typeof AgentScript>;

export const MessageEvent = z.strictObject({
  at: Ms,
  op: z.literal("message"),
  id: z.string(),
  chat: z.string(),
  sender: z.string(),
  name: z.string(),
  text: z.string(),
  fromMe: z.boolean().optional(),
  /** The channel's own form of a message that is no text. */
  payload: z.record(z.string(), Json).optional(),
  ts: z.iso.datetime(),
  seenAt: Ms.optional(),
});
export type MessageEvent = z.infer<typeof MessageEvent>;

/** What happens around a host that runs. */
export const AppliedEvent = z.discriminatedUnion("op", [
  z.strictObject({
    at: Ms,
    op: z.literal("ipc"),
    group: z.string(),
    dir: z.enum(["messages", "tasks"]),
    body: z.record(z.string(), Json).nullable(),
    raw: z.string().optional(),
    file: z.string().optional(),
  }),
  z.strictObject({ at: Ms, op: z.literal("disconnect"), downMs: Ms }),
  z.strictObject({ at: Ms, op: z.literal("sendFails"), count: z.int().positive() }),
  z.strictObject({ at: Ms, op: z.literal("channelGroups"), groups: z.record(z.string(), z.strictObject({ subject: z.string() })) }),
  /** The owner stops the group's running turn. */
  z.strictObject({ at: Ms, op: z.literal("stop"), group: z.string() }),
]);
export type AppliedEvent = z.infer<typeof AppliedEvent>;

export const TimelineEvent = z.discriminatedUnion("op", [
  MessageEvent,
  ...AppliedEvent.options,
  z.strictObject({ at: Ms, op: z.literal("restart"), how: z.enum(["kill", "graceful"]), downMs: Ms }),
  z.strictObject({ at: Ms, op: z.literal("end") }),
]);
export type TimelineEvent = z.infer<typeof TimelineEvent>;

const chat = z.string();
const group = z.string();

const Run = {
  obs: z.literal("run"),
  group,
  run: z.int().positive(),
  chat,
  isMain: z.boolean(),
  /** Id the run resumes. */
  session: z.string().nullable(),
  scheduled: z.boolean(),
  prompt: z.string(),
};
const FollowUp = { obs: z.literal("followup"), group, run: z.int().positive(), text: z.string() };
const Send = { obs: z.literal("send"), chat, text: z.string() };

const seen = { seq: z.int().positive(), at: Ms };

export const Observation = z.discriminatedUnion("obs", [
  z.strictObject({ ...seen, ...Run, sinceExitMs: Ms.optional(), snapshots: z.unknown().optional() }),
  z.strictObject({ ...seen, ...FollowUp, waiting: z.boolean().optional() }),
  z.strictObject({ ...seen, ...Send }),
  z.strictObject({ ...seen, obs: z.literal("send-failed"), chat, text: z.string() }),
  z.strictObject({ ...seen, obs: z.literal("typing"), chat, on: z.boolean() }),
  z.strictObject({ ...seen, obs: z.literal("close"), group, run: z.int().positive() }),
  z.strictObject({ ...seen, obs: z.literal("stop"), group }),
  z.strictObject({ ...seen, obs: z.literal("exit"), group, code: z.int().nullable() }),
  z.strictObject({ ...seen, obs: z.literal("group-sync") }),
  z.strictObject({ ...seen, obs: z.literal("orphan-stopped"), group }),
  z.strictObject({ ...seen, obs: z.literal("host-up") }),
  z.strictObject({ ...seen, obs: z.literal("host-down"), how: z.enum(["kill", "graceful"]) }),
]);
export type Observation = z.infer<typeof Observation>;

/** What binds whoever made the host: the recorded order without the recorder's clock. */
export const Binding = z.discriminatedUnion("obs", [
  z.object(Run),
  z.object(FollowUp),
  z.object(Send),
  z.object({ obs: z.literal("host-up") }),
  z.object({ obs: z.literal("host-down") }),
]);
export type Binding = z.infer<typeof Binding>;

export interface Scenario {
  readonly name: string;
  /** The folder it was read from, absolute. */
  readonly path: string;
  readonly meta: z.infer<typeof ScenarioMeta>;
  readonly seed: Seed;
  readonly agentDefault: z.infer<typeof AgentDefault>;
  readonly agents: readonly AgentScript[];
  /** By time; `end` last. */
  readonly events: readonly TimelineEvent[];
  readonly expected: readonly Observation[];
  /** What must be seen: the correction where there is one, else the recording. Undefined: judged by the words in `meta.correct`. */
  readonly binding: readonly Binding[] | undefined;
  readonly isCorrected: boolean;
  readonly dbAfter: Readonly<Record<(typeof Tables)[number], readonly z.infer<typeof Row>[]>>;
  readonly filesAfter: readonly unknown[];
}

/** What was read is no scenario: file, line and field, and what is wrong with it. */
export class ScenarioError extends Error {
  override readonly name = "ScenarioError";
}

/** The scenarios of a folder, each a folder in it; files beside them are passed over. Throws ScenarioError where there is none. */
export function scenarioNames(folder: string): readonly string[] {
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [] : [entry.name]));
  } catch (cause) {
    throw new ScenarioError(`${folder} cannot be read as a folder (${(cause as NodeJS.ErrnoException).code}).`, { cause });
  }
  if (names.length === 0) throw new ScenarioError(`${folder} holds no scenario.`);
  return names.toSorted();
}

/** All of them, or those named. Throws one ScenarioError with all that is wrong in any of them; then nothing has been played. */
export function loadScenarios(folder: string, chosen: readonly string[] = []): readonly Scenario[] {
  const names = scenarioNames(folder);
  const unknown = chosen.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new ScenarioError(`${folder} holds no scenario ${unknown.join(", ")}.`);
  const wrong: string[] = [];
  const scenarios = names.flatMap((name) => {
    if (chosen.length > 0 && !chosen.includes(name)) return [];
    try {
      return [loadScenario(folder, name)];
    } catch (cause) {
      if (!(cause instanceof ScenarioError)) throw cause;
      wrong.push(cause.message);
      return [];
    }
  });
  if (wrong.length > 0) throw new ScenarioError(wrong.join("\n"));
  return scenarios;
}

/** Throws ScenarioError where the folder is no scenario. */
export function loadScenario(folder: string, name: string): Scenario {
  const path = resolve(folder, name);
  const meta = parse(ScenarioMeta, read(path, name, "meta.json"), `${name}/meta.json`);
  const [seed, agentDefault, ...rest] = readLines(path, name, "timeline.jsonl", z.unknown());
  const agents: AgentScript[] = [];
  const events: TimelineEvent[] = [];
  for (const [n, line] of rest.entries()) {
    const isAgent = (line as { op?: unknown } | null)?.op === "agent";
    const where = `${name}/timeline.jsonl, line ${n + 3}`;
    if (isAgent && events.length > 0) throw new ScenarioError(`${where}: an agent is described after the first event`);
    if (isAgent) agents.push(check(AgentScript, line, where));
    else events.push(check(TimelineEvent, line, where));
  }
  mustBeInOrder(name, events);
  const expected = readLines(path, name, "expected.jsonl", Observation);
  const isCorrected = existsSync(join(path, "corrected.jsonl"));
  const binding = isCorrected
    ? readLines(path, name, "corrected.jsonl", Binding)
    : meta.verdict === "keep"
      ? expected.flatMap((one) => Binding.safeParse(one).data ?? [])
      : undefined;
  return {
    name,
    path,
    meta,
    seed: check(Seed, seed, `${name}/timeline.jsonl, line 1`),
    agentDefault: check(AgentDefault, agentDefault, `${name}/timeline.jsonl, line 2`),
    agents,
    events,
    expected,
    binding,
    isCorrected,
    dbAfter: parse(z.strictObject(tableShape()), read(path, name, "db.after.json"), `${name}/db.after.json`),
    filesAfter: parse(z.array(z.unknown()), read(path, name, "files.after.json"), `${name}/files.after.json`),
  };
}

function tableShape(): Record<(typeof Tables)[number], z.ZodArray<typeof Row>> {
  return Object.fromEntries(Tables.map((table) => [table, z.array(Row)])) as Record<(typeof Tables)[number], z.ZodArray<typeof Row>>;
}

function mustBeInOrder(name: string, events: readonly TimelineEvent[]): void {
  for (const [n, event] of events.entries()) {
    if (event.at < (events[n - 1]?.at ?? 0)) throw new ScenarioError(`${name}/timeline.jsonl: events are not in order at ${event.at}`);
  }
  if (events.at(-1)?.op !== "end") throw new ScenarioError(`${name}/timeline.jsonl: the last event must be the end`);
}

function readLines<T>(path: string, name: string, file: string, schema: z.ZodType<T>): T[] {
  const text = read(path, name, file).trimEnd();
  return text === "" ? [] : text.split("\n").map((line, n) => parse(schema, line, `${name}/${file}, line ${n + 1}`));
}

function read(path: string, name: string, file: string): string {
  try {
    return readFileSync(join(path, file), "utf8");
  } catch (cause) {
    throw new ScenarioError(`${name}/${file}: cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

function parse<T>(schema: z.ZodType<T>, json: string, where: string): T {
  try {
    return check(schema, JSON.parse(json), where);
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new ScenarioError(`${where}: ${cause.message}`, { cause });
    throw cause;
  }
}

function check<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new ScenarioError(`${where}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
