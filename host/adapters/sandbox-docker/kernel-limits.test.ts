import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readKernelView } from "./kernel-limits.ts";

const ID = "a".repeat(64);
const STATUS =
  "Name:\tnode\nUid:\t1500\t1500\t1500\t1500\nGid:\t1600\t1600\t1600\t1600\nCapInh:\t0000000000000000\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
const LOCKED = { capabilities: false, newPrivileges: false, filtered: true, user: { uid: 1500, gid: 1600 } };
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kernel-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function machine(files: Record<string, string>): { proc: string; cgroup: string } {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return { proc: join(root, "proc"), cgroup: join(root, "cgroup") };
}

test("cgroup v1 with Docker's folders", async () => {
  const roots = machine({
    "proc/12/cgroup": `5:memory:/docker/${ID}\n4:pids:/docker/${ID}\n3:cpu,cpuacct:/docker/${ID}\n0::/docker/${ID}\n`,
    "proc/12/status": STATUS,
    [`cgroup/memory/docker/${ID}/memory.limit_in_bytes`]: "268435456\n",
    [`cgroup/pids/docker/${ID}/pids.max`]: "64\n",
    [`cgroup/cpu/docker/${ID}/cpu.cfs_quota_us`]: "150000\n",
    [`cgroup/cpu/docker/${ID}/cpu.cfs_period_us`]: "100000\n",
  });
  expect(await readKernelView(12, ID, roots)).toEqual({
    memoryBytes: 268_435_456,
    pids: 64,
    cpus: 1.5,
    ...LOCKED,
  });
});

test("cgroup v2 with systemd's slices", async () => {
  const folder = `system.slice/docker-${ID}.scope`;
  const roots = machine({
    "proc/12/cgroup": `0::/${folder}\n`,
    "proc/12/status": STATUS,
    [`cgroup/${folder}/memory.max`]: "1048576\n",
    [`cgroup/${folder}/pids.max`]: "9\n",
    [`cgroup/${folder}/cpu.max`]: "50000 100000\n",
  });
  expect(await readKernelView(12, ID, roots)).toMatchObject({ memoryBytes: 1_048_576, pids: 9, cpus: 0.5 });
});

test("limits are on the container's own folder where the process sits one deeper", async () => {
  const folder = `machine.slice/libpod-${ID}.scope`;
  const roots = machine({
    "proc/12/cgroup": `0::/${folder}/container\n`,
    [`cgroup/${folder}/memory.max`]: "1048576\n",
    [`cgroup/${folder}/container/memory.max`]: "max\n",
  });
  expect(await readKernelView(12, ID, roots)).toEqual({ memoryBytes: 1_048_576 });
});

test("no limit reads as infinite, in the words of both versions", async () => {
  const v2 = machine({
    "proc/12/cgroup": `0::/docker/${ID}\n`,
    [`cgroup/docker/${ID}/memory.max`]: "max\n",
    [`cgroup/docker/${ID}/pids.max`]: "max\n",
    [`cgroup/docker/${ID}/cpu.max`]: "max 100000\n",
  });
  const none = Number.POSITIVE_INFINITY;
  expect(await readKernelView(12, ID, v2)).toEqual({ memoryBytes: none, pids: none, cpus: none });
  const v1 = machine({
    "proc/13/cgroup": `2:memory:/x/${ID}\n3:cpu:/x/${ID}\n`,
    [`cgroup/memory/x/${ID}/memory.limit_in_bytes`]: "9223372036854771712\n",
    [`cgroup/cpu/x/${ID}/cpu.cfs_quota_us`]: "-1\n",
    [`cgroup/cpu/x/${ID}/cpu.cfs_period_us`]: "100000\n",
  });
  expect(await readKernelView(13, ID, v1)).toEqual({ memoryBytes: 9_223_372_036_854_771_712, cpus: none });
});

test("a process that is not the container's is not believed: its number means somebody else on this machine", async () => {
  const roots = machine({ "proc/12/cgroup": "0::/user.slice/session-1.scope\n", "cgroup/user.slice/session-1.scope/memory.max": "max\n" });
  expect(await readKernelView(12, ID, roots)).toEqual({});
});

test("a process that is gone, or was never there, tells nothing", async () => {
  expect(await readKernelView(12, ID, machine({}))).toEqual({});
  expect(await readKernelView(0, ID, machine({}))).toEqual({});
});

test("any capability left in any set is seen, as is a way to new privileges", async () => {
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
    const status = STATUS.replace(new RegExp(`${set}:\t0+`), `${set}:\t0000003fffffffff`);
    const roots = machine({ "proc/12/cgroup": `0::/docker/${ID}\n`, "proc/12/status": status });
    expect([set, await readKernelView(12, ID, roots)]).toEqual([set, { ...LOCKED, capabilities: true }]);
  }
  const roots = machine({ "proc/12/cgroup": `0::/docker/${ID}\n`, "proc/12/status": STATUS.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0") });
  expect(await readKernelView(12, ID, roots)).toEqual({ ...LOCKED, newPrivileges: true });
});

test("a process whose system calls are not filtered, or only by the strict mode of old, is seen", async () => {
  for (const mode of ["0", "1"]) {
    const roots = machine({ "proc/12/cgroup": `0::/docker/${ID}\n`, "proc/12/status": STATUS.replace("Seccomp:\t2", `Seccomp:\t${mode}`) });
    expect([mode, await readKernelView(12, ID, roots)]).toEqual([mode, { ...LOCKED, filtered: false }]);
  }
});
