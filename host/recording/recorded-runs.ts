/**
 * The runs of a stretch of the past, each with what it was given, what it did and how it ended.
 *
 * The journal belongs to the turn. Which of its runs wrote an entry is told by the time.
 */
import { JournalEntry } from "../../contracts/wire/turn.ts";
import type { JournalRow, OutboxRow, Past, RunRow, TurnRow } from "../adapters/store-sqlite/past.ts";
import { MAIN_FOLDER } from "../domain/group.ts";
import { unanswered } from "../replay/scripted-agent.ts";

export interface Entry {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly entry: JournalEntry;
  /** Of a result, what was asked. */
  readonly asked?: unknown;
}

export type RunEnd =
  | { readonly how: "done"; readonly at: number }
  /** `isLast`: the turn was given up with it. `isStale`: for the conversation it was to go on with. */
  | { readonly how: "failed"; readonly at: number; readonly error: string; readonly isLast: boolean; readonly isStale: boolean }
  | { readonly how: "stopped"; readonly at: number }
  /** It was cut off, or goes on. */
  | { readonly how: "open" };

export interface RecordedRun {
  readonly folder: string;
  /** Of the group. */
  readonly chat: string;
  /** The n-th of its folder. */
  readonly number: number;
  readonly isMain: boolean;
  readonly startedAt: number;
  readonly generation: number;
  readonly turn: TurnRow;
  /** Of its turn, in this stretch. */
  readonly isFirst: boolean;
  readonly isTask: boolean;
  /** What it was given the group's next turn of messages is given as well. */
  readonly isGivenAgain: boolean;
  /** The conversation it is to go on with. */
  readonly session: string | null;
  /** What it is given at the start. */
  readonly prompts: readonly string[];
  /** What it adds, follow-ups included. */
  readonly entries: readonly Entry[];
  /** What it says at an end of the turn, by the effect's name. */
  readonly replies: ReadonlyMap<string, OutboxRow>;
  readonly end: RunEnd;
  /** The least that passes before it is tried again, should it fail. */
  readonly retryPauseMs: number;
  /** When it was, if its group did nothing before that. */
  readonly retriedAt: number | undefined;
}

export interface RunsOptions {
  /** Folder → conversation before the stretch. */
  readonly sessions: ReadonlyMap<string, string>;
  /** Ids of tasks that know their group's conversation. */
  readonly groupTasks: ReadonlySet<string>;
  /** The first pause before a retry. What begins sooner was no retry. */
  readonly retryBaseMs: number;
}

/** In the order they began. Runs of groups that are gone are left out: nobody could be given them. */
export function recordedRuns(past: Past, { sessions, groupTasks, retryBaseMs }: RunsOptions): readonly RecordedRun[] {
  const chats = new Map(past.standing.groups.map(({ folder, jid }) => [folder, jid]));
  const turns = new Map(past.turns.map((turn) => [turn.id, turn]));
  const entries = Map.groupBy(past.journal, ({ turn_id: turnId }) => turnId);
  const replies = Map.groupBy(past.outbox, ({ turn_id: turnId }) => turnId);
  const runsOfTurn = Map.groupBy(past.runs, ({ turn_id: turnId }) => turnId);
  const runsOfFolder = Map.groupBy(past.runs, ({ turn_id: id }) => turns.get(id)?.group_folder);
  const talks = Map.groupBy(
    past.turns.filter(({ task_id: task }) => task === null),
    ({ group_folder: folder }) => folder,
  );
  const counts = new Map<string, number>();
  const current = new Map(sessions);
  /** Turn → the conversation its next run goes on with. */
  const ofTurn = new Map<number, string | null>();

  return past.runs.flatMap((row) => {
    const turn = turns.get(row.turn_id);
    const folder = turn?.group_folder ?? "";
    const chat = chats.get(folder);
    if (turn === undefined || chat === undefined) return [];
    const number = (counts.get(folder) ?? 0) + 1;
    counts.set(folder, number);
    const next = runsOfFolder.get(folder)?.[number];
    const nextTalk = talks.get(folder)?.find(({ id }) => id > turn.id);
    const all = readJournal(entries.get(turn.id) ?? []);
    const siblings = runsOfTurn.get(turn.id) ?? [];
    const nth = siblings.indexOf(row);
    // The first input is written when the turn is claimed, which is when its first run begins.
    const isEarlier = ({ at }: Entry, n: number): boolean => n === 0 || (nth === 0 ? at < row.started_at : ownerOf(at, siblings) < nth);
    const knowsGroup = turn.task_id === null || turn.session_id !== null || groupTasks.has(turn.task_id);
    const session = ofTurn.has(turn.id) ? (ofTurn.get(turn.id) ?? null) : knowsGroup ? (current.get(folder) ?? null) : null;
    const end = endOf(row, turn, siblings[nth + 1], { until: past.until, retryBaseMs, session });
    const failures = siblings.slice(0, nth).filter(({ outcome }) => outcome === "failed" || outcome === "timeout").length;
    const prompts = unanswered(all.filter((entry, n) => isEarlier(entry, n)).map(({ entry }) => entry));
    const own = all.filter((entry, n) => !isEarlier(entry, n) && ownerOf(entry.at, siblings) === nth);
    // The first answer makes a conversation the group's.
    const hasAnswered = end.how === "done" || own.some(({ entry }) => entry.kind === "step" && !asksForTools(entry));
    const isNamed = hasAnswered && turn.task_id === null && turn.session_id !== null;
    if (isNamed) current.set(folder, turn.session_id);
    ofTurn.set(turn.id, end.how === "failed" && end.isStale ? null : isNamed ? turn.session_id : session);
    return [
      {
        folder,
        chat,
        number,
        isMain: folder === MAIN_FOLDER,
        startedAt: row.started_at,
        generation: row.generation,
        turn,
        isFirst: nth === 0,
        isTask: turn.task_id !== null,
        isGivenAgain: isGivenAgain(prompts, entries.get(nextTalk?.id ?? 0)?.[0]?.body ?? ""),
        session,
        prompts,
        entries: own,
        retryPauseMs: retryBaseMs * 2 ** failures,
        retriedAt: next?.turn_id === turn.id ? next.started_at : undefined,
        replies: new Map((replies.get(turn.id) ?? []).map((reply) => [reply.effect ?? "", reply])),
        end,
      },
    ];
  });
}

function readJournal(rows: readonly JournalRow[]): readonly Entry[] {
  const calls = new Map<string, unknown>();
  return rows.map(({ at, body }) => {
    const entry = JournalEntry.parse(JSON.parse(body));
    if (entry.kind === "result") return { at, entry, asked: calls.get(`${entry.step} ${entry.toolCallId}`) };
    if (entry.kind === "step") {
      for (const part of entry.content) if (part.type === "tool-call") calls.set(`${entry.step} ${part.toolCallId}`, part.input);
    }
    return { at, entry };
  });
}

/** By name and time: a text may have been changed since. */
function isGivenAgain(prompts: readonly string[], nextInput: string): boolean {
  const heads = prompts.flatMap((prompt) => prompt.match(HEAD) ?? []);
  return heads.some((head) => nextInput.includes(JSON.stringify(head).slice(1, -1)));
}

const HEAD = /<message sender="[^"]*" time="[^"]*">/g;

export function asksForTools({ content }: Extract<JournalEntry, { kind: "step" }>): boolean {
  return content.some((part) => part.type === "tool-call");
}

/** The last that had begun by then. */
function ownerOf(at: number, siblings: readonly RunRow[]): number {
  return Math.max(
    0,
    siblings.findLastIndex((run) => run.started_at <= at),
  );
}

function endOf(
  run: RunRow,
  turn: TurnRow,
  next: RunRow | undefined,
  { until, retryBaseMs, session }: { until: number; retryBaseMs: number; session: string | null },
): RunEnd {
  const at = run.ended_at;
  if (at === null || at > until || run.outcome === null || run.outcome === "interrupted") return { how: "open" };
  if (run.outcome === "done" || run.outcome === "stopped") return { how: run.outcome, at };
  const isLast = turn.state === "failed" && turn["ended_at"] === at;
  // A refused conversation is the one failure that is tried again at once.
  const isStale =
    session !== null && turn.session_id !== session && run.steps === 0 && next !== undefined && next.started_at - at < retryBaseMs;
  return { how: "failed", at, error: run.error ?? "", isLast, isStale };
}
