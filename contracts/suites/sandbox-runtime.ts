/** What every sandbox runtime does, the in-memory twin included. A deviation is listed by the case's name with its reason. */
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox, SandboxRest, SandboxRuntime } from "../../host/ports/sandbox-runtime.ts";
import { type SandboxStarter, start } from "./sandbox-conversation.ts";

export interface SandboxHarness extends SandboxStarter {
  /** Runs `sandbox-suite-runner.ts`. */
  readonly runtime: SandboxRuntime;
  /** Its runner ends before it connects. */
  readonly failing: SandboxRuntime;
  /** Has no image to start from. */
  readonly imageless: SandboxRuntime;
  /** Names whatever exists of any sandbox of this harness: containers, folders, sockets. */
  leftOver(): Promise<readonly string[]>;
  close(): Promise<void>;
}

const TEST_MS = 30_000;
/** Far above a kill, far below an engine's own grace of 10 s. */
const AT_ONCE_MS = 1_000;
/** How long silence must last to count as silence; an answer from a running runner takes about 1 ms. */
const SILENCE_MS = 300;
const NOTHING: SandboxRest = { processes: 0, leftovers: [] };
const NEVER = new AbortController().signal;

export type SandboxCase = keyof typeof CASES;

export function runSandboxRuntimeSuite(
  name: string,
  makeHarness: () => Promise<SandboxHarness>,
  deviations: Partial<Record<SandboxCase, string>> = {},
): void {
  describe(`sandbox runtime suite: ${name}`, { timeout: TEST_MS }, () => {
    let harness: SandboxHarness;
    beforeAll(async () => {
      harness = await makeHarness();
    }, TEST_MS);
    afterAll(() => harness.close(), TEST_MS);
    for (const [caseName, run] of Object.entries(CASES)) {
      const reason = deviations[caseName as SandboxCase];
      const check = async (): Promise<void> => {
        await run(harness);
        expect(await harness.leftOver()).toEqual([]);
      };
      if (reason === undefined) test(caseName, check);
      // Expected to fail, not skipped: a deviation that has healed must be struck from the list.
      else test.fails(`${caseName} (deviates: ${reason})`, check);
    }
  });
}

const CASES = {
  "check names engine and image": async ({ runtime }: SandboxHarness) => {
    const report = await runtime.check();
    expect(report.engine).not.toBe("");
    expect(report.image).not.toBe("");
  },

  "check refuses where the image is missing and says what to do": async ({ imageless }: SandboxHarness) => {
    await expect(imageless.check()).rejects.toMatchObject({
      code: "IMAGE_MISSING",
      retryable: false,
      hint: expect.stringContaining("make"),
    });
  },

  "the link carries lines both ways, a megabyte in one of them": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    expect(await up.ask("echo hello")).toBe("hello");
    const long = "0123456789abcdef".repeat(64 * 1024);
    expect(await up.ask(`echo ${long}`)).toBe(long);
  },

  "a runner's own exit code is seen and the link ends with it": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    const closed = once(up.sandbox.link, "close");
    up.tell("exit 7");
    expect(await up.sandbox.exited).toEqual({ code: 7, outOfMemory: false });
    await closed;
  },

  "ending the link ends the sandbox": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    up.sandbox.link.end();
    expect(await up.sandbox.exited).toEqual({ code: 0, outOfMemory: false });
  },

  "a runner that heeds the request to stop is not killed": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    await up.sandbox.stop(20_000);
    expect(await up.sandbox.exited).toEqual({ code: 0, outOfMemory: false });
  },

  "a runner deaf to the request to stop is killed after the grace period": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    expect(await up.ask("deaf")).toBe("deaf");
    const begunAt = performance.now();
    await up.sandbox.stop(400);
    expect(await up.sandbox.exited).toMatchObject({ code: null });
    expect(performance.now() - begunAt).toBeGreaterThanOrEqual(390);
  },

  "an impatient stop cuts a patient one short": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    expect(await up.ask("deaf")).toBe("deaf");
    const begunAt = performance.now();
    const patient = up.sandbox.stop(25_000);
    await up.sandbox.stop(0);
    await patient;
    expect(performance.now() - begunAt).toBeLessThan(5_000);
  },

  "a running sandbox stopped without grace is gone at once": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    expect(await up.ask("deaf")).toBe("deaf");
    await stopsAtOnce(up.sandbox);
  },

  "a paused sandbox stopped without grace is gone at once": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    await up.sandbox.pause();
    await stopsAtOnce(up.sandbox);
  },

  "a paused sandbox asked to stop still hears it": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    await up.sandbox.pause();
    await up.sandbox.stop(20_000);
    expect(await up.sandbox.exited).toEqual({ code: 0, outOfMemory: false });
  },

  "stop may be repeated, also after the end": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    await Promise.all([up.sandbox.stop(0), up.sandbox.stop(0), up.sandbox.stop(1_000)]);
    await up.sandbox.stop(0);
  },

  "pause stops the runner and resume lets it go on where it was": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    await up.sandbox.pause();
    await up.sandbox.pause();
    up.tell("echo after the pause");
    const answer = up.line();
    expect(await Promise.race([answer, silence()])).toBe("silence");
    await up.sandbox.resume();
    await up.sandbox.resume();
    expect(await answer).toBe("after the pause");
  },

  "an ended sandbox cannot be paused": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    up.tell("exit 0");
    await up.sandbox.exited;
    await expect(up.sandbox.pause()).rejects.toMatchObject({ code: "SANDBOX_DIED" });
  },

  "statistics are those of a living program": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    await up.ask("echo warm");
    const stats = await up.sandbox.stats();
    expect(stats.memoryBytes).toBeGreaterThan(1024 * 1024);
    expect(stats.cpuSeconds).toBeGreaterThan(0);
    expect(stats.pids).toBeGreaterThan(0);
  },

  "at rest nothing is seen in it but its runner, running or paused": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    await up.ask("echo at work");
    expect(await up.sandbox.inspectRest()).toEqual(NOTHING);
    await up.sandbox.pause();
    expect(await up.sandbox.inspectRest()).toEqual(NOTHING);
  },

  "what a turn leaves behind is seen from outside": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    // Only in a sandbox that is one: not on the machine of the tests.
    expect(await up.run(`return process.env.HERMIT_LINK ? "a sandbox" : "none"`)).toBe("a sandbox");
    const littered = await up.run(`
      const { spawn } = process.getBuiltinModule("child_process");
      const { closeSync, mkdirSync, openSync, symlinkSync } = process.getBuiltinModule("fs");
      for (const folder of ["/tmp", "/dev/shm", "/dev/mqueue"]) closeSync(openSync(folder + "/.left", "w"));
      mkdirSync("/tmp/folder", { mode: 0 });
      symlinkSync("/etc", "/tmp/link");
      globalThis.left = spawn("sleep", ["1000"], { detached: true, stdio: "ignore" });
      return new Promise((resolve) => globalThis.left.once("spawn", () => resolve("littered")));`);
    expect(littered).toBe("littered");
    await up.sandbox.pause();
    const rest = await up.sandbox.inspectRest();
    expect(rest?.leftovers.toSorted()).toEqual(["/dev/mqueue/.left", "/dev/shm/.left", "/tmp/.left", "/tmp/folder", "/tmp/link"]);
    expect(rest?.processes).toBe(1);
    await up.sandbox.resume();
    const tidied = await up.run(`
      const { rmdirSync, unlinkSync } = process.getBuiltinModule("fs");
      for (const path of ["/tmp/.left", "/dev/shm/.left", "/dev/mqueue/.left", "/tmp/link"]) unlinkSync(path);
      rmdirSync("/tmp/folder");
      globalThis.left.kill("SIGKILL");
      return new Promise((resolve) => globalThis.left.once("exit", () => resolve("tidy")));`);
    expect(tidied).toBe("tidy");
    await up.sandbox.pause();
    expect(await up.sandbox.inspectRest()).toEqual(NOTHING);
  },

  "an ended sandbox shows nothing any more": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    up.tell("exit 0");
    await up.sandbox.exited;
    expect(await up.sandbox.inspectRest()).toBe(undefined);
  },

  "listing sees running, paused and ended sandboxes with their generation and folder, and no other instance's": async (
    harness: SandboxHarness,
  ) => {
    await using running = await start(harness, { generation: 3, folder: "main" });
    await using paused = await start(harness, { generation: 4, folder: "family" });
    await using ended = await start(harness, { generation: 5, folder: "work" });
    const instance = harness.spec().owner.instance;
    await using foreign = await start(harness, { instance: `${instance}-other` });
    await paused.sandbox.pause();
    ended.tell("exit 0");
    await ended.sandbox.exited;
    const listed = [...(await harness.runtime.listOwned(instance))].sort((a, b) => a.generation - b.generation);
    expect(listed).toEqual([
      { id: running.sandbox.id, generation: 3, folder: "main" },
      { id: paused.sandbox.id, generation: 4, folder: "family" },
      { id: ended.sandbox.id, generation: 5, folder: "work" },
    ]);
    expect((await harness.runtime.listOwned(`${instance}-other`)).map(({ id }) => id)).toEqual([foreign.sandbox.id]);
  },

  "reaping ends running, paused and ended sandboxes alike and counts what is gone as done": async (harness: SandboxHarness) => {
    await using running = await start(harness);
    await using paused = await start(harness);
    await using ended = await start(harness);
    await paused.sandbox.pause();
    ended.tell("exit 0");
    await ended.sandbox.exited;
    for (const { sandbox } of [running, paused, ended]) {
      await harness.runtime.reap(sandbox.id);
      await harness.runtime.reap(sandbox.id);
      await sandbox.exited;
    }
    expect(await harness.runtime.listOwned(harness.spec().owner.instance)).toEqual([]);
    await harness.runtime.reap("f".repeat(64));
  },

  "sandboxes started at the same time do not hear each other": async (harness: SandboxHarness) => {
    await using started = new AsyncDisposableStack();
    const up = await Promise.all([1, 2, 3].map(() => start(harness)));
    for (const one of up) started.use(one);
    expect(new Set(up.map(({ sandbox }) => sandbox.id)).size).toBe(3);
    expect(await Promise.all(up.map((one, n) => one.ask(`echo ${n}`)))).toEqual(["0", "1", "2"]);
    up[0]?.tell("exit 4");
    expect(await up[0]?.sandbox.exited).toMatchObject({ code: 4 });
    expect(await up[1]?.ask("echo still here")).toBe("still here");
  },

  "a second connection to the link's socket is refused": async (harness: SandboxHarness) => {
    await using up = await start(harness);
    expect(await up.ask("again")).toMatch(/^refused (ENOENT|ECONNREFUSED)$/);
    expect(await up.ask("echo first still served")).toBe("first still served");
  },

  "a start with its signal already aborted touches nothing": async (harness: SandboxHarness) => {
    await expect(harness.runtime.start(harness.spec(), AbortSignal.abort())).rejects.toMatchObject({ code: "SANDBOX_START_FAILED" });
  },

  "a start called off at any moment leaves nothing": async (harness: SandboxHarness) => {
    for (const afterMs of [0, 2, 5, 10, 20, 40, 80, 120, 160, 200, 250]) {
      const abort = new AbortController();
      const timer = setTimeout(() => abort.abort(), afterMs);
      const outcome = await harness.runtime.start(harness.spec(), abort.signal).catch((error: unknown) => error);
      clearTimeout(timer);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: "SANDBOX_START_FAILED" });
      else await (outcome as Sandbox).stop(0);
      expect(await harness.leftOver()).toEqual([]);
    }
  },

  "a runner that ends before it connects fails the start and leaves nothing": async ({ failing, spec }: SandboxHarness) => {
    await expect(failing.start(spec(), NEVER)).rejects.toMatchObject({ code: "SANDBOX_LINK_FAILED", retryable: true });
  },

  "a start without an image leaves nothing": async ({ imageless, spec }: SandboxHarness) => {
    await expect(imageless.start(spec(), NEVER)).rejects.toMatchObject({ code: "IMAGE_MISSING", retryable: false });
  },
} satisfies Record<string, (harness: SandboxHarness) => Promise<void>>;

async function stopsAtOnce(sandbox: Sandbox): Promise<void> {
  const begunAt = performance.now();
  await sandbox.stop(0);
  expect(await sandbox.exited).toMatchObject({ code: null });
  expect(performance.now() - begunAt).toBeLessThan(AT_ONCE_MS);
}

function silence(): Promise<string> {
  return new Promise((resolve) => setTimeout(resolve, SILENCE_MS, "silence"));
}
