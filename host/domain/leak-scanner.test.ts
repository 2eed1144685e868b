import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formsOf, TELLING_UNITS } from "./leak-forms.ts";
import { createLeakScanner, createScrubber, type LeakEntry, type LeakScanner } from "./leak-scanner.ts";

const secret = (name: string, value: string): LeakEntry => ({ kind: "secret", name, value, isWhole: false });
const scannerOf = (...values: readonly string[]): LeakScanner => createLeakScanner(values.map((value, at) => secret(`s${at}`, value)));

describe("what a service says of the key it was called with", () => {
  const scrub = createScrubber(["sk-0123456789abcdef", "hunter", "short", ""], false);
  test.each([
    ["whole", "bad sk-0123456789abcdef!", "bad [key]!"],
    ["twice in a row", "sk-0123456789abcdefsk-0123456789abcdef", "[key]"],
    ["its start", "bad sk-012345678…", "bad [key]…"],
    ["its end", "…456789abcdef", "…[key]"],
    ["at the very start and end", "sk-0123456789abcdef x hunter", "[key] x [key]"],
    ["a short one whole", "two hunters", "two [key]s"],
    ["part of a short one", "a hunte or an unter", "a hunte or an unter"],
    ["a very short one, which every other text holds", "a shorter one", "a shorter one"],
    ["less than a telling stretch", "sk-01234567", "sk-01234567"],
    ["nothing of it", "model not found", "model not found"],
    ["no text", "", ""],
  ])("%s", (_what, text, scrubbed) => {
    expect(scrub(text)).toBe(scrubbed);
  });

  test("without keys text is as it was", () => {
    expect(createScrubber([], false)("sk-0123456789abcdef")).toBe("sk-0123456789abcdef");
  });
});

/** Every form has characters here that look different in it. */
const VALUE = 'pä"ss/<wörd>+\n?~{42}';
const BYTES = Buffer.from(VALUE);
const PERCENT = [...BYTES].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");

describe("a value is found and replaced", () => {
  const scanner = scannerOf(VALUE);
  test.each([
    ["as it is", VALUE],
    ["in JSON", JSON.stringify(VALUE).slice(1, -1)],
    ["in JSON of ASCII alone", 'p\\u00e4\\"ss/<w\\u00f6rd>+\\n?~{42}'],
    ["in XML", "pä&quot;ss/&lt;wörd&gt;+\n?~{42}"],
    ["in a URL", encodeURIComponent(VALUE)],
    ["in a URL with small letters", encodeURIComponent(VALUE).replace(/%../g, (escape) => escape.toLowerCase())],
    ["in a form", new URLSearchParams({ v: VALUE }).toString().slice(2)],
    ["in a URL, each byte escaped", PERCENT],
    ["in a URL, each byte escaped in capitals", PERCENT.toUpperCase()],
    ["in base64", BYTES.toString("base64").replace(/=+$/, "")],
    ["in URL-safe base64", BYTES.toString("base64url")],
    ["in hex", BYTES.toString("hex")],
    ["in capital hex", BYTES.toString("hex").toUpperCase()],
  ])("%s", (_what, form) => {
    expect(scanner.finds(`x ${form} x`)).toEqual([{ kind: "secret", name: "s0" }]);
    expect(scanner.redact(`x ${form} x`)).toBe("x [secret] x");
  });

  test.each([0, 1, 2, 3, 4, 5])("in the base64 of a longer text, %i bytes into it", (before) => {
    const text = Buffer.from(`${"x".repeat(before)}${VALUE}, and more`).toString("base64");
    for (const encoded of [text, text.replaceAll("+", "-").replaceAll("/", "_")]) {
      const redacted = scanner.redact(encoded);
      expect(redacted).toContain("[secret]");
      // What is left of the value are the bits it shares with its neighbours.
      expect(redacted.replace("[secret]", "").length).toBeLessThanOrEqual(Math.ceil(((before + 10) * 8) / 6) + 4);
    }
  });

  test("as a name of a field in JSON", () => {
    expect(scanner.redact(JSON.stringify({ [VALUE]: 1 }))).toBe('{"[secret]":1}');
  });
});

test("every secret met is named once, with its kind, in the order it was met", () => {
  const scanner = createLeakScanner([
    secret("one", "first-secret-value"),
    { kind: "decoy", name: "bait", value: "nobody-may-take-it", isWhole: false },
    secret("copy", "first-secret-value"),
    secret("unseen", "another-secret-one"),
  ]);
  expect(scanner.finds("nobody-may-take-it first-secret-value nobody-may-take-it")).toEqual([
    { kind: "decoy", name: "bait" },
    { kind: "secret", name: "one" },
  ]);
});

test("values in between each other are all found", () => {
  const scanner = scannerOf("abcdefghijklmnop", "ghijklmnopqrstuv");
  const stream = scanner.stream();
  expect(Buffer.concat([stream.push(Buffer.from("1abcdefghijklmnopqrstuv2")), stream.end()]).toString()).toBe("1[secret]2");
  expect(stream.found.map(({ name }) => name)).toEqual(["s0", "s1"]);
});

describe("nothing is delivered early", () => {
  test("a secret that comes byte by byte: its start waits until it is known for one", () => {
    const stream = scannerOf("0123456789abcdef").stream();
    const passed = [..."key 0123456789abcdef."].map((character) => Buffer.from(stream.push(Buffer.from(character))).toString());
    expect(passed.join("")).toBe("key [secret].");
    // Before it tells, and after, nothing of it.
    expect(passed.slice(0, 15).join("")).toBe("key ");
    expect(Buffer.from(stream.end()).toString()).toBe("");
  });

  test("what turns out to be none is delivered then, whole and in order", () => {
    const stream = scannerOf("0123456789abcdef").stream();
    const passed = ["say 01234567", "8", "9", "9 ok"].map((chunk) => Buffer.from(stream.push(Buffer.from(chunk))).toString());
    expect(passed).toEqual(["say ", "", "", "01234567899 ok"]);
  });

  test("what cannot be the start of a secret waits for nothing", () => {
    const stream = scannerOf("0123456789abcdef").stream();
    expect(Buffer.from(stream.push(Buffer.from("data: {}\n\n"))).toString()).toBe("data: {}\n\n");
  });

  test("what was held at the end is delivered at the end", () => {
    const stream = scannerOf("0123456789abcdef").stream();
    expect(Buffer.from(stream.push(Buffer.from("n: 01234567"))).toString()).toBe("n: ");
    expect(Buffer.from(stream.end()).toString()).toBe("01234567");
  });
});

describe("for any values and any text", () => {
  /** Few letters, so that values and texts overlap in every way; the others make every form differ. */
  const Value = fc.string({ unit: fc.constantFrom("a", "b", "1", "+", "ä", "\n", "𝒳"), minLength: 4, maxLength: 40 });
  const Piece = (values: readonly string[]) =>
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 10 }),
      Value,
      fc
        .tuple(fc.constantFrom(...values.flatMap((value) => [...formsOf(value)])), fc.nat(40), fc.nat(40))
        .map(([form, from, length]) => form.slice(from, from + length)),
    );
  const Case = fc.array(Value, { minLength: 1, maxLength: 4 }).chain((values) =>
    fc.record({
      values: fc.constant(values),
      text: fc.array(Piece(values), { maxLength: 12 }).map((pieces) => pieces.join("").toWellFormed()),
      cuts: fc.array(fc.nat(20), { minLength: 1, maxLength: 20 }),
    }),
  );

  test("the same is replaced as by looking for every stretch at every place", () => {
    fc.assert(
      fc.property(Case, ({ values, text }) => {
        expect(scannerOf(...values).redact(text)).toBe(plainly(values, text));
      }),
      { numRuns: 300 },
    );
  });

  test("cut into chunks anywhere, the same passes as in one piece, and less than 144 bytes ever wait", () => {
    fc.assert(
      fc.property(Case, ({ values, text, cuts }) => {
        const scanner = scannerOf(...values);
        const stream = scanner.stream();
        const bytes = Buffer.from(text);
        const passed: Uint8Array[] = [];
        let at = 0;
        for (let turn = 0; at < bytes.length; turn++) {
          const chunk = Uint8Array.from(bytes.subarray(at, at + (cuts[turn % cuts.length] ?? 0) + 1));
          at += chunk.length;
          passed.push(Buffer.from(stream.push(chunk)));
          // The caller's again, whatever of it still waits.
          chunk.fill(0);
        }
        passed.push(stream.end());
        expect(Buffer.concat(passed).toString()).toBe(scanner.redact(text));
        expect(stream.found.map(({ name }) => name)).toEqual(scanner.finds(text).map(({ name }) => name));
      }),
      { numRuns: 300 },
    );
  });

  test("what holds no value passes unchanged, byte for byte", () => {
    const scanner = scannerOf("0123456789abcdef", "hunter2", "pässwörd-ünd-größe");
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (chunks) => {
        const stream = scanner.stream();
        const passed = Buffer.concat([...chunks.map((chunk) => Buffer.from(stream.push(chunk))), stream.end()]);
        expect(passed.equals(Buffer.concat(chunks))).toBe(true);
      }),
    );
  });

  test("half a character of UTF-16 in a text without values stays what it is", () => {
    expect(scannerOf("0123456789abcdef").redact("\ud83d x \ude00")).toBe("\ud83d x \ude00");
  });
});

/** Every stretch of every form, looked for at every place. */
function plainly(values: readonly string[], text: string): string {
  const characters = [...text];
  const hidden = characters.map(() => false);
  const sizes = new Map<string, number>();
  for (const form of values.filter(({ length }) => length >= 6).flatMap(formsOf)) {
    const units = Math.min(form.length, TELLING_UNITS);
    for (let from = 0; from + units <= form.length; from++) {
      const stretch = form.slice(from, from + units).join("");
      sizes.set(stretch, [...stretch].length);
    }
  }
  for (const size of new Set(sizes.values())) {
    for (let at = 0; at + size <= characters.length; at++) {
      if (sizes.has(characters.slice(at, at + size).join(""))) hidden.fill(true, at, at + size);
    }
  }
  return characters.map((character, at) => (!hidden[at] ? character : hidden[at - 1] ? "" : "[secret]")).join("");
}

describe("a text made to be slow is not", () => {
  const twenty = Array.from({ length: 20 }, (_, at) => `key-${at}-${"0123456789abcdefghijklmnop".slice(at)}${"zyxwvuts".repeat(3)}`);
  const MB = 1_000_000;
  const seconds = (scanner: LeakScanner, text: Buffer): number => {
    const began = performance.now();
    const stream = scanner.stream();
    for (let at = 0; at < text.length; at += 65_536) stream.push(text.subarray(at, at + 65_536));
    stream.end();
    return (performance.now() - began) / 1000;
  };
  /** Were it quadratic, this would take hours. */
  const BOUND_S = 5;

  test.each([
    ["one character over and over", scannerOf("a".repeat(1_000)), "a"],
    ["one that breaks off just before it tells", scannerOf("a".repeat(1_000)), "aaaaaaaaaaab"],
    ["stretches that break off", scannerOf(...twenty), twenty.map((value) => `${value.slice(4, 15)}\n`).join("")],
    ["secrets and nothing else", scannerOf(...twenty), twenty.join("")],
  ])("%s", (_what, scanner, unit) => {
    expect(seconds(scanner, Buffer.from(unit.repeat(Math.ceil((4 * MB) / unit.length))))).toBeLessThan(BOUND_S);
  });

  test("a million times the same byte, one at a time", () => {
    const stream = scannerOf(...twenty).stream();
    const one = Buffer.from("x");
    let passed = 0;
    for (let at = 0; at < MB; at++) passed += stream.push(one).length;
    expect(MB - passed).toBeLessThan(12);
  });
});
