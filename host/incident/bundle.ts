/**
 * An incident as files: a scenario that plays what happened, the rows it was made from, and what else helps to understand it. Nothing here
 * reads or writes anything.
 */
import type { Past } from "../adapters/store-sqlite/past.ts";
import { type Redact, redactJson } from "../domain/redaction.ts";
import { type RecordedHost, recordingOf, type ScenarioFiles } from "../recording/recording.ts";
import { disguiseLog } from "./disguise-log.ts";
import { disguisePast } from "./disguise-past.ts";
import { type Disguise, Placeholders, secretsOnly } from "./placeholders.ts";

export interface Incident {
  readonly past: Past;
  readonly host: RecordedHost;
  /** As `hermit config show --json` has it. */
  readonly config: readonly { readonly key: string; readonly value: string; readonly source: string }[];
  /** Undefined: there is none. `source` says where it is from, or why there is none. */
  readonly log: { readonly text: string | undefined; readonly source: string };
  /** The last bench figures; undefined: none. */
  readonly bench: unknown;
  readonly machine: Readonly<Record<string, string | number>>;
  /** Things of the machine and what they are called in the bundle, as the home folder's path. */
  readonly names: Readonly<Record<string, string>>;
  readonly redact: Redact;
  readonly withTexts: boolean;
}

export interface Bundle {
  readonly scenario: ScenarioFiles;
  /** Other files, by path: an array is one JSON value a line, a text is itself, anything else one JSON document. */
  readonly files: Readonly<Record<string, unknown>>;
  readonly counts: Readonly<Record<string, number>>;
}

export function bundleOf(incident: Incident): Bundle {
  const { past, host, config, log, bench, machine, redact, withTexts, names } = incident;
  const triggers = [`@${host.assistantName}`, ...past.standing.groups.map(({ trigger_pattern: trigger }) => trigger)];
  const as: Disguise = withTexts ? secretsOnly(redact) : new Placeholders({ triggers, redact, machine: names });
  const disguised = disguisePast(past, as);
  const { turns, runs, journal, outbox, inbox, occurrences } = disguised;
  const store = {
    turns,
    runs,
    journal: journal.map((row) => ({ ...row, body: JSON.parse(row.body) as unknown })),
    outbox,
    inbox,
    occurrences,
  };
  const counts = Object.fromEntries(Object.entries(store).map(([name, rows]) => [name, rows.length]));
  const stretch = { from: past.from, until: past.until, withDebug: withTexts };
  const files = {
    ...Object.fromEntries(Object.entries(store).map(([name, rows]) => [`store/${name}.jsonl`, rows])),
    "config.json": config.map((row) => ({ ...row, value: as.kept(row.value) })),
    "log.txt": log.text === undefined ? `${as.kept(log.source)}\n` : disguiseLog(log.text, stretch, as),
    ...(bench === undefined ? {} : { "bench.json": bench }),
    "about.json": {
      ...machine,
      from: new Date(past.from).toISOString(),
      until: new Date(past.until).toISOString(),
      texts: withTexts ? "kept; secrets are replaced" : "replaced by placeholders, as names, chats and folders are",
      log: as.kept(log.source),
      counts,
    },
  };
  // Whatever was overlooked above: no secret leaves.
  const clean = <T>(value: T): T => redactJson(value, redact) as T;
  return { scenario: clean(recordingOf(disguised, host)), files: clean(files), counts };
}

/** What concerns one group. */
export function onlyGroup(past: Past, folder: string): Past {
  const { groups, tasks, taskSettings, taskLogs, sessions } = past.standing;
  const isOwn = ({ group_folder: one }: { readonly group_folder?: unknown }): boolean => one === folder;
  const ownTasks = new Set(tasks.filter(isOwn).map(({ id }) => id));
  const chats = new Set(groups.flatMap((group) => (group.folder === folder ? [group.jid] : [])));
  const turns = past.turns.filter(isOwn);
  const ids = new Set(turns.map(({ id }) => id));
  return {
    ...past,
    turns,
    runs: past.runs.filter(({ turn_id: turn }) => ids.has(turn)),
    journal: past.journal.filter(({ turn_id: turn }) => ids.has(turn)),
    outbox: past.outbox.filter(({ turn_id: turn, chat_jid: chat }) => (turn === null ? chats.has(chat) : ids.has(turn))),
    inbox: past.inbox.filter(({ chat_jid: chat }) => chats.has(chat)),
    occurrences: past.occurrences.filter(isOwn),
    sessionsBefore: past.sessionsBefore.filter(isOwn),
    standing: {
      routerState: [],
      sessions: sessions.filter(isOwn),
      groups: groups.filter((group) => group.folder === folder),
      chats: past.standing.chats.filter(({ jid }) => chats.has(jid)),
      tasks: tasks.filter(isOwn),
      taskSettings: taskSettings.filter(({ task_id: id }) => ownTasks.has(id)),
      taskLogs: taskLogs.filter(({ task_id: id }) => ownTasks.has(id)),
    },
  };
}
