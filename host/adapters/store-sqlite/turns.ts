import { JournalEntry, type ToolResult } from "../../../contracts/wire/turn.ts";
import type { RunFigures, RunOutcome, TurnState } from "../../domain/turn.ts";
import type { BatchRules, ClaimedTurn, ReplyVia, RunRow, StepRecord, TaskEnd, TurnFailure } from "../../ports/store.ts";
import type { GroupTable } from "./groups.ts";
import type { InboxTable } from "./inbox.ts";
import { readJournal } from "./journal.ts";
import type { Sqlite } from "./open.ts";
import type { OutboxTable } from "./outbox.ts";
import type { SessionTable } from "./sessions.ts";
import type { TaskTable } from "./tasks.ts";

interface TurnRow {
  id: number;
  group_folder: string;
  chat_jid: string;
  reply_via: string | null;
  task_id: string | null;
  started_at: number;
}

export function turnTables(
  db: Sqlite,
  generation: number,
  groups: GroupTable,
  inbox: InboxTable,
  outbox: OutboxTable,
  tasks: TaskTable,
  sessions: SessionTable,
) {
  const unfinished = db.prepare(
    "SELECT id, group_folder, chat_jid, reply_via, task_id, started_at FROM hermit_turns WHERE group_folder = ? AND state = 'running' ORDER BY id LIMIT 1",
  );
  const unfinishedTask = db.prepare(
    "SELECT id, group_folder, chat_jid, reply_via, task_id, started_at FROM hermit_turns WHERE group_folder = ? AND state = 'running' AND task_id IS NOT NULL ORDER BY id LIMIT 1",
  );
  // Nothing of it was said, and its messages have not been given a second chance before: one that always fails must not fail for ever.
  const markUnanswered = db.prepare(
    `UPDATE hermit_turns SET unanswered = 1 WHERE id = ? AND retook = 0
       AND NOT EXISTS (SELECT 1 FROM hermit_outbox WHERE turn_id = hermit_turns.id AND effect IS NOT 'notice')`,
  );
  const lastGivenUp = db
    .prepare(
      `SELECT id FROM hermit_turns WHERE unanswered = 1
         AND id = (SELECT max(id) FROM hermit_turns WHERE group_folder = ? AND task_id IS NULL AND state <> 'running')`,
    )
    .pluck();
  const takeBack = db.prepare("UPDATE hermit_inbox SET turn_id = NULL WHERE turn_id = ?");
  const settled = db.prepare("UPDATE hermit_turns SET unanswered = 0 WHERE id = ?");
  const markRetook = db.prepare("UPDATE hermit_turns SET retook = 1 WHERE id = ?");
  const turnById = db.prepare(
    "SELECT id, group_folder, chat_jid, reply_via, task_id, started_at FROM hermit_turns WHERE id = ? AND state = 'running'",
  );
  const openTurn = db.prepare(
    "INSERT INTO hermit_turns (group_folder, chat_jid, reply_via, state, started_at, task_id, session_id) VALUES (?, ?, ?, 'running', ?, ?, ?)",
  );
  const moveTurn = db.prepare("UPDATE hermit_turns SET state = ?, ended_at = ?, error = ? WHERE id = ? AND state = 'running'");
  const countRuns = db.prepare(
    "SELECT count(*) AS runs, coalesce(sum(outcome IN ('failed', 'timeout')), 0) AS failures FROM hermit_runs WHERE turn_id = ?",
  );
  const openRun = db.prepare("INSERT INTO hermit_runs (turn_id, attempt, generation, started_at) VALUES (?, ?, ?, ?)");
  const closeRun = db.prepare(
    `UPDATE hermit_runs SET outcome = ?, error = ?, ended_at = ?, first_token_at = ?, steps = ?, tool_calls = ?, input_tokens = ?, output_tokens = ?
     WHERE id = ? AND ended_at IS NULL`,
  );
  const closeDeadRuns = db.prepare(
    "UPDATE hermit_runs SET outcome = 'interrupted', ended_at = started_at, error = 'The host ended under this run.' WHERE ended_at IS NULL",
  );
  const append = db.prepare(
    `INSERT INTO hermit_journal (turn_id, seq, kind, step, call_id, at, body)
     VALUES (@turnId, (SELECT coalesce(max(seq), -1) + 1 FROM hermit_journal WHERE turn_id = @turnId), @kind, @step, @callId, @at, @body)
     ON CONFLICT DO NOTHING`,
  );
  const journal = db.prepare("SELECT body FROM hermit_journal WHERE turn_id = ? ORDER BY seq").pluck();
  const result = db.prepare("SELECT body FROM hermit_journal WHERE turn_id = ? AND step = ? AND call_id = ? AND kind = 'result'").pluck();
  const allRuns = db.prepare(
    `SELECT r.id, r.turn_id AS turnId, t.group_folder AS folder, r.attempt, r.started_at AS startedAt, r.first_token_at AS firstTokenAt,
       r.ended_at AS endedAt, r.outcome, r.error, r.steps, r.tool_calls AS toolCalls, r.input_tokens AS inputTokens, r.output_tokens AS outputTokens
     FROM hermit_runs r JOIN hermit_turns t ON t.id = r.turn_id ORDER BY r.id`,
  );
  const withWork = db
    .prepare(
      `SELECT folder FROM (
         SELECT group_folder AS folder, 0 AS rank, id AS age FROM hermit_turns WHERE state = 'running'
         UNION ALL
         SELECT o.group_folder, 1, o.seq FROM hermit_occurrences o JOIN scheduled_tasks s ON s.id = o.task_id WHERE o.turn_id IS NULL AND o.ended_at IS NULL
         UNION ALL
         SELECT g.folder, 2, i.seq FROM hermit_inbox i JOIN registered_groups g ON g.jid = i.chat_jid WHERE i.turn_id IS NULL AND i.refused = 0
       ) GROUP BY folder ORDER BY min(rank), min(age)`,
    )
    .pluck();
  const states = db.prepare("SELECT state, count(*) AS n FROM hermit_turns GROUP BY state");

  // No run of an earlier process is alive: this one holds the lock.
  closeDeadRuns.run();

  const write = (turnId: number, entry: JournalEntry, at: number): void => {
    const step = entry.kind === "input" ? null : entry.step;
    const callId = entry.kind === "result" ? entry.toolCallId : null;
    append.run({ turnId, kind: entry.kind, step, callId, at, body: JSON.stringify(entry) });
  };
  const endRun = (runId: number, outcome: RunOutcome, error: string | null, now: number, figures: RunFigures): void => {
    const { firstTokenAt, steps, toolCalls, inputTokens, outputTokens } = figures;
    closeRun.run(outcome, error, now, firstTokenAt, steps, toolCalls, inputTokens, outputTokens, runId);
  };
  const begin = (turn: { id: number; replyVia: ReplyVia; folder: string; taskId: string | null }, now: number): ClaimedTurn | undefined => {
    const group = groups.byFolder(turn.folder);
    if (group === undefined) return undefined;
    const { runs, failures } = countRuns.get(turn.id) as { runs: number; failures: number };
    const attempt = runs + 1;
    const runId = Number(openRun.run(turn.id, attempt, generation, now).lastInsertRowid);
    const entries = readJournal(journal.all(turn.id) as string[]);
    const { id, replyVia, taskId } = turn;
    const session = sessions.claimed(id, turn.folder);
    const read = { journal: entries ?? [], isDamaged: entries === undefined };
    return { id, group, replyVia, runId, attempt, failures, taskId, session, ...read };
  };
  /** Messages of a turn that was given up are there again when somebody says something new, once (contract §4). */
  const retake = (folder: string, chat: string): boolean => {
    const givenUp = lastGivenUp.get(folder) as number | undefined;
    if (givenUp === undefined || inbox.waitingIn(chat) === 0) return false;
    takeBack.run(givenUp);
    settled.run(givenUp);
    return true;
  };
  const takeInput = (turn: TurnRow, rules: BatchRules): string | undefined => {
    // What people say while a task runs is not the task's to answer.
    if (turn.task_id !== null) return undefined;
    const group = groups.byFolder(turn.group_folder);
    if (group === undefined) return undefined;
    const batch = inbox.batch(group, rules);
    if (batch === undefined || batch.replyVia !== turn.reply_via) return undefined;
    inbox.assign(turn.id, batch.messages);
    const text = rules.format(batch.messages);
    write(turn.id, { kind: "input", text }, rules.now);
    return text;
  };
  /** False: no task's, or one that was cancelled meanwhile. After the end of the run, whose figures are copied. */
  const closeTask = (turn: TurnRow, outcome: RunOutcome, error: string | null, end: TaskEnd | undefined, now: number): boolean =>
    end !== undefined && tasks.close(turn.id, turn.started_at, { result: end.result, error, outcome }, end.close, now);
  const establish = ({ id, task_id, group_folder, chat_jid, reply_via }: TurnRow, now: number): void => {
    if (task_id === null) sessions.establish({ id, folder: group_folder, chat: chat_jid, replyVia: reply_via }, now);
  };
  const running = (turnId: number): TurnRow | undefined => turnById.get(turnId) as TurnRow | undefined;

  return {
    withWork: (): readonly string[] => withWork.all() as string[],
    claim: db.transaction((folder: string, rules: BatchRules, only?: "tasks"): ClaimedTurn | undefined => {
      const open = (only === "tasks" ? unfinishedTask : unfinished).get(folder) as TurnRow | undefined;
      if (open !== undefined) return begin({ id: open.id, replyVia: open.reply_via, folder, taskId: open.task_id }, rules.now);
      const group = groups.byFolder(folder);
      const occurrence = group === undefined ? undefined : tasks.nextWaiting(folder);
      if (occurrence !== undefined) {
        const { task, seq } = occurrence;
        const session = task.contextMode === "group" ? sessions.ofGroup(folder) : null;
        const id = Number(openTurn.run(folder, task.chat, null, rules.now, task.id, session).lastInsertRowid);
        tasks.give(seq, id);
        write(id, { kind: "input", text: task.prompt }, rules.now);
        return begin({ id, replyVia: null, folder, taskId: task.id }, rules.now);
      }
      const retook = group === undefined || only === "tasks" ? false : retake(group.folder, group.chat);
      const batch = group === undefined || only === "tasks" ? undefined : inbox.batch(group, rules);
      if (group === undefined || batch === undefined) return undefined;
      const id = Number(openTurn.run(folder, group.chat, batch.replyVia, rules.now, null, sessions.ofGroup(folder)).lastInsertRowid);
      inbox.assign(id, batch.messages);
      if (retook) markRetook.run(id);
      write(id, { kind: "input", text: rules.format(batch.messages) }, rules.now);
      return begin({ id, replyVia: batch.replyVia, folder, taskId: null }, rules.now);
    }),
    takeInput: db.transaction((turnId: number, rules: BatchRules): string | undefined => {
      const turn = running(turnId);
      return turn === undefined ? undefined : takeInput(turn, rules);
    }),
    recordStep: (turnId: number, { step, content }: StepRecord, now: number): void =>
      write(turnId, { kind: "step", step, content: [...content] }, now),
    recordResult: (turnId: number, entry: ToolResult, now: number): void => write(turnId, { kind: "result", ...entry }, now),
    findResult(turnId: number, step: number, toolCallId: string): ToolResult | undefined {
      const body = result.get(turnId, step, toolCallId) as string | undefined;
      if (body === undefined) return undefined;
      const entry = JournalEntry.parse(JSON.parse(body));
      return entry.kind === "result" ? entry : undefined;
    },
    putReply: db.transaction(
      (turnId: number, reply: { step: number; toolCallId: string; text: string; chat?: string }, now: number): void => {
        const turn = running(turnId);
        if (turn === undefined) return;
        if (reply.chat === undefined) establish(turn, now);
        const effect = `tool.${reply.step}.${reply.toolCallId}`;
        // A message for another chat leaves through the channel that owns it, never through where this turn came in.
        const target = reply.chat === undefined ? { chat: turn.chat_jid, replyVia: turn.reply_via } : { chat: reply.chat, replyVia: null };
        outbox.put({ turnId, effect, ...target, text: reply.text, now });
      },
    ),
    finish: db.transaction(
      (
        turnId: number,
        finish: {
          runId: number;
          step?: StepRecord;
          reply: string;
          figures: RunFigures;
          now: number;
          rules?: BatchRules;
          taskEnd?: TaskEnd;
        },
      ): string | undefined => {
        const turn = running(turnId);
        if (turn === undefined) return undefined;
        const { now, rules } = finish;
        if (finish.step !== undefined) write(turnId, { kind: "step", step: finish.step.step, content: [...finish.step.content] }, now);
        establish(turn, now);
        if (finish.reply !== "") {
          const effect = `reply.${finish.step?.step ?? "last"}`;
          outbox.put({ turnId, effect, chat: turn.chat_jid, replyVia: turn.reply_via, text: finish.reply, now });
        }
        const more = rules === undefined ? undefined : takeInput(turn, rules);
        if (more !== undefined) return more;
        endRun(finish.runId, "done", null, now, finish.figures);
        closeTask(turn, "done", null, finish.taskEnd, now);
        const state: TurnState = outbox.openOf(turnId) > 0 ? "delivering" : "done";
        moveTurn.run(state, state === "done" ? now : null, null, turnId);
        return undefined;
      },
    ),
    fail: db.transaction((turnId: number, failure: TurnFailure): void => {
      const turn = running(turnId);
      if (turn === undefined) return;
      endRun(failure.runId, failure.outcome, failure.error, failure.now, failure.figures);
      // A task says for itself what is to be told of its failure.
      if (!closeTask(turn, failure.outcome, failure.error, failure.taskEnd, failure.now))
        outbox.put({ turnId, effect: "notice", chat: turn.chat_jid, replyVia: turn.reply_via, text: failure.notice, now: failure.now });
      moveTurn.run("failed", failure.now, failure.error, turnId);
      if (failure.outcome !== "stopped" && failure.isPoisoned !== true && turn.task_id === null) markUnanswered.run(turnId);
    }),
    endRun: (runId: number, end: { outcome: RunOutcome; error: string; figures: RunFigures; now: number }): void =>
      endRun(runId, end.outcome, end.error, end.now, end.figures),
    runs: (): readonly RunRow[] => allRuns.all() as RunRow[],
    states(): Record<TurnState, number> {
      const counts: Record<TurnState, number> = { running: 0, delivering: 0, done: 0, failed: 0 };
      for (const { state, n } of states.all() as { state: TurnState; n: number }[]) counts[state] = n;
      return counts;
    },
  };
}
