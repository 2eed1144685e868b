/** Every limit by what happens when it is exceeded, and every door of the kernel by trying it. On every engine there is. */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type StartedSandbox, start } from "../../../contracts/suites/sandbox-conversation.ts";
import type { SandboxLimits } from "../../ports/sandbox-runtime.ts";
import { connectEngine } from "./engine-api.ts";
import { type EngineHarness, makeEngineHarness, testEngines } from "./engine-harness.ts";

const TEST_MS = 60_000;
const MIB = 1024 * 1024;
const FLOOD_MIB = 64;
/** As much as is written to standard error may not stay anywhere on the way. */
const KEPT_MIB = FLOOD_MIB / 4;

const BUILTINS = `
  const fs = process.getBuiltinModule("fs");
  const { execFile, spawn } = process.getBuiltinModule("child_process");
  const program = (command, ...rest) => new Promise((resolve) =>
    execFile(command, rest, { cwd: "/workspace/group" }, (error, stdout) => resolve(error ? { error: error.signal ?? error.code, stdout } : stdout.trim())));
  const attempt = (work) => { try { return work() ?? "done"; } catch (error) { return error.code; } };`;

for (const { name, socketPath } of await testEngines()) {
  describe(`limits and locks of a sandbox: ${name}`, { timeout: TEST_MS }, () => {
    let harness: EngineHarness;
    let up: StartedSandbox;
    beforeAll(async () => {
      harness = await makeEngineHarness(socketPath);
      up = await start(harness);
    }, TEST_MS);
    afterAll(async () => {
      await up?.sandbox.stop(0);
      expect(await harness.leftOver()).toEqual([]);
      await harness.close();
    }, TEST_MS);

    const inside = (body: string, sandbox: StartedSandbox = up): Promise<unknown> => sandbox.run(`${BUILTINS} ${body}`);
    const startWith = (limits: Partial<SandboxLimits>): Promise<StartedSandbox> => {
      const base = harness.spec();
      return start({ runtime: harness.runtime, spec: () => ({ ...base, limits: { ...base.limits, ...limits } }) });
    };

    describe("limits", () => {
      test("a tool that wants more memory than there is gets killed, and the runner lives to say so", async () => {
        await using bombed = await startWith({ memoryBytes: 160 * MIB });
        expect(await inside(`return program("python3", "-c", "x = b'x' * 2**30")`, bombed)).toEqual({ error: "SIGKILL", stdout: "" });
        expect(await bombed.ask("echo alive")).toBe("alive");
      });

      test("what lies in the temporary folder is memory of the sandbox, and no way round its limit", async () => {
        await using bombed = await startWith({ memoryBytes: 160 * MIB, tmpBytes: 512 * MIB });
        const written = inside(`return program("dd", "if=/dev/zero", "of=/tmp/full", "bs=1M", "count=400")`, bombed);
        // Whom the kernel kills is its own choice: the writer, or the runner, who is larger.
        const outcome = await written.catch(() => bombed.sandbox.exited);
        expect(outcome).toSatisfy((seen: { error?: unknown; code?: unknown }) => seen.error === "SIGKILL" || seen.code === null);
      });

      test("threads count as processes do", async () => {
        await using bombed = await startWith({ pids: 48 });
        const threads = await inside(
          `return program("python3", "-c", \`
import threading, time
begun = 0
try:
    while begun < 500:
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        begun += 1
except RuntimeError: pass
print(begun)\`)`,
          bombed,
        );
        expect(Number(threads)).toBeGreaterThan(0);
        expect(Number(threads)).toBeLessThan(48);
        expect((await bombed.sandbox.stats()).pids).toBeLessThanOrEqual(48);
      });

      test("four busy programs get the share of one quarter of a core", async () => {
        const share = 0.25;
        await using busy = await startWith({ cpus: share });
        await inside(`for (let n = 0; n < 4; n++) spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" }); return "busy"`, busy);
        const before = await busy.sandbox.stats();
        const begunAt = performance.now();
        await inside(`return program("sleep", "2")`, busy);
        const seconds = (performance.now() - begunAt) / 1000;
        const used = (await busy.sandbox.stats()).cpuSeconds - before.cpuSeconds;
        expect(used / seconds).toBeLessThan(share * 1.3);
        expect(await up.ask("echo unharmed")).toBe("unharmed");
      });

      test("one program opens some thousand files and no more, and cannot raise its limit", async () => {
        const opened = await inside(`
          const files = [];
          try { for (;;) files.push(fs.openSync("/dev/null")); } catch (error) { return [error.code, files.length]; }
          finally { for (const file of files) fs.closeSync(file); }`);
        expect(opened).toEqual(["EMFILE", expect.any(Number)]);
        expect((opened as [string, number])[1]).toBeLessThanOrEqual(4_096);
        expect(await inside(`return program("sh", "-c", "ulimit -n 5000")`)).toMatchObject({ error: expect.any(Number) });
      });

      test("a crash leaves no core dump, in a file or with the machine's collector", async () => {
        const limit = await inside(
          `return /^Max core file size +(\\S+) +(\\S+)/m.exec(fs.readFileSync("/proc/self/limits", "utf8")).slice(1)`,
        );
        // One byte: the kernel writes no file of that size, and of all limits this is the one at which it also calls no collector.
        expect(limit).toEqual(["1", "1"]);
        expect(await inside(`return program("python3", "-c", "import os; os.abort()")`)).toEqual({ error: "SIGABRT", stdout: "" });
        expect(readdirSync(harness.workspace).filter((file) => file.startsWith("core"))).toEqual([]);
      });

      test("a flood on standard error is kept nowhere and holds nobody up", async () => {
        const before = process.memoryUsage.rss();
        const flooded = await inside(`
          const block = Buffer.alloc(1024 * 1024, "flood\\n");
          for (let n = 0; n < ${FLOOD_MIB}; n++) await new Promise((resolve) => process.stderr.write(block, resolve));
          return "flooded";`);
        expect(flooded).toBe("flooded");
        expect(process.memoryUsage.rss() - before).toBeLessThan(KEPT_MIB * MIB);
        const made: unknown = await connectEngine(socketPath)
          .container(up.sandbox.id)
          .inspect({ abortSignal: AbortSignal.timeout(10_000) });
        expect(made).toMatchObject({ HostConfig: { LogConfig: { Type: "none" } } });
        expect((made as { LogPath?: string }).LogPath ?? "").toBe("");
      });
    });

    describe("locks", () => {
      test("no device can be made, in memory or on the machine's disk", async () => {
        const made = await inside(`
          const make = (folder, kind, major, minor) => program("python3", "-c",
            "import os, stat, sys\\ntry: os.mknod(sys.argv[1] + '/node', stat.S_IF" + kind + " | 0o666, os.makedev(" + major + ", " + minor + "))\\nexcept OSError as error: print(error.strerror)", folder);
          return Promise.all([make("/tmp", "CHR", 1, 1), make("/tmp", "BLK", 8, 0), make("/workspace/group", "CHR", 1, 1), make("/dev/shm", "BLK", 254, 0)]);`);
        expect(made).toEqual(Array(4).fill("Operation not permitted"));
      });

      test("the devices there are belong to everybody", async () => {
        const devices = (await inside(`return fs.readdirSync("/dev")`)) as string[];
        const harmless = [
          "console",
          "core",
          "fd",
          "full",
          "mqueue",
          "null",
          "ptmx",
          "pts",
          "random",
          "shm",
          "stderr",
          "stdin",
          "stdout",
          "tty",
          "urandom",
          "zero",
        ];
        expect(devices.filter((device) => !harmless.includes(device))).toEqual([]);
      });

      test("no program of the image has rights of its own", async () => {
        const found = await inside(`
          return program("python3", "-c", \`
import os
for folder, _, files in os.walk("/"):
    if folder.startswith(("/proc", "/sys")): continue
    for path in (os.path.join(folder, file) for file in files):
        seen = os.lstat(path)
        if seen.st_mode & 0o170000 == 0o100000 and (seen.st_mode & 0o6000 or "security.capability" in os.listxattr(path)): print(path)
print("looked")\`)`);
        expect(found).toBe("looked");
      });

      test("what the kernel tells of the machine's memory, timers and keys is covered", async () => {
        const covered = ["kcore", "keys", "timer_list", "sched_debug", "latency_stats"].map((file) => `/proc/${file}`);
        const read = (await inside(`
          return ${JSON.stringify(covered)}.map((path) => [path, attempt(() => {
            const file = fs.openSync(path);
            try { return fs.readSync(file, Buffer.alloc(64)); } finally { fs.closeSync(file); }
          })]);`)) as [string, number | string][];
        // Empty, shut, or not there at all.
        for (const [path, answer] of read)
          expect([path, answer]).toEqual([path, expect.toSatisfy((said) => [0, "done", "EACCES", "EPERM", "ENOENT"].includes(said))]);
        const empty = ["/sys/firmware", "/proc/acpi", "/proc/scsi"];
        const listed = await inside(`return ${JSON.stringify(empty)}.map((path) => attempt(() => fs.readdirSync(path).length))`);
        for (const entries of listed as unknown[]) expect([0, "ENOENT", "EACCES"]).toContain(entries);
      });

      test("the kernel's settings are mounted to be read only, and no control group can be made or changed", async () => {
        const mounts = (await inside(`return fs.readFileSync("/proc/self/mounts", "utf8")`)) as string;
        const flags = new Map(
          mounts
            .split("\n")
            .map((line) => line.split(" "))
            .map(([, path = "", , options = ""]) => [path, options.split(",")]),
        );
        for (const path of ["/", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/sys"])
          expect([path, flags.get(path)?.includes("ro")]).toEqual([path, true]);
        const write = [
          "/proc/sys/kernel/core_pattern",
          "/proc/sysrq-trigger",
          "/proc/sys/vm/overcommit_memory",
          "/sys/kernel/uevent_helper",
        ];
        const tried = await inside(`return ${JSON.stringify(write)}.map((path) => attempt(() => fs.writeFileSync(path, "1")))`);
        const groups = await inside(`
          return ["", "/memory", "/pids"].flatMap((group) => [
            attempt(() => fs.mkdirSync("/sys/fs/cgroup" + group + "/escaped")),
            attempt(() => fs.writeFileSync("/sys/fs/cgroup" + group + "/cgroup.procs", "1")),
          ]);`);
        for (const answer of [...(tried as unknown[]), ...(groups as unknown[])])
          expect(["EACCES", "EROFS", "ENOENT", "EPERM"]).toContain(answer);
      });

      test("neither the machine's log, nor another user's processes, nor the machine's own are there", async () => {
        expect(await inside(`return program("dmesg")`)).toMatchObject({ error: expect.anything() });
        const users = (await inside(`
          return fs.readdirSync("/proc").filter((name) => /^\\d+$/.test(name)).map((pid) => attempt(() => fs.statSync("/proc/" + pid).uid))`)) as unknown[];
        expect([...new Set(users.filter((user) => user !== "ENOENT"))]).toEqual([harness.spec().user.uid]);
      });
    });
  });
}
