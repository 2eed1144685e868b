import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { KEY_SHAPES } from "./key-shapes.ts";
import { createRedactor, redactJson, redactShapes } from "./redaction.ts";

const KEY = "correct-horse/battery+staple=42";
const redact = createRedactor([KEY]);

describe("a configured secret is nowhere to be found", () => {
  test.each([
    ["as it is", KEY],
    ["in base64", Buffer.from(KEY).toString("base64")],
    ["in URL-safe base64", Buffer.from(KEY).toString("base64url")],
    ["in hex", Buffer.from(KEY).toString("hex")],
    ["in capital hex", Buffer.from(KEY).toString("hex").toUpperCase()],
    ["URL-encoded", encodeURIComponent(KEY)],
    ["in half", KEY.slice(0, 16)],
  ])("%s", (_what, form) => {
    expect(redact(`it is ${form}, I think`)).not.toContain(form.slice(0, 12));
    expect(redact(`it is ${form}, I think`)).toMatch(/^it is \S+, I think$/);
  });
});

/** A secret is kept in two parts, so that nobody's scanner takes the file for a leak; all are invented. */
interface Positive {
  readonly shape: string;
  readonly before: string;
  readonly secret: readonly [string, string];
  readonly after: string;
}

interface Negative {
  readonly what: string;
  readonly text: string;
}

const positives = readCases<Positive>("positives.jsonl");
const negatives = readCases<Negative>("negatives.jsonl");

function readCases<Case>(name: string): Case[] {
  const text = readFileSync(join(import.meta.dirname, "../../fixtures/redaction", name), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Case);
}

describe("of what is only known by its shape", () => {
  test("every key of the fixture set is replaced, and nothing around it", () => {
    const missed = positives.filter(
      ({ before, secret, after }) => redactShapes(before + secret.join("") + after) !== `${before}[secret]${after}`,
    );
    process.stdout.write(`redaction: ${missed.length} false negatives of ${positives.length} keys\n`);
    expect(missed.map(({ shape, before, after }) => `${shape}: ${before}…${after}`)).toEqual([]);
    expect(positives.length).toBeGreaterThanOrEqual(150);
  });

  test("nothing of the fixture set that only resembles a key is taken for one", () => {
    const taken = negatives.filter(({ text }) => redactShapes(text) !== text);
    process.stdout.write(`redaction: ${taken.length} false positives of ${negatives.length} texts\n`);
    expect(taken).toEqual([]);
    expect(negatives.length).toBeGreaterThanOrEqual(300);
  });

  test("a key shows on each line of a log, and again in the next text", () => {
    const token = `ghp_${"x1".repeat(18)}`;
    for (let time = 0; time < 2; time++) expect(redact(`a ${token}\nb ${token}`)).toBe("a [secret]\nb [secret]");
  });

  test("a PEM block that is cut off is replaced to the end, its first line alone is no key", () => {
    const header = `-----BEGIN ${"PRIVATE"} KEY-----`;
    expect(redact(`log: ${header}\nMIIBVgIBADANBgkqhkiG9w0BAQ\nMIIC`)).toBe("log: [secret]");
    expect(redact(`it starts with ${header} and so on`)).toBe(`it starts with ${header} and so on`);
  });
});

describe("a text made to be slow is not:", () => {
  const LENGTH = 400_000;
  /** Some milliseconds where the time is linear, many seconds were it quadratic. */
  const BOUND_MS = 1_500;
  const fill = (unit: string): string => unit.repeat(Math.ceil(LENGTH / unit.length));
  const examples = [...new Map(positives.map((positive) => [positive.shape, positive])).values()];

  test.each([
    ["beginnings of keys", ({ before, secret }: Positive) => fill(before + secret[0])],
    ["beginnings and nothing between", ({ secret }: Positive) => fill(secret[0])],
    ["keys that break off", ({ before, secret }: Positive) => fill(`${before}${secret.join("").slice(0, -1)}!`)],
    ["a beginning without an end", ({ before, secret }: Positive) => before + secret[0] + fill("a1")],
    ["a beginning and letters", ({ before, secret }: Positive) => before + secret[0] + fill("a")],
  ])("%s", (_what, attack) => {
    const slow = examples.filter((example) => {
      const { before, secret, after } = example;
      const text = attack(example);
      const own = KEY_SHAPES.filter(([shape]) => (before + secret.join("") + after).search(shape) >= 0);
      const began = performance.now();
      for (const [shape, replacement] of own) text.replace(shape, replacement);
      return performance.now() - began > BOUND_MS;
    });
    expect(slow.map(({ shape }) => shape)).toEqual([]);
  });
});

test("in JSON every text is redacted, names of fields as well; everything else stays", () => {
  const value = { n: 1, yes: true, none: null, list: [KEY, { [KEY]: `x ${KEY}` }] };
  expect(redactJson(value, redact)).toEqual({ n: 1, yes: true, none: null, list: ["[key]", { "[key]": "x [key]" }] });
});
