/** An idle host: its memory, how often it wakes and what it writes. Before it has served anybody, and after it has. */
import { availableParallelism } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { Bench } from "../harness/bench.ts";
import { figure } from "../harness/figure.ts";
import type { HostProcess } from "../harness/host-process.ts";
import { machineCpuMs, type Memory, memoryOf, wakeUpsOf, writtenBytesOf } from "../harness/process-figures.ts";
import type { Scenario } from "./scenario.ts";

const HOSTS = 3;
const TURNS = 5;
const SETTLE_S = 5;
/** About eight seconds after its last work the JavaScript engine collects its garbage once and gives memory back; then it rests. */
const REST_S = 15;
const WATCH_S = 20;
const MB = 1e6;
const RSS_GOAL = { of: "median", limit: 56 } as const;
const ANON_GOAL = { of: "median", limit: 24 } as const;

interface Seen {
  readonly unused: Memory;
  readonly settled: Memory;
  readonly rested: Memory;
  readonly wakeUpsPerSecond: number;
  readonly writtenBytes: number;
  /** Of all processors, while the hosts slept: none of it is theirs. */
  readonly machineBusyPercent: number;
}

export const idle: Scenario = {
  name: "idle",
  about: "memory, wake-ups and disk writes of a host that has nothing to do",
  async run(bench) {
    const hosts = Array.from({ length: bench.count(HOSTS) }, () => bench.startHost());
    // Side by side: sleeping hosts do not disturb each other.
    const seen = await Promise.all(hosts.map((host) => watch(bench, host)));
    const each = (value: (of: Seen) => number): readonly number[] => seen.map(value);
    const rss = (memory: Memory): number => memory.rssBytes / MB;
    const anon = (memory: Memory): number => memory.anonBytes / MB;
    const after = (seconds: number): string => `host RSS, idle ${seconds} s after ${TURNS} turns`;
    const wakeUps = each((of) => of.wakeUpsPerSecond);
    const written = each((of) => of.writtenBytes);
    return [
      figure(
        "idle-rss-unused",
        `host RSS, idle ${SETTLE_S} s before its first turn`,
        "MB",
        each((of) => rss(of.unused)),
        { goal: RSS_GOAL },
      ),
      figure(
        "idle-rss-settled",
        after(SETTLE_S),
        "MB",
        each((of) => rss(of.settled)),
        { goal: RSS_GOAL },
      ),
      figure(
        "idle-anon-settled",
        "of it anonymous",
        "MB",
        each((of) => anon(of.settled)),
        { goal: ANON_GOAL },
      ),
      figure(
        "idle-rss",
        after(REST_S),
        "MB",
        each((of) => rss(of.rested)),
        { goal: RSS_GOAL },
      ),
      figure(
        "idle-anon",
        "of it anonymous",
        "MB",
        each((of) => anon(of.rested)),
        { goal: ANON_GOAL },
      ),
      figure("idle-wake-ups", `idle wake-ups, all threads, over ${WATCH_S} s`, "1/s", wakeUps, { goal: { of: "median", limit: 1 } }),
      figure("idle-written", `idle bytes written, over ${WATCH_S} s`, "B", written, {
        goal: { of: "p95", limit: 0 },
        note: "The promise is for ten minutes; this watches a shorter while.",
      }),
      figure(
        "disturbance",
        "what others took of the machine meanwhile",
        "%",
        each((of) => of.machineBusyPercent),
        {
          note: "Above 5 % the times of this run are too long, the baseline's more than ours, because a compile suffers most: repeat it on a machine at rest.",
        },
      ),
    ];
  },
};

async function watch(bench: Bench, host: HostProcess): Promise<Seen> {
  const passing = (seconds: number): Promise<void> => pause(seconds * 1000, undefined, { signal: bench.signal });
  await passing(SETTLE_S);
  const unused = memoryOf(host.pid);
  for (let turn = 0; turn < TURNS; turn++) await host.ask();
  await host.idle();
  await passing(SETTLE_S);
  const settled = memoryOf(host.pid);
  await passing(REST_S - SETTLE_S);
  const rested = memoryOf(host.pid);
  const [wakeUps, written, busy] = [wakeUpsOf(host.pid), writtenBytesOf(host.pid), machineCpuMs()];
  await passing(WATCH_S);
  const wakeUpsPerSecond = (wakeUpsOf(host.pid) - wakeUps) / WATCH_S;
  const writtenBytes = writtenBytesOf(host.pid) - written;
  const machineBusyPercent = (machineCpuMs() - busy) / (WATCH_S * 10 * availableParallelism());
  await host.drain();
  return { unused, settled, rested, wakeUpsPerSecond, writtenBytes, machineBusyPercent };
}
