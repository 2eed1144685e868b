/** What a turn of the old agent is told fits into a line of the link, whatever its tasks say. */
import { expect, test } from "vitest";
import { MAX_FRAME_BYTES } from "../../contracts/wire/turn.ts";
import { MAIN_FOLDER } from "../domain/group.ts";
import type { Task } from "../domain/task.ts";
import { payloadFacts } from "./compatibility.ts";

const group = { chat: "c", name: "c", folder: MAIN_FOLDER, trigger: "@Andy", requiresTrigger: false };
const task: Task = {
  id: "t",
  folder: MAIN_FOLDER,
  chat: "c",
  prompt: "",
  scheduleType: "once",
  scheduleValue: "2026-01-01T00:00:00",
  contextMode: "isolated",
  nextRun: null,
  lastRun: null,
  lastResult: null,
  status: "active",
  createdAt: "2026-01-01T00:00:00.000Z",
  timeZone: null,
  catchUp: "once",
  failures: 0,
};

test("tasks are counted as bytes as they are written: six for a character that is escaped; the newest stay", () => {
  const tasks = Array.from({ length: 20 }, (_, n) => ({ ...task, id: `t-${n}`, prompt: "\u0001".repeat(100_000) }));
  const facts = payloadFacts({ groups: () => [group], tasks: () => tasks, chats: () => [] }, { group, taskId: null });
  expect(facts.tasks.map(({ id }) => id)).toEqual(["t-0", "t-1", "t-2", "t-3", "t-4", "t-5"]);
  expect(Buffer.byteLength(JSON.stringify(facts))).toBeLessThan(MAX_FRAME_BYTES / 2);
});
