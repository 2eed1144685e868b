import { describe, expect, test } from "vitest";
import type { EgressRule } from "../domain/policy.ts";
import { allows, parseRule } from "./rules.ts";
import { parseTarget } from "./target.ts";

function rule(text: string): EgressRule {
  const parsed = parseRule(text);
  return "rule" in parsed ? parsed.rule : expect.unreachable(`${text}: ${parsed.fault}`);
}

function isAllowed(text: string, authority: string): boolean {
  return allows(rule(text), parseTarget(authority, "tunnel"));
}

test.each([
  ["api.example.org", { kind: "name", name: "api.example.org" }, 443],
  ["API.Example.org.:8443", { kind: "name", name: "api.example.org" }, 8443],
  ["router:8080", { kind: "name", name: "router" }, 8080],
  ["*.example.org", { kind: "below", of: "example.org" }, 443],
  ["10.0.0.5:80", { kind: "range", family: 4, address: "10.0.0.5", prefix: 32 }, 80],
  ["192.168.1.0/24:8123", { kind: "range", family: 4, address: "192.168.1.0", prefix: 24 }, 8123],
  ["[2001:DB8::]/32", { kind: "range", family: 6, address: "2001:db8::", prefix: 32 }, 443],
  ["[::1]:8080", { kind: "range", family: 6, address: "::1", prefix: 128 }, 8080],
])("%s is read", (text, host, port) => {
  expect(rule(text)).toEqual({ text, host, port });
});

test.each([
  ["*", "*.example.org"],
  ["*:443", "*.example.org"],
  ["*.*", "*.example.org"],
  ["*.com", "*.example.com"],
  ["*.com.", "*.example.com"],
  ["*example.org", "*.example.org"],
  ["api.*.org", "*.example.org"],
  ["*.*.org", "*.example.org"],
  ["*.10.0.0.1", "192.168.1.0/24"],
  ["0.0.0.0/0", "Name the networks"],
  ["[::]/0:443", "Name the networks"],
  ["10.0.0.5/24:80", "Write 10.0.0.0/24 for the range, or 10.0.0.5 for the one address"],
  ["[2001:db8::1]/32", "Write [2001:db8::]/32 for the range, or [2001:db8::1]"],
  ["[2001:db8::/32]:443", "[2001:db8::]/32:443"],
  ["2001:db8::1", "[2001:db8::1]:443"],
  ["[::ffff:10.0.0.1]:80", "as 10.0.0.1"],
  ["[::ffff:10.0.0.0]/112:80", "as 10.0.0.0/24"],
  ["10.0.0.0/33", "192.168.1.0/24:443"],
  ["10.0.0.0/08", "192.168.1.0/24:443"],
  ["10.0.0.0/", "192.168.1.0/24:443"],
  ["10.0.0/8", "192.168.1.0/24:443"],
  ["https://api.example.org/", "api.example.org"],
  ["api.example.org/v1", "api.example.org"],
  ["api.example.org:443/v1", "api.example.org"],
  ["api.example.org:*", "for each port"],
  ["api.example.org:80-90", "for each port"],
  ["api.example.org:0", "for each port"],
  ["user@api.example.org", "api.example.org"],
  ["api_1.example.org", "api.example.org"],
  ["127.1", "api.example.org"],
  ["", "api.example.org"],
  ["github.door", "[routes.<name>]"],
  ["*.github.door:80", "[routes.<name>]"],
  ["host:80", "another way"],
  ["localhost:8080", "127.0.0.1:8080"],
  ["LOCALHOST.", "127.0.0.1:8080"],
  ["a.localhost:80", "127.0.0.1:8080"],
  ["*.a.localhost:80", "127.0.0.1:8080"],
])("%j is refused and answered with what to write: %s", (text, hint) => {
  const parsed = parseRule(text);
  expect("fault" in parsed ? `${parsed.fault} ${parsed.hint}` : "").toContain(hint);
});

test.each([
  "169.254.169.254:80",
  "[fd00:ec2::254]:80",
  "0.0.0.0:80",
  "[::]:80",
  "224.0.0.0/4:80",
  "255.255.255.255:80",
  "[64:ff9b::7f00:1]:80",
  "[2002:7f00:1::]:80",
])("%s, which no rule opens, is no rule", (text) => {
  expect(parseRule(text)).toMatchObject({ fault: expect.stringContaining("no rule opens one") });
});

describe("a rule", () => {
  test("of a name is about that name and that port", () => {
    expect(isAllowed("api.example.org", "API.example.org.:443")).toBe(true);
    expect(isAllowed("api.example.org", "api.example.org:8443")).toBe(false);
    expect(isAllowed("api.example.org", "x.api.example.org:443")).toBe(false);
    expect(isAllowed("api.example.org", "xapi.example.org:443")).toBe(false);
    expect(isAllowed("api.example.org", "api.example.org.evil.example:443")).toBe(false);
  });

  test("of a domain is about every name below it, at any depth, and not about itself", () => {
    expect(isAllowed("*.example.org", "a.example.org:443")).toBe(true);
    expect(isAllowed("*.example.org", "a.b.example.org:443")).toBe(true);
    expect(isAllowed("*.example.org", "example.org:443")).toBe(false);
    expect(isAllowed("*.example.org", "evilexample.org:443")).toBe(false);
    expect(isAllowed("*.example.org", "example.org.evil.example:443")).toBe(false);
  });

  test("of addresses is about addresses, not about names that lead to them", () => {
    expect(isAllowed("10.0.0.0/8:80", "10.1.2.3:80")).toBe(true);
    expect(isAllowed("10.0.0.0/8:80", "[::ffff:10.1.2.3]:80")).toBe(true);
    expect(isAllowed("10.0.0.0/8:80", "10.example.org:80")).toBe(false);
    expect(isAllowed("10.0.0.0/8:80", "10.1.2.3:81")).toBe(false);
    expect(isAllowed("a.example.org:80", "10.1.2.3:80")).toBe(false);
  });

  test("of half of all addresses opens none of this machine", () => {
    expect(isAllowed("0.0.0.0/1:80", "8.8.8.8:80")).toBe(true);
    expect(isAllowed("0.0.0.0/1:80", "127.0.0.1:80")).toBe(false);
    expect(isAllowed("[::]/1:80", "[::1]:80")).toBe(false);
  });
});
