/** A household that lends secrets, its audit log in memory, and a runner's way of asking. */
import type { Redeem } from "../../contracts/wire/secrets.ts";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import { MemorySecrets } from "../adapters/memory/memory-secrets.ts";
import { HostError, isHostError } from "../domain/errors.ts";
import type { LeaseGrant } from "../domain/policy.ts";
import type { SealLease } from "./lease-seal.ts";
import { createLeaseDesk, type LeaseDesk, type TurnLeases } from "./leases.ts";

/** Seals nothing and costs nothing. A key of zeros is as weak as it gets. */
const openSeal: SealLease = (value, publicKey) => {
  if (publicKey.every((byte) => byte === 0)) throw new HostError("LEASE_REFUSED", "weak");
  return { sealed: Buffer.from(value).toString("base64"), nonce: "", publicKey: "" };
};

export const TTL_MS = 60_000;
export const RUNNERS_KEY = Buffer.alloc(32, 1).toString("base64");
export const WEAK_KEY = Buffer.alloc(32).toString("base64");

export class LendingHousehold {
  readonly clock = new FakeClock();
  readonly audit = new MemoryAudit();
  readonly secrets = new MemorySecrets({ "github-token": "the token", "npm-token": "the other" });
  readonly desk: LeaseDesk;
  #turns = 0;
  #tickets = 0;

  constructor(
    grants: readonly LeaseGrant[] = [{ secret: "github-token", env: "GITHUB_TOKEN", groups: ["fam"], ttlMs: TTL_MS }],
    seal: SealLease = openSeal,
  ) {
    this.desk = createLeaseDesk({
      grants,
      secrets: this.secrets,
      audit: this.audit,
      clock: this.clock,
      random: (bytes) => {
        const ticket = Buffer.alloc(bytes);
        ticket.writeUInt32BE(++this.#tickets);
        return ticket;
      },
      seal,
    });
  }

  /** What was recorded, as `decision subject: reason`, oldest first. */
  get told(): string[] {
    return this.audit.entries.map(({ decision, subject, reason }) => `${decision} ${subject}: ${reason}`);
  }

  open(folder = "fam"): TurnLeases {
    return this.desk.open({ folder, turnId: ++this.#turns, taskId: null });
  }
}

/** The value, or the code of the refusal. */
export function redeem(turn: TurnLeases, ticket: string | undefined, publicKey: Redeem["publicKey"] = RUNNERS_KEY): string {
  try {
    return Buffer.from(turn.redeem({ ticket: ticket ?? "", publicKey }).sealed, "base64").toString();
  } catch (error) {
    if (isHostError(error)) return error.code;
    throw error;
  }
}

export const ticketOf = (turn: TurnLeases, nth = 0): string => turn.leases[nth]?.ticket ?? "";
