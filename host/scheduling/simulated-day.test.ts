/**
 * A household's day with far too many tasks, on a clock that jumps: 24 hours in which Berlin puts its clocks forward, 10,000 tasks of 500
 * groups at full size. Store, time zones, due timer and queue are the real ones; a run is over as soon as it has begun.
 *
 * What should happen is worked out beside the product: wall-clock times by asking Intl for every minute of the day.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test } from "vitest";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import { GroupQueue } from "../dispatch/group-queue.ts";
import type { Task } from "../domain/task.ts";
import { TaskRules } from "../domain/task-rules.ts";
import type { Verdict } from "../domain/turn.ts";
import type { BatchRules, Store } from "../ports/store.ts";
import { DueTimer } from "./due-timer.ts";

/** `make long` asks for 10,000; the default keeps the unit tests short. */
const TASKS = Number(process.env["HERMIT_SIMULATED_TASKS"] ?? 1000);
const GROUPS = TASKS / 20;
const SLOTS = 5;
const LIMIT_MS = 120_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Berlin: 02:00 becomes 03:00 at 01:00 UTC. */
const START = Date.UTC(2026, 2, 29);
const END = START + 24 * HOUR_MS;
const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Chatham"];
const BERLIN_GAP = { zone: "Europe/Berlin", from: Date.UTC(2026, 2, 29, 1), hour: 2 };
/** Beyond what the day's own records take. */
const MAX_GROWTH_BYTES = 32 * 2 ** 20;

interface Planned {
  readonly task: Task;
  /** Epoch milliseconds of every occurrence from START until before END. */
  readonly due: readonly number[];
}

/** Wall-clock time at each UTC minute of the day, by zone: `hour * 60 + minute`. */
const wallClocks = new Map(ZONES.map((zone) => [zone, wallClock(zone)]));

function wallClock(timeZone: string): readonly number[] {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return Array.from({ length: (END - START) / MINUTE_MS }, (_, n) => {
    const [hour = 0, minute = 0] = format
      .format(START + n * MINUTE_MS)
      .split(":")
      .map(Number);
    return hour * 60 + minute;
  });
}

/** When a clock in the zone shows one of these times. What falls into the gap comes when the old clock would have shown it. */
function shownAt(zone: string, hours: readonly number[], minute: number): readonly number[] {
  const times = new Set(hours.map((hour) => hour * 60 + minute));
  const shown = (wallClocks.get(zone) ?? []).flatMap((time, n) => (times.has(time) ? [START + n * MINUTE_MS] : []));
  const isLost = zone === BERLIN_GAP.zone && hours.includes(BERLIN_GAP.hour);
  const all = isLost ? [...shown, BERLIN_GAP.from + minute * MINUTE_MS] : shown;
  return [...new Set(all)].toSorted((a, b) => a - b);
}

/**
 * Everything falls on few moments, as schedules do that people write, and many fall on one.
 * A mix that repeats every ten tasks: four daily, two twice a day, one every four hours, two intervals, one once.
 */
function plan(n: number): Planned {
  const zone = ZONES[n % ZONES.length] ?? "UTC";
  const minute = 5 * (Math.floor(n / ZONES.length) % 12);
  const hour = (n * 5 + Math.floor(n / 60)) % 24;
  const kind = n % 10;
  if (kind < 4) return planned(n, zone, "cron", `${minute} ${hour} * * *`, shownAt(zone, [hour], minute));
  if (kind < 6) {
    const hours = [hour, (hour + 9) % 24].toSorted((a, b) => a - b);
    return planned(n, zone, "cron", `${minute} ${hours.join(",")} * * *`, shownAt(zone, hours, minute));
  }
  if (kind === 6) return planned(n, zone, "cron", `${minute} */4 * * *`, shownAt(zone, [0, 4, 8, 12, 16, 20], minute));
  if (kind < 9) {
    const every = 5 * HOUR_MS + (n % 37) * 5 * MINUTE_MS;
    const due = Array.from({ length: 24 }, (_, k) => START + (k + 1) * every).filter((at) => at < END);
    return planned(n, zone, "interval", String(every), due);
  }
  // A few between the minutes.
  const at = START + ((n * 7919) % 288) * 5 * MINUTE_MS + (n % 100 === 9 ? 17_001 : 0);
  return planned(n, zone, "once", new Date(at).toISOString(), [at]);
}

function planned(n: number, timeZone: string, scheduleType: string, scheduleValue: string, due: readonly number[]): Planned {
  const group = n % GROUPS;
  const task: Task = {
    id: `task-${n}`,
    folder: `group-${group}`,
    chat: `chat-${group}`,
    prompt: "do",
    scheduleType,
    scheduleValue,
    contextMode: "isolated",
    nextRun: null,
    lastRun: null,
    lastResult: null,
    status: "active",
    createdAt: new Date(START).toISOString(),
    timeZone,
    catchUp: "once",
    failures: 0,
  };
  return { task, due };
}

/** Garbage is not growth. */
function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Claims what waits for the group and ends it at once: a turn without sandbox, model or words. */
class InstantRunner {
  readonly ran = new Map<string, number[]>();
  readonly #store: Store;
  readonly #clock: FakeClock;
  readonly #rules: TaskRules;

  constructor(store: Store, clock: FakeClock, rules: TaskRules) {
    this.#store = store;
    this.#clock = clock;
    this.#rules = rules;
  }

  async run(folder: string): Promise<Verdict> {
    // Nothing can happen between the two, so that they may be one transaction; a disk that syncs for each would double the time.
    return this.#store.atomically(() => this.#claimAndFinish(folder));
  }

  #claimAndFinish(folder: string): Verdict {
    const now = this.#clock.now();
    const batch: BatchRules = { now, maxMessages: 1, maxBytes: 1, starts: () => false, format: () => "" };
    const claim = this.#store.claimTurn(folder, batch);
    if (claim === undefined || claim.taskId === null) return { next: "idle" };
    const id = claim.taskId;
    this.ran.set(id, [...(this.ran.get(id) ?? []), now]);
    this.#store.finishTurn(claim.id, {
      runId: claim.runId,
      reply: "",
      figures: { firstTokenAt: null, steps: 1, toolCalls: 0, inputTokens: 0, outputTokens: 0 },
      now,
      taskEnd: { result: null, close: (task, dueAt, outcome) => this.#rules.close(task, dueAt, outcome, now) },
    });
    return { next: "again" };
  }
}

test(
  "in a day of many tasks every occurrence runs once, at the moment it is due, and one timer is enough",
  async () => {
    const startedAt = performance.now();
    const home = mkdtempSync(join(tmpdir(), "hermit-day-"));
    const store = openStore(home);
    onTestFinished(() => {
      store.close();
      rmSync(home, { recursive: true, force: true });
    });
    const clock = new FakeClock(START - 1);
    const rules = new TaskRules(systemTimeZones().find, "UTC", 5);
    const plans = Array.from({ length: TASKS }, (_, n) => plan(n));
    store.atomically(() => {
      for (let n = 0; n < GROUPS; n++) {
        store.registerGroup(
          { chat: `chat-${n}`, name: `Group ${n}`, folder: `group-${n}`, trigger: "@Andy", requiresTrigger: true },
          START,
        );
      }
      for (const { task } of plans) {
        // An interval begins at midnight; cron must find midnight itself, which is strictly after the millisecond before it.
        const made = task.scheduleType === "interval" ? START : START - 1;
        const first = rules.firstRun(task.id, { type: task.scheduleType, value: task.scheduleValue, timeZone: task.timeZone }, made);
        if ("refusal" in first) throw new Error(first.refusal);
        store.createTask({ ...task, nextRun: first.nextRun });
      }
    });

    const claimed = new Map<string, number[]>();
    const notAtItsTime: string[] = [];
    let claimTransactions = 0;
    const dueTimer = new DueTimer({
      store,
      clock,
      decide: (task, isRegistered, now) => {
        claimed.set(task.id, [...(claimed.get(task.id) ?? []), now]);
        if (task.nextRun !== new Date(now).toISOString()) notAtItsTime.push(`${task.id}: due ${task.nextRun}, claimed ${now}`);
        return rules.decide(task, isRegistered, now);
      },
      onDue: (folder) => queue.wakeForTask(folder),
      onNotice: () => claimTransactions++,
    });
    const runner = new InstantRunner(store, clock, rules);
    const queue = new GroupQueue({ slots: SLOTS, clock, run: (folder) => runner.run(folder) });

    dueTimer.arm();
    let wakes = 0;
    let mostArmed = 0;
    let heapAtNoon = 0;
    for (let next = clock.nextDue; next !== undefined && next < END; next = clock.nextDue) {
      if (heapAtNoon === 0 && next >= START + 12 * HOUR_MS) heapAtNoon = heapBytes();
      wakes++;
      clock.advance(next - clock.now());
      await queue.quiet();
      // The host does this after each task's turn; the clock stands still while they run, so once after all of them is the same.
      dueTimer.arm();
      mostArmed = Math.max(mostArmed, clock.armed);
    }
    const growth = heapBytes() - heapAtNoon;
    dueTimer.close();

    const expected = Object.fromEntries(plans.map(({ task, due }) => [task.id, due]).filter(([, due]) => due?.length !== 0));
    const occurrences = plans.reduce((sum, { due }) => sum + due.length, 0);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    process.stdout.write(
      `simulated day: ${TASKS} tasks, ${GROUPS} groups, ${ZONES.length} zones, ${occurrences} occurrences in ${claimTransactions} claims, ` +
        `${wakes} wakes, ${(growth / 2 ** 20).toFixed(1)} MiB grown from noon to midnight, ${seconds} s\n`,
    );
    expect(notAtItsTime).toEqual([]);
    expect(Object.fromEntries(claimed)).toEqual(expected);
    expect(Object.fromEntries(runner.ran)).toEqual(expected);
    expect(store.runs()).toHaveLength(occurrences);
    expect(store.runs().filter(({ outcome }) => outcome !== "done")).toEqual([]);
    expect(occurrences).toBeGreaterThanOrEqual(2 * TASKS);
    expect(mostArmed).toBe(1);
    expect(growth).toBeLessThan(MAX_GROWTH_BYTES);
  },
  LIMIT_MS,
);
