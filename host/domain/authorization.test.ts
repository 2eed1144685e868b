import { expect, test } from "vitest";
import { type Caller, type Command, COMMANDS, isAllowed, type Target } from "./authorization.ts";

const TASK_COMMANDS = ["list_tasks", "get_task", "update_task", "pause_task", "resume_task", "cancel_task", "run_task_now"] as const;

/** Caller × command × target → allowed; contract §6.3, and the commands it lacked beside their nearest relative. */
const TABLE: readonly (readonly [Caller, Command, Target, boolean])[] = [
  ["main", "send_message", "own", true],
  ["main", "send_message", "other", true],
  ["main", "send_message", "none", false],
  ["group", "send_message", "own", true],
  ["group", "send_message", "other", false],
  ["group", "send_message", "none", false],
  ["main", "schedule_task", "own", true],
  ["main", "schedule_task", "other", true],
  ["main", "schedule_task", "none", false],
  ["group", "schedule_task", "own", true],
  ["group", "schedule_task", "other", false],
  ["group", "schedule_task", "none", false],
  ...TASK_COMMANDS.flatMap((command) => [
    ["main", command, "own", true] as const,
    ["main", command, "other", true] as const,
    ["main", command, "none", false] as const,
    ["group", command, "own", true] as const,
    ["group", command, "other", false] as const,
    ["group", command, "none", false] as const,
  ]),
  ...(["register_group", "refresh_groups", "list_groups"] as const).flatMap((command) => [
    ["main", command, "own", false] as const,
    ["main", command, "other", false] as const,
    ["main", command, "none", true] as const,
    ["group", command, "own", false] as const,
    ["group", command, "other", false] as const,
    ["group", command, "none", false] as const,
  ]),
];

test.each(TABLE)("%s %s %s: %s", (caller, command, target, allowed) => {
  expect(isAllowed(caller, command, target)).toBe(allowed);
});

test("the table above has a row for every cell", () => {
  expect(TABLE).toHaveLength(2 * COMMANDS.length * 3);
});

test("what is not in the table is refused, whatever it is called", () => {
  for (const odd of ["", "toString", "send_message ", "SEND_MESSAGE", "constructor"]) {
    expect(isAllowed("main", odd as Command, "own")).toBe(false);
    expect(isAllowed(odd as Caller, "send_message", "own")).toBe(false);
    expect(isAllowed("main", "send_message", odd as Target)).toBe(false);
  }
});
