/**
 * Leases: secrets the owner lends to a group's turns.
 *
 * Promise: a ticket is good once, at the desk of the turn it was issued to, until its time is over or the turn is. Whatever else is shown is
 * refused with the same words; the audit log has the reason. What cannot be recorded is not given.
 * Elsewhere: who is lent what (the policy), how a value is wrapped (lease-seal.ts).
 */
import { timingSafeEqual } from "node:crypto";
import type { Redeem, SealedSecret } from "../../contracts/wire/secrets.ts";
import type { TurnStart } from "../../contracts/wire/turn.ts";
import { describeError, RefusedError } from "../domain/errors.ts";
import type { EgressCaller, LeaseGrant } from "../domain/policy.ts";
import type { Audit, AuditEntry } from "../ports/audit.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Secrets } from "../ports/secrets.ts";
import type { SealLease } from "./lease-seal.ts";

export interface LeaseDeskOptions {
  readonly grants: readonly LeaseGrant[];
  readonly secrets: Secrets;
  readonly audit: Audit;
  readonly clock: Clock;
  /** That many bytes nobody can foresee. */
  readonly random: (bytes: number) => Uint8Array;
  readonly seal: SealLease;
}

export interface LeaseDesk {
  /**
   * Issues a ticket for each secret the caller's group is lent. One that is not stored is left out, and that is recorded.
   * Throws HostError SECRET_STORE_UNUSABLE, AUDIT_BROKEN; then nothing is lent.
   */
  open(caller: EgressCaller): TurnLeases;
}

/** Of one turn. */
export interface TurnLeases {
  /** For the turn's start. */
  readonly leases: TurnStart["leases"];
  /** Whether a secret was given out: a sandbox that may hold one is not used again. */
  readonly used: boolean;
  /** Throws RefusedError LEASE_REFUSED, HostError AUDIT_BROKEN. */
  redeem(request: Redeem): SealedSecret;
  /** Idempotent: no ticket of this turn is good any more. Throws HostError AUDIT_BROKEN, and has closed nevertheless. */
  close(): void;
}

const TICKET_BYTES = 32;
/** An honest runner fails when a lease has just ended; who goes on is guessing. */
const MAX_FAILURES = 8;

interface Lease {
  readonly secret: string;
  readonly env: string;
  readonly ticket: Uint8Array;
  readonly expiresAt: number;
  readonly timer: Timer;
  /** By the timer's clock, which setting the wall clock back does not stretch. */
  isOver: boolean;
  isRedeemed: boolean;
}

export function createLeaseDesk(options: LeaseDeskOptions): LeaseDesk {
  return { open: (caller) => new OpenDesk(options, caller) };
}

class OpenDesk implements TurnLeases {
  readonly #o: LeaseDeskOptions;
  readonly #caller: EgressCaller;
  readonly #leases: readonly Lease[];
  readonly leases: TurnStart["leases"];
  used = false;
  #failures = 0;
  /** Refused without a record of their own, since there may be any number of them. */
  #afterwards = 0;
  #isClosed = false;

  constructor(options: LeaseDeskOptions, caller: EgressCaller) {
    this.#o = options;
    this.#caller = caller;
    const grants = options.grants.filter(({ groups }) => groups === "all" || groups.includes(caller.folder));
    const stored = new Set(grants.length === 0 ? [] : options.secrets.list().map(({ name }) => name));
    for (const { secret, env } of grants) {
      if (stored.has(secret)) this.#record("noted", secret, `lent to this turn as ${env}`);
      else
        this.#record(
          "denied",
          secret,
          `no such secret is stored: the turn goes on without ${env}; \`hermit secrets set ${secret}\` stores it`,
        );
    }
    this.#leases = grants.filter(({ secret }) => stored.has(secret)).map((grant) => this.#issue(grant));
    this.leases = this.#leases.map(({ secret, env, ticket }) => ({ name: secret, env, ticket: Buffer.from(ticket).toString("base64") }));
  }

  redeem(request: Redeem): SealedSecret {
    if (this.#failures >= MAX_FAILURES) {
      this.#afterwards++;
      throw refused();
    }
    if (this.#isClosed) throw this.#refuse("a ticket", "the turn is over");
    const lease = this.#leaseOf(Buffer.from(request.ticket, "base64"));
    if (lease === undefined) throw this.#refuse("a ticket", "it was never issued to this turn");
    if (lease.isRedeemed) throw this.#refuse(lease.secret, "the ticket was used before");
    if (lease.isOver || this.#o.clock.now() >= lease.expiresAt) throw this.#refuse(lease.secret, "the lease had ended");
    const answer = this.#sealed(lease, Buffer.from(request.publicKey, "base64"));
    // Before the record: what is recorded as given must not be had twice, and what cannot be recorded is not given.
    lease.isRedeemed = true;
    this.#record("allowed", lease.secret, `given to the sandbox as ${lease.env}`);
    this.used = true;
    return { ...answer, expiresAt: lease.expiresAt };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const { timer, ticket } of this.#leases) {
      timer.cancel();
      ticket.fill(0);
    }
    for (const { secret, isRedeemed } of this.#leases)
      this.#record("noted", secret, isRedeemed ? "the lease has ended; it was used" : "the lease has ended; nobody used it");
    if (this.#afterwards > 0)
      this.#record("denied", "a ticket", `asked for again after ${MAX_FAILURES} refusals, which end a turn's leases`, this.#afterwards);
  }

  #issue({ secret, env, ttlMs }: LeaseGrant): Lease {
    const { random, clock } = this.#o;
    const timer = clock.setTimer(ttlMs, () => {
      lease.isOver = true;
    });
    const lease: Lease = {
      secret,
      env,
      ticket: random(TICKET_BYTES),
      expiresAt: clock.now() + ttlMs,
      timer,
      isOver: false,
      isRedeemed: false,
    };
    return lease;
  }

  /** Looks at all of them, however early one matches: how long it takes tells nothing. */
  #leaseOf(ticket: Uint8Array): Lease | undefined {
    let found: Lease | undefined;
    for (const lease of this.#leases) if (ticket.length === TICKET_BYTES && timingSafeEqual(lease.ticket, ticket)) found = lease;
    return found;
  }

  #sealed({ secret }: Lease, publicKey: Uint8Array): ReturnType<SealLease> {
    let value: string | undefined;
    try {
      value = this.#o.secrets.reveal(secret);
    } catch (error) {
      throw this.#refuse(secret, describeError(error));
    }
    if (value === undefined) throw this.#refuse(secret, "it is not stored any more");
    try {
      return this.#o.seal(value, publicKey);
    } catch (error) {
      throw this.#refuse(secret, describeError(error));
    }
  }

  #refuse(subject: string, reason: string): RefusedError {
    this.#failures++;
    const last = this.#failures === MAX_FAILURES ? "; that was the last try of this turn" : "";
    this.#record("denied", subject, `${reason}${last}`);
    return refused();
  }

  #record(decision: AuditEntry["decision"], subject: string, reason: string, times?: number): void {
    const { folder, turnId } = this.#caller;
    this.#o.audit.record({
      kind: "lease",
      decision,
      group: folder,
      turn: turnId,
      subject,
      reason,
      ...(times === undefined ? {} : { times }),
    });
  }
}

/** The same words for every reason: they tell a guesser nothing. */
function refused(): RefusedError {
  return new RefusedError("LEASE_REFUSED", "This ticket is not good (any more). What is lent is redeemed once, in its turn and time.");
}
