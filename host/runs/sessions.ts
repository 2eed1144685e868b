/**
 * A group's conversation, from turn to turn.
 *
 * Turns of messages go on with the group's session, or begin one; a task does so where its context is the group's, and never begins one. A
 * session becomes the group's with the first answer given in it, so that one that cannot be taken up is left for good only when the
 * new one works; then the chat is told, once.
 */
import { type JournalEntry, SessionId } from "../../contracts/wire/turn.ts";
import { describeError } from "../domain/errors.ts";
import type { Group } from "../domain/group.ts";
import type { Log } from "../ports/log.ts";
import type { ClaimedTurn, Store } from "../ports/store.ts";
import type { Transcripts, TranscriptTurn } from "../ports/transcripts.ts";
import { answeredPart, condensed, fitting } from "./history.ts";

export interface SessionsOptions {
  readonly store: Store;
  readonly transcripts: Transcripts;
  readonly log: Log;
  /** UTF-8 bytes of earlier turns, as JSON, that a turn is given. */
  readonly historyBytes: number;
  /** The group's agent keeps conversations of its own and says what it calls them; the host then makes up no names. */
  readonly agentNamesSessions: (group: Group) => boolean;
}

export interface TakenUp {
  readonly session: string | null;
  readonly history: readonly (readonly JournalEntry[])[];
}

const NONE: TakenUp = { session: null, history: [] };

/** A line of a transcript. The whole of it is in the journal. */
const LINE_BYTES = 256 * 1024;
/** Read from the end of a transcript, so that the newest turn is found whole. */
const READ_BYTES = 4 * LINE_BYTES;

export class Sessions {
  readonly #o: SessionsOptions;

  constructor(options: SessionsOptions) {
    this.#o = options;
  }

  /** What the turn goes on with. Never rejects for a session's sake: what cannot be taken up is left behind. */
  async takeUp(claim: ClaimedTurn): Promise<TakenUp> {
    const { session, group } = claim;
    if (session === null) {
      if (claim.task === undefined) this.#renew(claim);
      return NONE;
    }
    if (session.isNew) return NONE;
    // What was said in it is the agent's to know, and so is whether it still does.
    if (this.#o.agentNamesSessions(group) && SessionId.safeParse(session.id).success) return { session: session.id, history: [] };
    const kept = await this.#read(group.folder, session.id);
    if (Array.isArray(kept)) {
      const turns = [...kept, ...(await this.#addMissing(group.folder, session.id, kept))];
      const history = fitting(
        turns.map(({ entries }) => entries),
        this.#o.historyBytes,
      );
      return { session: session.id, history };
    }
    this.#o.log.warn({ group: group.folder, session: session.id, reason: kept }, "a session could not be taken up; a new one begins");
    this.#renew(claim);
    return NONE;
  }

  /** The conversation was refused, by the provider or by an agent that keeps its own: the next run of this turn begins a new one. */
  leave(claim: ClaimedTurn, reason: string): void {
    this.#o.log.warn({ group: claim.group.folder, session: claim.session?.id, reason }, "a session was refused; a new one begins");
    this.#renew(claim);
  }

  /** After a run, however it ended: what was answered joins the transcript. What cannot be written now is added by the next turn. */
  async record(claim: ClaimedTurn): Promise<void> {
    const { store, transcripts, log } = this.#o;
    const { folder } = claim.group;
    const turn = store.turnOfSession(claim.id);
    if (turn === undefined) return;
    try {
      await transcripts.append(folder, turn.session, turn.isOver ? linesOf([turn]) : []);
    } catch (error) {
      log.warn(
        { group: folder, session: turn.session, error: describeError(error) },
        "a transcript could not be written; the next turn tries again",
      );
    }
  }

  #renew(claim: ClaimedTurn): void {
    const isNameless = this.#o.agentNamesSessions(claim.group) || claim.task !== undefined;
    this.#o.store.renewSession(claim.id, isNameless ? null : crypto.randomUUID());
  }

  /** Its newest turns, or why it cannot be used. */
  async #read(folder: string, session: string): Promise<readonly TranscriptTurn[] | string> {
    const { transcripts } = this.#o;
    try {
      const reading = await transcripts.read(folder, session, READ_BYTES);
      if (reading.state === "readable") return reading.turns;
      if (reading.state === "missing") return "it has no transcript";
      await transcripts.setAside(folder, session);
      return `its transcript is damaged: ${reading.reason}`;
    } catch (error) {
      return describeError(error);
    }
  }

  /** Turns that ended and were not written down: the host was killed in between, or the disk was full. */
  async #addMissing(folder: string, session: string, kept: readonly TranscriptTurn[]): Promise<readonly TranscriptTurn[]> {
    const { store, transcripts, log } = this.#o;
    const newest = Math.max(0, ...kept.map(({ turn }) => turn ?? 0));
    const missing = linesOf(store.turnsOfSession(session, newest));
    if (missing.length > 0) {
      await transcripts.append(folder, session, missing).catch((error: unknown) => {
        log.warn({ group: folder, session, error: describeError(error) }, "a transcript could not be written; the next turn tries again");
      });
    }
    return missing;
  }
}

function linesOf(
  turns: readonly { readonly id: number; readonly at: number; readonly journal: readonly JournalEntry[] }[],
): TranscriptTurn[] {
  return turns.flatMap(({ id, at, journal }) => {
    const entries = condensed(answeredPart(journal), LINE_BYTES);
    return entries.length === 0 ? [] : [{ turn: id, at, entries }];
  });
}
