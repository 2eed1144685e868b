import { describe, expect, test } from "vitest";
import { CLOSED_POLICY, type EgressCaller, type EgressRule, type Policy, type Route } from "../domain/policy.ts";
import { judge, judgeAddresses, judgeUpstream, type Standing } from "./judge.ts";
import { judgeByPolicy } from "./judge-by-policy.ts";
import { parseRule } from "./rules.ts";
import { parseTarget } from "./target.ts";

const NOW = Date.parse("2026-05-04T09:00:00Z");
const HOUR = 60 * 60 * 1000;
const FAMILY: EgressCaller = { folder: "family", turnId: 7, taskId: null };
const WORK: EgressCaller = { folder: "work", turnId: 8, taskId: null };
const NIGHTLY: EgressCaller = { folder: "family", turnId: 9, taskId: "task-1" };

const rules = (...texts: string[]): EgressRule[] =>
  texts.map((text) => {
    const parsed = parseRule(text);
    return "rule" in parsed ? parsed.rule : expect.unreachable(parsed.fault);
  });

const POLICY: Policy = {
  ...CLOSED_POLICY,
  egress: {
    common: rules("api.example.org", "10.0.0.0/8:8080"),
    groups: new Map([["family", rules("weather.example.org", "router:80", "192.168.1.1:80")]]),
    tasks: new Map([["task-1", rules("nightly.example.org")]]),
  },
};

function standing(overrides: Standing["overrides"] = [], now = NOW): Standing {
  return { policy: POLICY, overrides, now };
}

const ask = (caller: EgressCaller, authority: string, at = standing()) => judge(at, caller, parseTarget(authority, "plain"));
/** Public, and this machine's. */
const OWN = "203.0.114.7";
const isOwn = (address: string): boolean => address === OWN;
const isAllowed = (...asked: Parameters<typeof ask>): boolean => ask(...asked).allowed;
const reason = (verdict: ReturnType<typeof judge>): string => (verdict.allowed ? expect.unreachable("it was allowed") : verdict.reason);

describe("before anything is looked up", () => {
  test("a turn has the rules of all and of its group, and no others", () => {
    expect([isAllowed(FAMILY, "api.example.org:443"), isAllowed(FAMILY, "weather.example.org:443")]).toEqual([true, true]);
    expect([isAllowed(WORK, "api.example.org:443"), isAllowed(WORK, "weather.example.org:443")]).toEqual([true, false]);
  });

  test("a task's own list stands in place of both", () => {
    expect([isAllowed(NIGHTLY, "nightly.example.org:443"), isAllowed(FAMILY, "nightly.example.org:443")]).toEqual([true, false]);
    expect([isAllowed(NIGHTLY, "api.example.org:443"), isAllowed(NIGHTLY, "weather.example.org:443")]).toEqual([false, false]);
    expect(isAllowed({ ...NIGHTLY, taskId: "task-2" }, "weather.example.org:443")).toBe(true);
    expect(reason(ask(NIGHTLY, "api.example.org:443"))).toContain(
      'is not on the list of the task task-1, which alone decides for it; the owner can add it to [tasks."task-1".egress] in policy.toml.',
    );
  });

  test("without a policy nothing is allowed", () => {
    expect(isAllowed(FAMILY, "api.example.org:443", { policy: CLOSED_POLICY, overrides: [], now: NOW })).toBe(false);
  });

  test("what is allowed says by which rule, as the owner wrote it", () => {
    expect(ask(FAMILY, "10.1.2.3:8080")).toEqual({ allowed: true, rule: "10.0.0.0/8:8080" });
  });

  test("what is refused says what the owner can add, and where", () => {
    expect(reason(ask(FAMILY, "example.org:443"))).toBe(
      "example.org:443 is not on the allowlist of family; the owner can add it to policy.toml, or for a while with `hermit egress allow example.org --for 1h --group family`.",
    );
    expect(reason(ask(FAMILY, "example.org:8443"))).toContain("`hermit egress allow example.org:8443 --for 1h --group family`");
    expect(reason(ask(FAMILY, "[fd00::1]:443"))).toContain("[fd00::1]:443 is a private address");
    expect(reason(ask(FAMILY, "[fd00::1]:443"))).toContain("`hermit egress allow '[fd00::1]:443' --for 1h --group family`");
  });

  test("nobody is told to add what no rule opens", () => {
    for (const authority of ["169.254.169.254:80", "0.0.0.0:80", "[64:ff9b::7f00:1]:80"]) {
      expect(reason(ask(FAMILY, authority))).toMatch(/which no rule opens\.$/);
    }
  });

  test("a name without a dot needs a rule with that very name", () => {
    expect([isAllowed(FAMILY, "router:80"), isAllowed(WORK, "router:80")]).toEqual([true, false]);
    expect(reason(ask(WORK, "router:80"))).toContain("a name of the local network");
  });

  test("a name that is the sandbox itself is not outside, and nobody is told to add it", () => {
    for (const host of ["localhost", "a.localhost", "host"]) {
      expect(reason(ask(FAMILY, `${host}:80`))).toMatch(/is not outside\. .*(127\.0\.0\.1:8080|in another way)/);
    }
  });

  test("an injection route is no place to tunnel to", () => {
    expect(reason(ask(FAMILY, "github.door:443"))).toContain("plain HTTP on port 80: http://github.door/");
  });
});

describe("rules for a while", () => {
  const forFamily = { folder: "family", rule: "example.org", until: NOW + HOUR };

  test("count for their group, or for all, until their time is over", () => {
    expect(isAllowed(FAMILY, "example.org:443", standing([forFamily]))).toBe(true);
    expect(isAllowed(WORK, "example.org:443", standing([forFamily]))).toBe(false);
    expect(isAllowed(WORK, "example.org:443", standing([{ ...forFamily, folder: null }]))).toBe(true);
    expect(isAllowed(FAMILY, "example.org:443", standing([forFamily], NOW + HOUR - 1))).toBe(true);
    expect(isAllowed(FAMILY, "example.org:443", standing([forFamily], NOW + HOUR))).toBe(false);
  });

  test("stand beside a task's own list as well: the owner gave them by hand", () => {
    expect(isAllowed(FAMILY, "example.org:443", standing([forFamily], NOW + HOUR))).toBe(false);
  });

  test("do not widen a task's own list, and are no part of what is said about it", () => {
    expect(isAllowed(NIGHTLY, "example.org:443", standing([forFamily]))).toBe(false);
    expect(isAllowed(NIGHTLY, "example.org:443", standing([{ ...forFamily, folder: null }]))).toBe(false);
    expect(isAllowed({ ...NIGHTLY, taskId: "task-2" }, "example.org:443", standing([forFamily]))).toBe(true);
    expect(reason(ask(NIGHTLY, "example.org:443", standing([forFamily], NOW + HOUR)))).not.toMatch(/expired|hermit egress allow/);
  });

  test("do not count before they were given, as by a clock that was set back", () => {
    const given = { ...forFamily, createdAt: NOW };
    expect(isAllowed(FAMILY, "example.org:443", standing([given], NOW))).toBe(true);
    expect(isAllowed(FAMILY, "example.org:443", standing([given], NOW - 1))).toBe(false);
    expect(reason(ask(FAMILY, "example.org:443", standing([given], NOW - 1)))).not.toContain("expired");
  });

  test("say until when", () => {
    expect(ask(FAMILY, "example.org:443", standing([forFamily]))).toEqual({
      allowed: true,
      rule: "example.org until 2026-05-04T10:00:00.000Z",
    });
  });

  test("that have expired are named in the refusal, the latest of them", () => {
    const over = standing([forFamily, { ...forFamily, until: NOW + 2 * HOUR }], NOW + 3 * HOUR);
    expect(reason(ask(FAMILY, "example.org:443", over))).toContain(
      "any more, the rule for a while expired at 2026-05-04T11:00:00.000Z; the owner can",
    );
    expect(reason(ask(WORK, "example.org:443", over))).not.toContain("expired");
    expect(reason(ask(FAMILY, "other.example.org:443", over))).not.toContain("expired");
  });

  test("that are no rules allow nothing", () => {
    const odd = ["*", "", "0.0.0.0/0", "169.254.169.254:80"].map((rule) => ({ ...forFamily, rule }));
    expect([isAllowed(FAMILY, "example.org:443", standing(odd)), isAllowed(FAMILY, "169.254.169.254:80", standing(odd))]).toEqual([
      false,
      false,
    ]);
  });

  test("expire while a turn runs: the clock is asked each time", () => {
    let now = NOW;
    const door = judgeByPolicy(() => standing([forFamily], now), FAMILY);
    const target = door.parse("example.org:443", "tunnel");
    expect(door.judge(target).allowed).toBe(true);
    now += HOUR;
    expect(door.judge(target).allowed).toBe(false);
  });
});

describe("where a name leads", () => {
  const lead = (authority: string, ...addresses: string[]) =>
    judgeAddresses(standing(), FAMILY, parseTarget(authority, "tunnel"), addresses, isOwn);

  test("public addresses pass", () => {
    expect(lead("api.example.org:443", "93.184.216.34", "2606:4700::1111")).toEqual({ allowed: true, rule: "a public address" });
  });

  test.each([
    "127.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "10.0.0.1",
    "192.168.1.2",
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "0.0.0.0",
    "100.64.0.1",
    "64:ff9b::a00:1",
    "",
    "x",
  ])("%j does not, though the name is allowed", (address) => {
    expect(lead("api.example.org:443", address).allowed).toBe(false);
  });

  test("one refused address refuses all, wherever it stands", () => {
    expect(lead("api.example.org:443", "93.184.216.34", "127.0.0.1").allowed).toBe(false);
    expect(lead("api.example.org:443", "127.0.0.1", "93.184.216.34").allowed).toBe(false);
    expect(lead("api.example.org:443").allowed).toBe(false);
  });

  test("an address of the network passes by a rule about it and the very port asked for", () => {
    expect(lead("router:80", "192.168.1.1")).toEqual({ allowed: true, rule: "192.168.1.1:80" });
    expect(lead("router:80", "192.168.1.2").allowed).toBe(false);
    expect(lead("router:81", "192.168.1.1").allowed).toBe(false);
    expect(lead("api.example.org:8080", "10.9.9.9", "93.184.216.34")).toEqual({ allowed: true, rule: "10.0.0.0/8:8080, a public address" });
  });

  test("a refusal says where it leads and what would open that", () => {
    expect(reason(lead("api.example.org:443", "10.0.0.1"))).toBe(
      "api.example.org leads to 10.0.0.1, a private address; 10.0.0.1:443 is not on the allowlist of family; the owner can add it to policy.toml, or for a while with `hermit egress allow 10.0.0.1 --for 1h --group family`.",
    );
    expect(reason(lead("api.example.org:443", "169.254.169.254"))).toBe(
      "api.example.org leads to 169.254.169.254, a metadata address, which no rule opens.",
    );
  });

  test("a public address of this machine or its network is treated like any other of the machine", () => {
    expect(reason(lead("api.example.org:443", OWN))).toBe(
      `api.example.org leads to ${OWN}, a public address of this machine or its network; ${OWN}:443 is not on the allowlist of family; the owner can add it to policy.toml, or for a while with \`hermit egress allow ${OWN} --for 1h --group family\`.`,
    );
    expect(lead("api.example.org:443", "93.184.216.34", OWN).allowed).toBe(false);
    for (const carrier of ["64:ff9b::cb00:7207", "2002:cb00:7207::1", "::ffff:203.0.114.7"]) {
      expect(lead("api.example.org:443", carrier).allowed).toBe(false);
    }
    const opened = {
      policy: { ...POLICY, egress: { ...POLICY.egress, common: rules("api.example.org", `${OWN}:443`) } },
      overrides: [],
      now: NOW,
    };
    const target = parseTarget("api.example.org:443", "tunnel");
    expect(judgeAddresses(opened, FAMILY, target, [OWN], isOwn)).toEqual({ allowed: true, rule: `${OWN}:443` });
  });

  test("an address leads to itself only", () => {
    expect(lead("10.1.2.3:8080", "10.1.2.3").allowed).toBe(true);
    expect(lead("10.1.2.3:8080", "::ffff:10.1.2.3").allowed).toBe(true);
    expect(lead("10.1.2.3:8080", "10.1.2.4").allowed).toBe(false);
    expect(lead("8.8.8.8:443", "9.9.9.9").allowed).toBe(false);
  });
});

describe("where an injection route leads", () => {
  const route = (host: string, scheme: "http" | "https" = "https"): Route => ({
    ...{
      name: "r",
      upstream: { scheme, host, port: 443 },
      secret: "s",
      inject: { as: "bearer" },
      methods: ["GET"],
      paths: ["/**"],
      groups: "all",
    },
  });
  const lead = (host: string, ...addresses: string[]) => judgeUpstream(standing(), FAMILY, route(host), addresses, isOwn);

  test("a name the owner wrote needs no other rule, its addresses are judged like any other's", () => {
    expect(lead("api.github.example", "93.184.216.34").allowed).toBe(true);
    expect(lead("api.github.example", "93.184.216.34", "10.0.0.1").allowed).toBe(false);
    expect(lead("api.github.example").allowed).toBe(false);
    expect(lead("api.github.example", OWN).allowed).toBe(false);
  });

  test("an address the owner wrote is taken as it is, and is no other", () => {
    expect(lead("192.168.1.50", "192.168.1.50").allowed).toBe(true);
    expect(lead("192.168.1.50", "192.168.1.51").allowed).toBe(false);
    expect(lead("169.254.169.254", "169.254.169.254").allowed).toBe(false);
  });
});
