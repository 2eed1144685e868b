/** The files in which the old agent reads what it may know: from a real store, through the compatibility runner, to a real folder. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { openStore } from "../../host/adapters/store-sqlite/index.ts";
import type { Task } from "../../host/domain/task.ts";
import { payloadFacts } from "../../host/runs/compatibility.ts";
import { IpcFolder } from "../../runner-image/compat/ipc-folder.ts";
import { PayloadFacts } from "../wire/turn.ts";
import { readTable, wrongRows } from "./table.ts";

const TaskRow = PayloadFacts.shape.tasks.element;
const GroupRow = PayloadFacts.shape.groups.element;

const snapshots = readTable("snapshots", {
  in: z.strictObject({ folder: z.string(), isMain: z.boolean(), tasks: z.array(TaskRow), groups: z.array(GroupRow) }),
  out: z.strictObject({
    current_tasks: z.array(TaskRow),
    available_groups: z.strictObject({ groups: z.array(GroupRow), lastSync: z.strictObject({ $time: z.literal("lastSync") }) }),
    indent: z.literal(2),
    trailingNewline: z.literal(false),
  }),
});
type Row = (typeof snapshots.rows)[number];

const folder = mkdtempSync(join(tmpdir(), "hermit-snapshots-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The store as the recorded host's was, the oldest task first. */
function facts(id: string, { folder: own, tasks, groups }: Row["in"]): PayloadFacts {
  const store = openStore(join(folder, id));
  try {
    store.atomically(() => {
      for (const [n, task] of tasks.toReversed().entries()) store.createTask(taskOf(task, n));
      for (const { jid, name, lastActivity, isRegistered } of groups) {
        store.nameChats([{ chat: jid, name }], Date.parse(lastActivity ?? ""));
        if (isRegistered) store.registerGroup({ chat: jid, name, folder: name, trigger: "@Andy", requiresTrigger: true }, 0);
      }
    });
    const group = { chat: `${own}@g.us`, name: own, folder: own, trigger: "@Andy", requiresTrigger: true };
    return payloadFacts(store, { group, taskId: null });
  } finally {
    store.close();
  }
}

function taskOf(row: z.infer<typeof TaskRow>, n: number): Task {
  return {
    id: row.id,
    folder: row.groupFolder,
    chat: `${row.groupFolder}@g.us`,
    prompt: row.prompt,
    scheduleType: row.schedule_type,
    scheduleValue: row.schedule_value,
    contextMode: "isolated",
    nextRun: row.next_run,
    lastRun: null,
    lastResult: null,
    status: row.status as Task["status"],
    createdAt: new Date(n).toISOString(),
    timeZone: null,
    catchUp: "once",
    failures: 0,
  };
}

async function write({ id, in: given }: Row): Promise<unknown> {
  const path = join(folder, id, "ipc");
  await new IpcFolder(path, given.folder).prepare(facts(id, given));
  const texts = ["current_tasks.json", "available_groups.json"].map((name) => readFileSync(join(path, name), "utf8"));
  const [tasks, groups] = texts.map((text) => JSON.parse(text) as unknown);
  expect(texts).toEqual([tasks, groups].map((value) => JSON.stringify(value, null, 2)));
  const { lastSync, ...rest } = z.looseObject({ lastSync: z.iso.datetime() }).parse(groups);
  expect(Math.abs(Date.parse(lastSync) - Date.now())).toBeLessThan(60_000);
  return { current_tasks: tasks, available_groups: { ...rest, lastSync: { $time: "lastSync" } }, indent: 2, trailingNewline: false };
}

let written: ReadonlyMap<string, unknown>;
beforeAll(async () => {
  written = new Map(await Promise.all(snapshots.rows.map(async (row) => [row.id, await write(row)] as const)));
});

test("tasks and groups are written as recorded: a group's own, and for main all", () => {
  expect(wrongRows(snapshots, (_given, { id }) => written.get(id))).toEqual([]);
});

test("the run of a task is told of tasks alone", async () => {
  const path = join(folder, "of-a-task");
  const about = { groupFolder: "fam", chatJid: "fam@g.us", isMain: false, isScheduledTask: true, tasks: [], groups: [] };
  await new IpcFolder(path, "fam").prepare(about);
  expect(readFileSync(join(path, "current_tasks.json"), "utf8")).toBe("[]");
  expect(() => readFileSync(join(path, "available_groups.json"))).toThrow("ENOENT");
});
