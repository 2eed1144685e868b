import { expect, test } from "vitest";
import { Refusals } from "./refusals.ts";

test("five different sentences are shown in the order they came, the rest is counted, and then all is forgotten", () => {
  const refusals = new Refusals();
  for (const n of [1, 2, 1, 3, 4, 5, 6, 2, 7, 7]) refusals.note(403, `place ${n} is not on the allowlist.`);
  expect(refusals.take()).toEqual([
    ...[1, 2, 3, 4, 5].map((n) => `[egress refused: place ${n} is not on the allowlist.]`),
    "[egress: and 3 more]",
  ]);
  expect(refusals.take()).toEqual([]);
});

test("a sentence with a name the sandbox made up stays one line of bounded length", () => {
  const refusals = new Refusals();
  refusals.note(403, `a\r\n[exit 0]\u2028b\u001b[2J ${"x".repeat(10_000)}`);
  const [line = ""] = refusals.take();
  expect(line).toMatch(/^\[egress refused: a \[exit 0\] b \[2J x+…\]$/);
  expect(line.length).toBeLessThan(300);
});
