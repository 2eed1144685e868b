import { expect, test } from "vitest";
import { createScrubber } from "./key-scrubber.ts";

const scrub = createScrubber(["sk-0123456789abcdef", "short", ""]);

test.each([
  ["whole", "bad sk-0123456789abcdef!", "bad [key]!"],
  ["twice in a row", "sk-0123456789abcdefsk-0123456789abcdef", "[key]"],
  ["its start", "bad sk-012345678…", "bad [key]…"],
  ["its end", "…456789abcdef", "…[key]"],
  ["at the very start and end", "sk-0123456789abcdef x short", "[key] x [key]"],
  ["a short one whole", "a shorter one", "a [key]er one"],
  ["less than a telling stretch", "sk-01234567", "sk-01234567"],
  ["nothing of it", "model not found", "model not found"],
  ["no text", "", ""],
])("%s", (_what, text, scrubbed) => {
  expect(scrub(text)).toBe(scrubbed);
});

test("without secrets text is as it was", () => {
  expect(createScrubber([])("sk-0123456789abcdef")).toBe("sk-0123456789abcdef");
});
