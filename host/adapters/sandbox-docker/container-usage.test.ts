import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readEngineStats, readKernelUsage } from "./container-usage.ts";

const ID = "b".repeat(64);
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "usage-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function machine(files: Record<string, string>): { proc: string; cgroup: string } {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return { proc: join(root, "proc"), cgroup: join(root, "cgroup") };
}

test("cgroup v1: cache the kernel would drop is no use of memory", async () => {
  const roots = machine({
    "proc/5/cgroup": `4:memory:/docker/${ID}\n3:cpu,cpuacct:/docker/${ID}\n2:pids:/docker/${ID}\n`,
    [`cgroup/memory/docker/${ID}/memory.usage_in_bytes`]: "5000000\n",
    [`cgroup/memory/docker/${ID}/memory.stat`]: "inactive_file 1\ntotal_inactive_file 1000000\n",
    [`cgroup/cpuacct/docker/${ID}/cpuacct.usage`]: "2500000000\n",
    [`cgroup/pids/docker/${ID}/pids.current`]: "7\n",
  });
  expect(await readKernelUsage(5, ID, roots)).toEqual({ memoryBytes: 4_000_000, cpuSeconds: 2.5, pids: 7 });
});

test("cgroup v2: the same figures from its own files", async () => {
  const roots = machine({
    "proc/5/cgroup": `0::/docker/${ID}\n`,
    [`cgroup/docker/${ID}/memory.current`]: "5000000\n",
    [`cgroup/docker/${ID}/memory.stat`]: "anon 7\ninactive_file 2000000\n",
    [`cgroup/docker/${ID}/cpu.stat`]: "usage_usec 1500000\nuser_usec 1\n",
    [`cgroup/docker/${ID}/pids.current`]: "3\n",
  });
  expect(await readKernelUsage(5, ID, roots)).toEqual({ memoryBytes: 3_000_000, cpuSeconds: 1.5, pids: 3 });
});

test("a file that cannot be read, or somebody else's process, leaves it to the engine", async () => {
  const partly = machine({
    "proc/5/cgroup": `0::/docker/${ID}\n`,
    "proc/6/cgroup": "0::/user.slice\n",
    [`cgroup/docker/${ID}/pids.current`]: "3\n",
  });
  expect(await readKernelUsage(5, ID, partly)).toBeUndefined();
  expect(await readKernelUsage(6, ID, partly)).toBeUndefined();
});

test("an engine's figures, with and without the detail, and none at all of an ended container", () => {
  const cpu = { cpu_stats: { cpu_usage: { total_usage: 500_000_000 } }, pids_stats: { current: 2 } };
  const rest = { cpuSeconds: 0.5, pids: 2 };
  expect(readEngineStats({ ...cpu, memory_stats: { usage: 10, stats: { total_inactive_file: 4 } } })).toEqual({ ...rest, memoryBytes: 6 });
  expect(readEngineStats({ ...cpu, memory_stats: { usage: 10, stats: { inactive_file: 3 } } })).toEqual({ ...rest, memoryBytes: 7 });
  expect(readEngineStats({ ...cpu, memory_stats: { usage: 10 } })).toEqual({ ...rest, memoryBytes: 10 });
  expect(readEngineStats({})).toEqual({ memoryBytes: 0, cpuSeconds: 0, pids: 0 });
});
