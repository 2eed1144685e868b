/** What the adapter promises beyond the suite, against real engines that are cut off, tampered with or asked too much on purpose. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { start } from "../../../contracts/suites/sandbox-conversation.ts";
import { createDockerRuntime } from "./docker-runtime.ts";
import type { Sandbox } from "../../ports/sandbox-runtime.ts";
import { connectEngine, type Engine, type EngineContainer } from "./engine-api.ts";
import { type EngineHarness, makeEngineHarness, testEngines } from "./engine-harness.ts";
import { sweepRuntimeDir } from "./link-folder.ts";

const TEST_MS = 60_000;
const NEVER = new AbortController().signal;

async function harnessOn(socketPath: string, changes: Parameters<typeof makeEngineHarness>[1] = {}): Promise<EngineHarness> {
  const harness = await makeEngineHarness(socketPath, changes);
  onTestFinished(() => harness.close());
  return harness;
}

/** Tells of every call to the engine, before it is made and after it has answered. */
function watched(engine: Engine, tell: (call: string) => void | Promise<void>): Engine {
  const around = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
    await tell(`${name} asked`);
    const answer = await call();
    await tell(`${name} answered`);
    return answer;
  };
  const container = (id: string): EngineContainer => {
    const real = engine.container(id);
    return {
      id: real.id,
      inspect: (call) => around("inspect", () => real.inspect(call)),
      start: (call) => around("start", () => real.start(call)),
      stats: (options) => real.stats(options),
      pause: (call) => real.pause(call),
      unpause: (call) => real.unpause(call),
      kill: (options) => real.kill(options),
      remove: (options) => real.remove(options),
    };
  };
  return {
    info: (call) => around("info", () => engine.info(call)),
    create: (name, body) => around("create", () => engine.create(name, body)),
    attach: (id, streams, call) => around("attach", () => engine.attach(id, streams, call)),
    list: (labels, call) => engine.list(labels, call),
    inspectImage: (name, call) => engine.inspectImage(name, call),
    waitForEnd: (id, condition, call) => engine.waitForEnd(id, condition, call),
    container,
  };
}

/** An engine that can go away: hands every connection on to the real one until it is cut. */
async function cuttableEngine(socketPath: string): Promise<{ path: string; cut(): Promise<void>; mend(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "cut-"));
  const path = join(folder, "engine.sock");
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const real = connect({ path: socketPath, allowHalfOpen: true });
    for (const [from, to] of [
      [socket, real],
      [real, socket],
    ] as const) {
      open.add(from);
      from.pipe(to);
      from.on("error", () => {});
      from.once("close", () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  const cut = async (): Promise<void> => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  const mend = (): Promise<void> => new Promise((resolve) => server.listen(path, resolve));
  await mend();
  onTestFinished(async () => {
    if (server.listening) await cut();
    rmSync(folder, { recursive: true });
  });
  return { path, cut, mend };
}

for (const { name, socketPath } of await testEngines()) {
  const isDocker = !name.startsWith("podman");
  describe(`docker runtime on ${name}`, { timeout: TEST_MS }, () => {
    test("a start called off at each of its calls to the engine leaves nothing", async () => {
      const seen: string[] = [];
      const counting = await harnessOn(socketPath, { engine: watched(connectEngine(socketPath), (call) => void seen.push(call)) });
      const complete = await counting.runtime.start(counting.spec(), NEVER);
      const calls = [...seen];
      await complete.stop(0);
      expect(calls).toContain("create answered");
      expect(calls).toContain("start answered");
      for (let at = 0; at < calls.length; at++) {
        const abort = new AbortController();
        let count = 0;
        const engine = watched(connectEngine(socketPath), () => {
          if (count++ === at) abort.abort();
        });
        const harness = await harnessOn(socketPath, { engine });
        await expect(harness.runtime.start(harness.spec(), abort.signal)).rejects.toMatchObject({ code: "SANDBOX_START_FAILED" });
        expect([calls[at], await harness.leftOver()]).toEqual([calls[at], []]);
      }
    });

    test("a start whose every call to the engine fails once leaves nothing", async () => {
      for (const broken of [
        "create asked",
        "create answered",
        "inspect asked",
        "attach asked",
        "attach answered",
        "start asked",
        "start answered",
      ]) {
        const engine = watched(connectEngine(socketPath), (call) => {
          if (call === broken) throw Object.assign(new Error("socket hang up"), { code: "ECONNRESET" });
        });
        const harness = await harnessOn(socketPath, { engine });
        const failed = harness.runtime.start(harness.spec(), NEVER);
        await expect(failed).rejects.toMatchObject({ code: "ENGINE_UNREACHABLE", retryable: true });
        expect([broken, await harness.leftOver()]).toEqual([broken, []]);
      }
    });

    test("a runner that never connects is given up after the start timeout, with its last words", async () => {
      const entrypoint = ["/usr/local/bin/node", "-e", "console.error('I would rather not'); setInterval(() => {}, 1000)"];
      const harness = await harnessOn(socketPath, { entrypoint });
      const failed = harness.runtime.start({ ...harness.spec(), startTimeoutMs: 2_500 }, NEVER);
      await expect(failed).rejects.toMatchObject({
        code: "SANDBOX_LINK_FAILED",
        retryable: true,
        message: expect.stringContaining("I would rather not"),
      });
      expect(await harness.leftOver()).toEqual([]);
    });

    test("a runner that ends before it connects is reported with its exit code and last words", async () => {
      const harness = await harnessOn(socketPath);
      const failed = harness.failing.start(harness.spec(), NEVER);
      await expect(failed).rejects.toMatchObject({ message: expect.stringMatching(/code 3.*no link for me/s) });
    });

    test("a program that is not in the image fails the start and leaves nothing", async () => {
      const harness = await harnessOn(socketPath, { entrypoint: ["/no/such/program"] });
      await expect(harness.runtime.start(harness.spec(), NEVER)).rejects.toMatchObject({
        code: expect.stringMatching(/^SANDBOX_(START|LINK)_FAILED$/),
      });
      expect(await harness.leftOver()).toEqual([]);
    });

    test("a mount whose folder does not exist fails the start and is not created", async () => {
      const harness = await harnessOn(socketPath);
      const base = harness.spec();
      const hostPath = join(harness.workspace, "never-made");
      const spec = { ...base, mounts: [...base.mounts, { hostPath, containerPath: "/workspace/extra", readOnly: true }] };
      await expect(harness.runtime.start(spec, NEVER)).rejects.toMatchObject({ code: "SANDBOX_START_FAILED" });
      expect(readdirSync(harness.workspace)).toEqual([]);
      expect(await harness.leftOver()).toEqual([]);
    });

    describe("a folder swapped for a link", () => {
      const startSwapping = async (when: string, isJudged: boolean) => {
        let folder = "";
        const engine = watched(connectEngine(socketPath), (call) => {
          if (call !== when) return;
          renameSync(folder, `${folder}-moved`);
          symlinkSync("secret", folder);
        });
        const harness = await harnessOn(socketPath, { engine });
        folder = join(harness.workspace, "shown");
        for (const path of [folder, join(harness.workspace, "secret")]) mkdirSync(path);
        const base = harness.spec();
        const { dev, ino } = statSync(folder, { bigint: true });
        const mount = { hostPath: folder, containerPath: "/workspace/extra/shown", readOnly: true };
        const spec = { ...base, mounts: [...base.mounts, isJudged ? { ...mount, identity: { dev, ino } } : mount] };
        return { harness, ino, start: () => harness.runtime.start(spec, NEVER) };
      };
      const refusal = { code: "SANDBOX_START_FAILED", message: expect.stringContaining("is not what") };

      test.each([true, false])("before the container is made kills the sandbox (judged before: %s)", async (isJudged) => {
        const { harness, start } = await startSwapping("create asked", isJudged);
        await expect(start()).rejects.toMatchObject(refusal);
        expect(await harness.leftOver()).toEqual([]);
      });

      // Docker follows the link then; Podman has the folder by then.
      test.each([true, false])("while the container starts is never what is shown (judged before: %s)", async (isJudged) => {
        const { harness, ino, start } = await startSwapping("start asked", isJudged);
        const sandbox: Sandbox | Error = await start().catch((error: Error) => error);
        if (sandbox instanceof Error) expect(sandbox).toMatchObject(refusal);
        else {
          const { State } = await connectEngine(socketPath).container(sandbox.id).inspect({ abortSignal: NEVER });
          expect(statSync(`/proc/${State.Pid}/root/workspace/extra/shown`, { bigint: true }).ino).toBe(ino);
          await sandbox.stop(0);
        }
        expect(await harness.leftOver()).toEqual([]);
      });
    });

    test("a folder that is still what it was judged to be is mounted", async () => {
      const harness = await harnessOn(socketPath);
      const base = harness.spec();
      const { dev, ino } = statSync(harness.workspace, { bigint: true });
      const mount = { hostPath: harness.workspace, containerPath: "/workspace/extra/shown", readOnly: true, identity: { dev, ino } };
      const sandbox = await harness.runtime.start({ ...base, mounts: [...base.mounts, mount] }, NEVER);
      await sandbox.stop(0);
    });

    test("root is refused as user and as group before the engine is asked", async () => {
      const harness = await harnessOn(socketPath, { engine: watched(connectEngine(socketPath), (call) => expect.unreachable(call)) });
      for (const user of [
        { uid: 0, gid: 1000 },
        { uid: 1000, gid: 0 },
      ])
        await expect(harness.runtime.start({ ...harness.spec(), user }, NEVER)).rejects.toMatchObject({
          message: expect.stringContaining("root"),
        });
    });

    test("a limit the kernel does not hold in the end kills the sandbox, whatever the engine said", async () => {
      const raise = execTool(isDocker, socketPath);
      let id = "";
      const engine = connectEngine(socketPath);
      const tampered: Engine = {
        ...watched(engine, (call) => {
          if (call === "start answered") raise(id);
        }),
        create: async (containerName, body) => {
          const made = await engine.create(containerName, body);
          id = made.Id;
          return made;
        },
      };
      const harness = await harnessOn(socketPath, { engine: tampered });
      await expect(harness.runtime.start(harness.spec(), NEVER)).rejects.toMatchObject({ code: "LIMIT_NOT_ENFORCED", retryable: false });
      expect(await harness.leftOver()).toEqual([]);
    });

    test("an engine that drops a limit and only warns starts nothing", async () => {
      const engine = connectEngine(socketPath);
      const forgetful: Engine = {
        ...engine,
        create: async (containerName, body) => ({
          ...(await engine.create(containerName, { ...body, HostConfig: { ...body.HostConfig, PidsLimit: 0 } })),
          Warnings: ["Your kernel does not support pids limit capabilities. PIDs limit discarded."],
        }),
      };
      const harness = await harnessOn(socketPath, { engine: forgetful });
      await expect(harness.runtime.start(harness.spec(), NEVER)).rejects.toMatchObject({ code: "LIMIT_NOT_ENFORCED" });
      expect(await harness.leftOver()).toEqual([]);
      expect(harness.logged).toContainEqual(
        expect.objectContaining({ level: "warn", fields: expect.objectContaining({ warning: expect.any(String) }) }),
      );
    });

    test("an image with a volume of its own starts nothing: it would be disk without a bound", async () => {
      const engine = connectEngine(socketPath);
      const roomy: Engine = {
        ...engine,
        create: (containerName, body) => {
          // As an image's VOLUME.
          const withVolume = { ...body, Volumes: { "/data": {} } };
          return engine.create(containerName, withVolume);
        },
      };
      const harness = await harnessOn(socketPath, { engine: roomy });
      await expect(harness.runtime.start(harness.spec(), NEVER)).rejects.toMatchObject({
        code: "LIMIT_NOT_ENFORCED",
        message: expect.stringContaining("a volume at /data"),
      });
      expect(await harness.leftOver()).toEqual([]);
    });

    test("an engine that goes away is named with the fix, and a living sandbox counts as ended and loses its link", async () => {
      const engine = await cuttableEngine(socketPath);
      const harness = await harnessOn(engine.path);
      const up = await start(harness);
      const closed = new Promise((resolve) => up.sandbox.link.once("close", resolve));
      await engine.cut();
      expect(await up.sandbox.exited).toEqual({ code: null, outOfMemory: false });
      await closed;
      const unreachable = { code: "ENGINE_UNREACHABLE", retryable: true, hint: expect.stringContaining("Start") };
      await expect(harness.runtime.check()).rejects.toMatchObject(unreachable);
      await expect(harness.runtime.start(harness.spec(), NEVER)).rejects.toMatchObject(unreachable);
      await expect(harness.runtime.listOwned("any")).rejects.toMatchObject(unreachable);
      await expect(up.sandbox.stop(0)).rejects.toMatchObject(unreachable);
      await engine.mend();
      await up.sandbox.stop(0);
      expect(await harness.leftOver()).toEqual([]);
    });

    test("what a host that died left behind is found, reaped and swept by the next one", async () => {
      const dead = await harnessOn(socketPath);
      const paused = await start(dead, { generation: 1 });
      await start(dead, { generation: 1, folder: "family" });
      await paused.sandbox.pause();
      const next = createDockerRuntime(dead.options);
      const owned = await next.listOwned(dead.spec().owner.instance);
      expect(owned.map(({ generation, folder }) => `${folder} ${generation}`).sort()).toEqual(["family 1", "main 1"]);
      for (const { id } of owned) await next.reap(id);
      expect((await dead.leftOver()).map((left) => left.split(" ")[0])).toEqual(["folder", "folder"]);
      expect(await sweepRuntimeDir(dead.options.runtimeDir)).toBe(2);
      expect(await dead.leftOver()).toEqual([]);
    });

    test("closing ends what was started and what is starting, and nothing starts after", async () => {
      const harness = await harnessOn(socketPath);
      const up = await start(harness);
      const starting = harness.runtime.start(harness.spec(), NEVER);
      const [refused] = await Promise.allSettled([starting, harness.runtime.close()]);
      expect(refused).toMatchObject({ status: "rejected", reason: { code: "HOST_STOPPING" } });
      await up.sandbox.exited;
      expect(await harness.leftOver()).toEqual([]);
      await expect(harness.runtime.start(harness.spec(), NEVER)).rejects.toMatchObject({ code: "HOST_STOPPING" });
    });

    test("an engine named in DOCKER_HOST is not talked to instead", async () => {
      const before = process.env["DOCKER_HOST"];
      process.env["DOCKER_HOST"] = "tcp://127.0.0.1:9";
      onTestFinished(() => {
        if (before === undefined) delete process.env["DOCKER_HOST"];
        else process.env["DOCKER_HOST"] = before;
      });
      expect((await connectEngine(socketPath).info({ abortSignal: AbortSignal.timeout(5_000) })).ServerVersion).toBeTruthy();
    });

    test("the runner is the first process only where the engine has no init to collect zombies", async () => {
      const harness = await harnessOn(socketPath);
      const facts = await connectEngine(socketPath).info({ abortSignal: AbortSignal.timeout(5_000) });
      await using up = await start(harness);
      const script = `return process.getBuiltinModule("fs").readFileSync("/proc/1/cmdline", "utf8").startsWith("/usr/local/bin/node")`;
      expect(JSON.parse(await up.ask(`run ${Buffer.from(script).toString("base64")}`))).toBe(!facts.InitBinary);
    });
  });
}

/** Doubles the memory limit of a running container behind the adapter's back. */
function execTool(isDocker: boolean, socketPath: string): (id: string) => void {
  return (id) => {
    const limit = 1024 * 1024 * 1024;
    const body = JSON.stringify({ Memory: limit, MemorySwap: limit });
    if (isDocker) {
      const path = `http://engine/v1.41/containers/${id}/update`;
      execFileSync("curl", ["-sf", "--unix-socket", socketPath, "-H", "content-type: application/json", "-d", body, path]);
    } else {
      // Podman 4.3's compatible socket has no update; the kernel has.
      const folder = execFileSync("find", ["/sys/fs/cgroup", "-maxdepth", "6", "-type", "d", "-name", `libpod-${id}*`], {
        encoding: "utf8",
      });
      const memory = folder.split("\n").find((path) => path.includes("/memory/")) ?? folder.split("\n")[0] ?? "";
      const write = `for f in memory.memsw.limit_in_bytes memory.limit_in_bytes memory.max; do [ ! -e "$0/$f" ] || echo ${limit} > "$0/$f"; done`;
      execFileSync("sh", ["-c", write, memory]);
    }
  };
}
