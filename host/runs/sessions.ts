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
import type { ClaimedTurn, SessionTurn, Store } from "../ports/store.ts";
import type { TranscriptReading, Transcripts, TranscriptTurn } from "../ports/transcripts.ts";
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

  /** What the turn goes on with; what cannot be taken up is left behind. Rejects with StoreError (retryable) where the disk fails. */
  async takeUp(claim: ClaimedTurn): Promise<TakenUp> {
    const { session, group } = claim;
    if (session === null) {
      if (claim.taskId === null) await this.#renew(claim);
      return NONE;
    }
    if (session.isNew) return NONE;
    // What was said in it is the agent's to know, and so is whether it still does.
    if (this.#o.agentNamesSessions(group) && SessionId.safeParse(session.id).success) return { session: session.id, history: [] };
    const kept = await this.#read(group.folder, session.id);
    if (typeof kept !== "string") {
      const turns = [...kept.turns, ...(await this.#addMissing(group.folder, session.id, kept))];
      const inOrder = turns.toSorted((a, b) => a.at - b.at || (a.turn ?? 0) - (b.turn ?? 0)).map(({ entries }) => entries);
      return { session: session.id, history: fitting(inOrder, this.#o.historyBytes) };
    }
    this.#o.log.warn({ group: group.folder, session: session.id, reason: kept }, "a session could not be taken up; a new one begins");
    await this.#renew(claim);
    return NONE;
  }

  /** The conversation was refused, by the provider or by an agent that keeps its own: the next run of this turn begins a new one. */
  async leave(claim: ClaimedTurn, reason: string): Promise<void> {
    this.#o.log.warn({ group: claim.group.folder, session: claim.session?.id, reason }, "a session was refused; a new one begins");
    await this.#renew(claim);
  }

  /** After a run, however it ended: what was answered joins the transcript. What cannot be written now is added by the next turn. */
  async record(claim: ClaimedTurn): Promise<void> {
    const { store, transcripts, log } = this.#o;
    const { folder } = claim.group;
    const turn = store.turnOfSession(claim.id);
    if (turn === undefined) return;
    try {
      // Begun for nothing: no answer ever made it the group's.
      if (turn.isOver && !turn.isGroups && claim.taskId === null) await transcripts.remove(folder, turn.session);
      else await transcripts.append(folder, turn.session, turn.isOver ? [lineOf(turn)] : []);
    } catch (error) {
      log.warn({ group: folder, session: turn.session, error: describeError(error) }, UNWRITTEN);
    }
  }

  /** The transcript is there before the session is the group's: after that, one that is missing has been deleted. */
  async #renew({ id, group, taskId }: ClaimedTurn): Promise<void> {
    const { store, transcripts, agentNamesSessions } = this.#o;
    const isNameless = agentNamesSessions(group) || taskId !== null;
    const session = isNameless ? null : crypto.randomUUID();
    if (session !== null) await transcripts.append(group.folder, session, []);
    store.renewSession(id, session);
  }

  /** Its newest turns, or why it cannot be used. Rejects where the disk does: that may pass, and the conversation is still there. */
  async #read(folder: string, session: string): Promise<Extract<TranscriptReading, { state: "readable" }> | string> {
    const { transcripts } = this.#o;
    const reading = await transcripts.read(folder, session, READ_BYTES);
    if (reading.state === "readable") return reading;
    if (reading.state === "missing") return "it has no transcript";
    await transcripts.setAside(folder, session);
    return `its transcript is damaged: ${reading.reason}`;
  }

  /** Turns that ended and were not written down: the host was killed in between, or the disk was full. */
  async #addMissing(
    folder: string,
    session: string,
    { turns, isWhole }: { turns: readonly TranscriptTurn[]; isWhole: boolean },
  ): Promise<readonly TranscriptTurn[]> {
    const { store, transcripts, log } = this.#o;
    const written = new Set(turns.map(({ turn }) => turn));
    // Beyond what was read nobody looks any more.
    const from = isWhole ? 0 : Math.min(...turns.map(({ turn }) => turn ?? Number.POSITIVE_INFINITY));
    if (!Number.isFinite(from)) return [];
    const ids = store.turnsOfSession(folder, session, from).filter((id) => !written.has(id));
    const missing = ids.toSorted((a, b) => a - b).flatMap((id) => store.turnOfSession(id) ?? []);
    const lines = missing.map(lineOf);
    if (lines.length > 0) {
      await transcripts.append(folder, session, lines).catch((error: unknown) => {
        log.warn({ group: folder, session, error: describeError(error) }, UNWRITTEN);
      });
    }
    return lines;
  }
}

const UNWRITTEN = "a transcript could not be written; the next turn tries again";

/** Of a turn in which nobody got an answer the line is empty; it says that the turn need not be looked at again. */
function lineOf({ id, at, journal, isFinished }: SessionTurn): TranscriptTurn {
  return { turn: id, at, entries: condensed(isFinished ? journal : answeredPart(journal), LINE_BYTES) };
}
