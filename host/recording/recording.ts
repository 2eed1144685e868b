/**
 * A stretch of a home's past as a scenario (contracts/replay/scenario.ts): what came from outside, what the agent did, and what the host
 * made of it. Played again, the same host must do the same.
 */
import type { Observation, Scenario, TimelineEvent } from "../../contracts/replay/scenario.ts";
import type { Past, Standing } from "../adapters/store-sqlite/past.ts";
import { agentTurns, registeredChat, scheduledTask } from "./agent-script.ts";
import { deliveries } from "./deliveries.ts";
import { type RecordedRun, recordedRuns } from "./recorded-runs.ts";
import { restarts } from "./restarts.ts";
import { seedTables, tablesAfter, taskSettings } from "./standing.ts";
import { standingBefore } from "./standing-before.ts";

export interface RecordedHost {
  readonly version: string;
  readonly assistantName: string;
  /** IANA name. */
  readonly timeZone: string;
  readonly slots: number;
  readonly retry: { readonly baseMs: number; readonly maxRetries: number };
  readonly maxTaskFailures: number;
}

/** The files of a scenario, by name: an array is one JSON value a line. */
export type ScenarioFiles = Readonly<
  Record<"meta.json" | "timeline.jsonl" | "expected.jsonl" | "db.after.json" | "files.after.json", unknown>
>;

const DAY_MS = 86_400_000;
/** After the last that is known, where nobody knows how long the host was up: what is due later was perhaps due to none. */
const LAST_STEPS_MS = 10;

/** `before`: how the tables stood where the stretch begins. Undefined: nobody looked; the tables are then not compared. */
export function recordingOf(past: Past, host: RecordedHost, before?: Standing): ScenarioFiles {
  const groupTasks = new Set(
    [...(before?.tasks ?? []), ...past.standing.tasks].flatMap((task) => (task["context_mode"] === "group" ? [task.id] : [])),
  );
  const sessions = new Map((before?.sessions ?? past.sessionsBefore).map((row) => [row.group_folder, row.session_id]));
  const runs = recordedRuns(past, { sessions, groupTasks, retryBaseMs: host.retry.baseMs });
  const { made, registered, asked } = effectsOf(runs, past);
  const start = before ?? standingBefore(past, asked, new Set(made.keys()));
  const coming = deliveries(past, runs);
  const stretch = { past, deliveries: coming, registered, made };
  const rel = (at: number): number => Math.max(0, at - past.from);
  const sends = sendsOf(past, runs);
  const down = restarts(past, runs);

  const events: TimelineEvent[] = [
    ...coming.map(({ at, message }) => ({ at: rel(at), op: "message" as const, ...message })),
    ...down.map(({ at, downMs }) => ({ at: rel(at), op: "restart" as const, how: "kill" as const, downMs })),
    ...runs.flatMap(({ folder, end }) => (end.how === "stopped" ? [{ at: rel(end.at), op: "stop" as const, group: folder }] : [])),
  ];
  const seen: Unnumbered[] = [
    { at: 0, obs: "host-up" },
    ...down.flatMap(({ at, downMs }): Unnumbered[] => [
      { at: rel(at), obs: "host-down", how: "kill" },
      { at: rel(at) + downMs, obs: "host-up" },
    ]),
    ...runs.flatMap((run) => seenOf(run, rel)),
    ...sends.map(({ created_at: at, chat_jid: chat, text }) => ({ at: rel(at), obs: "send" as const, chat, text })),
  ];
  const known = Math.max(...[...events, ...seen].map(({ at }) => at), ...runs.map(({ end }) => (end.how === "open" ? 0 : rel(end.at))));
  return {
    "meta.json": {
      title: `${count(runs.length, "run")} of ${count(new Set(runs.map(({ folder }) => folder)).size, "group")}, from ${new Date(past.from).toISOString()}`,
      section: "own",
      baseline: `hermit ${host.version}`,
      verdict: "keep",
      ...(before === undefined ? { tables: false } : {}),
    } satisfies Scenario["meta"],
    "timeline.jsonl": [
      {
        op: "seed",
        start: new Date(past.from).toISOString(),
        tz: host.timeZone,
        assistantName: host.assistantName,
        idleTimeoutMs: 0,
        // How long the agent was silent was within what was allowed, or its failure says so.
        containerTimeoutMs: DAY_MS,
        maxConcurrent: host.slots,
        tables: seedTables(stretch, start),
        own: {
          chats: [...new Set([...past.standing.groups.map(({ jid }) => jid), ...sends.map(({ chat_jid: chat }) => chat)])],
          retry: { baseMs: host.retry.baseMs, maxRetries: host.retry.maxRetries },
          maxTaskFailures: host.maxTaskFailures,
          tasks: taskSettings(start),
        },
      },
      { op: "agentDefault", bootMs: 0, inputPollMs: 0, exitLagMs: 0, turn: [], session: "as recorded" },
      ...runs.map((run) => ({
        op: "agent",
        group: run.folder,
        run: run.number,
        turns: agentTurns(run, { from: past.from, made }),
        session: run.isTask ? null : run.turn.session_id,
      })),
      ...events.toSorted((a, b) => a.at - b.at),
      { at: before === undefined ? known + LAST_STEPS_MS : Math.max(known, rel(past.until)), op: "end" },
    ],
    "expected.jsonl": seen.toSorted((a, b) => a.at - b.at).map((one, n) => ({ seq: n + 1, ...one })),
    "db.after.json": tablesAfter(stretch, start),
    "files.after.json": [],
  };
}

type Unnumbered = Observation extends infer One ? (One extends Observation ? Omit<One, "seq"> : never) : never;

function seenOf(run: RecordedRun, rel: (at: number) => number): readonly Unnumbered[] {
  const { folder: group, number, chat, isMain, session, isTask: scheduled } = run;
  return [
    { at: rel(run.startedAt), obs: "run", group, run: number, chat, isMain, session, scheduled, prompt: run.prompts.join("\n") },
    ...run.entries.flatMap(({ at, entry }): Unnumbered[] =>
      entry.kind === "input" ? [{ at: rel(at), obs: "followup", group, run: number, text: entry.text }] : [],
    ),
  ];
}

/** What the assistant said, delivered or not: that is the channel's doing. What the host itself said is in nobody's recording. */
function sendsOf({ outbox }: Past, runs: readonly RecordedRun[]): Past["outbox"] {
  const turns = new Set(runs.map(({ turn }) => turn.id));
  return outbox.filter(({ turn_id: turn, effect }) => turn !== null && turns.has(turn) && effect !== "notice");
}

interface Effects {
  readonly made: ReadonlyMap<string, number>;
  readonly registered: ReadonlySet<string>;
  readonly asked: ReadonlySet<number>;
}

/** What the agents' calls left behind. */
function effectsOf(runs: readonly RecordedRun[], past: Past): Effects {
  const createdAt = new Map(past.standing.tasks.map((task) => [task.id, Date.parse(task.created_at)]));
  const groups = new Map(past.standing.groups.map((group) => [group.jid, Date.parse(String(group["added_at"]))]));
  const made = new Map<string, number>();
  const registered = new Set<string>();
  const asked = new Set<number>();
  const entries = runs.flatMap((run) => run.entries).toSorted((a, b) => a.at - b.at);
  for (const { at, entry, asked: input } of entries) {
    if (entry.kind !== "result" || entry.isError) continue;
    const task = scheduledTask(entry);
    // A cancelled task's row is gone; its id says when it was made.
    if (task !== undefined) made.set(task, createdAt.get(task) ?? Number(/^task-(\d+)-/.exec(task)?.[1] ?? at));
    const chat = registeredChat(entry, input);
    if (chat !== undefined && (groups.get(chat) ?? 0) >= past.from) registered.add(chat);
    if (entry.toolName !== "run_task_now") continue;
    const id = (input as { task_id?: unknown } | undefined)?.task_id;
    const turn = past.turns.find((one) => one.task_id === id && one.started_at >= at && !asked.has(one.id));
    if (turn !== undefined) asked.add(turn.id);
  }
  return { made, registered, asked };
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
