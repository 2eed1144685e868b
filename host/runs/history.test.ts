import { describe, expect, test } from "vitest";
import type { JournalEntry } from "../../contracts/wire/turn.ts";
import { answeredPart, condensed, fitting } from "./history.ts";

const input = (text: string): JournalEntry => ({ kind: "input", text });
const says = (step: number, text: string): JournalEntry => ({ kind: "step", step, content: [{ type: "text", text }] });
const calls = (step: number): JournalEntry => ({
  kind: "step",
  step,
  content: [{ type: "tool-call", toolCallId: `c${step}`, toolName: "exec", input: { command: "x" } }],
});
const result = (step: number, text: string): JournalEntry => ({
  kind: "result",
  step,
  toolCallId: `c${step}`,
  toolName: "exec",
  text,
  isError: false,
});
const bytes = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

describe("what of a turn was answered", () => {
  test("ends with its last answer: inputs and calls after it came to nothing", () => {
    const answered = [input("a"), calls(0), result(0, "out"), says(1, "b")];
    expect(answeredPart([...answered, input("c"), calls(2), result(2, "out")])).toEqual(answered);
  });

  test("is nothing where nobody got an answer", () => {
    expect(answeredPart([input("a"), calls(0), result(0, "out")])).toEqual([]);
  });
});

describe("a turn condensed", () => {
  const turn = [input("what is there?"), calls(0), result(0, "y".repeat(20_000)), says(1, "a lot")];

  test("stays as it is where it fits", () => {
    expect(condensed(turn, 30_000)).toBe(turn);
  });

  test("loses the middle of its tools' results first, with a mark", () => {
    const cut = condensed(turn, 6_000);
    expect(bytes(cut)).toBeLessThanOrEqual(6_000);
    expect(cut).toHaveLength(4);
    expect(cut[2]).toMatchObject({ kind: "result", text: expect.stringContaining("bytes cut") });
  });

  test("then its tools altogether, so that no call stands without its result", () => {
    const cut = condensed(turn, 200);
    expect(cut).toEqual([input("what is there?"), says(1, "a lot")]);
  });

  test("then all but its newest exchange, and never begins in the middle of one", () => {
    const long = [input("x".repeat(3_000)), says(0, "y".repeat(3_000)), input("again"), says(1, "z")];
    expect(condensed(long, 200)).toEqual([input("again"), says(1, "z")]);
    expect(condensed(long, 10)).toEqual([]);
  });
});

describe("the turns a turn is given", () => {
  const turn = (n: number) => [input(`message ${n}`), says(0, "z".repeat(100))];

  test("are the newest that fit together, oldest first", () => {
    const turns = [1, 2, 3, 4, 5].map(turn);
    expect(fitting(turns, 2 * bytes(turn(1)) + 50)).toEqual([turn(4), turn(5)]);
    expect(fitting(turns, 1_000_000)).toEqual(turns);
  });

  test("are without gaps: one that does not fit ends it", () => {
    const large = [input("large"), says(0, "z".repeat(5_000))];
    expect(fitting([turn(1), large, turn(3)], 1_000)).toEqual([turn(3)]);
  });

  test("hold the newest in any case, condensed", () => {
    const large = [input("what?"), calls(0), result(0, "y".repeat(50_000)), says(1, "this")];
    expect(fitting([turn(1), large], 250)).toEqual([[input("what?"), says(1, "this")]]);
  });

  test("are none where none are wanted", () => {
    expect(fitting([turn(1)], 0)).toEqual([]);
  });
});
