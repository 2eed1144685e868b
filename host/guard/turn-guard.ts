/**
 * What stands between one turn and everything outside its group: each door of its link, as it is opened for this turn alone.
 *
 * Order of what a sandbox sends: it is looked through for secrets and decoys first, only then does the turn see it, or the world. A decoy
 * ends the turn and is told to the owner.
 */
import type { TurnStart } from "../../contracts/wire/turn.ts";
import { describeError, HostError } from "../domain/errors.ts";
import type { EgressCaller, Policy } from "../domain/policy.ts";
import { createEgressDoor } from "../egress/egress-door.ts";
import { judgeByPolicy } from "../egress/judge-by-policy.ts";
import type { EgressLimits } from "../egress/turn-quota.ts";
import type { Audit, AuditKind } from "../ports/audit.ts";
import type { Clock } from "../ports/clock.ts";
import type { AgentDoors, TurnDoors } from "../ports/link.ts";
import type { Log } from "../ports/log.ts";
import type { Outside } from "../ports/outside.ts";
import type { Secrets } from "../ports/secrets.ts";
import { makeDecoys } from "../secrets/decoys.ts";
import { leaseSealer } from "../secrets/lease-seal.ts";
import { createLeaseDesk, type LeaseDesk } from "../secrets/leases.ts";
import type { HostScreen, NamedValue } from "../secrets/screen.ts";
import { screenDoors } from "../secrets/screened-doors.ts";
import { SecretNews } from "./secret-news.ts";
import { introduce } from "./introduction.ts";
import type { OverrideDesk } from "./overrides.ts";

export interface GuardsOptions {
  readonly policy: Policy;
  readonly overrides: OverrideDesk;
  readonly outside: Outside;
  readonly secrets: Secrets;
  readonly screen: HostScreen;
  readonly audit: Audit;
  readonly log: Log;
  readonly clock: Clock;
  /** That many bytes nobody can foresee. */
  readonly randomBytes: (bytes: number) => Uint8Array;
  readonly limits: EgressLimits;
}

export interface TurnGuard {
  /** For the turn's start. */
  readonly leases: TurnStart["leases"];
  readonly decoys: TurnStart["decoys"];
  /** For the agent: what it may reach and how. */
  readonly introduction: string | undefined;
  /** The doors as the link may serve them. Once. */
  around(doors: AgentDoors): TurnDoors;
  /** At the turn's end, idempotent: nothing opens any more, connections break off, tickets are void. Never throws. */
  close(): void;
}

/** Of one turn, by its own doors; the egress door counts alike ones together. */
const MAX_LEAK_RECORDS = 32;

export class Guards {
  readonly #o: GuardsOptions;
  readonly #leaseDesk: LeaseDesk;
  readonly #secretNews: SecretNews;
  readonly #open = new Set<{ recheck(): void }>();

  constructor(options: GuardsOptions) {
    this.#o = options;
    const { policy, secrets, audit, clock, randomBytes } = options;
    this.#secretNews = new SecretNews(secrets, audit);
    this.#leaseDesk = createLeaseDesk({
      grants: policy.leases,
      secrets,
      audit,
      clock,
      random: randomBytes,
      seal: leaseSealer(randomBytes),
    });
  }

  /**
   * `onBreach`: the turn must end now, HostError DECOY_TAKEN. Throws HostError SECRET_STORE_UNUSABLE, AUDIT_BROKEN; then no turn may run.
   */
  open(caller: EgressCaller, onBreach: (error: HostError) => void): TurnGuard {
    const { policy, overrides, outside, secrets, audit, log, clock, randomBytes, limits } = this.#o;
    this.#secretNews.note();
    const bait = makeDecoys(randomBytes);
    const given: NamedValue[] = [];
    const screen = this.#o.screen.withDecoys(bait.values, given);
    const lent = this.#leaseDesk.open(caller);
    const note = (kind: AuditKind, subject: string, reason: string): void =>
      audit.record({ kind, decision: "denied", group: caller.folder, turn: caller.turnId, subject, reason });
    const breach = (where: string): void =>
      onBreach(
        new HostError(
          "DECOY_TAKEN",
          `A decoy secret was about to leave the sandbox (${where}): something in it goes through files for keys.`,
          {
            hint: "`hermit audit tail` shows what it did before.",
          },
        ),
      );
    const egress = createEgressDoor({
      caller,
      judge: judgeByPolicy(() => ({ policy, overrides: overrides.all(), now: clock.now() }), caller),
      outside,
      limits,
      clock,
      audit,
      reveal: (name) => secrets.reveal(name),
      openLeakStream: () => screen.openStream(),
      onDecoy: breach,
    });
    this.#open.add(egress);
    let isClosed = false;
    let leaks = 0;
    return {
      leases: lent.leases,
      decoys: bait.files,
      introduction: introduce(policy, caller),
      around: (doors) => ({
        ...screenDoors(doors, screen, {
          onDecoy: (where) => {
            breach(where);
            note("decoy", where, "a decoy was in it; the turn was stopped");
          },
          onLeak: (where, names) => {
            if (leaks < MAX_LEAK_RECORDS) note("leak", where, `held ${names.join(", ")}, which was taken out`);
            if (leaks === MAX_LEAK_RECORDS) note("leak", "further places", `more than ${MAX_LEAK_RECORDS} of one turn are not recorded`);
            leaks++;
          },
        }),
        redeem: (request) => {
          const sealed = lent.redeem(request);
          const ticket = Buffer.from(request.ticket, "base64");
          const lease = lent.leases.find((one) => ticket.equals(Buffer.from(one.ticket, "base64")));
          const value = lease === undefined ? undefined : secrets.reveal(lease.name);
          if (lease !== undefined && value !== undefined) given.push({ name: lease.name, value });
          return sealed;
        },
        egress,
      }),
      close: () => {
        if (isClosed) return;
        isClosed = true;
        this.#open.delete(egress);
        for (const part of [egress, lent]) {
          try {
            part.close();
          } catch (error) {
            log.error({ group: caller.folder, turn: caller.turnId, error: describeError(error) }, "the end of a turn could not be audited");
          }
        }
      },
    };
  }

  /** At the start. Throws HostError SECRET_STORE_UNUSABLE, AUDIT_BROKEN: no turn could run. */
  check(): void {
    this.#secretNews.note();
    const { policy, secrets, log } = this.#o;
    const stored = new Set(secrets.list().map(({ name }) => name));
    const needed = [
      ...[...policy.routes.values()].map(({ name, secret }) => [`the route ${name}`, secret] as const),
      ...policy.leases.map(({ secret }) => ["a lease", secret] as const),
    ];
    for (const [by, secret] of needed) {
      if (!stored.has(secret)) log.warn({ secret }, `${by} needs a secret that is not stored; hermit secrets set ${secret} stores it`);
    }
  }

  /** What open connections were allowed by has changed: those that would not be allowed now break off. */
  recheck(): void {
    for (const door of this.#open) door.recheck();
  }
}
