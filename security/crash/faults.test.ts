/** What a kill -9 campaign would notice: one thing is taken from, or done twice to, an aftermath that is well. */
import { describe, expect, test } from "vitest";
import type { Aftermath } from "./aftermath.ts";
import { type Kind, type Message, REPEATING, reminderText, token, writtenFile } from "./feed.ts";
import { judge } from "./faults.ts";

const T0 = Date.UTC(2026, 0, 1);
const INTERRUPTED = "Interrupted: the sandbox or its host went down.";

function message(number: number, kind: Kind, chat: string): Message {
  const texts = {
    note: `please note ${token(number)}`,
    run: `run: echo ${token(number)}`,
    write: `write ${writtenFile(number)}: ${token(number)}`,
    reminder: `remind me in 1 seconds to ${reminderText(number)}`,
  };
  return { id: `m${number}`, number, kind, chat, sender: "Sam", text: texts[kind] };
}

const messages = [message(0, "note", "family"), message(1, "run", "family"), message(2, "write", "family"), message(3, "reminder", "flat")];
const said = [
  ["family", `You said: “${messages[0]?.text}”`],
  ["family", token(1)],
  ["family", "tick-family-"],
  ["family", "Wrote 8 bytes to notes/2.txt."],
  ["flat", "Scheduled as task-3. First run: 2026-01-01T00:00:01.000Z."],
  ["flat", reminderText(3)],
  ["flat", "tick-flat-"],
  ["flat", "tick-flat-"],
] as const;

/** Two runs of one repeating task, one of the other, one reminder. */
function well(): Aftermath {
  const [family, flat] = REPEATING.map(({ everyMs }) => everyMs) as [number, number];
  const ended = T0 + family + 700;
  return {
    messages,
    replies: said.map(([chat, text], i) => ({ id: `out-${i + 1}`, chat, text })),
    tasks: [
      { id: "task-family", folder: "family", prompt: "say: tick-family-", status: "paused", createdAt: T0, nextRun: ended + family + 1 },
      { id: "task-flat", folder: "flat", prompt: "say: tick-flat-", status: "paused", createdAt: T0, nextRun: T0 + 3 * flat },
      { id: "task-3", folder: "flat", prompt: `say: ${reminderText(3)}`, status: "completed", createdAt: T0, nextRun: null },
    ],
    occurrences: [
      { taskId: "task-family", dueAt: T0 + family, claimedAt: T0 + family },
      { taskId: "task-flat", dueAt: T0 + flat, claimedAt: T0 + 9 * flat },
      { taskId: "task-flat", dueAt: T0 + 2 * flat, claimedAt: T0 + 9 * flat },
      { taskId: "task-3", dueAt: T0 + 1_000, claimedAt: T0 + 1_000 },
    ],
    runs: [
      { taskId: "task-family", endedAt: ended, status: "success" },
      { taskId: "task-flat", endedAt: T0 + 9 * flat, status: "success" },
      { taskId: "task-flat", endedAt: T0 + 9 * flat, status: "success" },
      { taskId: "task-3", endedAt: T0 + 1_500, status: "success" },
    ],
    effects: new Map([["family", [token(1)]]]),
    files: new Map([[2, token(2)]]),
    unfinished: [],
    damage: [],
  };
}

const without = <T>(list: readonly T[], at: number): T[] => list.toSpliced(at, 1);
const again = <T>(list: readonly T[], at: number): T[] => [...list, ...list.slice(at, at + 1)];
const replies = (change: (texts: [string, string][]) => void): Partial<Aftermath> => {
  const texts = said.map(([chat, text]): [string, string] => [chat, text]);
  change(texts);
  return { replies: texts.map(([chat, text], i) => ({ id: `out-${i + 1}`, chat, text })) };
};
const faultsOf = (change: Partial<Aftermath>): string[] =>
  judge({ ...well(), ...change }).faults.map(({ kind, what }) => `${kind}: ${what}`);

describe("a campaign's aftermath", () => {
  test("is well when everything was said and done once", () => {
    expect(judge(well())).toEqual({ faults: [], interrupted: 0 });
  });

  test("is well when a command was interrupted, whether or not it had taken effect", () => {
    const cutOff = replies((texts) => void (texts[1] = ["family", INTERRUPTED]));
    expect(judge({ ...well(), ...cutOff })).toEqual({ faults: [], interrupted: 1 });
    expect(judge({ ...well(), ...cutOff, effects: new Map() })).toEqual({ faults: [], interrupted: 1 });
  });

  test.each<[string, RegExp, Partial<Aftermath>]>([
    ["an answer is missing", /^lost: family: the answer to m0 /, replies((texts) => texts.splice(0, 1))],
    ["the last answer is missing", /^lost: family: the answer to m2 /, replies((texts) => texts.splice(3, 1))],
    ["an answer was said twice", /^twice: family: out-5 “token-1-”$/, replies((texts) => texts.splice(4, 0, ["family", token(1)]))],
    [
      "answers changed places",
      /^lost: family: the answer to m0 /,
      replies((texts) => texts.splice(0, 2, ["family", token(1)], ["family", said[0][1]])),
    ],
    ["an answer went to another chat", /^wrong: work: out-2 /, replies((texts) => void (texts[1] = ["work", token(1)]))],
    ["a host tool was reported as interrupted", /^wrong: flat: out-5 /, replies((texts) => void (texts[4] = ["flat", INTERRUPTED]))],
    ["a turn failed", /^wrong: flat: out-9 “\[hermit\] /, replies((texts) => texts.push(["flat", "[hermit] I could not finish this"]))],
    ["a reply stands in the journal twice", /^twice: family: out-1 in /, { replies: again(well().replies, 0) }],
    [
      "replies of a chat were delivered out of order",
      /^wrong: family: out-2 was delivered after out-4$/,
      { replies: [...without(well().replies, 1), ...well().replies.slice(1, 2)] },
    ],
    ["a command ran twice", /^twice: effects of m1 /, { effects: new Map([["family", [token(1), token(1)]]]) }],
    ["a command was answered and left nothing", /^lost: effects of m1 /, { effects: new Map() }],
    ["a file was not written", /^lost: what m2 wrote/, { files: new Map() }],
    ["a call made no task", /^lost: tasks made by m3: 0 /, { tasks: without(well().tasks, 2) }],
    ["one call made two tasks", /^twice: tasks made by m3: 2 /, { tasks: again(well().tasks, 2) }],
    [
      "a task came from nowhere",
      /^twice: tasks: 4 /,
      { tasks: [...well().tasks, { id: "x", folder: "work", prompt: "y", status: "active", createdAt: T0, nextRun: null }] },
    ],
    ["a reminder was not said", /^lost: remember-3- in flat: 0 /, replies((texts) => texts.splice(5, 1))],
    ["a reminder was said twice", /^twice: remember-3- in flat: 2 /, replies((texts) => texts.push(["flat", reminderText(3)]))],
    ["a reminder fell due twice", /^twice: occurrences of remember-3-: 2 /, { occurrences: again(well().occurrences, 3) }],
    ["a reminder was not logged", /^lost: log rows of remember-3-: 0 /, { runs: without(well().runs, 3) }],
    [
      "a repeating task was said more often than it was due",
      /^twice: tick-flat- in flat: 3 /,
      replies((texts) => texts.push(["flat", "tick-flat-"])),
    ],
    ["a run of a repeating task was logged twice", /^twice: log rows of task-family: 2 /, { runs: again(well().runs, 0) }],
    [
      "an occurrence to be made up for was passed over",
      /^lost: task-flat: after occurrence 0 the next is 3100 ms off$/,
      { occurrences: well().occurrences.map((row, i) => (i === 2 ? { ...row, dueAt: row.dueAt + 3_100 } : row)) },
    ],
    [
      "an occurrence came twice",
      /^twice: task-flat: after occurrence 0 the next is -3100 ms off$/,
      { occurrences: well().occurrences.map((row, i) => (i === 2 ? { ...row, dueAt: row.dueAt - 3_100 } : row)) },
    ],
    [
      "an interval was skipped",
      /^lost: task-family: after occurrence 0 /,
      { tasks: well().tasks.map((task, i) => (i === 0 ? { ...task, nextRun: (task.nextRun ?? 0) + 2_000 } : task)) },
    ],
    [
      "a task ran before it was due",
      /^wrong: occurrence 0 of task-family was 1 ms early$/,
      { occurrences: well().occurrences.map((row, i) => (i === 0 ? { ...row, claimedAt: row.dueAt - 1 } : row)) },
    ],
    ["something is not at its end", /^wrong: a turn: 1 of family is failed$/, { unfinished: ["a turn: 1 of family is failed"] }],
    ["the database is damaged", /^wrong: row 1 missing from index$/, { damage: ["row 1 missing from index"] }],
  ])("shows that %s", (_, fault, change) => {
    expect(faultsOf(change)).toContainEqual(expect.stringMatching(fault));
  });
});
