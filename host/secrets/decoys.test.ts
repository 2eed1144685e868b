import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { TurnStart } from "../../contracts/wire/turn.ts";
import { createLeakScanner } from "../domain/leak-scanner.ts";
import { redactShapes } from "../domain/redaction.ts";
import { makeDecoys } from "./decoys.ts";

const scannerOf = ({ values }: ReturnType<typeof makeDecoys>) =>
  createLeakScanner(values.map((value) => ({ kind: "decoy", ...value, isWhole: false })));

test("each file is below /tmp, as the wire wants it, and shown whole it is found", () => {
  const decoys = makeDecoys(randomBytes);
  expect(() => TurnStart.shape.decoys.parse(decoys.files)).not.toThrow();
  const scanner = scannerOf(decoys);
  const names = decoys.files.map(({ text }) => scanner.finds(text).map(({ name }) => name));
  expect(names).toEqual([["aws credentials", "aws credentials"], ["ssh key"], ["github token"]]);
  for (const form of ["hex", "base64", "base64url"] as const) {
    for (const { text } of decoys.files.filter(({ path }) => !path.includes("ssh"))) {
      expect(scanner.finds(Buffer.from(text).toString(form))).not.toEqual([]);
    }
  }
});

test("each looks like what it stands for", () => {
  for (const { text } of makeDecoys(randomBytes).files) expect(redactShapes(text)).not.toBe(text);
});

test("another turn's decoys are none of this one's, and so is what all keys of a kind have in common", () => {
  const scanner = scannerOf(makeDecoys(randomBytes));
  for (const { text } of makeDecoys(randomBytes).files) expect(scanner.finds(text)).toEqual([]);
});

test("every value has at least 80 random bits", () => {
  let bits = 0;
  const alphabets = [32, 64, 62, 64, 64];
  makeDecoys((bytes) => {
    bits = Math.min(bits === 0 ? Infinity : bits, bytes * Math.log2(alphabets.shift() ?? 0));
    return new Uint8Array(bytes);
  });
  expect(bits).toBeGreaterThanOrEqual(80);
});
