/**
 * Store: everything the host knows, on disk.
 *
 * Contract. Every method is one transaction and is on disk when it returns (a power cut after it loses nothing); all are
 * synchronous. Each throws StoreError when the disk or the file fails, and then nothing of that call was written.
 * There is one writer: opening a home that another host holds throws HOME_LOCKED.
 */
import type { AssistantPart, JournalEntry, ToolResult } from "../../contracts/wire/turn.ts";
import type { Group } from "../domain/group.ts";
import type { InboundMessage, StoredMessage } from "../domain/message.ts";
import type { RunFigures, RunOutcome, TurnState } from "../domain/turn.ts";
import type { ChatStore } from "./chat-store.ts";
import type { AuditHeadStore, OverrideStore } from "./guard-store.ts";
import type { CloseTask, TaskStore } from "./task-store.ts";

/** Channel id that replies leave through; null: the channel that owns the chat. */
export type ReplyVia = string | null;

export interface BatchRules {
  readonly now: number;
  readonly maxMessages: number;
  /** UTF-8 bytes of the messages' texts; a single larger message is still taken. */
  readonly maxBytes: number;
  /** The trigger rule over everything that waits. */
  readonly starts: (group: Group, texts: readonly string[]) => boolean;
  /** The turn's input as the agent reads it. */
  readonly format: (messages: readonly StoredMessage[]) => string;
}

export interface ClaimedTurn {
  readonly id: number;
  readonly group: Group;
  readonly replyVia: ReplyVia;
  readonly runId: number;
  /** 1 for the first run of the turn. */
  readonly attempt: number;
  /** Earlier runs of this turn that failed by themselves; cut off by a stopping host does not count. */
  readonly failures: number;
  /** The task whose occurrence this is, which may have been cancelled since; null: a turn of messages. */
  readonly taskId: string | null;
  /** The conversation it is part of. `isNew`: not yet the group's, so there is nothing to go on with. Null: none, or none yet. */
  readonly session: { readonly id: string; readonly isNew: boolean } | null;
  readonly journal: readonly JournalEntry[];
  /** What is stored of it cannot be read; the journal is empty then. */
  readonly isDamaged: boolean;
}

/** A turn as its session's transcript wants it. */
export interface SessionTurn {
  readonly id: number;
  readonly session: string;
  /** Nothing is added to its journal any more. */
  readonly isOver: boolean;
  /** Its runner finished it: whatever its journal holds has been answered. */
  readonly isFinished: boolean;
  /** Its session is the one the group is in. */
  readonly isGroups: boolean;
  /** When it ended, epoch milliseconds; of a turn that has not, when it began. */
  readonly at: number;
  /** Empty where it cannot be read. */
  readonly journal: readonly JournalEntry[];
}

export interface TurnFailure {
  readonly runId: number;
  readonly outcome: RunOutcome;
  readonly error: string;
  readonly notice: string;
  readonly figures: RunFigures;
  readonly now: number;
  readonly taskEnd?: TaskEnd;
  /** Its messages are likely what ended the turn: they never join a later one. */
  readonly isPoisoned?: boolean;
}

export interface StepRecord {
  readonly step: number;
  readonly content: readonly AssistantPart[];
}

export interface OutboxRow {
  readonly id: number;
  readonly turnId: number | null;
  readonly chat: string;
  readonly replyVia: ReplyVia;
  readonly text: string;
  /** The host speaks, not the assistant. */
  readonly isNotice: boolean;
  readonly attempts: number;
}

export interface RunRow {
  readonly id: number;
  readonly turnId: number;
  readonly folder: string;
  readonly attempt: number;
  readonly startedAt: number;
  readonly firstTokenAt: number | null;
  readonly endedAt: number | null;
  readonly outcome: RunOutcome | null;
  readonly error: string | null;
  readonly steps: number;
  readonly toolCalls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface Counts {
  readonly waiting: number;
  readonly undelivered: number;
  readonly turns: Readonly<Record<TurnState, number>>;
}

/** How the task of a task's turn is closed with it. `result`: the last thing the run said, unstripped. */
export interface TaskEnd {
  readonly result: string | null;
  readonly close: CloseTask;
}

export interface Store extends TaskStore, ChatStore, OverrideStore, AuditHeadStore {
  /** Fencing number of this host process; higher than that of every earlier one on this home. */
  readonly generation: number;
  /** Stable name of this home, written on sandboxes. */
  readonly instance: string;

  /** One transaction around several calls: all of them are stored, or none. */
  atomically<Result>(work: () => Result): Result;

  groups(): readonly Group[];
  groupByFolder(folder: string): Group | undefined;
  groupByChat(chat: string): Group | undefined;
  /** Throws RefusedError where chat or folder is registered already; nothing is replaced. */
  registerGroup(group: Group, now: number): void;
  /** Name, trigger and whether it is needed; the chat finds the group. */
  changeGroup(group: Group): void;

  /** `register`: the group to register with the message if its chat is not. `known`: the id was accepted before, nothing changed. */
  accept(message: InboundMessage, options: { now: number; replyVia: ReplyVia; register?: Group }): "new" | "known" | "ignored";
  /** Remembers the message as refused and puts the notice in the outbox. */
  refuse(
    message: InboundMessage,
    options: { now: number; replyVia: ReplyVia; register?: Group; notice: string },
  ): "refused" | "known" | "ignored";
  /** Messages that wait: of one group, or host-wide those that start a turn by themselves (talk that waits for a trigger is context). */
  waiting(folder?: string): number;
  /** Groups with an unfinished turn, a waiting occurrence of a task, or waiting messages, oldest first. */
  foldersWithWork(): readonly string[];

  /** The group's unfinished turn, else its oldest waiting occurrence of a task, else its waiting batch; undefined: nothing to do. Starts a run of it. `tasks`: its messages back off, and only what is a task's is looked at. */
  claimTurn(folder: string, rules: BatchRules, only?: "tasks"): ClaimedTurn | undefined;
  /** Waiting messages join the turn as one more input; undefined: none. */
  takeInput(turnId: number, rules: BatchRules): string | undefined;
  /** A model step that asks for tools: stored before any of them may start. */
  recordStep(turnId: number, step: StepRecord, now: number): void;
  /** First writer wins; a repeated (step, toolCallId) changes nothing. */
  recordResult(turnId: number, result: ToolResult, now: number): void;
  findResult(turnId: number, step: number, toolCallId: string): ToolResult | undefined;
  /** A reply on the way, keyed by its call: repeated, it changes nothing. `chat` absent: the turn's own. */
  putReply(turnId: number, reply: { step: number; toolCallId: string; text: string; chat?: string }, now: number): void;
  /**
   * The answer to all inputs so far: its step, its reply (none when empty), and either one more input or the end of turn and run.
   * Returns the input, or undefined when the turn is over.
   */
  finishTurn(
    turnId: number,
    finish: { runId: number; step?: StepRecord; reply: string; figures: RunFigures; now: number; rules?: BatchRules; taskEnd?: TaskEnd },
  ): string | undefined;
  /** The turn is lost: stored with its reason, and the chat is told with `notice`, unless a task's closing says what it is told. */
  failTurn(turnId: number, failure: TurnFailure): void;
  /** The run ended, the turn goes on with another. */
  endRun(runId: number, end: { outcome: RunOutcome; error: string; figures: RunFigures; now: number }): void;
  runs(): readonly RunRow[];

  /** The turn begins this session instead of the one it was to go on with; null: it has none. It becomes the group's with the first answer. */
  renewSession(turnId: number, session: string | null): void;
  /** An agent that keeps its conversations itself says what it calls this one: the group's from now on. Of a task's turn nothing is kept. */
  nameSession(turnId: number, session: string): void;
  /** Undefined: it has no session. */
  turnOfSession(turnId: number): SessionTurn | undefined;
  /** Ids of the group's turns in a session that ended, from id `from` on; at most 1,000, the newest. */
  turnsOfSession(folder: string, session: string, from: number): readonly number[];

  /** Words of the assistant for a chat, outside any turn. */
  say(chat: string, text: string, now: number): void;
  /** A notice of the host's own for a chat, outside any turn. */
  notify(chat: string, text: string, now: number): void;
  /** As `notify`, once in the life of this home for each `key`; false: it was said before. */
  notifyOnce(key: string, chat: string, text: string, now: number): boolean;
  /** Oldest undelivered reply of each chat. */
  outboxHeads(): readonly OutboxRow[];
  /** Before a channel that cannot repeat is asked: after a crash this row is in doubt, not sent again. */
  markSending(outboxId: number): void;
  markSent(outboxId: number, now: number): void;
  /** One more failed attempt; `final`: it will not be tried again. */
  markUndelivered(outboxId: number, failure: { error: string; final: boolean; now: number }): void;
  /** Replies whose sending was cut off by a crash: returned once, marked "maybe sent". */
  takeDoubtful(now: number): readonly OutboxRow[];

  counts(): Counts;
  close(): void;
}
