import * as fc from "fast-check";
import { expect, test } from "vitest";
import { OutputWindow } from "./output-window.ts";

const MARK = /\n\[… (\d+) bytes cut …\]\n/;

function windowed(chunks: readonly Buffer[], maxBytes: number): string {
  const window = new OutputWindow(maxBytes);
  for (const chunk of chunks) window.push(chunk);
  return window.text();
}

test("however the output was cut into chunks, its head and tail are shown and what is missing is counted", () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes.map((byte) => 97 + (byte % 26)))));
  fc.assert(
    fc.property(chunks, fc.integer({ min: 2, max: 120 }), (pieces, maxBytes) => {
      const whole = Buffer.concat(pieces).toString();
      const shown = windowed(pieces, maxBytes);
      if (whole.length <= maxBytes) {
        expect(shown).toBe(whole);
        return;
      }
      const [head = "", cut, tail = ""] = shown.split(MARK);
      expect(head.length + tail.length).toBe(maxBytes);
      expect(whole.startsWith(head) && whole.endsWith(tail)).toBe(true);
      expect(Number(cut)).toBe(whole.length - maxBytes);
    }),
  );
});

test("a character is never split at the cut", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "é", "…", "😀"), minLength: 20 }),
      fc.integer({ min: 8, max: 40 }),
      (whole, maxBytes) => {
        expect(windowed([Buffer.from(whole)], maxBytes)).not.toContain("\ufffd");
      },
    ),
  );
});

test("binary output is shown with replacements, within the bound", () => {
  const shown = windowed([Buffer.alloc(10_000, 0x80)], 100);
  expect([...shown].filter((character) => character === "\ufffd").length).toBeLessThanOrEqual(100);
  expect(shown).toContain("bytes cut");
});
