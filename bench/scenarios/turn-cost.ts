/** What a plain turn (one message, one model step, one reply, a sandbox of its own) costs the host and the machine. */
import { type Figure, figure } from "../harness/figure.ts";
import type { HostProcess } from "../harness/host-process.ts";
import { cpuMsOf, machineCpuMs, writtenBytesOf } from "../harness/process-figures.ts";
import { walOf } from "../harness/wal-commits.ts";
import type { Scenario } from "./scenario.ts";

/** First turns load and compile code that later ones find. */
const WARM_UP_TURNS = 3;
const BATCHES = 5;
/** The kernel counts processor time in steps of 10 ms: over 20 turns that is half a millisecond a turn. */
const TURNS_A_BATCH = 20;
const KB = 1e3;

interface Cost {
  readonly hostCpuMs: number;
  readonly machineCpuMs: number;
  readonly writtenBytes: number;
  /** Undefined: the database's log started anew within the batch, so nothing in it can be counted. */
  readonly log: { readonly commits: number; readonly bytes: number } | undefined;
}

export const turnCost: Scenario = {
  name: "turn-cost",
  about: "processor time, bytes written and commits of a plain turn",
  async run(bench) {
    const host = bench.startHost();
    for (let turn = 0; turn < WARM_UP_TURNS; turn++) await host.ask();
    await host.idle();
    const costs: Cost[] = [];
    for (let batch = 0; batch < bench.count(BATCHES); batch++) costs.push(await costOf(host, TURNS_A_BATCH));
    await host.drain();
    return figuresOf(costs);
  },
};

async function costOf(host: HostProcess, turns: number): Promise<Cost> {
  const before = reading(host);
  for (let turn = 0; turn < turns; turn++) await host.ask();
  await host.idle();
  const after = reading(host);
  const [from, to] = [before.wal, after.wal];
  return {
    hostCpuMs: (after.cpuMs - before.cpuMs) / turns,
    machineCpuMs: (after.machineMs - before.machineMs) / turns,
    writtenBytes: (after.written - before.written) / turns,
    log:
      from === undefined || to?.salt !== from.salt
        ? undefined
        : { commits: (to.commits - from.commits) / turns, bytes: (to.bytes - from.bytes) / turns },
  };
}

function reading(host: HostProcess) {
  return { cpuMs: cpuMsOf(host.pid), machineMs: machineCpuMs(), written: writtenBytesOf(host.pid), wal: walOf(host.database) };
}

function figuresOf(costs: readonly Cost[]): readonly Figure[] {
  const each = `n batches of ${TURNS_A_BATCH} turns, each divided by ${TURNS_A_BATCH}.`;
  const counted = "Batches in which the database's log started anew are left out.";
  const logs = costs.flatMap(({ log }) => log ?? []);
  const made = [
    figure(
      "turn-cpu",
      "host processor time a turn",
      "ms",
      costs.map(({ hostCpuMs }) => hostCpuMs),
      { note: `${each} No baseline: NanoClaw's host is not part of this bench, so the goal of 0.25 × cannot be judged.` },
    ),
    figure(
      "turn-cpu-machine",
      "processor time a turn, whole machine",
      "ms",
      costs.map((cost) => cost.machineCpuMs),
      { note: `${each} Engine, kernel and sandbox included, and whatever else ran.` },
    ),
    figure(
      "turn-written",
      "bytes the host writes a turn",
      "KB",
      costs.map(({ writtenBytes }) => writtenBytes / KB),
      { goal: { of: "median", limit: 64 }, note: each },
    ),
  ];
  if (logs.length === 0) return made;
  return [
    ...made,
    figure(
      "turn-log",
      "of it into the database's log",
      "KB",
      logs.map(({ bytes }) => bytes / KB),
      { note: `${each} ${counted}` },
    ),
    figure(
      "turn-commits",
      "commits a turn",
      "commits",
      logs.map(({ commits }) => commits),
      { goal: { of: "median", limit: 3 }, note: `${each} ${counted}` },
    ),
  ];
}
