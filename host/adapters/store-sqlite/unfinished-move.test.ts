import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openStore } from "./index.ts";
import { ADOPTION_FILE } from "./unfinished-move.ts";

function homeWith(record: string): string {
  const home = mkdtempSync(join(tmpdir(), "hermit-moving-"));
  onTestFinished(() => rmSync(home, { recursive: true }));
  writeFileSync(join(home, ADOPTION_FILE), record);
  return home;
}

test.each([
  ["copied", "its adoption was interrupted", "hermit adopt /old --home "],
  ["returned", "its hand-back was interrupted", "hermit hand-back --home "],
])("a home that is %s is not opened, nothing is made in it, and what finishes the move is named", (state, message, command) => {
  const home = homeWith(JSON.stringify({ v: 1, state, from: "/old" }));
  expect(() => openStore(home)).toThrow(
    expect.objectContaining({
      code: "HOME_UNUSABLE",
      message: expect.stringContaining(message),
      hint: `Finish it with \`${command}${home}\`.`,
    }),
  );
  expect(readdirSync(home)).toEqual([ADOPTION_FILE]);
});

test("a home that has arrived is opened", () => {
  openStore(homeWith(JSON.stringify({ state: "adopted", from: "/old" }))).close();
});

test.each(["", '{"state":"cop', '{"state":"elsewhere","from":"/old"}'])(
  "where that cannot be told, as in %j, a home is not opened",
  (record) => {
    const home = homeWith(record);
    expect(() => openStore(home)).toThrow(/adoption\.json cannot be read/);
    expect(readdirSync(home)).toEqual([ADOPTION_FILE]);
  },
);
