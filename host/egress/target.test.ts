import { describe, expect, test } from "vitest";
import { RefusedError } from "../domain/errors.ts";
import { describeTarget, parseTarget } from "./target.ts";

function refusal(authority: string, via: "tunnel" | "plain" = "tunnel"): RefusedError {
  try {
    parseTarget(authority, via);
  } catch (error) {
    if (error instanceof RefusedError) return error;
    throw error;
  }
  return expect.unreachable(`${authority} was taken`);
}

test.each([
  ["example.org:443", "example.org", 443],
  ["EXAMPLE.Org.:8443", "example.org", 8443],
  ["localhost:1", "localhost", 1],
  ["xn--bcher-kva.example:443", "xn--bcher-kva.example", 443],
  ["3com.example:65535", "3com.example", 65535],
  ["0xcafe.example:80", "0xcafe.example", 80],
  ["a-1.0x.example.g7:80", "a-1.0x.example.g7", 80],
  ["8.8.8.8:53", "8.8.8.8", 53],
  ["[2001:DB8::0:1]:443", "2001:db8::1", 443],
])("%s is %s on port %i", (authority, host, port) => {
  expect(parseTarget(authority, "tunnel")).toMatchObject({ host, port });
});

test("only addresses carry one, so nothing else is ever dialled without being looked up", () => {
  expect(parseTarget("example.org:80", "tunnel").address).toBeUndefined();
  expect(parseTarget("127.0.0.1:80", "tunnel").address).toEqual({ family: 4, text: "127.0.0.1" });
  expect(parseTarget("[::1]:80", "tunnel").address).toEqual({ family: 6, text: "::1" });
});

test.each(["[::ffff:127.0.0.1]:80", "[::FFFF:7f00:1]:80", "[0:0:0:0:0:ffff:127.0.0.1]:80"])(
  "%s is 127.0.0.1, and judged as that",
  (authority) => {
    expect(describeTarget(parseTarget(authority, "tunnel"))).toBe("127.0.0.1:80");
  },
);

test("a tunnel names its port, a plain exchange has 80 where it names none", () => {
  expect(refusal("example.org").message).toContain("the port is missing");
  expect(refusal("[::1]").message).toContain("the port is missing");
  expect(parseTarget("example.org", "plain").port).toBe(80);
  expect(parseTarget("[2001:db8::1]", "plain").port).toBe(80);
});

describe("numbers that some program reads as an address", () => {
  test.each([
    ...["127.1", "127.0.1", "2130706433", "017700000001", "0177.0.0.1", "0x7f.1", "0x7f000001", "0x7F.0.0.0X1", "0x", "127.0.0.0x"],
    ...["127.0.0.1.", "127.0.0.256", "1.2.3.4.5", "example.1", "example.0x1f", "00127.0.0.1", "127.0.0.01", "0"],
  ])("%s is neither name nor address", (host) => {
    expect(refusal(`${host}:80`).code).toBe("EGRESS_PROTOCOL");
    expect(refusal(`${host}`, "plain").code).toBe("EGRESS_PROTOCOL");
  });

  test.each(["１２７.0.0.1", "127。0。0。1", "①.example", "127.0.0.1\u200b", "ｅxample.org", "exam\u212ale.org"])(
    "%s is not ASCII",
    (host) => {
      expect(refusal(`${host}:80`).message).toContain("outside ASCII");
    },
  );
});

describe("what is hidden around a host", () => {
  test.each([
    ["userinfo", "good.example@evil.example:443"],
    ["a password", "a:b@evil.example:443"],
    ["an escape", "evil%2eexample:443"],
    ["a space", "evil.example :443"],
    ["a line break", "evil.example:443\r\nhost: good.example"],
    ["a null", "good.example\u0000.evil.example:443"],
    ["a path", "good.example/..:443"],
    ["a query", "good.example?:443"],
    ["a fragment", "good.example#:443"],
    ["a backslash", "good.example\\evil.example:443"],
    ["a scheme", "https://good.example:443"],
    ["two ports", "good.example:443:80"],
    ["nothing", ""],
    ["a port alone", ":443"],
    ["a dot", ".:443"],
    ["two final dots", "good.example..:443"],
    ["a leading dot", ".good.example:443"],
    ["an empty label", "good..example:443"],
    ["an underscore", "good_one.example:443"],
    ["a hyphen first", "-good.example:443"],
    ["a hyphen last", "good-.example:443"],
    ["a label of 64", `${"a".repeat(64)}.example:443`],
    ["254 characters", `${"a.".repeat(126)}aa:443`],
    ["a star", "*.example:443"],
    ["megabytes", `${"a.".repeat(1_000_000)}a:443`],
  ])("%s is refused", (_, authority) => {
    expect(refusal(authority).code).toBe("EGRESS_PROTOCOL");
  });

  test("is named in the refusal, where it is known what it was meant for", () => {
    expect(refusal("good.example@evil.example:443").message).toContain("user name");
    expect(refusal("evil%2eexample:443").message).toContain("percent sign");
    expect(refusal("good..example:443").message).toContain("is empty");
    expect(refusal("good_one.example:443").message).toContain("underscore");
  });

  test("253 characters in labels of 63 are a name", () => {
    const name = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`;
    expect(parseTarget(`${name}.:443`, "tunnel").host).toBe(name);
  });

  test.each(["0", "65536", "00443", "0443", "+443", "-1", "443 ", "4e2", "0x1bb", "", "４４３", "99999999999"])("%j is no port", (port) => {
    expect(refusal(`example.org:${port}`).code).toBe("EGRESS_PROTOCOL");
  });
});

test("a refusal never repeats what was sent", () => {
  for (const authority of ["sk-live-1@example.org:443", "sk-live-1_x:443", "example.org:sk-live-1"]) {
    const { message, hint } = refusal(authority);
    expect(`${message} ${hint}`).not.toContain("sk-live-1");
  }
});
