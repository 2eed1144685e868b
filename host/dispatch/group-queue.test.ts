import { expect, test } from "vitest";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import type { Verdict } from "../domain/turn.ts";
import { GroupQueue, MAX_CONSECUTIVE } from "./group-queue.ts";

/** Runs that end when told, and a log of what started. */
function harness(slots: number) {
  const clock = new FakeClock();
  const started: string[] = [];
  const live = new Map<string, { end: (verdict: Verdict) => void; signal: AbortSignal }>();
  const queue = new GroupQueue({
    slots,
    clock,
    run: (folder, signal, only) => {
      if (live.has(folder)) throw new Error(`${folder} runs twice at once`);
      started.push(only === undefined ? folder : `${folder} ${only}`);
      const { promise, resolve } = Promise.withResolvers<Verdict>();
      live.set(folder, {
        signal,
        end: (verdict) => {
          live.delete(folder);
          resolve(verdict);
        },
      });
      return promise;
    },
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const end = async (folder: string, verdict: Verdict = { next: "idle" }) => {
    const run = live.get(folder);
    if (run === undefined) throw new Error(`${folder} does not run`);
    run.end(verdict);
    await settle();
  };
  return { queue, clock, started, live, end, settle };
}

test("a group woken many times while it waits or runs has one turn running and one more after it", async () => {
  const { queue, started, end, settle } = harness(2);
  for (let i = 0; i < 100; i++) queue.wake("a");
  await settle();
  for (let i = 0; i < 100; i++) queue.wake("a");
  expect(started).toEqual(["a"]);
  await end("a");
  expect(started).toEqual(["a", "a"]);
  await end("a");
  expect(started).toEqual(["a", "a"]);
  expect(queue.state("a")).toBe("idle");
});

test("no more groups run at once than there are slots, and those that wait go in the order they came", async () => {
  const { queue, started, live, end, settle } = harness(2);
  for (const folder of ["a", "b", "c", "d"]) queue.wake(folder);
  await settle();
  expect([...live.keys()]).toEqual(["a", "b"]);
  expect(queue.state("c")).toBe("waiting");
  await end("b");
  await end("a");
  expect(started).toEqual(["a", "b", "c", "d"]);
});

test("a group with more to do goes before groups that wait, but not for ever", async () => {
  const { queue, started, end, settle } = harness(1);
  queue.wake("busy");
  queue.wake("patient");
  await settle();
  for (let i = 0; i < MAX_CONSECUTIVE; i++) await end("busy", { next: "again" });
  expect(started).toEqual([...Array<string>(MAX_CONSECUTIVE).fill("busy"), "patient"]);
  await end("patient");
  expect(started.at(-1)).toBe("busy");
});

test("a failed turn holds no slot while it backs off, and new messages do not shorten the wait", async () => {
  const { queue, clock, started, end, settle } = harness(1);
  queue.wake("a");
  queue.wake("b");
  await settle();
  await end("a", { next: "retry", retryInMs: 5_000 });
  expect(started).toEqual(["a", "b"]);
  queue.wake("a");
  expect(queue.state("a")).toBe("backing-off");
  clock.advance(4_999);
  await end("b");
  expect(started).toEqual(["a", "b"]);
  clock.advance(1);
  await settle();
  expect(started).toEqual(["a", "b", "a"]);
});

test("one group's failure never delays another", async () => {
  const { queue, started, end, settle } = harness(2);
  for (const folder of ["a", "b"]) queue.wake(folder);
  await settle();
  await end("a", { next: "retry", retryInMs: 80_000 });
  queue.wake("b");
  await end("b");
  expect(started).toEqual(["a", "b", "b"]);
});

test("stop aborts the running turn with its reason and waits until the run is over; a waiting group is left alone", async () => {
  const { queue, live, settle } = harness(1);
  queue.wake("a");
  queue.wake("b");
  await settle();
  const run = live.get("a");
  const reason = new Error("stopped");
  let over = false;
  const stopping = queue.stop("a", reason).then((was) => {
    over = true;
    return was;
  });
  await settle();
  expect(run?.signal.reason).toBe(reason);
  expect(over).toBe(false);
  run?.end({ next: "idle" });
  expect(await stopping).toBe(true);
  expect(await queue.stop("nobody", reason)).toBe(false);
});

test("close lets running turns end within the grace period, aborts those that do not, and starts nothing that waited", async () => {
  const { queue, clock, started, live, end, settle } = harness(2);
  for (const folder of ["quick", "slow", "waiting"]) queue.wake(folder);
  await settle();
  const slow = live.get("slow");
  const reason = new Error("stopping");
  const closing = queue.close(10_000, reason);
  await end("quick");
  expect(slow?.signal.aborted).toBe(false);
  clock.advance(10_000);
  await settle();
  expect(slow?.signal.reason).toBe(reason);
  slow?.end({ next: "retry", retryInMs: 1 });
  await closing;
  queue.wake("late");
  await settle();
  expect(started).toEqual(["quick", "slow"]);
  expect(clock.armed).toBe(0);
});

test("quiet resolves only when nothing waits, runs or backs off", async () => {
  const { queue, clock, end, settle } = harness(1);
  await queue.quiet();
  queue.wake("a");
  let quiet = false;
  void queue.quiet().then(() => {
    quiet = true;
  });
  await settle();
  await end("a", { next: "retry", retryInMs: 1_000 });
  expect(quiet).toBe(false);
  clock.advance(1_000);
  await settle();
  await end("a");
  expect(quiet).toBe(true);
});

test("a lost wake-up costs latency only: the next one starts the group", async () => {
  const { queue, started, end, settle } = harness(1);
  queue.wake("a");
  await settle();
  await end("a");
  queue.wake("a");
  await settle();
  expect(started).toEqual(["a", "a"]);
});

test("a task that falls due while its group backs off runs at once, and the unfinished turn keeps its own time", async () => {
  const { queue, clock, started, end, settle } = harness(1);
  queue.wake("a");
  await settle();
  await end("a", { next: "retry", retryInMs: 5_000 });
  queue.wakeForTask("a");
  await settle();
  await end("a", { next: "again" });
  await end("a");
  expect(queue.state("a")).toBe("backing-off");
  clock.advance(5_000);
  await settle();
  expect(started).toEqual(["a", "a tasks", "a tasks", "a"]);
});

test("a task that falls due while its group's turn fails does not wait for the retry", async () => {
  const { queue, started, end, settle } = harness(1);
  queue.wake("a");
  await settle();
  queue.wakeForTask("a");
  await end("a", { next: "retry", retryInMs: 5_000 });
  expect(started).toEqual(["a", "a tasks"]);
});
