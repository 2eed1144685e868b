/** Who runs next when there are fewer slots than groups with something to do. */
import { expect, test } from "vitest";
import * as z from "zod";
import { FakeClock } from "../../host/adapters/memory/fake-clock.ts";
import { GroupQueue } from "../../host/dispatch/group-queue.ts";
import { DEFAULT_RETRY, retryDelayMs } from "../../host/domain/retry.ts";
import type { Verdict } from "../../host/domain/turn.ts";
import { readTable, wrongRows } from "./table.ts";

const Op = z.discriminatedUnion("op", [
  z.strictObject({ op: z.literal("messages"), at: z.number(), group: z.string() }),
  z.strictObject({
    op: z.literal("task"),
    at: z.number(),
    group: z.string(),
    task: z.string(),
    durationMs: z.number(),
    throws: z.boolean().optional(),
  }),
]);

const Entry = z.union([
  z.strictObject({ at: z.number(), start: z.string(), group: z.string() }),
  z.strictObject({ at: z.number(), end: z.string(), group: z.string(), ok: z.boolean().optional(), threw: z.boolean().optional() }),
]);

const queueOrder = readTable("queue-order", {
  in: z.strictObject({
    limit: z.number(),
    messageRunMs: z.record(z.string(), z.number()),
    messageRunFails: z.record(z.string(), z.array(z.boolean())),
    ops: z.array(Op),
  }),
  out: z.strictObject({ log: z.array(Entry) }),
});
type Row = (typeof queueOrder.rows)[number];
type Entry = z.infer<typeof Entry>;

/**
 * A message arrives while its group backs off. The old queue ran at once and kept the timer as well, so that a flood of messages used
 * up a turn's retries in seconds; ours waits for the timer.
 */
const BACKOFF_IS_KEPT = ["queue-order-0010", "queue-order-0028", "queue-order-0062", "queue-order-0087"];

test("groups start in the recorded order: one that has more to do first, its tasks before its messages, then who waited longest", async () => {
  const played = new Map<string, Entry[]>();
  for (const row of queueOrder.rows) played.set(row.id, await play(row.in));
  const wrong = wrongRows(queueOrder, (_given, { id, out }) => {
    const log = played.get(id) ?? [];
    return JSON.stringify(log.map(untimed)) === JSON.stringify(out.log.map(untimed)) ? out : { log };
  });
  // Exactly these: a row that no longer deviates must be struck from the list.
  expect(wrong).toEqual(BACKOFF_IS_KEPT.map((id) => expect.stringContaining(`${id} (keep, §4)`)));
});

/** The recorded times hold the recorder's own latency; order and limit are what binds. */
function untimed(entry: Entry): object {
  const { at: _, ...rest } = entry;
  return rest;
}

async function play({ limit, messageRunMs, messageRunFails, ops }: Row["in"]): Promise<Entry[]> {
  const clock = new FakeClock(0);
  const log: Entry[] = [];
  const failures = new Map<string, number>();
  const runs = new Map<string, number>();
  const tasks = new Map<string, { durationMs: number; throws?: boolean | undefined }>();
  const lasts = (ms: number): Promise<void> => new Promise((resolve) => void clock.setTimer(ms, resolve));

  const runTask = async (group: string, task: string): Promise<void> => {
    const { durationMs, throws = false } = tasks.get(`${group} ${task}`) ?? { durationMs: 0 };
    log.push({ at: clock.now(), start: task, group });
    await lasts(durationMs);
    log.push({ at: clock.now(), end: task, group, ...(throws ? { threw: true } : {}) });
  };
  const runMessages = async (group: string): Promise<Verdict> => {
    const run = runs.get(group) ?? 0;
    runs.set(group, run + 1);
    log.push({ at: clock.now(), start: "messages", group });
    await lasts(messageRunMs[group] ?? 0);
    const ok = messageRunFails[group]?.[run] !== true;
    log.push({ at: clock.now(), end: "messages", group, ok });
    failures.set(group, ok ? 0 : (failures.get(group) ?? 0) + 1);
    const retryInMs = ok ? undefined : retryDelayMs({ ...DEFAULT_RETRY, jitter: 0 }, failures.get(group) ?? 1, 0);
    return retryInMs === undefined ? { next: "idle" } : { next: "retry", retryInMs };
  };

  // What the store does in a host: tasks before messages, each once.
  const waiting = new Map<string, string[]>();
  const messages = new Set<string>();
  const hasMore = (group: string): boolean => (waiting.get(group) ?? []).length > 0 || messages.has(group);
  const queue = new GroupQueue({
    slots: limit,
    clock,
    run: async (group, _signal, only) => {
      const task = waiting.get(group)?.shift();
      if (task !== undefined) {
        await runTask(group, task);
        return { next: (only === undefined ? hasMore(group) : (waiting.get(group) ?? []).length > 0) ? "again" : "idle" };
      }
      if (only !== undefined || !messages.delete(group)) return { next: "idle" };
      const verdict = await runMessages(group);
      if (verdict.next === "retry") messages.add(group);
      return verdict;
    },
  });
  for (const op of ops) {
    clock.setTimer(op.at, () => {
      if (op.op === "messages") {
        messages.add(op.group);
        queue.wake(op.group);
        return;
      }
      const tasksOf = waiting.get(op.group) ?? [];
      waiting.set(op.group, tasksOf);
      if (!tasksOf.includes(op.task)) {
        tasksOf.push(op.task);
        tasks.set(`${op.group} ${op.task}`, op);
      }
      queue.wakeForTask(op.group);
    });
  }
  for (let due = clock.nextDue; due !== undefined; due = clock.nextDue) {
    clock.advance(due - clock.now());
    await new Promise((resolve) => setImmediate(resolve));
  }
  return log;
}
