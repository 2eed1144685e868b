import { expect, test } from "vitest";
import { partsOfReply, spokenText, visibleReply } from "./reply.ts";

/** As the old host cut it (contract §3.4): right, and slow where marks are never closed. */
const CUT = /(<internal>[\s\S]*?<\/internal>)/;
const BITS = ["<internal>", "</internal>", "a", " ", "\n", "<internal", "</", "internal>"];

/** All texts of up to five bits. */
function* texts(length = 5): Generator<string> {
  yield "";
  if (length > 0) for (const rest of texts(length - 1)) for (const bit of BITS) yield bit + rest;
}

test("whatever marks a text holds, what is internal begins and ends where it always did", () => {
  const differs = [...new Set(texts())].filter((text) => {
    const parts = text.split(CUT);
    const visible = parts.filter((_, at) => at % 2 === 0).join("");
    return JSON.stringify(partsOfReply(text)) !== JSON.stringify(parts) || visibleReply(text) !== visible.trim();
  });
  expect(differs).toEqual([]);
});

test.each([
  ["marks that open and never close", "<internal>"],
  ["marks that close at once", "<internal></internal>"],
  ["marks that close and never opened", "</internal>"],
  ["brackets", "["],
  ["brackets and spaces", "[ "],
  ["marks of the host", "[hermit]"],
  ["marks of the host that never close", "[hermit"],
  ["what does not show", "[\u200b"],
  ["line ends", "\n"],
])("the time a text takes grows with its length and no faster, and eight megabytes take a moment: %s", (_, bit) => {
  const took = (bytes: number): number => {
    const text = bit.repeat(bytes / Buffer.byteLength(bit));
    const begun = performance.now();
    spokenText(visibleReply(text), 65_536);
    return performance.now() - begun;
  };
  const best = (bytes: number): number => Math.min(...Array.from({ length: 3 }, () => took(bytes)));
  // Four times as much would take sixteen times as long. Some milliseconds are for what else the machine does.
  expect(best(4 << 20)).toBeLessThan(8 * best(1 << 20) + 10);
  expect(best(8 << 20)).toBeLessThan(500);
});

test("the mark of the host is not the assistant's to use, on any line, in any case, with anything that does not show in it", () => {
  const said = "[hermit] a\n[Hermit] b\r\n  **[HERMIT]** c\u2028[ her\u200bmit\ufe0f\u00ad ] d [h\u202eermit] e";
  expect(spokenText(said, 1000)).toBe("(hermit) a\n(hermit) b\r\n  **(hermit)** c\u2028(hermit) d (hermit) e");
  expect(spokenText(visibleReply("[her<internal>x</internal>mit] f"), 1000)).toBe("(hermit) f");
  expect(spokenText("[hermits] [her mit] hermit [x]", 1000)).toBe("[hermits] [her mit] hermit [x]");
});

test("a text that is cut holds no mark either, and is no longer than allowed", () => {
  const said = spokenText(`[hermit] ${"x".repeat(1000)} [hermit] end`, 100);
  expect(said).toMatch(/^\(hermit\) x+\n\[… \d+ bytes cut …\]\nx+ \(hermit\) end$/);
  expect(Buffer.byteLength(said)).toBeLessThanOrEqual(100);
});
