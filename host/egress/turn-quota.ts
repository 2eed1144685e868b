/**
 * What one turn may take of the outside: connections at once and in a minute, bytes, and time in which nothing moves.
 *
 * A passage is one connection from the moment it is asked for until everything of it is over. Whatever ends it before its time (whoever
 * asked is gone, the turn's end, a limit, a fault) aborts its signal, with the reason to tell.
 */
import { HostError, RefusedError } from "../domain/errors.ts";
import type { Clock, Timer } from "../ports/clock.ts";

export interface EgressLimits {
  /** Open at the same time. */
  readonly connections: number;
  /** Begun in a minute, refused ones counted. */
  readonly connectionsPerMinute: number;
  /** Both ways together, in the whole turn. */
  readonly turnBytes: number;
  /** From being asked for to the first word. */
  readonly connectTimeoutMs: number;
  /** How long nothing may move. */
  readonly idleTimeoutMs: number;
}

const SECOND_MS = 1000;
/** By this the link tells what took too long. */
const TIMED_OUT = { cause: new DOMException("The time was up.", "TimeoutError"), retryable: true };
const MINUTE_S = 60;

export class TurnQuota {
  readonly #limits: EgressLimits;
  readonly #clock: Clock;
  readonly #open = new Set<Passage>();
  readonly #begun: MinuteCount;
  #bytes = 0;
  #isClosed = false;

  constructor(limits: EgressLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#begun = new MinuteCount(clock);
  }

  /** `gone`: whoever asked no longer waits. Throws RefusedError EGRESS_LIMIT; what the signal says when it has fired already. */
  open(gone: AbortSignal): Passage {
    const { connections, connectionsPerMinute } = this.#limits;
    gone.throwIfAborted();
    if (this.#isClosed) throw turnOver();
    if (!this.#begun.add(connectionsPerMinute)) {
      throw new RefusedError(
        "EGRESS_LIMIT",
        `More than ${connectionsPerMinute} connections to the outside were begun within a minute; wait a while.`,
      );
    }
    if (this.#open.size >= connections) {
      throw new RefusedError(
        "EGRESS_LIMIT",
        `${connections} connections to the outside are open, and no more may be at once; close one first.`,
      );
    }
    if (this.#bytes >= this.#limits.turnBytes) throw this.#tooMuch();
    const passage = new Passage(this.#limits, this.#clock, (bytes) => this.#spend(bytes));
    const leave = (): void => passage.fail(gone.reason);
    gone.addEventListener("abort", leave, { once: true });
    this.#open.add(passage);
    passage.awaitPlace();
    passage.onEnd(() => {
      gone.removeEventListener("abort", leave);
      this.#open.delete(passage);
    });
    return passage;
  }

  /** Ends what is open, and opens nothing any more. */
  close(): void {
    this.#isClosed = true;
    for (const passage of this.#open) passage.fail(turnOver());
  }

  #spend(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#limits.turnBytes) throw this.#tooMuch();
  }

  #tooMuch(): RefusedError {
    const mebibytes = Math.floor(this.#limits.turnBytes / 1024 / 1024);
    return new RefusedError("EGRESS_LIMIT", `This turn has sent and received the ${mebibytes} MiB it may through the egress door.`);
  }
}

export class Passage {
  /** Fires at the first fault, with it; not when the passage ends in order. */
  readonly signal: AbortSignal;
  #sent = 0;
  #received = 0;
  #isOver = false;
  readonly #limits: EgressLimits;
  readonly #clock: Clock;
  readonly #spend: (bytes: number) => void;
  readonly #fault = new AbortController();
  #timer: Timer | undefined;
  readonly #endings: (() => void)[] = [];

  constructor(limits: EgressLimits, clock: Clock, spend: (bytes: number) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#spend = spend;
    this.signal = this.#fault.signal;
  }

  get sent(): number {
    return this.#sent;
  }

  get received(): number {
    return this.#received;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Names are looked up, and connections made. */
  awaitPlace(): void {
    this.#arm(
      this.#limits.connectTimeoutMs,
      (time) => new HostError("EGRESS_UNREACHABLE", `The place outside was not reached ${time}`, TIMED_OUT),
    );
  }

  /** `what`: the sandbox has begun to say it, and may not take for ever. */
  awaitWhole(what: string): void {
    this.#arm(this.#limits.idleTimeoutMs, (time) => new RefusedError("EGRESS_PROTOCOL", `${what} was not whole ${time}`, TIMED_OUT));
  }

  /** Something moved, or may from now on. */
  stir(): void {
    this.#arm(
      this.#limits.idleTimeoutMs,
      (time) => new HostError("EGRESS_UNREACHABLE", `Nothing moved on the connection ${time}`, TIMED_OUT),
    );
  }

  /** Throws RefusedError EGRESS_LIMIT, with which the passage fails. */
  countSent(bytes: number): void {
    this.#sent += bytes;
    this.#count(bytes);
  }

  /** As `countSent`. */
  countReceived(bytes: number): void {
    this.#received += bytes;
    this.#count(bytes);
  }

  /** As `work`, but rejects with the fault as soon as there is one. */
  async until<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    const fault = Promise.withResolvers<never>();
    const stop = (): void => fault.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    try {
      return await Promise.race([fault.promise, work]);
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** The first counts, and none once it is over. */
  fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#fault.abort(reason);
    this.#finish();
  }

  /** In order. Idempotent. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#finish();
  }

  /** Called once, when it is over for whatever reason. */
  onEnd(ending: () => void): void {
    if (this.#isOver) ending();
    else this.#endings.push(ending);
  }

  /** The same, of a passage that fails. */
  onFault(ending: (reason: unknown) => void): void {
    this.onEnd(() => {
      if (this.signal.aborted) ending(this.signal.reason);
    });
  }

  #finish(): void {
    this.#timer?.cancel();
    for (const ending of this.#endings.splice(0)) ending();
  }

  #count(bytes: number): void {
    try {
      this.#spend(bytes);
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  #arm(ms: number, fault: (time: string) => HostError): void {
    if (this.#isOver) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(ms, () => this.fail(fault(`within ${ms / SECOND_MS} s.`)));
  }
}

/** How often in the last sixty seconds, to a second. */
class MinuteCount {
  readonly #clock: Clock;
  readonly #seconds = new Uint32Array(MINUTE_S);
  #second: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#second = this.#now();
  }

  /** False, and not counted: there have been `most`. */
  add(most: number): boolean {
    const now = this.#now();
    // Set back, the clock would take a minute for longer than one.
    if (now < this.#second || now - this.#second >= MINUTE_S) this.#seconds.fill(0);
    else for (let second = this.#second + 1; second <= now; second++) this.#seconds[second % MINUTE_S] = 0;
    this.#second = now;
    if (this.#seconds.reduce((sum, count) => sum + count, 0) >= most) return false;
    const slot = now % MINUTE_S;
    this.#seconds[slot] = (this.#seconds[slot] ?? 0) + 1;
    return true;
  }

  #now(): number {
    return Math.floor(this.#clock.now() / SECOND_MS);
  }
}

function turnOver(): RefusedError {
  return new RefusedError("EGRESS_DENIED", "The turn is over, and with it its way to the outside.");
}
