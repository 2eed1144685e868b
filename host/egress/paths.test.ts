import { describe, expect, test } from "vitest";
import { CLOSED_POLICY, type Policy, type Route } from "../domain/policy.ts";
import { judgeRoute } from "./judge-route.ts";
import { explainPattern, matchesPath, readPath } from "./paths.ts";

function matches(pattern: string, path: string): boolean {
  const read = readPath(path);
  return "parts" in read && matchesPath(pattern, read.parts);
}

describe("a pattern", () => {
  test.each([
    ["/", "/", true],
    ["/", "/a", false],
    ["/a", "/a", true],
    ["/a", "/a/", false],
    ["/a/", "/a/", true],
    ["/a", "/A", false],
    ["/**", "/", true],
    ["/**", "/a/b/", true],
    ["/repos/**", "/repos", true],
    ["/repos/**", "/repos/", true],
    ["/repos/**", "/repos/a/b", true],
    ["/repos/**", "/reposx/a", false],
    ["/repos/**", "/x/repos/a", false],
    ["/repos/*", "/repos/a", true],
    ["/repos/*", "/repos/a/b", false],
    ["/repos/*", "/repos/", false],
    ["/repos/*", "/repos", false],
    ["/*/issues", "/a/issues", true],
    ["/**/issues", "/issues", true],
    ["/**/issues", "/a/b/issues", true],
    ["/**/issues", "/a/b/issue", false],
    ["/**/a/**/b", "/x/a/y/a/b", true],
    ["/v*/x", "/v1/x", true],
    ["/v*/x", "/v/x", true],
    ["/v*/x", "/w1/x", false],
    ["/*.json", "/a.b.json", true],
    ["/*.json", "/a.json.x", false],
    ["/a*b*c", "/abbc", true],
    ["/a*b*c", "/ac", false],
    ["/caf%C3%A9", "/caf%C3%A9", true],
    ["/repos/a", "/rep%6fs/a", false],
  ])("%s and %s: %s", (pattern, path, isMatch) => {
    expect(matches(pattern, path)).toBe(isMatch);
  });

  test.each([
    ["", "begin with a slash"],
    ["repos", "begin with a slash"],
    ["/a//b", "two slashes"],
    ["/a/../b", "part of dots or spaces"],
    ["/a?b", "without query"],
    ["/a b", "without query"],
    ["/a/***", "stand alone"],
    ["/a**", "stand alone"],
    ["/%zz", "broken escape"],
    ["/a%2fb", "escaped slash"],
    ["/a%3fb", "escaped question mark"],
    [`/${"a".repeat(600)}`, "longer than"],
  ])("%j is none: %s", (pattern, fault) => {
    expect(explainPattern(pattern)).toContain(fault);
  });

  test("full of stars takes no longer than the path is long", () => {
    const before = process.cpuUsage();
    expect(matches(`/${"*a".repeat(250)}b`, `/${"a".repeat(8000)}`)).toBe(false);
    expect(matches(`${"/**/a".repeat(100)}/b`, "/a".repeat(4000))).toBe(false);
    expect(process.cpuUsage(before).user).toBeLessThan(2_000_000);
  });
});

describe("a path that some server reads in another way is refused", () => {
  test.each([
    ["parent", "/repos/../admin"],
    ["parent at the end", "/repos/.."],
    ["itself", "/repos/./a"],
    ["escaped dots", "/repos/%2e%2e/admin"],
    ["half escaped dots", "/repos/.%2E/admin"],
    ["dots escaped twice", "/repos/%252e%252e/admin"],
    ["dots escaped three times", "/repos/%25252e%25252e/admin"],
    ["an escaped slash", "/repos/..%2fadmin"],
    ["an escaped slash alone", "/repos/a%2Fb"],
    ["a slash escaped twice", "/repos/a%252fb"],
    ["a backslash", "/repos\\..\\admin"],
    ["an escaped backslash", "/repos/..%5cadmin"],
    ["a backslash escaped twice", "/repos/..%255cadmin"],
    ["two slashes", "/repos//admin"],
    ["two slashes first", "//evil.example/repos/"],
    ["a parameter behind dots", "/repos/..;/admin"],
    ["a parameter with a name", "/repos/..;x=1/admin"],
    ["an escaped semicolon", "/repos/..%3b/admin"],
    ["an escaped semicolon behind a part", "/repos/a%3Bb"],
    ["an escaped question mark", "/repos/own%3F/items"],
    ["an escaped number sign", "/repos/own%23/items"],
    ["a question mark in a form of Unicode's", "/repos/own%EF%BC%9F/items"],
    ["a semicolon in a form of Unicode's", "/repos/own%CD%BE/items"],
    ["more dots, which some cut off", "/repos/.../admin"],
    ["a space behind dots", "/repos/..%20/admin"],
    ["a part of a space", "/repos/%20/admin"],
    ["a part of a parameter", "/repos/;x=1"],
    ["a null", "/repos/%00"],
    ["a null behind dots", "/repos/..%00/admin"],
    ["a line break", "/repos/%0d%0aHost:%20evil.example"],
    ["a raw line break", "/repos/a\r\nb"],
    ["a raw space", "/repos/a b"],
    ["a C1 control", "/repos/%C2%85"],
    ["overlong UTF-8 dots", "/repos/%c0%ae%c0%ae/admin"],
    ["an overlong UTF-8 slash", "/repos/..%c0%afadmin"],
    ["full-width dots", "/repos/%EF%BC%8E%EF%BC%8E/admin"],
    ["a full-width slash", "/repos/..%EF%BC%8Fadmin"],
    ["a full-width backslash", "/repos/..%EF%BC%BCadmin"],
    ["a two dot leader", "/repos/%E2%80%A5/admin"],
    ["IIS's escape", "/repos/%u002e%u002e/admin"],
    ["IIS's escape, escaped", "/repos/%25u002e%25u002e/admin"],
    ["a full-width percent sign", "/repos/%EF%BC%852e%EF%BC%852e/admin"],
    ["a broken escape", "/repos/%2"],
    ["a fragment", "/repos/a#/../admin"],
    ["raw letters outside ASCII", "/repos/é"],
    ["an address", "http://evil.example/repos/a"],
    ["a star", "*"],
    ["nothing", ""],
    ["megabytes", `/repos/${"a".repeat(1_000_000)}`],
  ])("%s", (_, path) => {
    expect(matches("/**", path)).toBe(false);
    expect(readPath(path)).toHaveProperty("refused");
  });

  test.each(["/repos/a..b", "/repos/.hidden", "/repos/a%20b", "/repos/%C3%A9", "/repos/100%25", "/repos/a;v=1", "/repos/main...feature"])(
    "%s is none of these",
    (path) => {
      expect(readPath(path)).toHaveProperty("parts");
    },
  );
});

describe("a route", () => {
  const route: Route = {
    name: "github",
    upstream: { scheme: "https", host: "api.github.example", port: 443 },
    secret: "github-token",
    inject: { as: "bearer" },
    methods: ["GET", "HEAD"],
    paths: ["/repos/**", "/user"],
    groups: ["main"],
  };
  const policy: Policy = { ...CLOSED_POLICY, routes: new Map([["github", route]]) };
  const MAIN = { folder: "main", turnId: 1, taskId: null };
  const reasonOf = (folder: string, name: string, method: string, path: string): string => {
    const verdict = judgeRoute(policy, { ...MAIN, folder }, name, method, path);
    return verdict.allowed ? "allowed" : verdict.reason;
  };

  test("is open to its groups, for its methods and its paths, whatever the query", () => {
    expect(judgeRoute(policy, MAIN, "github", "GET", "/repos/a?x=../../%00")).toEqual({ allowed: true, route });
    expect(judgeRoute(policy, MAIN, "github", "HEAD", "/user").allowed).toBe(true);
  });

  test("says what it does not do, and what the owner can change", () => {
    expect(reasonOf("family", "github", "GET", "/user")).toContain(
      "not open to family; the owner can add it to the groups of [routes.github]",
    );
    expect(reasonOf("main", "gitlab", "GET", "/user")).toContain("no injection route of that name");
    expect(reasonOf("main", "github", "POST", "/user")).toContain("takes GET, HEAD only");
    expect(reasonOf("main", "github", "get", "/user")).toContain("takes GET, HEAD only");
    expect(reasonOf("main", "github", "GET", "/admin")).toContain("leads to /repos/**, /user");
    expect(reasonOf("main", "github", "GET", "/repos/../admin")).toContain("a part of dots or spaces");
  });

  test("never takes TRACE or CONNECT, not even where a policy says so", () => {
    const open: Policy = { ...policy, routes: new Map([["github", { ...route, methods: ["TRACE", "CONNECT", "trace"] }]]) };
    for (const method of ["TRACE", "CONNECT", "trace"]) expect(judgeRoute(open, MAIN, "github", method, "/user").allowed).toBe(false);
  });

  test("open to all is open to every group", () => {
    const open: Policy = { ...policy, routes: new Map([["github", { ...route, groups: "all" }]]) };
    expect(judgeRoute(open, { ...MAIN, folder: "family" }, "github", "GET", "/user").allowed).toBe(true);
  });
});
