import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CLOSED_POLICY, type Policy } from "../domain/policy.ts";
import { checkPolicy, loadPolicy } from "./policy-file.ts";
import { ConfigError, type Problem } from "./problem.ts";
import { useTestHome } from "./test-home.ts";

const home = useTestHome();

const ROUTE =
  '[routes.github]\nupstream = "https://api.github.example"\nsecret = "github-token"\npaths = ["/repos/**"]\ngroups = ["main"]\n';

async function load(text: string): Promise<Policy> {
  home.write(text, "policy.toml");
  return await loadPolicy(home.path);
}

async function problems(text: string | Buffer): Promise<readonly Problem[]> {
  home.write(text, "policy.toml");
  const { problems: found, policy } = await checkPolicy(home.path);
  expect(policy === undefined).toBe(found.length > 0);
  return found;
}

async function onlyProblem(text: string | Buffer): Promise<Problem> {
  const [problem, ...others] = await problems(text);
  expect(others).toEqual([]);
  return problem ?? expect.unreachable("no problem was found");
}

const places = (found: readonly Problem[]): string[] => found.map(({ position, key }) => `${position?.line}:${position?.column} ${key}`);

describe("what is allowed", () => {
  test("is nothing without a file, and nothing with an empty one", async () => {
    expect(await loadPolicy(home.path)).toBe(CLOSED_POLICY);
    expect(await checkPolicy(home.path)).toMatchObject({ file: undefined, problems: [] });
    expect(await load("# nothing\n")).toEqual(CLOSED_POLICY);
    expect(await load("\ufeff[egress]\r\n")).toEqual(CLOSED_POLICY);
  });

  test("is what the lists say: of all, of groups, of tasks", async () => {
    const { egress } = await load(
      '[egress]\nallow = [\n  "api.example.org", # why\n  "*.example.net:8443",\n]\n[groups.family.egress]\nallow = ["weather.example.org"]\n[groups.work]\negress = { allow = [] }\n[tasks."task-1".egress]\nallow = []\n',
    );
    expect(egress.common).toEqual([
      { text: "api.example.org", host: { kind: "name", name: "api.example.org" }, port: 443 },
      { text: "*.example.net:8443", host: { kind: "below", of: "example.net" }, port: 8443 },
    ]);
    expect([...egress.groups].map(([folder, rules]) => [folder, rules.map(({ text }) => text)])).toEqual([
      ["family", ["weather.example.org"]],
      ["work", []],
    ]);
    expect([...egress.tasks]).toEqual([["task-1", []]]);
  });

  test("by a route has defaults for what is harmless only", async () => {
    expect((await load(ROUTE)).routes.get("github")).toEqual({
      name: "github",
      upstream: { scheme: "https", host: "api.github.example", port: 443 },
      secret: "github-token",
      inject: { as: "bearer" },
      methods: ["GET", "HEAD"],
      paths: ["/repos/**"],
      groups: ["main"],
    });
    expect(places(await problems("[routes.github]\n"))).toEqual(
      ["upstream", "secret", "paths", "groups"].map((key) => `1:1 routes.github.${key}`),
    );
  });

  test.each([
    ['inject = "bearer"', { as: "bearer" }],
    ['inject = "basic"\nuser = "x-access-token"', { as: "basic", user: "x-access-token" }],
    ['inject = "basic"\nuser = ""', { as: "basic", user: "" }],
    ['inject = "header"\nheader = "X-Api-Key"', { as: "header", header: "x-api-key" }],
    ['inject = "query"\nparameter = "appid"', { as: "query", parameter: "appid" }],
  ])("by a route with %j carries its secret so", async (lines, inject) => {
    expect((await load(`${ROUTE}${lines}\n`)).routes.get("github")?.inject).toEqual(inject);
  });

  test("by a route over plain http stays in the house, at an address written as one", async () => {
    const upstreamOf = async (address: string) =>
      (await load(ROUTE.replace("https://api.github.example", address))).routes.get("github")?.upstream;
    expect(await upstreamOf("http://127.0.0.1:8123/")).toEqual({ scheme: "http", host: "127.0.0.1", port: 8123 });
    expect(await upstreamOf("http://192.168.1.5")).toEqual({ scheme: "http", host: "192.168.1.5", port: 80 });
    expect(await upstreamOf("http://[fd00::1]:80")).toEqual({ scheme: "http", host: "fd00::1", port: 80 });
    expect(await upstreamOf("https://192.168.1.5:8443")).toEqual({ scheme: "https", host: "192.168.1.5", port: 8443 });
  });

  test("to be lent is lent for a quarter of an hour unless more is said", async () => {
    const { leases } = await load(
      '[leases.weather-key]\nenv = "WEATHER_KEY"\ngroups = ["family"]\nttl_s = 300\n[leases.other]\nenv = "OTHER"\ngroups = "all"\n',
    );
    expect(leases).toEqual([
      { secret: "weather-key", env: "WEATHER_KEY", groups: ["family"], ttlMs: 300_000 },
      { secret: "other", env: "OTHER", groups: "all", ttlMs: 900_000 },
    ]);
  });
});

describe("what is wrong", () => {
  test("is told all at once, with its place, and nothing is used", async () => {
    const file = home.write(
      '[egress]\nallow = ["*.com",\n  "api.example.org", 3]\n[route.x]\n[groups.global.egress]\nallow = ["x"]\n',
      "policy.toml",
    );
    const error = await loadPolicy(home.path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    const { code, message, hint, problems: found } = error as ConfigError;
    expect([code, hint]).toEqual(["POLICY_INVALID", "Correct these 4, then start again."]);
    expect(places(found)).toEqual(["2:10 egress.allow[0]", "3:22 egress.allow[2]", "4:1 route", "5:1 groups.global"]);
    expect(message.split("\n")[0]).toBe(
      `${file}:2:10: egress.allow[0]: Everything below com belongs to everybody. Name the domain that is meant, as *.example.com.`,
    );
    expect(message).toContain("route means nothing here; did you mean routes? Rename or remove it.");
  });

  test.each([
    ["egress = 1", "egress"],
    ["[[egress]]\nallow = []", "egress"],
    ["[egress]\nallow = 'x'", "egress.allow"],
    ["[egress]\nallow.x = 1", "egress.allow"],
    ["[egress]\nallow = [['x']]", "egress.allow[0]"],
    ["[egress]\nallow = [{}]", "egress.allow[0]"],
    ["[egress]\ndeny = []", "egress.deny"],
    ["[egress.allow]", "egress.allow"],
    ["groups = []", "groups"],
    ["leases = 1", "leases"],
    ["[groups]\nfamily = 1", "groups.family"],
    ["[groups.family]\nallow = []", "groups.family.allow"],
    ["[groups.family.egress.more]\n", "groups.family.egress.more"],
    ["[groups.'../x'.egress]", 'groups."../x"'],
    ["[groups.__proto__.egress]", "groups.__proto__"],
    ["__proto__ = { allow = [] }", "__proto__"],
    ["[egress]\n__proto__.allow = ['a.example']", "egress.__proto__"],
    ["[tasks.t.egress]", "tasks.t.egress.allow"],
    ["[tasks.t]", "tasks.t.egress.allow"],
    ["[tasks.'a b'.egress]\nallow = []", 'tasks."a b"'],
    ["[leases.Weather]\nenv = 'W'\ngroups = 'all'", "leases.Weather"],
    ["[leases.w]\nenv = 'w'\ngroups = 'all'", "leases.w.env"],
    ["[leases.w]\nenv = 'PATH'\ngroups = 'all'", "leases.w.env"],
    ["[leases.w]\nenv = 'HTTPS_PROXY'\ngroups = 'all'", "leases.w.env"],
    ["[leases.w]\nenv = 'LD_PRELOAD'\ngroups = 'all'", "leases.w.env"],
    ["[leases.w]\nenv = 'W'\ngroups = 'family'", "leases.w.groups"],
    ["[leases.w]\nenv = 'W'\ngroups = []", "leases.w.groups"],
    ["[leases.w]\nenv = 'W'\ngroups = ['a/b']", "leases.w.groups[0]"],
    ["[leases.w]\nenv = 'W'", "leases.w.groups"],
    ["[leases.w]\nenv = 'W'\ngroups = 'all'\nttl_s = 0", "leases.w.ttl_s"],
    ["[leases.w]\nenv = 'W'\ngroups = 'all'\nttl_s = 86401", "leases.w.ttl_s"],
    ["[leases.w]\nenv = 'W'\ngroups = 'all'\nttl_s = 1.5", "leases.w.ttl_s"],
    ["[leases.v]\nenv = 'W'\ngroups = 'all'\n[leases.w]\nenv = 'W'\ngroups = ['family']", "leases.w"],
  ])("%j is a problem of %s", async (text, key) => {
    expect((await onlyProblem(text)).key).toBe(key);
  });

  test("two secrets lent under one name are fine in groups that share none", async () => {
    expect(await problems("[leases.v]\nenv = 'W'\ngroups = ['a']\n[leases.w]\nenv = 'W'\ngroups = ['b']")).toEqual([]);
  });

  test.each([
    ['upstream = "https://api.github.example"', 'upstream = "api.github.example"', "upstream"],
    ['upstream = "https://api.github.example"', 'upstream = "https://api.github.example/v3"', "upstream"],
    ['upstream = "https://api.github.example"', 'upstream = "https://user:sk@api.github.example"', "upstream"],
    ['upstream = "https://api.github.example"', 'upstream = "https://127.1"', "upstream"],
    ['upstream = "https://api.github.example"', 'upstream = "https://169.254.169.254"', "upstream"],
    ['upstream = "https://api.github.example"', 'upstream = "https://other.door"', "upstream"],
    ['upstream = "https://api.github.example"', 'upstream = "http://api.github.example"', "upstream"],
    ['upstream = "https://api.github.example"', 'upstream = "http://localhost:80"', "upstream"],
    ['upstream = "https://api.github.example"', 'upstream = "http://93.184.216.34"', "upstream"],
    ['upstream = "https://api.github.example"', 'upstream = "ftp://127.0.0.1"', "upstream"],
    ['secret = "github-token"', 'secret = "ghp_0123456789"', "secret"],
    ['secret = "github-token"', 'secret = "github-token"\ntoken = "ghp_0123456789"', "token"],
    ['secret = "github-token"', 'secret = "github-token"\ninject = "cookie"', "inject"],
    ['secret = "github-token"', 'secret = "github-token"\ninject = "basic"', "user"],
    ['secret = "github-token"', 'secret = "github-token"\ninject = "basic"\nuser = "a:b"', "user"],
    ['secret = "github-token"', 'secret = "github-token"\nuser = "x"', "user"],
    ['secret = "github-token"', 'secret = "github-token"\ninject = "header"\nheader = "Host"', "header"],
    ['secret = "github-token"', 'secret = "github-token"\ninject = "header"\nheader = "x y"', "header"],
    ['secret = "github-token"', 'secret = "github-token"\ninject = "header"\nheader = "Content-Length"', "header"],
    ['secret = "github-token"', 'secret = "github-token"\ninject = "query"\nparameter = "a&b"', "parameter"],
    ['secret = "github-token"', 'secret = "github-token"\nmethods = ["get"]', "methods[0]"],
    ['secret = "github-token"', 'secret = "github-token"\nmethods = ["GET", "TRACE"]', "methods[1]"],
    ['secret = "github-token"', 'secret = "github-token"\nmethods = []', "methods"],
    ['paths = ["/repos/**"]', 'paths = ["/repos/***"]', "paths[0]"],
    ['paths = ["/repos/**"]', 'paths = ["repos"]', "paths[0]"],
    ['paths = ["/repos/**"]', "paths = []", "paths"],
    ['groups = ["main"]', 'groups = "main"', "groups"],
    ['groups = ["main"]', "groups = []", "groups"],
    ['groups = ["main"]', 'groups = ["main", "a b"]', "groups[1]"],
  ])("of a route: in place of %s, %s", async (right, wrong, key) => {
    const problem = await onlyProblem(ROUTE.replace(right, wrong));
    expect(problem.key).toBe(`routes.github.${key}`);
    expect(JSON.stringify(problem)).not.toMatch(/ghp_|sk@/);
  });

  test("of a route's name, which is part of a host's name", async () => {
    for (const name of ["Git", "'a.b'", "a_b", "-a", "''"]) {
      expect((await onlyProblem(ROUTE.replace("routes.github", `routes.${name}`))).message).toContain("a route's name has small letters");
    }
  });
});

describe("the file", () => {
  test("that others can change is refused: they would decide what gets out", async () => {
    const file = home.write("", "policy.toml");
    for (const mode of [0o620, 0o602, 0o666]) {
      chmodSync(file, mode);
      await expect(loadPolicy(home.path)).rejects.toMatchObject({ code: "POLICY_INVALID", hint: "Run chmod go-w on it." });
    }
    chmodSync(file, 0o644);
    expect(await loadPolicy(home.path)).toEqual(CLOSED_POLICY);
  });

  test("in a folder that anybody can change is refused, also where there is none yet", async () => {
    chmodSync(home.path, 0o777);
    const refusal = { code: "POLICY_INVALID", hint: `Run chmod o-w on ${home.path}.` };
    await expect(loadPolicy(home.path)).rejects.toMatchObject(refusal);
    home.write("", "policy.toml");
    await expect(loadPolicy(home.path)).rejects.toMatchObject(refusal);
  });

  test("of another user is refused, root's is not", async () => {
    const file = home.write("", "policy.toml");
    // Root's own files pass everywhere, so where the tests run as root the file is given away first.
    if (process.getuid?.() === 0) chownSync(file, 12_345, 12_345);
    expect((await checkPolicy(home.path, 54_321)).problems[0]?.message).toBe("The policy belongs to another user.");
    expect((await checkPolicy(home.path, process.getuid?.() === 0 ? 12_345 : process.getuid?.())).problems).toEqual([]);
  });

  test("that cannot be read is never taken for one that is not there", async () => {
    mkdirSync(join(home.path, "policy.toml"));
    await expect(loadPolicy(home.path)).rejects.toMatchObject({
      code: "POLICY_INVALID",
      message: expect.stringContaining("is not a regular file"),
    });
  });

  test("that is no text, or too large, is refused before it is parsed", async () => {
    expect((await onlyProblem(Buffer.from([0x61, 0xff]))).message).toContain("not UTF-8");
    expect((await onlyProblem(`# ${"x".repeat(64 * 1024)}\n`)).message).toContain("too large");
  });

  test.each([
    ['[egress]\nallow = ["sk-live-1', 2, /Unterminated string/],
    ["[egress]\nallow = [sk-live-1]\n", 2, /./],
    ["[egress]\nallow = []\n[egress]\nallow = []\n", 3, /multiple times/],
    ["[egress]\nallow = []\nallow = []\n", 3, /multiple times/],
    ["egress = { allow = [] }\n[egress]\n", 2, /multiple times/],
  ])("%j is refused with its place and without its text", async (text, line, reason) => {
    const problem = await onlyProblem(text);
    expect(problem).toMatchObject({ position: { line }, message: expect.stringMatching(reason) });
    expect(JSON.stringify(problem)).not.toContain("sk-live-1");
  });

  test.each([
    ["lists", `a = ${"[".repeat(30_000)}${"]".repeat(30_000)}`],
    ["inline tables", `a = ${"{a=".repeat(15_000)}1${"}".repeat(15_000)}`],
    ["dotted keys", `a${".a".repeat(30_000)} = 1`],
    ["a deep section", `[egress${".a".repeat(30_000)}]\nb = 1`],
    ["sections", Array.from({ length: 6_000 }, (_, i) => `[k${i}]`).join("\n")],
    ["rules", `[egress]\nallow = [${'"*",'.repeat(15_000)}]`],
  ])("with a bomb of %s is refused within two seconds of processor time and with a short message", { timeout: 30_000 }, async (_, text) => {
    home.write(text, "policy.toml");
    const before = process.cpuUsage();
    const error = await loadPolicy(home.path).catch((thrown: unknown) => thrown);
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(2_000_000);
    expect((error as ConfigError).message.length).toBeLessThan(20_000);
  });
});
