/** A lease and the room its turn has: there is no sandbox without it, and nobody looks any more when the sandbox is gone. */
import { expect, test } from "vitest";
import { createMemoryRuntime } from "../adapters/memory/memory-sandbox-runtime.ts";
import { SandboxError } from "../domain/errors.ts";
import type { Sandbox } from "../ports/sandbox-runtime.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { DiskBench, group, MIB, quiet } from "./workspace-watch-harness.ts";

const NEVER = new AbortController().signal;
const INSTANCE = "home";

function keeper(bench: DiskBench, stop?: Sandbox["stop"]) {
  const runtime = createMemoryRuntime({
    clock: bench.clock,
    runner: (_link, signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(0))),
  });
  const leases = new LeaseKeeper({
    runtime: {
      ...runtime,
      start: async (spec, signal) => Object.assign(await runtime.start(spec, signal), stop === undefined ? {} : { stop }),
    } as typeof runtime,
    workspaces: { prepare: () => ({ mounts: [], user: { uid: 1, gid: 1 } }) },
    watch: bench.watch,
    instance: INSTANCE,
    generation: 1,
    limits: { memoryBytes: 1, pids: 1, cpus: 1, tmpBytes: 1 },
    startTimeoutMs: 1,
  });
  const reasons: unknown[] = [];
  return { runtime, leases, reasons, acquire: () => leases.acquire(group("fam"), NEVER, (reason) => reasons.push(reason)) };
}

const isIdle = async (bench: DiskBench): Promise<void> => {
  await quiet();
  expect([bench.open, bench.clock.armed]).toEqual([0, 0]);
};

test("a turn is watched from before its sandbox starts until that is gone, and told when it is over", async () => {
  const bench = new DiskBench();
  const { leases, reasons, acquire } = keeper(bench);
  const lease = await acquire();
  expect([bench.open, lease.warning, leases.sandboxOf("fam")]).toEqual([1, undefined, lease.sandbox.id]);
  bench.write("fam", 101 * MIB);
  await bench.pass(1);
  expect(reasons).toMatchObject([{ code: "WORKSPACE_FULL" }]);
  await lease.release(0);
  await isIdle(bench);
  expect(leases.sandboxOf("fam")).toBeUndefined();
});

test("where the disk is low no sandbox is started", async () => {
  const bench = new DiskBench();
  bench.free = { bytes: 0, files: 0 };
  const { runtime, acquire } = keeper(bench);
  await expect(acquire()).rejects.toMatchObject({ code: "DISK_LOW" });
  expect(runtime.started).toEqual([]);
  await isIdle(bench);
});

test("a workspace past four times its limit has its sandbox ended before anything is said to it", async () => {
  const bench = new DiskBench();
  bench.held.set("fam", { bytes: 500 * MIB, files: 1 });
  const { runtime, leases, acquire } = keeper(bench);
  await expect(acquire()).rejects.toMatchObject({ code: "WORKSPACE_FULL" });
  expect([runtime.started.length, await runtime.listOwned(INSTANCE), leases.sandboxOf("fam")]).toEqual([1, [], undefined]);
  await isIdle(bench);
});

test("a full one says so on its lease", async () => {
  const bench = new DiskBench();
  bench.held.set("fam", { bytes: 150 * MIB, files: 1 });
  const lease = await keeper(bench).acquire();
  expect(lease.warning).toContain("150 MiB of 100 MiB");
  await lease.release(0);
});

test("a start that fails ends the watch with it", async () => {
  const bench = new DiskBench();
  const { runtime, acquire } = keeper(bench);
  const failure = new SandboxError("SANDBOX_START_FAILED", "No.");
  runtime.failNextStart(failure);
  await expect(acquire()).rejects.toBe(failure);
  await isIdle(bench);
});

test("a sandbox that cannot be removed is reported, and not watched for ever; it does not hide why there was no lease", async () => {
  const bench = new DiskBench();
  const gone = new SandboxError("ENGINE_UNREACHABLE", "Gone.");
  const { acquire } = keeper(bench, async () => {
    throw gone;
  });
  const lease = await acquire();
  await expect(lease.release(0)).rejects.toBe(gone);
  await isIdle(bench);
  bench.write("fam", 500 * MIB);
  await expect(acquire()).rejects.toMatchObject({ code: "WORKSPACE_FULL" });
  await isIdle(bench);
});
