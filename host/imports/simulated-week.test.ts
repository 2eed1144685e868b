/**
 * A week of a household that moved in, on a clock that jumps: the real host, store, runner and link; engine, platform and model are
 * twins. Then what NanoClaw would do to the file we used, on the file as it lies there, and the way back.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { expect, onTestFinished, test } from "vitest";
import { ModelCallError } from "../domain/errors.ts";
import { ListeningModel, TestHost } from "../host-harness.ts";
import type { ModelCallOptions } from "../ports/model.ts";
import { AnyChannel, OldHousehold, RECORDED, shapeOf, tablesOf } from "./old-household-harness.ts";
import { OLD_MIGRATION, OLD_READS, OLD_START, OLD_WRITES } from "./old-statements.ts";

const HOUR_MS = 3_600_000;
const START = Date.parse("2026-03-02T09:02:20.000Z");
const [MAIN, FAM, GARDEN] = ["15550001@s.whatsapp.net", "fam@g.us", "garden@g.us"];
const PULSE = "task-1772442018050-gxatxq";

/** Can be held in the middle of an answer, and fails at what says it should. */
class WeekModel extends ListeningModel {
  #gate: Promise<void> | undefined;
  #asked = Promise.withResolvers<void>();

  constructor() {
    super();
    this.refuse = (prompt) =>
      JSON.stringify(prompt.at(-1)).includes("always fails") ? new ModelCallError("MODEL_REFUSED", "no such thing") : undefined;
  }

  hold(): { asked: Promise<void>; release: () => void } {
    const gate = Promise.withResolvers<void>();
    this.#gate = gate.promise;
    this.#asked = Promise.withResolvers();
    return {
      asked: this.#asked.promise,
      release: () => {
        this.#gate = undefined;
        gate.resolve();
      },
    };
  }

  override async stream(options: ModelCallOptions, signal: AbortSignal) {
    if (this.#gate !== undefined) {
      this.#asked.resolve();
      await Promise.race([this.#gate, new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }))]);
    }
    return super.stream(options, signal);
  }
}

/** One value for every parameter of the old program's statements. */
const VALUES = {
  id: "old-task",
  chat: "old@g.us",
  chats: JSON.stringify([FAM, "old@g.us"]),
  name: "Old",
  sender: "s@x",
  text: "written by the old program",
  at: "2026-03-10T00:00:00.000Z",
  now: "2026-03-10T00:00:00.000Z",
  next: "2026-03-11T00:00:00.000Z",
  cursor: "",
  own: "Andy:%",
  fromMe: 0,
  folder: "old-folder",
  type: "cron",
  value: "0 9 * * *",
  mode: "isolated",
  status: "paused",
  durationMs: 5,
  error: null,
  key: "old-key",
  trigger: "@Andy",
  config: null,
  needsTrigger: 1,
};

/** Every statement of the old program, in an order in which each has something to work on. */
function runOldStatements(db: Database.Database): string[] {
  const ran: string[] = [];
  for (const [name, sql] of Object.entries(OLD_START)) {
    db.exec(sql);
    ran.push(name);
  }
  // The one statement that fails there too, wherever the column is.
  expect(() => db.exec(OLD_MIGRATION)).toThrow("duplicate column name: context_mode");
  for (const [name, sql] of Object.entries(OLD_WRITES)) {
    expect(db.prepare(sql).run(VALUES).changes, name).toBe(1);
    ran.push(name);
  }
  for (const [name, sql] of Object.entries(OLD_READS)) {
    expect(() => db.prepare(sql).all(VALUES), name).not.toThrow();
    ran.push(name);
  }
  return ran;
}

test("after a week with us every statement of the old program succeeds on the live file, and handed back it holds everything", async () => {
  const old = new OldHousehold();
  onTestFinished(() => old[Symbol.dispose]());
  await using t = new TestHost();
  old.home = t.home;
  await old.adopt();
  const [channel, model] = [new AnyChannel(), new WeekModel()];
  const database = join(t.home, "store", "messages.db");
  const start = () => t.open({ channels: [channel], model }).start();
  const ask = (folder: string, tool: string, input: object): void =>
    expect(t.host.ask(folder, tool, input)).toMatchObject({ isError: false });
  const says = (chat: string, text: string): void => channel.says(chat, text, t.clock.now());
  const sleep = async (hours: number): Promise<void> => {
    for (let passed = 0; passed < hours; passed += 4) {
      t.clock.advance(4 * HOUR_MS);
      await t.host.settled();
    }
  };
  t.clock.advance(START - t.clock.now());
  await start();

  // Monday: talk, tasks of every kind, a group more.
  says(FAM, "nobody is asked");
  says(FAM, "@Andy good morning");
  says(GARDEN, "talk among ourselves");
  await t.host.settled();
  const schedule = (folder: string, prompt: string, schedule_type: string, schedule_value: string, context_mode: string): void => {
    // A task's id is made of the time.
    t.clock.advance(1);
    ask(folder, "schedule_task", { prompt, schedule_type, schedule_value, context_mode });
  };
  schedule("main", "read the news", "cron", "0 */6 * * *", "group");
  schedule("main", "this always fails", "interval", String(8 * HOUR_MS), "isolated");
  schedule("fam", "remind us", "once", "2026-03-04T12:00:00Z", "group");
  schedule("fam", "never mind", "interval", String(HOUR_MS), "isolated");
  ask("main", "register_group", { chat: "book@g.us", name: "Books", folder: "book", trigger: "@Andy" });
  await sleep(24);

  // Tuesday: one task rests, another goes; a message comes while the agent answers.
  const idOf = (prompt: string): string => t.store.tasks().find((task) => task.prompt === prompt)?.id ?? "";
  ask("fam", "pause_task", { task_id: PULSE });
  ask("fam", "cancel_task", { task_id: idOf("never mind") });
  const follow = model.hold();
  says(MAIN, "first");
  await follow.asked;
  says(MAIN, "and second");
  follow.release();
  await t.host.settled();
  await sleep(24);

  // Wednesday: a message the model refuses, the next one takes it along; the host is stopped in the middle of an answer.
  says("book@g.us", "@Andy this always fails");
  await t.host.settled();
  const cut = model.hold();
  says(FAM, "@Andy are you there?");
  await cut.asked;
  const closing = t.host.close();
  t.clock.advance(HOUR_MS);
  await closing;
  cut.release();
  await start();
  await t.host.settled();
  await sleep(24);

  // Thursday to Sunday: days pass, with a restart and a task asked for out of its time.
  says(GARDEN, "@Andy what did we say?");
  ask("main", "run_task_now", { task_id: idOf("read the news") });
  await t.host.settled();
  await t.host.close();
  await start();
  await sleep(96);

  const week = tablesOf(database);
  expect(t.clock.now() - START).toBeGreaterThanOrEqual(7 * 24 * HOUR_MS);
  expect(Object.fromEntries(Object.entries(t.store.counts().turns).map(([state, n]) => [state, n > 0]))).toEqual({
    running: false,
    delivering: false,
    done: true,
    failed: true,
  });
  const statuses = Object.fromEntries(week.scheduled_tasks.map((task) => [String(task["prompt"]), task["status"]]));
  expect(statuses).toMatchObject({ pulse: "paused", "read the news": "active", "this always fails": "paused", "remind us": "completed" });
  expect(week.task_run_logs.length).toBeGreaterThan(30);
  expect(week.registered_groups).toHaveLength(4);

  const live = new Database(database);
  expect(live.pragma("journal_mode", { simple: true })).toBe("wal");
  expect(runOldStatements(live)).toHaveLength(40);
  expect(live.pragma("foreign_key_check")).toEqual([]);
  live.close();
  says(FAM, "@Andy still with us?");
  await t.host.settled();
  expect(channel.delivered.at(-1)).toMatch(/^fam@g\.us: answer/);
  expect(model.heard[1]).toBe("assistant: In the shed behind the house.");
  await t.host.close();

  const here = tablesOf(database);
  const kept = here.sessions.filter(({ group_folder }) => group_folder === "fam");
  await old.handBack();
  expect(tablesOf(old.database)).toEqual({ ...here, sessions: kept });
  expect(shapeOf(old.database)).toEqual(shapeOf(RECORDED));
  expect(readdirSync(join(old.path, "store")).filter((name) => name.startsWith("messages.db"))).toEqual(["messages.db"]);

  const plain = new Database(old.database);
  expect(plain.pragma("journal_mode", { simple: true })).toBe("delete");
  plain.exec("DELETE FROM task_run_logs WHERE task_id = 'old-task'; DELETE FROM scheduled_tasks WHERE id = 'old-task'");
  expect(runOldStatements(plain)).toHaveLength(40);
  plain.close();
  expect(existsSync(`${old.database}-wal`)).toBe(false);
});
