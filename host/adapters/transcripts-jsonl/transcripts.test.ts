import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { transcriptsSuite } from "../../../contracts/suites/transcripts.ts";
import type { TranscriptTurn } from "../../ports/transcripts.ts";
import { createTranscripts } from "./index.ts";

const MAX = 1_000_000;
const turn = (n: number): TranscriptTurn => ({ turn: n, at: n, entries: [{ kind: "input", text: `message ${n}` }] });

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-transcripts-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const fileOf = (session: string) => join(home, "sessions", "fam", `${session}.jsonl`);

transcriptsSuite(() => createTranscripts(home));

describe("the file", () => {
  test("holds a line a turn after one that says whose it is, and is the owner's alone", async () => {
    await createTranscripts(home).append("fam", "s1", [turn(1)]);
    expect(readFileSync(fileOf("s1"), "utf8")).toBe(
      '{"v":1,"session":"s1","group":"fam"}\n{"turn":1,"at":"1970-01-01T00:00:00.001Z","entries":[{"kind":"input","text":"message 1"}]}\n',
    );
    expect(statSync(fileOf("s1")).mode & 0o777).toBe(0o600);
    expect(statSync(join(home, "sessions", "fam")).mode & 0o777).toBe(0o700);
  });

  test("cut off at any byte reads as the turns whose lines are whole, and takes the next turn behind them", async () => {
    const transcripts = createTranscripts(home);
    await transcripts.append("fam", "s1", [turn(1), turn(2)]);
    const whole = readFileSync(fileOf("s1"));
    const lineEnds = [...whole.entries()].flatMap(([at, byte]) => (byte === 0x0a ? [at + 1] : []));
    for (let size = lineEnds[0] ?? 0; size < whole.length; size += 7) {
      writeFileSync(fileOf("s1"), whole);
      truncateSync(fileOf("s1"), size);
      const left = [turn(1), turn(2)].slice(0, lineEnds.filter((end) => end <= size).length - 1);
      expect(await transcripts.read("fam", "s1", MAX), `cut at ${size}`).toEqual({ state: "readable", turns: left, isWhole: true });
      await transcripts.append("fam", "s1", [turn(3)]);
      expect(await transcripts.read("fam", "s1", MAX), `mended at ${size}`).toEqual({
        state: "readable",
        turns: [...left, turn(3)],
        isWhole: true,
      });
    }
  });

  test.each([0, 5])("cut off at byte %i, inside its first line, holds nothing yet, and takes the next turn", async (size) => {
    const transcripts = createTranscripts(home);
    await transcripts.append("fam", "s1", [turn(1)]);
    truncateSync(fileOf("s1"), size);
    expect(await transcripts.read("fam", "s1", MAX)).toEqual({ state: "readable", turns: [], isWhole: true });
    await transcripts.append("fam", "s1", [turn(2)]);
    expect(await transcripts.read("fam", "s1", MAX)).toEqual({ state: "readable", turns: [turn(2)], isWhole: true });
  });

  test.each([
    ["a line that is no JSON", "{oops\n"],
    ["a line of something else", '{"turn":"one"}\n'],
    ["an entry nobody knows", '{"turn":2,"at":"2026-01-01T00:00:00.000Z","entries":[{"kind":"secret"}]}\n'],
    ["zeros, as a disk leaves them", `${"\0".repeat(64)}\n`],
  ])("with %s is damaged as a whole", async (_what, line) => {
    const transcripts = createTranscripts(home);
    await transcripts.append("fam", "s1", [turn(1)]);
    appendFileSync(fileOf("s1"), line);
    expect(await transcripts.read("fam", "s1", MAX)).toMatchObject({ state: "damaged", reason: expect.stringContaining("line 2") });
  });

  test("of one endless line is damaged", async () => {
    const transcripts = createTranscripts(home);
    await transcripts.append("fam", "s1", []);
    writeFileSync(fileOf("s1"), "x".repeat(10_000));
    expect(await transcripts.read("fam", "s1", MAX)).toMatchObject({ state: "damaged" });
  });

  test("of another group or session under this name is damaged", async () => {
    const transcripts = createTranscripts(home);
    await transcripts.append("fam", "s1", [turn(1)]);
    writeFileSync(fileOf("s2"), readFileSync(fileOf("s1")));
    expect(await transcripts.read("fam", "s2", MAX)).toMatchObject({ state: "damaged" });
  });

  test("set aside stays beside it for a person to read", async () => {
    const transcripts = createTranscripts(home);
    await transcripts.append("fam", "s1", [turn(1)]);
    await transcripts.setAside("fam", "s1");
    expect(readdirSync(join(home, "sessions", "fam"))).toEqual(["s1.jsonl.damaged"]);
  });

  test("is never outside the home's own folder, whatever the group is called", async () => {
    const transcripts = createTranscripts(home);
    await transcripts.append("../../escape", "s1", [turn(1)]);
    expect(existsSync(join(home, "..", "escape"))).toBe(false);
    expect(existsSync(join(home, "sessions"))).toBe(false);
  });

  test("that cannot be written says which it is and what to do", async () => {
    writeFileSync(join(home, "sessions"), "in the way");
    await expect(createTranscripts(home).append("fam", "s1", [turn(1)])).rejects.toMatchObject({
      code: "HOME_UNUSABLE",
      message: expect.stringContaining("sessions"),
    });
  });
});
