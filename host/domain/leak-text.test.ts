import fc from "fast-check";
import { expect, test } from "vitest";
import { createLeakScanner } from "./leak-scanner.ts";
import { LeakText } from "./leak-text.ts";

const scanner = createLeakScanner([{ kind: "secret", name: "key", value: "schlüssel-🔑🔒🔓-geheim", isWhole: false }]);

function streamed(pieces: readonly string[]): string {
  const text = new LeakText(scanner.stream());
  return pieces.map((piece) => text.push(piece)).join("") + text.end();
}

test("cut between the halves of a character it stays whole", () => {
  expect(streamed(["so \ud83d", "\ude00 ", "ok \ud83d", "\ude01"])).toBe("so 😀 ok 😁");
});

test("a first half whose other one never comes is passed on at the end, as it came", () => {
  expect(streamed(["so \ud83d"])).toBe("so \ud83d");
});

test("a mark at the start of a text, which a decoder would drop, stays", () => {
  expect(streamed(["\ufeffhello"])).toBe("\ufeffhello");
});

test("a secret is found wherever it is cut, between the halves of its characters too", () => {
  const said = "it is schlüssel-🔑🔒🔓-geheim, ok";
  for (let at = 0; at <= said.length; at++) expect(streamed([said.slice(0, at), said.slice(at)])).toBe("it is [secret], ok");
  expect(streamed(said.split(""))).toBe("it is [secret], ok");
});

test("any text without secrets comes out as it went in, however it is cut", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.array(fc.nat(60), { maxLength: 8 }), (text, cuts) => {
      const edges = [0, ...cuts.map((cut) => Math.min(cut, text.length)), text.length].toSorted((a, b) => a - b);
      expect(streamed(edges.slice(1).map((edge, at) => text.slice(edges[at], edge)))).toBe(text);
    }),
  );
});
