import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { Redeem, SealedSecret } from "../../contracts/wire/secrets.ts";
import { TurnStart } from "../../contracts/wire/turn.ts";
import { isHostError } from "../domain/errors.ts";
import type { LeaseGrant } from "../domain/policy.ts";
import { LendingHousehold, RUNNERS_KEY, redeem, ticketOf, TTL_MS, WEAK_KEY } from "./leases-harness.ts";

const BOTH: readonly LeaseGrant[] = [
  { secret: "github-token", env: "GITHUB_TOKEN", groups: ["fam"], ttlMs: TTL_MS },
  { secret: "npm-token", env: "NPM_TOKEN", groups: "all", ttlMs: 2 * TTL_MS },
];

describe("what a turn is lent", () => {
  test("is what its group is granted, a ticket each, of which none tells anything", () => {
    const household = new LendingHousehold(BOTH);
    const [fam, work] = [household.open("fam"), household.open("work")];
    expect(fam.leases.map(({ name, env }) => [name, env])).toEqual([
      ["github-token", "GITHUB_TOKEN"],
      ["npm-token", "NPM_TOKEN"],
    ]);
    expect(work.leases.map(({ name }) => name)).toEqual(["npm-token"]);
    expect(TurnStart.shape.leases.parse(fam.leases)).toEqual(fam.leases);
    expect(JSON.stringify(fam.leases)).not.toContain("the token");
    expect(new Set([...fam.leases, ...work.leases].map(({ ticket }) => ticket)).size).toBe(3);
    expect(household.told).toEqual([
      "noted github-token: lent to this turn as GITHUB_TOKEN",
      "noted npm-token: lent to this turn as NPM_TOKEN",
      "noted npm-token: lent to this turn as NPM_TOKEN",
    ]);
  });

  test("is nothing where nothing is granted: the store is not even looked at", () => {
    const household = new LendingHousehold();
    household.secrets.isBroken = true;
    const turn = household.open("work");
    expect([turn.leases, turn.used, household.audit.entries, household.clock.armed]).toEqual([[], false, [], 0]);
    expect(redeem(turn, RUNNERS_KEY)).toBe("LEASE_REFUSED");
  });

  test("leaves out a secret that is not stored, and the owner can read how to store it", () => {
    const household = new LendingHousehold(BOTH);
    household.secrets.remove("github-token");
    expect(household.open().leases.map(({ name }) => name)).toEqual(["npm-token"]);
    expect(household.told[0]).toBe(
      "denied github-token: no such secret is stored: the turn goes on without GITHUB_TOKEN; `hermit secrets set github-token` stores it",
    );
  });

  test("is refused as a whole while the store cannot be read, and while nothing can be recorded", () => {
    const household = new LendingHousehold();
    household.secrets.isBroken = true;
    expect(() => household.open()).toThrow(expect.objectContaining({ code: "SECRET_STORE_UNUSABLE" }));
    household.secrets.isBroken = false;
    household.audit.isBroken = true;
    expect(() => household.open()).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
    expect(household.clock.armed).toBe(0);
  });
});

describe("a ticket", () => {
  test("is good once, and the sandbox that had the secret is known by it", () => {
    const household = new LendingHousehold();
    const turn = household.open();
    expect(turn.used).toBe(false);
    expect(redeem(turn, ticketOf(turn))).toBe("the token");
    expect(turn.used).toBe(true);
    expect(redeem(turn, ticketOf(turn))).toBe("LEASE_REFUSED");
    expect(household.told.slice(1)).toEqual([
      "allowed github-token: given to the sandbox as GITHUB_TOKEN",
      "denied github-token: the ticket was used before",
    ]);
    expect(household.audit.entries.map(({ kind, group, turn: id }) => [kind, group, id])).toEqual(Array(3).fill(["lease", "fam", 1]));
  });

  test("redeemed at another turn's desk is refused like one that nobody issued, and stays good at its own", () => {
    const household = new LendingHousehold();
    const [mine, theirs] = [household.open(), household.open()];
    const answers = [ticketOf(mine), randomBytes(32).toString("base64"), ""].map((ticket) => {
      try {
        return theirs.redeem({ ticket, publicKey: RUNNERS_KEY });
      } catch (error) {
        return isHostError(error) ? [error.code, error.message, error.hint] : error;
      }
    });
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
    expect(household.told.at(-1)).toBe("denied a ticket: it was never issued to this turn");
    expect(redeem(mine, ticketOf(mine))).toBe("the token");
  });

  test("one bit off is refused", () => {
    const household = new LendingHousehold();
    for (let bit = 0; bit < 256; bit++) {
      const turn = household.open();
      const ticket = Buffer.from(ticketOf(turn), "base64");
      ticket.writeUInt8((ticket[bit >> 3] ?? 0) ^ (1 << (bit & 7)), bit >> 3);
      expect(redeem(turn, ticket.toString("base64"))).toBe("LEASE_REFUSED");
    }
  });

  test("ends with its time, to the millisecond, and says so to the sandbox before", () => {
    const household = new LendingHousehold(BOTH);
    const start = household.clock.now();
    const turn = household.open();
    household.clock.advance(TTL_MS - 1);
    const first = turn.redeem({ ticket: ticketOf(turn), publicKey: RUNNERS_KEY });
    expect(first.expiresAt).toBe(start + TTL_MS);
    household.clock.advance(TTL_MS + 1);
    expect(redeem(turn, ticketOf(turn, 1))).toBe("LEASE_REFUSED");
    expect(household.told.at(-1)).toBe("denied npm-token: the lease had ended");
  });

  test.each([
    ["back, which does not stretch it", -3_600_000],
    ["ahead, which ends it", 3_600_000],
  ])("is not outwitted by a wall clock that is set %s", (_where, ms) => {
    const household = new LendingHousehold();
    const turn = household.open();
    household.clock.jump(ms);
    if (ms < 0) household.clock.advance(TTL_MS);
    expect(redeem(turn, ticketOf(turn))).toBe("LEASE_REFUSED");
  });

  test("ends with its turn, and no timer is left", () => {
    const household = new LendingHousehold(BOTH);
    const turn = household.open();
    expect(redeem(turn, ticketOf(turn))).toBe("the token");
    const tickets = turn.leases.map(({ ticket }) => ticket);
    turn.close();
    turn.close();
    expect(household.clock.armed).toBe(0);
    expect(household.told.slice(3)).toEqual([
      "noted github-token: the lease has ended; it was used",
      "noted npm-token: the lease has ended; nobody used it",
    ]);
    for (const ticket of [...tickets, Buffer.alloc(32).toString("base64")]) expect(redeem(turn, ticket)).toBe("LEASE_REFUSED");
    expect(household.told.at(-1)).toBe("denied a ticket: the turn is over");
    expect(turn.used).toBe(true);
  });

  test("brings what is stored when it is redeemed, and nothing when that was removed or cannot be read", () => {
    const household = new LendingHousehold();
    const [changed, removed, unreadable] = [household.open(), household.open(), household.open()];
    household.secrets.set("github-token", "changed");
    expect(redeem(changed, ticketOf(changed))).toBe("changed");
    household.secrets.isBroken = true;
    expect(redeem(unreadable, ticketOf(unreadable))).toBe("LEASE_REFUSED");
    household.secrets.isBroken = false;
    household.secrets.remove("github-token");
    expect(redeem(removed, ticketOf(removed))).toBe("LEASE_REFUSED");
    expect(household.told.slice(-2)).toEqual([
      "denied github-token: The store of secrets was broken.",
      "denied github-token: it is not stored any more",
    ]);
  });

  test("shown with a weak key is refused and stays good", () => {
    const household = new LendingHousehold();
    const turn = household.open();
    expect(redeem(turn, ticketOf(turn), WEAK_KEY)).toBe("LEASE_REFUSED");
    expect(turn.used).toBe(false);
    expect(redeem(turn, ticketOf(turn))).toBe("the token");
  });

  test("that cannot be recorded gives nothing, and is spent", () => {
    const household = new LendingHousehold();
    const turn = household.open();
    household.audit.isBroken = true;
    expect(redeem(turn, ticketOf(turn))).toBe("AUDIT_BROKEN");
    expect(turn.used).toBe(false);
    household.audit.isBroken = false;
    expect(redeem(turn, ticketOf(turn))).toBe("LEASE_REFUSED");
  });
});

test("who guesses is refused for good after eight tries, and fills no log", () => {
  const household = new LendingHousehold();
  const [turn, other] = [household.open(), household.open()];
  for (let n = 0; n < 8; n++) expect(redeem(turn, randomBytes(32).toString("base64"))).toBe("LEASE_REFUSED");
  const recorded = household.audit.entries.length;
  for (let n = 0; n < 1_000; n++) expect(redeem(turn, ticketOf(turn))).toBe("LEASE_REFUSED");
  expect(household.audit.entries).toHaveLength(recorded);
  expect(household.told.at(-1)).toBe("denied a ticket: it was never issued to this turn; that was the last try of this turn");
  expect(redeem(other, ticketOf(other))).toBe("the token");
  turn.close();
  expect(household.audit.entries.at(-1)).toMatchObject({ decision: "denied", subject: "a ticket", times: 1_000 });
});

test("nothing that is recorded holds a ticket or a value", () => {
  const household = new LendingHousehold(BOTH);
  const turn = household.open();
  redeem(turn, ticketOf(turn));
  redeem(turn, ticketOf(turn));
  turn.close();
  const told = JSON.stringify(household.audit.entries);
  for (const word of ["the token", "the other", ...turn.leases.map(({ ticket }) => ticket)]) expect(told).not.toContain(word);
});

test("what goes over the wire is of its form", () => {
  const household = new LendingHousehold(undefined, () => ({
    sealed: "AAAA",
    nonce: randomBytes(24).toString("base64"),
    publicKey: randomBytes(32).toString("base64"),
  }));
  const turn = household.open();
  const request = Redeem.parse({ ticket: ticketOf(turn), publicKey: RUNNERS_KEY });
  expect(SealedSecret.safeParse(turn.redeem(request)).success).toBe(true);
});
