/** Values found only where all of one stands, and what that tells whoever writes the text: nothing. */
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formsOf, wholeFormsOf } from "./leak-forms.ts";
import { createLeakScanner, createScrubber, type LeakScanner } from "./leak-scanner.ts";

const scannerOf = (...values: readonly string[]): LeakScanner =>
  createLeakScanner(values.map((value, at) => ({ kind: "secret", name: `s${at}`, value, isWhole: true })));

/** Every form has characters here that look different in it. */
const VALUE = 'pä"ss/<wörd>+\n?~{42}';

describe("a value is found whole", () => {
  const scanner = scannerOf(VALUE);
  const forms = formsOf(VALUE).map((form) => form.join(""));

  test.each(forms)("as %j", (form) => {
    expect(scanner.finds(`x ${form} x`)).toEqual([{ kind: "secret", name: "s0" }]);
    expect(scanner.redact(`x ${form} x`)).toBe("x [secret] x");
  });

  test.each([0, 1, 2, 3, 4, 5])("in the base64 of a longer text, %i bytes into it", (before) => {
    const text = Buffer.from(`${"x".repeat(before)}${VALUE}, and more`).toString("base64");
    for (const encoded of [text, text.replaceAll("+", "-").replaceAll("/", "_")]) expect(scanner.redact(encoded)).toContain("[secret]");
  });

  test.each(forms)("and not by all but the first or the last three characters of %j", (form) => {
    const characters = [...form];
    for (const part of [characters.slice(3), characters.slice(0, -3)].map((one) => one.join(""))) expect(scanner.redact(part)).toBe(part);
  });

  test("one within another is hidden with it, neighbours and those in between each other by one mark", () => {
    const both = scannerOf("abcdefghijklmnopqrst", "efghijklmnopqrstuvwx", "ghijklmnopqrstuv");
    expect(both.redact("1 abcdefghijklmnopqrstuvwx 2 ghijklmnopqrstuvghijklmnopqrstuv 3")).toBe("1 [secret] 2 [secret] 3");
    expect(both.finds("abcdefghijklmnopqrstuvwx").map(({ name }) => name)).toEqual(["s0", "s2", "s1"]);
  });

  test("from sixteen characters on: a shorter one could be tried out", () => {
    expect(scannerOf("0123456789abcde").isEmpty).toBe(true);
    expect(scannerOf("0123456789abcdef").redact("0123456789abcdef 0123456789abcde")).toBe("[secret] 0123456789abcde");
    expect(createScrubber(["0123456789abcdef", "hunter2"], true)("0123456789abcdef 0123456789ab hunter2")).toBe(
      "[key] 0123456789ab hunter2",
    );
  });

  test.each([true, false])("in each text by itself, whatever was looked through before (whole: %s)", (isWhole) => {
    const scanner = createLeakScanner([{ kind: "secret", name: "s0", value: "0123456789abcdefghij", isWhole }]);
    for (let time = 0; time < 2; time++) {
      expect(scanner.finds("it ends in 0123456789a")).toEqual([]);
      expect(scanner.finds("bcdefghij and more of it")).toEqual([]);
      expect(scanner.redact("0123456789abcdefghij")).toBe("[secret]");
      expect(scanner.redact("0123456789abcdefghij!")).toBe("[secret]!");
    }
  });

  test("both ways of writing down the forms of a value give the same", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 40 }), (value) => {
        const whole = wholeFormsOf(value).flatMap(({ text, isOpen }) => (isOpen ? [text, text.slice(0, -1)] : [text]));
        expect(new Set(whole)).toEqual(new Set(formsOf(value).map((form) => form.join(""))));
      }),
    );
  });
});

test("an account's JSON or a file of keys hides no honest text that shares words with it, a long value looked for by stretches neither", () => {
  const key = `-----BEGIN ${"PRIVATE"} KEY-----\n${randomBytes(1_200).toString("base64")}\n`;
  const account = {
    type: "service_account",
    auth_uri: "https://accounts.google.com/o/oauth2/auth",
    cert: "https://www.googleapis.com/robot/v1",
    key,
  };
  const value = JSON.stringify(account);
  const honest = 'see https://www.example.org and "private_key" in {"type": "service_account"}, https://accounts.google.com/o/oauth2/auth';
  for (const isWhole of [true, false]) {
    const scanner = createLeakScanner([{ kind: "secret", name: "google", value, isWhole }]);
    expect(scanner.redact(`${honest} ${value} ${JSON.stringify({ value })}`)).toBe(`${honest} [secret] {"value":"[secret]"}`);
  }
});

describe("in a stream", () => {
  const chunked = (scanner: LeakScanner, bytes: Buffer, sizes: readonly number[]): { passed: string; waits: number[] } => {
    const stream = scanner.stream();
    const passed: Uint8Array[] = [];
    const waits: number[] = [];
    let out = 0;
    for (let at = 0, turn = 0; at < bytes.length; turn++) {
      const chunk = Uint8Array.from(bytes.subarray(at, at + (sizes[turn % sizes.length] ?? 1)));
      at += chunk.length;
      passed.push(Uint8Array.from(stream.push(chunk)));
      out += passed.at(-1)?.length ?? 0;
      // The caller's again, whatever of it still waits.
      chunk.fill(0);
      waits.push(at - out);
    }
    passed.push(stream.end());
    return { passed: Buffer.concat(passed).toString(), waits };
  };

  test("any values in any text cut anywhere are replaced as by looking for each form at every place", () => {
    const Value = fc.string({ unit: fc.constantFrom("a", "b", "1", "+", "ä", " ", "𝒳"), minLength: 16, maxLength: 20 });
    const Case = fc.array(Value, { minLength: 1, maxLength: 3 }).chain((values) =>
      fc.record({
        values: fc.constant(values),
        text: fc
          .array(
            fc.oneof(
              fc.string({ unit: "binary", maxLength: 5 }),
              Value,
              fc.constantFrom(...values.flatMap(formsOf).map((form) => form.join(""))),
              fc.constantFrom(...values.flatMap(formsOf).map((form) => form.slice(1).join(""))),
            ),
            { maxLength: 8 },
          )
          .map((pieces) => pieces.join("").toWellFormed()),
        cuts: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 }),
      }),
    );
    fc.assert(
      fc.property(Case, ({ values, text, cuts }) => {
        const scanner = scannerOf(...values);
        expect(scanner.redact(text)).toBe(plainly(values, text));
        expect(chunked(scanner, Buffer.from(text), cuts).passed).toBe(plainly(values, text));
      }),
      { numRuns: 100 },
    );
  });

  test("a value of 16 KiB is found in each of its forms, in chunks of any size", () => {
    const value = randomBytes(12 * 1024).toString("base64");
    const scanner = scannerOf(value, VALUE);
    for (const { text } of wholeFormsOf(value)) {
      for (const size of [1_000, 20_000, 1_000_000]) expect(chunked(scanner, Buffer.from(`a${text}.`), [size]).passed).toBe("a[secret].");
    }
  });

  test("what waits is the last word, however much of a value it is, and never as much as the longest form", () => {
    const value = "sk-live-0123456789-abcdefghijklmn";
    const longest = Math.max(...wholeFormsOf(value).map(({ text }) => text.length));
    const right = `key: ${value.slice(0, -1)} and ${value.slice(0, 20)}`;
    const wrong = right.replaceAll("live", "dead");
    const waits = (text: string): number[] => chunked(scannerOf(value), Buffer.from(text), [1]).waits;
    expect(waits(right)).toEqual(waits(wrong));
    expect(waits("data: {}\n\n").at(-1)).toBe(0);
    expect(Math.max(...waits("x".repeat(1_000)))).toBe(longest - 1);
  });

  test("where a value has blanks as much waits as one of its forms with blanks could have, whatever it is", () => {
    const value = "correct horse battery staple";
    const waits = (text: string): number[] => chunked(scannerOf(value), Buffer.from(text), [1]).waits;
    expect(waits("so: correct horse battery stap ")).toEqual(waits("so: correct house battery stap "));
    expect(waits("a b ".repeat(100)).at(-1)).toBe(value.length - 1);
  });
});

/** Every form, looked for at every place. */
function plainly(values: readonly string[], text: string): string {
  const characters = [...text];
  const hidden = characters.map(() => false);
  const forms = new Map(values.flatMap(formsOf).map((form) => [form.join(""), [...form.join("")].length]));
  for (const size of new Set(forms.values())) {
    for (let at = 0; at + size <= characters.length; at++) {
      if (forms.has(characters.slice(at, at + size).join(""))) hidden.fill(true, at, at + size);
    }
  }
  return characters.map((character, at) => (!hidden[at] ? character : hidden[at - 1] ? "" : "[secret]")).join("");
}

describe("what it costs", () => {
  const MB = 1_000_000;
  const long = Array.from({ length: 40 }, () => randomBytes(12 * 1024).toString("base64"));
  /** Some hundred milliseconds; were it quadratic, hours. */
  const BOUND_S = 5;
  const seconds = (work: () => void): number => {
    const began = performance.now();
    work();
    return (performance.now() - began) / 1000;
  };
  const all = scannerOf(...long);

  test("to look for forty values of 16 KiB takes little time and little memory", () => {
    const before = process.memoryUsage().arrayBuffers;
    const took = seconds(() => expect(scannerOf(...long).isEmpty).toBe(false));
    process.stdout.write(`whole values: ${Math.round(took * 1000)} ms for an index of 40 of 16 KiB\n`);
    expect(took).toBeLessThan(BOUND_S);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * MB);
  });

  test.each([
    ["ends of values and nothing else", long.map((value) => value.slice(-16)).join("")],
    ["one end over and over", (long[0] ?? "").slice(-16)],
    ["values and nothing else", long.join("")],
    ["one letter", "x"],
  ])("a text made to be slow is not: %s", (_what, unit) => {
    const text = Buffer.from(unit.repeat(Math.ceil((4 * MB) / unit.length)));
    const took = seconds(() => {
      const stream = all.stream();
      for (let at = 0; at < text.length; at += 65_536) stream.push(text.subarray(at, at + 65_536));
      stream.end();
    });
    expect(took).toBeLessThan(BOUND_S);
  });

  test("nor is one that comes a byte at a time", () => {
    const one = Buffer.from("x");
    const took = seconds(() => {
      const stream = all.stream();
      for (let at = 0; at < MB; at++) stream.push(one);
    });
    expect(took).toBeLessThan(BOUND_S);
  });
});
