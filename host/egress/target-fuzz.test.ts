/** Authorities of every shape, most of them nearly an address or a name, against what the readers on the way to a connection make of them. */
import { isIP, isIPv4 } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isHostError } from "../domain/errors.ts";
import { FUZZ_CASES, FUZZ_TIMEOUT_MS, ipv4Value, ipv6Value } from "./fuzz-harness.ts";
import { parseTarget, type Target } from "./target.ts";

const octet = fc.oneof(fc.constantFrom(0, 1, 10, 127, 169, 192, 254, 255), fc.integer({ min: 0, max: 255 }));
const ipv4 = fc.tuple(octet, octet, octet, octet);

/** One number in one of the ways C's libraries read one. */
const written = (value: number | bigint) =>
  fc.constantFrom(
    value.toString(),
    `0${value.toString(8)}`,
    `0x${value.toString(16)}`,
    `0X${value.toString(16).toUpperCase()}`,
    `00${value.toString()}`,
  );

/** An IPv4 address in one of the ways inet_aton reads one: one to four numbers, the last of which takes the rest. */
const looseIPv4 = ipv4.chain((bytes) =>
  fc.integer({ min: 1, max: 4 }).chain((count) => {
    const rest = bytes.slice(count - 1).reduce((value, byte) => value * 256 + byte, 0);
    return fc.tuple(...[...bytes.slice(0, count - 1), rest].map(written)).map((parts) => parts.join("."));
  }),
);
const plainIPv4 = ipv4.map((bytes) => bytes.join("."));

const group = fc.oneof(
  fc.constantFrom("0", "ffff", "FFFF", "64", "ff9b", "2002", "fe80", "7f00", "1"),
  fc.integer({ min: 0, max: 0xffff }).map((n) => n.toString(16)),
);
const ipv6 = fc.oneof(
  fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":")),
  fc
    .tuple(fc.array(group, { maxLength: 4 }), fc.array(group, { maxLength: 3 }))
    .map(([head, tail]) => `${head.join(":")}::${tail.join(":")}`),
  fc
    .tuple(fc.constantFrom("::ffff:", "::", "64:ff9b::", "::FFFF:0:", "0:0:0:0:0:ffff:", "1:2:3:4:5:6:"), fc.oneof(plainIPv4, looseIPv4))
    .map((parts) => parts.join("")),
);
const bracketed = fc
  .tuple(fc.constantFrom("[", "[", "[", "", "[["), ipv6, fc.constantFrom("]", "]", "]", "", "%eth0]", "%25eth0]", "]]", "]."))
  .map((parts) => parts.join(""));

const label = fc.oneof(
  fc.constantFrom(
    "a",
    "example",
    "Example",
    "org",
    "local",
    "xn--bcher-kva",
    "1",
    "0x1f",
    "0x",
    "0xg",
    "08",
    "-a",
    "a-",
    "a_b",
    "1a",
    "",
    "x".repeat(63),
    "x".repeat(64),
  ),
  fc.stringMatching(/^[a-z0-9-]{1,6}$/),
);
const name = fc
  .tuple(fc.array(label, { minLength: 1, maxLength: 5 }), fc.constantFrom("", "", ".", ".."))
  .map(([labels, end]) => labels.join(".") + end);

const TRICKS = [
  "１",
  "。",
  "ａ",
  "．",
  "\u0000",
  " ",
  "\t",
  "\r\n",
  "%2e",
  "%00",
  "@",
  "/",
  "\\",
  "?",
  "#",
  "\u200b",
  "\u00ad",
  "é",
  "K",
  ":",
  "[",
  "]",
  "*",
  "_",
  "+",
  "%",
  ",",
  ";",
];
/** Something odd put in anywhere, one time in three. */
const tricked = (text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(text, fc.integer({ min: 0, max: 3 * TRICKS.length }), fc.double({ min: 0, max: 1, noNaN: true }))
    .map(([whole, trick, share]) => {
      const at = Math.floor(share * whole.length);
      return whole.slice(0, at) + (TRICKS[trick] ?? "") + whole.slice(at);
    });

const port = fc.oneof(
  fc.integer({ min: 1, max: 65_535 }).map((n) => `:${n}`),
  fc.constantFrom("", ":", ":0", ":80", ":443", ":00080", ":+80", ":-1", ":65536", ":0x50", ":80:80", ": 80", ":8０", ":99999999999"),
);
const authorities = fc
  .tuple(tricked(fc.oneof(plainIPv4, looseIPv4, bracketed, name, fc.string({ maxLength: 12 }))), port)
  .map((parts) => parts.join(""));

function read(authority: string): Target | undefined {
  try {
    return parseTarget(authority, "plain");
  } catch (error) {
    if (isHostError(error) && error.code === "EGRESS_PROTOCOL") return undefined;
    throw error;
  }
}

/** As C libraries do: up to four numbers in three notations. Undefined: they would look it up as a name. */
function inetAton(host: string): bigint | undefined {
  const parts = host.split(".");
  if (parts.length > 4) return undefined;
  const numbers = parts.map((part) => {
    if (/^0x[0-9a-f]*$/i.test(part)) return BigInt(part.length === 2 ? "0" : part);
    if (/^0[0-7]*$/.test(part)) return BigInt(`0o${part.slice(1) === "" ? "0" : part.slice(1)}`);
    return /^[1-9][0-9]*$/.test(part) ? BigInt(part) : undefined;
  });
  let value = 0n;
  for (const [index, number] of numbers.entries()) {
    const isLast = index === numbers.length - 1;
    const room = isLast ? 256n ** BigInt(5 - numbers.length) : 256n;
    if (number === undefined || number >= room) return undefined;
    value = value * room + number;
  }
  return value;
}

/** What the target says it is, as a number. */
function valueOf({ host, address }: Target): { readonly family: 0 | 4 | 6; readonly value: bigint | undefined } {
  if (address === undefined) return { family: 0, value: undefined };
  return address.family === 4 ? { family: 4, value: ipv4Value(host) } : { family: 6, value: ipv6Value(host) };
}

test("what is taken for a place is read as the same place by browsers, C libraries and Node", { timeout: FUZZ_TIMEOUT_MS }, () => {
  const taken = { names: 0, ipv4: 0, ipv6: 0 };
  fc.assert(
    fc.property(authorities, (authority) => {
      const target = read(authority);
      if (target === undefined) return;
      const { family, value } = valueOf(target);
      taken[family === 0 ? "names" : family === 4 ? "ipv4" : "ipv6"]++;

      const host = authority.replace(/:[0-9]+$/, "");
      const byLibrary = inetAton(host.replace(/\.$/, ""));
      if (byLibrary !== undefined) expect({ family, value }).toEqual({ family: 4, value: byLibrary });

      const url = URL.parse(`http://${authority}/`);
      // Of names in another script a browser asks that they can be read; what it does not take it does not take for another.
      if (url === null) expect(target.host).toContain("xn--");
      else {
        expect([url.username, url.password, url.pathname, url.port === "" ? 80 : Number(url.port)]).toEqual(["", "", "/", target.port]);
        const seen = url.hostname.replace(/\.$/, "");
        const mapped = /^\[::ffff:([0-9a-f]+):([0-9a-f]+)\]$/.exec(seen);
        if (mapped !== null)
          expect({ family, value }).toEqual({ family: 4, value: BigInt(`0x${mapped[1]}`) * 65_536n + BigInt(`0x${mapped[2]}`) });
        else if (isIPv4(seen)) expect({ family, value }).toEqual({ family: 4, value: ipv4Value(seen) });
        else if (seen.startsWith("[")) expect({ family, value }).toEqual({ family: 6, value: ipv6Value(seen.slice(1, -1)) });
        else expect({ family, host: target.host }).toEqual({ family: 0, host: seen });
      }

      expect(isIP(target.host)).toBe(family);
      expect(parseTarget(family === 6 ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`, "tunnel")).toEqual(target);
    }),
    { numRuns: FUZZ_CASES },
  );
  for (const count of Object.values(taken)) expect(count).toBeGreaterThan(FUZZ_CASES / 100);
});

test("what is plainly a place is taken", { timeout: FUZZ_TIMEOUT_MS }, () => {
  const goodLabel = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/);
  const goodName = fc
    .tuple(fc.array(goodLabel, { maxLength: 4 }), fc.stringMatching(/^[a-z]{2,10}$/))
    .map(([labels, last]) => [...labels, last].join("."));
  const goodPort = fc.integer({ min: 1, max: 65_535 });
  fc.assert(
    fc.property(fc.oneof(goodName, plainIPv4), goodPort, (host, number) => {
      expect(parseTarget(`${host.toUpperCase()}:${number}`, "tunnel")).toMatchObject({ host, port: number });
    }),
    { numRuns: Math.floor(FUZZ_CASES / 10) },
  );
});
