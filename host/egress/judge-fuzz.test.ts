/** Random policies, turns and places, most of them near the edge of a special range, against a slow reading of the same rules with plain numbers. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { CLOSED_POLICY, type EgressCaller, type EgressRule, type Policy } from "../domain/policy.ts";
import { kindOf as kindOfAddress, parseAddress } from "./addresses.ts";
import { FUZZ_CASES, FUZZ_TIMEOUT_MS, ipv4Value, ipv6Value } from "./fuzz-harness.ts";
import { judge, judgeAddresses, type Standing } from "./judge.ts";
import { parseRule } from "./rules.ts";
import { parseTarget } from "./target.ts";

/** An address as a number. */
interface Place {
  readonly family: 4 | 6;
  readonly value: bigint;
}

const four = (text: string): Place => ({ family: 4, value: ipv4Value(text) });
const six = (text: string): Place => ({ family: 6, value: ipv6Value(text) ?? expect.unreachable(text) });
const at = (text: string): Place => (text.includes(":") ? six(text) : four(text));

/** From first to last, in the order in which they are asked; `shut`: no rule opens one. */
const KINDS = [
  ["metadata", "shut", "169.254.169.254", "169.254.169.254"],
  ["metadata", "shut", "169.254.170.2", "169.254.170.2"],
  ["metadata", "shut", "169.254.170.23", "169.254.170.23"],
  ["metadata", "shut", "100.100.100.200", "100.100.100.200"],
  ["metadata", "shut", "168.63.129.16", "168.63.129.16"],
  ["metadata", "shut", "192.0.0.192", "192.0.0.192"],
  ["metadata", "shut", "fd00:ec2::254", "fd00:ec2::254"],
  ["metadata", "shut", "fd00:ec2::23", "fd00:ec2::23"],
  ["metadata", "shut", "fd20:ce::254", "fd20:ce::254"],
  ["loopback", "open", "127.0.0.0", "127.255.255.255"],
  ["loopback", "open", "::1", "::1"],
  ["unspecified", "shut", "0.0.0.0", "0.255.255.255"],
  ["unspecified", "shut", "::", "::"],
  ["private", "open", "10.0.0.0", "10.255.255.255"],
  ["private", "open", "172.16.0.0", "172.31.255.255"],
  ["private", "open", "192.168.0.0", "192.168.255.255"],
  ["private", "open", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["private", "open", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["link-local", "open", "169.254.0.0", "169.254.255.255"],
  ["link-local", "open", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["shared", "open", "100.64.0.0", "100.127.255.255"],
  ["multicast", "shut", "224.0.0.0", "239.255.255.255"],
  ["multicast", "shut", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["broadcast", "shut", "255.255.255.255", "255.255.255.255"],
  ["documentation", "open", "192.0.2.0", "192.0.2.255"],
  ["documentation", "open", "198.51.100.0", "198.51.100.255"],
  ["documentation", "open", "203.0.113.0", "203.0.113.255"],
  ["documentation", "open", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["documentation", "open", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["benchmarking", "open", "198.18.0.0", "198.19.255.255"],
  ["benchmarking", "open", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"],
  ["public", "open", "64:ff9b::", "64:ff9b::ffff:ffff"],
  ["reserved", "open", "192.0.0.0", "192.0.0.255"],
  ["reserved", "open", "192.88.99.0", "192.88.99.255"],
  ["reserved", "open", "240.0.0.0", "255.255.255.255"],
  ["reserved", "open", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["reserved", "open", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["reserved", "open", "4000::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["reserved", "open", "fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
].map(([name = "", open, first = "", last = ""]) => ({ name, isShut: open === "shut", first: at(first), last: at(last) }));

const isBetween = ({ family, value }: Place, first: Place, last: Place): boolean =>
  family === first.family && first.value <= value && value <= last.value;

function carriedBy({ family, value }: Place): readonly bigint[] {
  if (family === 4 || value <= 1n) return [];
  const low = value & 0xffff_ffffn;
  const high = value >> 32n;
  if ([0n, 0xffff_0000n, 0x64_ff9b_0000_0000_0000_0000n].includes(high)) return [low];
  if (value >> 112n === 0x2002n) return [(value >> 80n) & 0xffff_ffffn];
  return value >> 96n === 0x2001_0000n ? [(value >> 64n) & 0xffff_ffffn, low ^ 0xffff_ffffn] : [];
}

function kindOf(place: Place): { readonly name: string; readonly isShut: boolean } {
  for (const value of carriedBy(place)) if (kindOf({ family: 4, value }).name !== "public") return { name: "carrier", isShut: true };
  return KINDS.find(({ first, last }) => isBetween(place, first, last)) ?? { name: "public", isShut: false };
}

type Host = { readonly name: string } | { readonly below: string } | { readonly first: Place; readonly last: Place };

interface WrittenRule {
  readonly text: string;
  readonly host: Host;
  readonly port: number;
}

/** IPv4 in IPv6 notation is IPv4, so a range in that notation holds nothing. */
function mayOpen(host: Host, place: Place): boolean {
  if (!("first" in host) || !isBetween(place, host.first, host.last)) return false;
  const { name, isShut } = kindOf(place);
  if (isShut || name === "public") return !isShut;
  return KINDS.some(
    (kind) => kind.name === name && isBetween(host.first, kind.first, kind.last) && isBetween(host.last, kind.first, kind.last),
  );
}

const PORTS = [80, 443, 8080];
const port = fc.constantFrom(...PORTS);
const label = fc.constantFrom("a", "b", "example", "org");
const name = fc.oneof(
  fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join(".")),
  fc.constantFrom("router", "localhost", "example"),
);
const domain = fc.array(label, { minLength: 2, maxLength: 3 }).map((labels) => labels.join("."));

const EDGES = KINDS.flatMap(({ first, last }) => [first, last]);
const within = ({ family, value }: Place): Place => ({ family, value: BigInt.asUintN(family === 4 ? 32 : 128, value) });
const nearEdge = fc
  .tuple(fc.constantFrom(...EDGES), fc.constantFrom(0n, 0n, 1n, -1n, 5n))
  .map(([{ family, value }, by]) => within({ family, value: value + by }));
const near4 = nearEdge.filter(({ family }) => family === 4);
const carrier = fc.tuple(near4, fc.integer({ min: 0, max: 5 })).map(([{ value }, way]): Place => {
  const forms = [
    value,
    (0xffff_0000n << 32n) + value,
    (0x64_ff9b_0000_0000_0000_0000n << 32n) + value,
    (0x2002n << 112n) + (value << 80n) + 1n,
  ];
  const teredo = [
    (0x2001_0000n << 96n) + (value << 64n) + 0xf7f7_f7f7n,
    (0x2001_0000n << 96n) + (0x0808_0808n << 64n) + (value ^ 0xffff_ffffn),
  ];
  return { family: 6, value: [...forms, ...teredo][way] ?? 0n };
});
/** 0xffff above 32 bits is IPv4 in IPv6 notation. */
const address = fc
  .oneof(
    { weight: 6, arbitrary: nearEdge },
    { weight: 2, arbitrary: carrier },
    { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value): Place => ({ family: 4, value })) },
    { weight: 1, arbitrary: fc.bigInt({ min: 2n ** 125n, max: 2n ** 126n - 1n }).map((value): Place => ({ family: 6, value })) },
  )
  .map((place): Place => (place.family === 6 && place.value >> 32n === 0xffffn ? { family: 4, value: place.value & 0xffff_ffffn } : place));

const dotted = (value: bigint): string => [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".");
const grouped = (value: bigint): string =>
  [112n, 96n, 80n, 64n, 48n, 32n, 16n, 0n].map((shift) => ((value >> shift) & 0xffffn).toString(16)).join(":");
const shown = ({ family, value }: Place): string => (family === 4 ? dotted(value) : `[${grouped(value)}]`);

const range = fc
  .tuple(address, fc.integer({ min: 0, max: 24 }), fc.boolean())
  .map(([{ family, value }, off, isAlone]): { text: string; host: Host } => {
    const bits = family === 4 ? 32 : 128;
    const prefix = isAlone ? bits : Math.max(1, family === 4 ? 24 - off : 128 - off * 5);
    const size = 2n ** BigInt(bits - prefix);
    const lowest = (value / size) * size;
    return {
      text: `${shown({ family, value: lowest })}${isAlone ? "" : `/${prefix}`}`,
      host: { first: { family, value: lowest }, last: { family, value: lowest + size - 1n } },
    };
  });
const writtenRule: fc.Arbitrary<WrittenRule> = fc
  .tuple(
    fc.oneof(
      name.map((each): { text: string; host: Host } => ({ text: each, host: { name: each } })),
      domain.map((each): { text: string; host: Host } => ({ text: `*.${each}`, host: { below: each } })),
      { weight: 2, arbitrary: range },
    ),
    port,
  )
  .map(([{ text, host }, number]) => ({ text: number === 443 ? text : `${text}:${number}`, host, port: number }));
const someRules = fc.array(writtenRule, { maxLength: 3 });

const asked = fc.tuple(
  fc.oneof(
    name.map((each) => ({ text: each, of: { name: each } as { name: string } | Place })),
    address.map((place) => ({ text: shown(place), of: place as { name: string } | Place })),
  ),
  port,
);

const NOW = 1_000_000;
const policies = fc.record({
  common: someRules,
  family: someRules,
  work: someRules,
  task: fc.option(someRules),
  overrides: fc.array(
    fc.record({
      folder: fc.constantFrom(null, "family", "work"),
      rule: writtenRule,
      createdAt: fc.constantFrom(undefined, NOW - 1, NOW, NOW + 1),
      until: fc.constantFrom(NOW - 1, NOW, NOW + 1),
    }),
    { maxLength: 2 },
  ),
});
type Written = typeof policies extends fc.Arbitrary<infer T> ? T : never;

/** Of one policy, because making one takes longer than asking it. */
const CASES_PER_POLICY = 10;
const cases = fc.array(
  fc.record({
    caller: fc.record({
      folder: fc.constantFrom("family", "work", "other"),
      turnId: fc.constant(1),
      taskId: fc.constantFrom(null, "task-1", "task-2"),
    }),
    asked,
    leads: fc.array(address, { maxLength: 3 }),
    isMapped: fc.boolean(),
    /** Which of them is of this machine. */
    own: fc.constantFrom(-1, -1, -1, 0),
  }),
  { minLength: CASES_PER_POLICY, maxLength: CASES_PER_POLICY },
);
type Case = typeof cases extends fc.Arbitrary<(infer T)[]> ? T : never;

/** Refused ones are left out, as no policy file with one would be used: they open nothing the reference opens. */
function parsed(rules: readonly WrittenRule[]): EgressRule[] {
  return rules.flatMap(({ text }) => {
    const read = parseRule(text);
    return "rule" in read ? [read.rule] : [];
  });
}

function standingOf({ common, family, work, task, overrides }: Written): Standing {
  const tasks = new Map(task === null ? [] : [["task-1", parsed(task)] as const]);
  const groups = new Map([
    ["family", parsed(family)],
    ["work", parsed(work)],
  ]);
  const policy: Policy = { ...CLOSED_POLICY, egress: { common: parsed(common), groups, tasks } };
  return {
    policy,
    overrides: overrides.map(({ folder, rule, createdAt, until }) => ({
      ...{ folder, rule: rule.text, until },
      ...(createdAt === undefined ? {} : { createdAt }),
    })),
    now: NOW,
  };
}

function inForce({ common, family, work, task, overrides }: Written, caller: EgressCaller): readonly WrittenRule[] {
  const own: WrittenRule[] = [];
  if (caller.taskId === "task-1" && task !== null) return task;
  own.push(...common);
  if (caller.folder === "family") own.push(...family);
  if (caller.folder === "work") own.push(...work);
  for (const { folder, rule, createdAt = 0, until } of overrides) {
    if (createdAt <= NOW && NOW < until && (folder === null || folder === caller.folder)) own.push(rule);
  }
  return own;
}

function mayAsk(rules: readonly WrittenRule[], { asked: [{ of }, number] }: Case): boolean {
  // The sandbox itself, whatever a rule says.
  if ("name" in of && of.name === "localhost") return false;
  return rules.some(({ host, port: at }) => {
    if (at !== number) return false;
    if (!("name" in of)) return mayOpen(host, of);
    if ("name" in host) return host.name === of.name;
    return "below" in host && of.name.split(".").length > host.below.split(".").length && of.name.endsWith(`.${host.below}`);
  });
}

function mayReach(rules: readonly WrittenRule[], { asked: [{ of }, number], leads, own }: Case): boolean {
  const ownPlace = leads[own];
  const isOwn = (place: Place): boolean =>
    ownPlace !== undefined &&
    ((place.family === ownPlace.family && place.value === ownPlace.value) ||
      (ownPlace.family === 4 && carriedBy(place).includes(ownPlace.value)));
  const opened = rules.filter(({ port: at }) => at === number);
  return (
    leads.length > 0 &&
    leads.every((place) => {
      if (!("name" in of) && (of.family !== place.family || of.value !== place.value)) return false;
      return (kindOf(place).name === "public" && !isOwn(place)) || opened.some(({ host }) => mayOpen(host, place));
    })
  );
}

function asText({ family, value }: Place, isMapped: boolean): string {
  if (family === 6) return grouped(value);
  return isMapped ? `::ffff:${dotted(value)}` : dotted(value);
}

test("a turn reaches what a patient reader of the policy would let it reach, and nothing else", { timeout: FUZZ_TIMEOUT_MS }, () => {
  const allowed = { asked: 0, reached: 0 };
  fc.assert(
    fc.property(policies, cases, (written, each) => {
      const standing = standingOf(written);
      for (const one of each) {
        const {
          caller,
          asked: [{ text }, number],
          leads,
          isMapped,
          own,
        } = one;
        const ownPlace = leads[own];
        const ownText = ownPlace === undefined ? undefined : parseAddress(asText(ownPlace, isMapped))?.text;
        const rules = inForce(written, caller);
        const target = parseTarget(`${text}:${number}`, "tunnel");
        const verdict = judge(standing, caller, target);
        const later = judgeAddresses(
          standing,
          caller,
          target,
          leads.map((place) => asText(place, isMapped)),
          (text) => text === ownText,
        );
        if (verdict.allowed !== mayAsk(rules, one)) throw new Error(`${text}:${number} is ${verdict.allowed ? "allowed" : "refused"}`);
        if (later.allowed !== mayReach(rules, one))
          throw new Error(`what ${text}:${number} leads to is ${later.allowed ? "allowed" : "refused"}`);
        if (verdict.allowed) allowed.asked++;
        if (later.allowed) allowed.reached++;
      }
    }),
    { numRuns: FUZZ_CASES / CASES_PER_POLICY },
  );
  for (const count of Object.values(allowed)) expect(count).toBeGreaterThan(FUZZ_CASES / 200);
});

test("every address is of the kind that plain numbers say", { timeout: FUZZ_TIMEOUT_MS }, () => {
  fc.assert(
    fc.property(address, fc.boolean(), (place, isMapped) => {
      const parsedAddress = parseAddress(asText(place, isMapped)) ?? expect.unreachable("no address");
      const [{ name: told, isOpenable }, { name: expected, isShut }] = [kindOfAddress(parsedAddress), kindOf(place)];
      if (told !== expected || isOpenable === isShut) throw new Error(`${parsedAddress.text} is told to be ${told}, and is ${expected}`);
    }),
    { numRuns: FUZZ_CASES },
  );
});
