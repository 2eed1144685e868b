/**
 * One turn, first to last: claim it, lease a sandbox, feed the runner, serve its doors, record how it ended.
 *
 * Whatever goes wrong ends in exactly one of: done; a retry of the same turn; failed, with a notice in the chat; interrupted
 * because the host stops, and then the next host goes on from the journal.
 */
import { WIRE_VERSION, type TurnLimits, type TurnStart } from "../../contracts/wire/turn.ts";
import { type ErrorCode, describeError, HostError, isRetryable, RefusedError, SandboxError, isHostError } from "../domain/errors.ts";
import { MAIN_FOLDER } from "../domain/group.ts";
import { failedTurnNotice, notice } from "../domain/notice.ts";
import { countMessages } from "../domain/prompt.ts";
import type { Redact } from "../domain/redaction.ts";
import { type RetryPolicy, retryDelayMs } from "../domain/retry.ts";
import type { TaskRules } from "../domain/task-rules.ts";
import type { RunOutcome, Verdict } from "../domain/turn.ts";
import type { Guards, TurnGuard } from "../guard/turn-guard.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { LinkServer } from "../ports/link.ts";
import type { Log } from "../ports/log.ts";
import type { Model } from "../ports/model.ts";
import type { SandboxExit } from "../ports/sandbox-runtime.ts";
import type { BatchRules, ClaimedTurn, Store } from "../ports/store.ts";
import type { Lease, LeaseKeeper } from "../sandboxes/lease-keeper.ts";
import type { Compatibility } from "./compatibility.ts";
import type { HostTools } from "./host-tools.ts";
import { IdleTimer } from "./idle-timer.ts";
import type { Sessions, TakenUp } from "./sessions.ts";
import { LiveTurn } from "./turn-doors.ts";

export interface TurnSettings {
  readonly assistantName: string;
  readonly timeZone: string;
  readonly system: string;
  readonly limits: TurnLimits;
  readonly replyBytes: number;
  /** Longest silence of the runner. */
  readonly idleTimeoutMs: number;
  /** Longest run. */
  readonly hardTimeoutMs: number;
  readonly stopGraceMs: number;
  readonly retry: RetryPolicy;
  /** See Sessions. */
  readonly historyBytes: number;
  readonly agentNamesSessions: boolean;
}

export interface RunTurnOptions {
  readonly store: Store;
  readonly leases: LeaseKeeper;
  readonly sessions: Sessions;
  readonly links: LinkServer;
  readonly hostTools: HostTools;
  readonly taskRules: TaskRules;
  readonly model: Model;
  /** Absent: every turn is our own runner's. */
  readonly compatibility?: Compatibility;
  readonly guards: Guards;
  /** For reasons that are kept and told. */
  readonly redact: Redact;
  readonly clock: Clock;
  readonly log: Log;
  /** In [0, 1), for jitter. */
  readonly random: () => number;
  readonly settings: TurnSettings;
  readonly batchRules: () => BatchRules;
  readonly onReply: () => void;
  readonly onTyping: (claim: ClaimedTurn, on: boolean) => void;
  readonly onText: (claim: ClaimedTurn, delta: string) => void;
  readonly onTurnEnd: (claim: ClaimedTurn, outcome: RunOutcome) => void;
  /** A run is over, also one that is tried again or was interrupted; its end is in the store. Must not throw. */
  readonly onRunEnd: () => void;
}

/** How long a lost link is not held against the sandbox, which is perhaps just dying and will be said to have. */
const EXIT_NEWS_MS = 1_000;

export class TurnRunner {
  readonly #o: RunTurnOptions;
  readonly #current = new Map<string, { turnId: number; startedAt: number }>();

  constructor(options: RunTurnOptions) {
    this.#o = options;
  }

  current(folder: string): { turnId: number; startedAt: number } | undefined {
    return this.#current.get(folder);
  }

  /** Runs the group's next turn, if it has one. Never rejects: a failure is recorded, told and turned into a verdict. */
  async run(folder: string, signal: AbortSignal, only?: "tasks"): Promise<Verdict> {
    const { store, clock, log } = this.#o;
    try {
      const claim = store.claimTurn(folder, this.#o.batchRules(), only);
      if (claim === undefined) return { next: "idle" };
      this.#current.set(folder, { turnId: claim.id, startedAt: clock.now() });
      this.#o.onTyping(claim, true);
      try {
        return await this.#attempt(claim, signal);
      } finally {
        this.#o.onTyping(claim, false);
        this.#current.delete(folder);
      }
    } catch (error) {
      // The store itself failed: the host is stopping, and the next one finds the turn as it was last written.
      log.error({ group: folder, error: describeError(error) }, "a turn could not be recorded");
      return { next: "idle" };
    }
  }

  async #attempt(claim: ClaimedTurn, signal: AbortSignal): Promise<Verdict> {
    const { store, clock, log, settings } = this.#o;
    const compat = this.#o.compatibility?.serves(claim.group) === true ? this.#o.compatibility : undefined;
    const end = Promise.withResolvers<void>();
    // Whoever settles `end` first wins; a rejection may come before anybody waits for it.
    end.promise.catch(() => {});
    const idle = new IdleTimer(clock, settings.idleTimeoutMs, () =>
      end.reject(new SandboxError("TURN_TIMEOUT", `The runner was silent for ${settings.idleTimeoutMs / 1000} s.`, { retryable: true })),
    );
    const live = new LiveTurn({
      claim,
      store,
      model: (compat ?? this.#o).model,
      ...(compat === undefined ? {} : { anthropic: compat.anthropic }),
      hostTools: this.#o.hostTools,
      taskRules: this.#o.taskRules,
      clock,
      limits: settings.limits,
      replyBytes: settings.replyBytes,
      batchRules: this.#o.batchRules,
      onActivity: () => idle.touch(),
      onText: (delta) => this.#o.onText(claim, delta),
      onReply: this.#o.onReply,
      onDone: end.resolve,
      agentNamesSessions: settings.agentNamesSessions || compat !== undefined,
      onFailed: end.reject,
    });
    const longestMs = claim.group.timeoutMs ?? settings.hardTimeoutMs;
    const hard = clock.setTimer(longestMs, () =>
      end.reject(new SandboxError("TURN_TIMEOUT", `The turn took longer than ${longestMs / 1000} s.`, { retryable: true })),
    );
    const onAbort = (): void => end.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      mustBeSound(claim);
      const takenUp = await this.#o.sessions.takeUp(claim);
      await this.#inSandbox(claim, compat, takenUp, live, end, signal);
      this.#o.onTurnEnd(claim, "done");
      log.info({ group: claim.group.folder, turn: claim.id, ...live.figures }, "turn done");
      return { next: "again" };
    } catch (error) {
      return await this.#settleFailure(claim, live, error);
    } finally {
      live.shut();
      idle.cancel();
      hard.cancel();
      signal.removeEventListener("abort", onAbort);
      this.#o.onRunEnd();
      await this.#o.sessions.record(claim);
    }
  }

  /** Resolves when the turn is closed in the store; whatever ends it otherwise rejects. The sandbox is gone either way. */
  async #inSandbox(
    claim: ClaimedTurn,
    compat: Compatibility | undefined,
    takenUp: TakenUp,
    live: LiveTurn,
    end: PromiseWithResolvers<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { links, settings, clock, log } = this.#o;
    const { leases } = compat ?? this.#o;
    let lease: Lease | undefined;
    let guard: TurnGuard | undefined;
    let finished = false;
    let over = false;
    let linkLost: Timer | undefined;
    try {
      signal.throwIfAborted();
      lease = await leases.acquire(claim.group, signal, end.reject);
      const { sandbox } = lease;
      guard = this.#o.guards.open({ folder: claim.group.folder, turnId: claim.id, taskId: claim.taskId }, end.reject);
      const session = links.serve(sandbox.link, guard.around(live));
      void sandbox.exited.then((exit) => end.reject(sandboxDied(exit)));
      void session.closed.then((fault) => {
        const why =
          fault === undefined ? "The link to the sandbox closed before the turn was over." : `The link was cut: ${fault.message}.`;
        const lost = new SandboxError("SANDBOX_LINK_FAILED", why, {
          retryable: true,
          cause: fault,
        });
        // A runner that dies takes its link along first; the engine's word on why comes a moment later.
        if (fault !== undefined) end.reject(lost);
        else if (!over) linkLost = clock.setTimer(EXIT_NEWS_MS, () => end.reject(lost));
      });
      try {
        await Promise.race([session.ready, end.promise]);
        session.feed(this.#start(claim, compat, takenUp, guard, lease.warning));
        await end.promise;
        finished = true;
      } finally {
        over = true;
        linkLost?.cancel();
        live.shut();
        session.close();
      }
    } finally {
      guard?.close();
      // A finished runner is asked to end, which it does when the link closes; anything else is killed.
      await lease?.release(finished ? settings.stopGraceMs : 0).catch((error: unknown) => {
        log.error(
          { group: claim.group.folder, error: describeError(error) },
          "a sandbox could not be removed; the reaper will try again at the next start",
        );
      });
    }
  }

  #start(
    claim: ClaimedTurn,
    compat: Compatibility | undefined,
    { session, history }: TakenUp,
    { leases, decoys, introduction }: TurnGuard,
    warning: string | undefined,
  ): TurnStart {
    const { assistantName, timeZone, system, limits } = this.#o.settings;
    return {
      v: WIRE_VERSION,
      type: "start",
      assistantName,
      timeZone,
      model: (compat ?? this.#o).model.id,
      system: [system, introduction, warning].filter((part) => part !== undefined).join("\n\n"),
      limits,
      session,
      history: history.map((entries) => [...entries]),
      journal: [...claim.journal],
      leases,
      decoys,
      ...(compat === undefined ? {} : { compat: compat.facts(claim) }),
    };
  }

  async #settleFailure(claim: ClaimedTurn, live: LiveTurn, error: unknown): Promise<Verdict> {
    const { store, clock, log, settings } = this.#o;
    const { figures } = live;
    const code = isHostError(error) ? error.code : undefined;
    const reason = this.#o.redact(describeError(error));
    const now = clock.now();
    const where = { group: claim.group.folder, turn: claim.id, attempt: claim.attempt, code, reason };
    if (code === "HOST_STOPPING") {
      store.endRun(claim.runId, { outcome: "interrupted", error: reason, figures, now });
      log.info(where, "turn interrupted; the next host goes on with it");
      return { next: "idle" };
    }
    if (live.isSessionRefused) {
      store.endRun(claim.runId, { outcome: "failed", error: reason, figures, now });
      await this.#o.sessions.leave(claim, reason);
      return { next: "again" };
    }
    // A task that failed waits for its next occurrence, as it always did (contract §5). What was partly answered is not asked again (§3.4).
    const mayRetry = isRetryable(error) && claim.taskId === null && !live.hasSpoken;
    const retryInMs = mayRetry ? retryDelayMs(settings.retry, claim.failures + 1, this.#o.random()) : undefined;
    if (retryInMs !== undefined) {
      store.endRun(claim.runId, { outcome: failureOf(code), error: reason, figures, now });
      log.warn({ ...where, retryInMs }, "run failed; the turn is tried again");
      return { next: "retry", retryInMs };
    }
    const outcome = failureOf(code);
    // Out of memory, which no retry mends: its messages would do it again. A runner that merely ended may do better next time.
    const isPoisoned = (code === "SANDBOX_DIED" && !isRetryable(error)) || (code !== undefined && POISONOUS.has(code));
    const told = outcome === "stopped" ? notice(reason) : failedTurnNotice(isPoisoned ? `${reason}${this.#notTakenUp(claim)}` : reason);
    if (code === "DECOY_TAKEN") this.#tellOwner(claim, reason);
    store.failTurn(claim.id, { runId: claim.runId, outcome, error: reason, notice: told, figures, now, isPoisoned, ...live.taskEnd(null) });
    this.#o.onReply();
    this.#o.onTurnEnd(claim, outcome);
    log.warn(where, "turn failed");
    return { next: "again" };
  }

  /** Behind a reason, where more than one message is lost with it. */
  #notTakenUp(claim: ClaimedTurn): string {
    const journal = this.#o.store.turnOfSession(claim.id)?.journal ?? claim.journal;
    const messages = journal.reduce((sum, entry) => (entry.kind === "input" ? sum + countMessages(entry.text) : sum), 0);
    return messages > 1 ? ` Its ${messages} messages are not taken up again.` : "";
  }

  /** The owner's chat is main's; where that is this one it is told anyway. */
  #tellOwner({ group }: ClaimedTurn, reason: string): void {
    const { store, clock } = this.#o;
    const main = store.groupByFolder(MAIN_FOLDER);
    if (main !== undefined && main.folder !== group.folder) {
      store.notify(main.chat, notice(`A turn of ${group.folder} was stopped. ${reason}`), clock.now());
    }
  }
}

/** What its messages would bring about again. */
const POISONOUS: ReadonlySet<ErrorCode> = new Set(["TURN_LOOP", "TURN_DAMAGED", "DECOY_TAKEN", "WORKSPACE_FULL"]);

/** Resumes of one turn after the host ended under it. More than bad luck brings: something in the turn ends the host. */
const MAX_INTERRUPTIONS = 20;

function mustBeSound({ attempt, failures, isDamaged }: ClaimedTurn): void {
  if (isDamaged) throw new HostError("TURN_DAMAGED", "What I had noted down of it cannot be read any more.", { hint: "Say it again." });
  const interruptions = attempt - 1 - failures;
  if (interruptions <= MAX_INTERRUPTIONS) return;
  throw new HostError("TURN_LOOP", `The host ended ${interruptions} times while it worked on this.`, { hint: "Its log may say why." });
}

function failureOf(code: ErrorCode | undefined): RunOutcome {
  if (code === "TURN_STOPPED") return "stopped";
  return code === "TURN_TIMEOUT" ? "timeout" : "failed";
}

function sandboxDied({ code, outOfMemory }: SandboxExit): SandboxError {
  if (outOfMemory) {
    return new SandboxError("SANDBOX_DIED", "The sandbox ran out of memory before the turn was over.", {
      hint: "Ask for less at once, or raise sandbox.memory_mb.",
    });
  }
  const how = code === null ? "was killed" : `ended with code ${code}`;
  return new SandboxError("SANDBOX_DIED", `The sandbox ${how} before the turn was over.`, { retryable: true });
}

/** The owner's stop. */
export function stoppedByOwner(): HostError {
  return new RefusedError("TURN_STOPPED", "Stopped.");
}

export function hostStopping(): HostError {
  return new RefusedError("HOST_STOPPING", "The host is shutting down.");
}
