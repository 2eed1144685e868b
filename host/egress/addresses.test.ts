import { describe, expect, test } from "vitest";
import { type Address, isWithin, kindOf, networkOf, opens, parseAddress, type Range } from "./addresses.ts";

function address(text: string): Address {
  return parseAddress(text) ?? expect.unreachable(`${text} is no address`);
}

function range(text: string): Range {
  const [lowest = "", prefix] = text.split("/");
  return { ...address(lowest), address: address(lowest).text, prefix: Number(prefix) };
}

test.each([
  ["8.8.8.8", "8.8.8.8"],
  ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
  ["::ffff:127.0.0.1", "127.0.0.1"],
  ["::FFFF:7f00:1", "127.0.0.1"],
  ["0:0:0:0:0:ffff:a9fe:a9fe", "169.254.169.254"],
  ["::127.0.0.1", "::127.0.0.1"],
])("%s is the address %s", (text, canonical) => {
  expect(address(text).text).toBe(canonical);
});

test.each([
  "",
  "127.1",
  "0127.0.0.1",
  "127.0.0.1.",
  "0x7f.0.0.1",
  "2130706433",
  "127.0.0.1 ",
  "１27.0.0.1",
  "fe80::1%eth0",
  "[::1]",
  "::1::",
  "::ffff:0127.0.0.1",
  "a.example",
])("%j is no address", (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

test.each([
  [
    "public",
    [
      "8.8.8.8",
      "172.15.255.255",
      "172.32.0.0",
      "100.63.255.255",
      "100.128.0.0",
      "169.253.255.255",
      "2606:4700::1111",
      "2a00::",
      "3fff:1000::",
    ],
  ],
  [
    "metadata",
    [
      "169.254.169.254",
      "169.254.170.2",
      "169.254.170.23",
      "100.100.100.200",
      "168.63.129.16",
      "192.0.0.192",
      "fd00:ec2::254",
      "fd20:ce::254",
    ],
  ],
  ["loopback", ["127.0.0.1", "127.255.255.254", "::1"]],
  ["unspecified", ["0.0.0.0", "0.255.255.255", "::"]],
  ["private", ["10.0.0.0", "172.16.0.1", "172.31.255.255", "192.168.255.255", "fc00::1", "fdff::1", "fec0::1"]],
  ["link-local", ["169.254.0.1", "169.254.169.253", "fe80::1", "febf::1"]],
  ["shared", ["100.64.0.0", "100.127.255.255"]],
  ["multicast", ["224.0.0.1", "239.255.255.255", "ff02::1"]],
  ["broadcast", ["255.255.255.255"]],
  ["documentation", ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"]],
  ["benchmarking", ["198.18.0.1", "198.19.255.255", "2001:2::1"]],
  ["reserved", ["192.0.0.1", "192.88.99.1", "240.0.0.1", "255.255.255.254", "100::1", "2001:20::1", "4000::1", "5f00::1", "::8.8.8.8"]],
] as const)("%s addresses are told", (name, texts) => {
  for (const text of texts) expect([text, kindOf(address(text)).name]).toEqual([text, name]);
});

describe("an IPv6 address that stands for an IPv4 address", () => {
  test.each([
    ["NAT64", "64:ff9b::8.8.8.8"],
    ["6to4", "2002:808:808::1"],
  ])("by %s is as public as that one", (_, text) => {
    expect(kindOf(address(text)).name).toBe("public");
  });

  test.each([
    ["NAT64 of loopback", "64:ff9b::7f00:1"],
    ["NAT64 of a metadata address", "64:ff9b::169.254.169.254"],
    ["6to4 of a private network", "2002:a00:1::1"],
    ["6to4 of loopback", "2002:7f00:1::"],
    ["Teredo by a private server", "2001:0:a00:1::f7f7:f7f7"],
    ["Teredo of a loopback client", "2001:0:808:808:0:0:80ff:fffe"],
    ["the deprecated form of loopback", "::127.0.0.1"],
    ["a translated private address", "::ffff:0:10.0.0.1"],
  ])("%s is opened by no rule", (_, text) => {
    expect(kindOf(address(text))).toMatchObject({ name: "carrier", isOpenable: false });
    for (const prefix of [1, 16, 96, 128]) expect(opens(networkOf(address(text), prefix), address(text))).toBe(false);
  });
});

describe("a range", () => {
  test("opens public addresses in it, to its first and last", () => {
    const found = range("8.8.8.0/24");
    expect(["8.8.7.255", "8.8.8.0", "8.8.8.255", "8.8.9.0", "2606:4700::1"].map((text) => opens(found, address(text)))).toEqual([
      false,
      true,
      true,
      false,
      false,
    ]);
  });

  test.each([
    ["127.0.0.0/8", "127.0.0.1", true],
    ["127.0.0.1/32", "127.0.0.1", true],
    ["0.0.0.0/1", "127.0.0.1", false],
    ["126.0.0.0/7", "127.0.0.1", false],
    ["10.0.0.0/8", "10.1.2.3", true],
    ["10.0.0.0/7", "10.1.2.3", false],
    ["10.0.0.0/7", "11.1.2.3", true],
    ["192.168.1.0/24", "192.168.2.1", false],
    ["fd00::/8", "fd00::1", true],
    ["c000::/2", "fd00::1", false],
    ["::/1", "::1", false],
    ["169.254.0.0/16", "169.254.1.1", true],
    ["169.254.0.0/16", "169.254.169.254", false],
    ["169.254.169.254/32", "169.254.169.254", false],
    ["168.63.129.0/24", "168.63.129.16", false],
    ["fd00::/8", "fd00:ec2::254", false],
    ["0.0.0.0/8", "0.0.0.0", false],
    ["224.0.0.0/4", "224.0.0.1", false],
  ])("%s and %s: opened %s", (text, asked, isOpened) => {
    expect(opens(range(text), address(asked))).toBe(isOpened);
  });

  test("written as IPv6 says nothing about IPv4, even where the numbers are the same", () => {
    const mapped: Range = { family: 6, address: "::ffff:0:0", prefix: 96 };
    expect(opens(mapped, address("8.8.8.8"))).toBe(false);
    expect(opens(mapped, address("::ffff:8.8.8.8"))).toBe(false);
  });

  test("lies within a kind where every address of it does", () => {
    expect([
      isWithin(range("10.1.0.0/16"), "private"),
      isWithin(range("10.0.0.0/7"), "private"),
      isWithin(range("172.16.0.0/11"), "private"),
    ]).toEqual([true, false, false]);
  });
});

test.each([
  ["10.1.2.3", 8, "10.0.0.0"],
  ["10.1.2.3", 31, "10.1.2.2"],
  ["10.1.2.3", 32, "10.1.2.3"],
  ["255.255.255.255", 1, "128.0.0.0"],
  ["2001:db8:ffff::1", 33, "2001:db8:8000::"],
  ["2001:db8::1", 128, "2001:db8::1"],
  ["::192.0.2.255", 121, "::192.0.2.128"],
])("%s lies in the network of length %i that begins with %s", (text, prefix, lowest) => {
  expect(networkOf(address(text), prefix).address).toBe(lowest);
});
