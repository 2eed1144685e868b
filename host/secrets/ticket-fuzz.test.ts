import fc from "fast-check";
import { expect, test } from "vitest";
import type { LeaseGrant } from "../domain/policy.ts";
import { LendingHousehold, RUNNERS_KEY, redeem, ticketOf, WEAK_KEY } from "./leases-harness.ts";
import type { TurnLeases } from "./leases.ts";

const CASES = Number(process.env["HERMIT_FUZZ_CASES"] ?? 100_000);
const FOLDERS = ["fam", "work", "fam"] as const;
const SECRETS = ["github-token", "npm-token"] as const;
const GRANTS: readonly LeaseGrant[] = [
  { secret: "github-token", env: "A", groups: "all", ttlMs: 10 },
  { secret: "npm-token", env: "B", groups: ["fam"], ttlMs: 25 },
];

/** Who may have what, kept as simply as it can be. */
class Books {
  readonly #issued = new Map<string, { secret: string; turn: number; untilRunning: number; untilWall: number; isSpent: boolean }>();
  readonly #closed = new Set<number>();
  readonly #failures = new Map<number, number>();
  readonly stored = new Map<string, string>();
  /** A clock that nobody sets, and one that somebody does. */
  running = 0;
  wall = 0;

  get tickets(): string[] {
    return [...this.#issued.keys()];
  }

  due(folder: string): readonly LeaseGrant[] {
    return GRANTS.filter(({ secret, groups }) => this.stored.has(secret) && (groups === "all" || groups.includes(folder)));
  }

  issue(turn: number, ticket: string, { secret, ttlMs }: LeaseGrant): void {
    this.#issued.set(ticket, { secret, turn, untilRunning: this.running + ttlMs, untilWall: this.wall + ttlMs, isSpent: false });
  }

  close(turn: number): void {
    this.#closed.add(turn);
  }

  isUsed(turn: number): boolean {
    return [...this.#issued.values()].some((one) => one.turn === turn && one.isSpent);
  }

  /** Undefined: refused. */
  redeem(turn: number, ticket: string, isWeak: boolean): string | undefined {
    const one = this.#issued.get(ticket);
    const failures = this.#failures.get(turn) ?? 0;
    const isInTime = one !== undefined && this.running < one.untilRunning && this.wall < one.untilWall;
    const isGood = isInTime && one.turn === turn && !one.isSpent && !this.#closed.has(turn) && failures < 8 && !isWeak;
    const value = isGood ? this.stored.get(one.secret) : undefined;
    if (one !== undefined && value !== undefined) one.isSpent = true;
    else this.#failures.set(turn, failures + 1);
    return value;
  }
}

type Step =
  | { readonly do: "open"; readonly at: number }
  | { readonly do: "redeem"; readonly turn: number; readonly ticket: number; readonly bit: number; readonly isWeak: boolean }
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "jump"; readonly ms: number }
  | { readonly do: "close"; readonly turn: number }
  | { readonly do: "store"; readonly secret: number; readonly value: number };

const small = fc.nat({ max: 7 });
const redeemStep = fc.record({
  do: fc.constant("redeem" as const),
  turn: small,
  ticket: fc.nat({ max: 9 }),
  // Mostly as issued; else with one bit of it turned.
  bit: fc.oneof({ weight: 9, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat({ max: 255 }) }),
  isWeak: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("open" as const), at: fc.nat({ max: FOLDERS.length - 1 }) }) },
  { weight: 12, arbitrary: redeemStep },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat({ max: 12 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("jump" as const), ms: fc.integer({ min: -20, max: 20 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("close" as const), turn: small }) },
  // 0: it is removed.
  { weight: 1, arbitrary: fc.record({ do: fc.constant("store" as const), secret: fc.nat({ max: 1 }), value: fc.nat({ max: 2 }) }) },
);

function turnedAround(ticket: string, bit: number): string {
  if (bit < 0) return ticket;
  const bytes = Buffer.from(ticket, "base64");
  bytes.writeUInt8((bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7)), bit >> 3);
  return bytes.toString("base64");
}

/** Plays the steps at the desk and in the books; throws where the two answer differently. Returns its answers. */
function play(steps: readonly Step[]): readonly ("given" | "refused")[] {
  const household = new LendingHousehold(GRANTS);
  const books = new Books();
  const turns: TurnLeases[] = [];
  const answers: ("given" | "refused")[] = [];
  const store = (name: string, value: number): void => {
    if (value === 0) {
      household.secrets.remove(name);
      books.stored.delete(name);
    } else {
      household.secrets.set(name, `${name}-${value}`);
      books.stored.set(name, `${name}-${value}`);
    }
  };
  for (const name of SECRETS) store(name, 1);
  for (const one of steps) {
    const at = "turn" in one ? one.turn % Math.max(1, turns.length) : 0;
    const turn = turns[at];
    if (one.do === "open") {
      const folder = FOLDERS[one.at] ?? "";
      const opened = household.open(folder);
      const due = books.due(folder);
      if (opened.leases.map(({ name }) => name).join() !== due.map(({ secret }) => secret).join())
        throw new Error("lent to the wrong group");
      for (const [nth, grant] of due.entries()) books.issue(turns.length, ticketOf(opened, nth), grant);
      turns.push(opened);
    } else if (one.do === "redeem" && turn !== undefined) {
      const { tickets } = books;
      const ticket = turnedAround(tickets[one.ticket % Math.max(1, tickets.length)] ?? RUNNERS_KEY, one.bit);
      const right = books.redeem(at, ticket, one.isWeak) ?? "LEASE_REFUSED";
      const answer = redeem(turn, ticket, one.isWeak ? WEAK_KEY : RUNNERS_KEY);
      if (answer !== right) throw new Error(`turn ${at}, ticket ${ticket}: ${answer} instead of ${right}`);
      if (turn.used !== books.isUsed(at)) throw new Error(`turn ${at}: used is ${turn.used}`);
      answers.push(answer === "LEASE_REFUSED" ? "refused" : "given");
    } else if (one.do === "advance") {
      household.clock.advance(one.ms);
      books.running += one.ms;
      books.wall += one.ms;
    } else if (one.do === "jump") {
      household.clock.jump(one.ms);
      books.wall += one.ms;
    } else if (one.do === "close" && turn !== undefined) {
      turn.close();
      books.close(at);
    } else if (one.do === "store") store(SECRETS[one.secret] ?? "", one.value);
  }
  return answers;
}

test(`${CASES.toLocaleString("en")} redemptions over several turns are answered as the simplest books would`, () => {
  const counts = { given: 0, refused: 0 };
  const steps = fc.array(step, { minLength: 20, maxLength: 60, size: "max" });
  while (counts.given + counts.refused < CASES) {
    fc.assert(
      fc.property(steps, (sequence) => {
        for (const answer of play(sequence)) counts[answer]++;
      }),
      { numRuns: 200 },
    );
  }
  // Both answers are met often, or nothing was tried.
  expect(counts.given).toBeGreaterThan(CASES / 50);
  expect(counts.refused).toBeGreaterThan(CASES / 2);
}, 600_000);
