import fc from "fast-check";
import { expect, test } from "vitest";
import { LineSplitter } from "./line-splitter.ts";

function split(chunks: readonly Uint8Array[], maxBytes?: number): { number: number; text: string | undefined }[] {
  const splitter = new LineSplitter(maxBytes);
  const found: { number: number; text: string | undefined }[] = [];
  const take = (lines: ReturnType<LineSplitter["push"]>): void => {
    // Copied at once: a line is valid only until the next one.
    for (const { number, bytes } of lines) found.push({ number, text: bytes?.toString("utf8") });
  };
  for (const chunk of chunks) take(splitter.push(chunk));
  take(splitter.end());
  return found;
}

/** Cuts bytes at the given places, any of them twice, none in order. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const borders = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return borders.slice(1).map((to, index) => bytes.subarray(borders[index], to));
}

const unicodeLine = fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.replace(/[\r\n\uFEFF]/g, ""));
const cuts = fc.array(fc.nat(10_000), { maxLength: 60 });

test("lines come out the same however their bytes are cut into chunks", () => {
  fc.assert(
    fc.property(fc.array(unicodeLine, { minLength: 1 }), fc.constantFrom("\n", "\r\n"), cuts, (lines, lineEnd, places) => {
      const bytes = Buffer.from(lines.map((line) => line + lineEnd).join(""));
      const expected = lines.map((text, index) => ({ number: index + 1, text }));
      expect(split(cut(bytes, places))).toEqual(expected);
      expect(split([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

test("with a small bound, exactly the longer lines are dropped, each once and under its number, however the bytes are cut", () => {
  const maxBytes = 12;
  fc.assert(
    fc.property(fc.array(unicodeLine), unicodeLine, cuts, (lines, last, places) => {
      const all = last === "" ? lines : [...lines, last];
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join("") + last);
      const expected = all.map((line, index) => ({ number: index + 1, text: Buffer.byteLength(line) > maxBytes ? undefined : line }));
      expect(split(cut(bytes, places), maxBytes)).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

test("a line of exactly the bound is kept, one byte more is dropped", () => {
  for (const end of ["", "\n"]) {
    expect(split([Buffer.from(`${"a".repeat(8)}${end}`)], 8)).toEqual([{ number: 1, text: "aaaaaaaa" }]);
    expect(split([Buffer.from(`${"a".repeat(9)}${end}`)], 8)).toEqual([{ number: 1, text: undefined }]);
  }
});

test("an endless line is given up when the bound is passed, and holds no memory", () => {
  const splitter = new LineSplitter(1024);
  const chunk = Buffer.alloc(1000, "x");
  expect([...splitter.push(chunk)]).toEqual([]);
  expect([...splitter.push(chunk)]).toEqual([{ number: 1, bytes: undefined }]);
  for (let n = 0; n < 1000; n++) expect([...splitter.push(chunk)]).toEqual([]);
  expect([...splitter.push(Buffer.from("\nnext\n"))].map((line) => [line.number, line.bytes?.toString()])).toEqual([[2, "next"]]);
});

test("only the CR before the newline goes, and only the byte order mark of the first line", () => {
  expect(split([Buffer.from("\uFEFFa\rb\r\r\n\uFEFFc\n\r")])).toEqual([
    { number: 1, text: "a\rb\r" },
    { number: 2, text: "\uFEFFc" },
    { number: 3, text: "" },
  ]);
});

test("the default bound is 16 MiB", () => {
  const sixteen = Buffer.alloc(16 * 1024 * 1024, "x");
  expect(split([sixteen]).map((line) => line.text?.length)).toEqual([sixteen.length]);
  expect(split([sixteen, Buffer.from("x")])).toEqual([{ number: 1, text: undefined }]);
});
