import { expect, test } from "vitest";
import { changeTexts, type TextChange } from "./texts-within.ts";

const change: TextChange = {
  text: (text) => text.replaceAll("secret", "[secret]"),
  bytes: (bytes) => (bytes.length > 3 ? new Uint8Array(0) : bytes),
};

test("every text is changed, names of fields too, at any depth; everything else stays", () => {
  const value = { a: ["x", "a secret", { secret: [null, 1, true, undefined] }], b: Uint8Array.of(1, 2, 3, 4), c: "x" };
  expect(changeTexts(value, change)).toEqual({
    a: ["x", "a [secret]", { "[secret]": [null, 1, true, undefined] }],
    b: new Uint8Array(0),
    c: "x",
  });
  expect(value.a[1]).toBe("a secret");
});

test("what needs no change is the same thing, and so are its parts", () => {
  const clean = { a: ["x"], b: Uint8Array.of(1) };
  expect(changeTexts(clean, change)).toBe(clean);
  expect(changeTexts({ clean, other: "secret" }, change).clean).toBe(clean);
});

test("a field named like a prototype is a field like any other", () => {
  const value: unknown = JSON.parse('{"__proto__":{"secret":"x"},"constructor":"secret"}');
  expect(JSON.stringify(changeTexts(value, change))).toBe('{"__proto__":{"[secret]":"x"},"constructor":"[secret]"}');
});

test("a value nested without an end is refused in words", () => {
  const deep: unknown = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`);
  expect(() => changeTexts(deep, change)).toThrow(/nested more than 100 levels deep/);
  const hundred: unknown = JSON.parse(`${"[".repeat(100)}"secret"${"]".repeat(100)}`);
  expect(JSON.stringify(changeTexts(hundred, change))).toContain('"[secret]"');
});
