import { readFile, rm } from "node:fs/promises";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { createToolbox } from "./registry.ts";

vi.setConfig({ testTimeout: 20_000 });

const cwd = mkdtempSync(join(tmpdir(), "exec-"));
const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: cwd, LANG: "C.UTF-8", TERM: "dumb", TZ: "Asia/Tokyo" };
const toolbox = createToolbox({ cwd, roots: [cwd], env });
const never = new AbortController().signal;

function exec(command: string, options: { timeout_seconds?: number; outputBytes?: number; timeoutMs?: number; signal?: AbortSignal } = {}) {
  const { timeout_seconds, outputBytes = 10_000, timeoutMs = 10_000, signal = never } = options;
  return toolbox.run("exec", { command, timeout_seconds }, { signal, outputBytes, timeoutMs });
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

afterAll(async () => {
  await toolbox.close();
  await rm(cwd, { recursive: true, force: true });
});

describe("what the model reads", () => {
  test("the output as it is, and nothing else where the command succeeded", async () => {
    expect(await exec("id")).toEqual({ text: expect.stringMatching(/^uid=\d+.*\n$/), isError: false });
    expect(await exec("true")).toEqual({ text: "", isError: false });
  });

  test("a failing command shows its exit code after its output", async () => {
    expect(await exec("echo no; exit 3")).toEqual({ text: "no\n[exit 3]", isError: false });
    expect(await exec("printf no; exit 3")).toEqual({ text: "no\n[exit 3]", isError: false });
  });

  test("a command killed by a signal shows which", async () => {
    expect((await exec("kill -SEGV $$")).text).toContain("[killed by SIGSEGV]");
  });

  test("standard error stands where it was written, also a syntax error of the shell", async () => {
    const interleaved = "for i in 1 2 3; do echo out$i; echo err$i >&2; done";
    expect((await exec(interleaved)).text).toBe("out1\nerr1\nout2\nerr2\nout3\nerr3\n");
    expect((await exec("echo 'unfinished")).text).toMatch(/unexpected EOF.*\[exit 2\]$/s);
  });

  test("/dev/stdout and /dev/stderr can be opened, as scripts do", async () => {
    expect((await exec("echo a > /dev/stdout; echo b > /dev/stderr; echo c | tee /dev/stderr")).text).toBe("a\nb\nc\nc\n");
  });

  test("standard input is empty, not a wait for ever", async () => {
    expect((await exec("cat; echo end")).text).toBe("end\n");
  });

  test("bytes that are no UTF-8 are replaced", async () => {
    expect((await exec("printf 'a\\xffb'")).text).toBe("a\ufffdb");
  });
});

describe("what the command gets", () => {
  test("the workspace as its directory", async () => {
    expect((await exec("pwd -P")).text.trim()).toBe(await import("node:fs/promises").then(({ realpath }) => realpath(cwd)));
  });

  test("the named environment and nothing of the runner's own", async () => {
    process.env["HERMIT_LINK"] = "/run/hermit/link.sock";
    const names = (await exec("env | cut -d= -f1 | grep -vxE 'PWD|OLDPWD|SHLVL|_' | sort")).text.trim().split("\n");
    delete process.env["HERMIT_LINK"];
    expect(names).toEqual(["HOME", "LANG", "PATH", "TERM", "TZ"]);
    expect((await exec("date +%Z")).text).toBe("JST\n");
  });
});

describe("what lies around the sandbox", () => {
  const notes: string[] = [];
  const surroundings = {
    variables: async () => ({ HTTP_PROXY: "http://127.0.0.1:1", PATH: "/nowhere" }),
    takeNotes: () => notes.splice(0),
  };
  const around = createToolbox({ cwd, roots: [cwd], env, surroundings });
  const run = (command: string, signal = never) => around.run("exec", { command }, { signal, outputBytes: 10_000, timeoutMs: 10_000 });

  test("its variables join the environment and replace none of it", async () => {
    expect((await run("echo $HTTP_PROXY; echo $PATH")).text).toBe(`http://127.0.0.1:1\n${env.PATH}\n`);
  });

  test("what a command must be told stands behind its output and its mark, once", async () => {
    notes.push("[egress refused: a]", "[egress refused: b]");
    expect(await run("echo out; exit 7")).toEqual({ text: "out\n[exit 7]\n[egress refused: a]\n[egress refused: b]", isError: false });
    expect(await run("echo out")).toEqual({ text: "out\n", isError: false });
    notes.push("[egress refused: c]");
    expect(await run("true")).toEqual({ text: "[egress refused: c]", isError: false });
  });

  test("notes fit beside an output that fills its limit", async () => {
    notes.push(...Array.from({ length: 6 }, (_, n) => `[${n}${"x".repeat(250)}]`));
    const { text } = await around.run("exec", { command: "seq 100000" }, { signal: never, outputBytes: 1_000, timeoutMs: 10_000 });
    expect(text).toMatch(/\n100000\n\[0x+\]\n.*\n\[5x+\]$/s);
    expect(text.match(/bytes cut/g)).toHaveLength(1);
  });

  test("a turn that was stopped while they were made ready runs nothing", async () => {
    const stop = new AbortController();
    const late = createToolbox({ cwd, roots: [cwd], env, surroundings: { ...surroundings, variables: async () => (stop.abort(), {}) } });
    const ran = late.run("exec", { command: "touch ran" }, { signal: stop.signal, outputBytes: 1_000, timeoutMs: 10_000 });
    expect(await ran).toEqual({ text: "[stopped]", isError: true });
    await expect(readFile(join(cwd, "ran"))).rejects.toThrow("ENOENT");
  });
});

describe("limits", () => {
  test("long output keeps its head and its tail and says how much is gone", async () => {
    const { text } = await exec("echo first; seq 100000; echo last", { outputBytes: 1_000 });
    expect(text).toMatch(/^first\n1\n2\n/);
    expect(text).toMatch(/\n100000\nlast\n$/);
    const total = Number(/\[… (\d+) bytes cut …\]/.exec(text)?.[1]) + Buffer.byteLength(text.replace(/\n\[… \d+ bytes cut …\]\n/, ""));
    expect(total).toBe(588_906);
  });

  test("a gigabyte of output neither fills the memory nor takes long", async () => {
    const before = process.memoryUsage();
    let peak = 0;
    const watch = setInterval(() => {
      const now = process.memoryUsage();
      peak = Math.max(peak, now.external + now.heapUsed - before.external - before.heapUsed);
    }, 20);
    const began = performance.now();
    const { text } = await exec("head -c 1G /dev/zero | tr '\\0' x", { outputBytes: 64_000, timeoutMs: 60_000 });
    clearInterval(watch);
    expect(Buffer.byteLength(text)).toBeLessThan(64_100);
    expect(text).toContain(`[… ${1024 ** 3 - 64_000} bytes cut …]`);
    expect(peak).toBeLessThan(150 * 1024 ** 2);
    expect(performance.now() - began).toBeLessThan(30_000);
  }, 60_000);

  test("a command beyond its time is killed with its children, and its output so far is kept", async () => {
    const { text, isError } = await exec("echo started; sleep 1000 & echo $! > child; wait", { timeout_seconds: 0.3 });
    expect({ text, isError }).toEqual({ text: "started\n[timed out after 0.3 s and was killed]", isError: true });
    const child = Number(await readFile(join(cwd, "child"), "utf8"));
    await vi.waitFor(() => expect(isRunning(child)).resolves.toBe(false));
  });

  test("the model cannot ask for more time than the turn allows", async () => {
    expect((await exec("sleep 1000", { timeout_seconds: 900, timeoutMs: 100 })).text).toBe("[timed out after 0.1 s and was killed]");
  });

  test("a turn that is stopped kills the command at once", async () => {
    const stop = new AbortController();
    const running = exec("sleep 1000", { signal: stop.signal });
    setImmediate(() => stop.abort());
    expect(await running).toEqual({ text: "[stopped]", isError: true });
    expect(await exec("echo never", { signal: stop.signal })).toEqual({ text: "[stopped]", isError: true });
  });

  test("a child left in the background does not hold up the call, lives on, and is killed when the toolbox closes", async () => {
    const own = createToolbox({ cwd, roots: [cwd], env });
    const began = performance.now();
    const command = "sleep 1000 & echo $!";
    const { text } = await own.run("exec", { command }, { signal: never, outputBytes: 1_000, timeoutMs: 10_000 });
    expect(performance.now() - began).toBeLessThan(3_000);
    const child = Number(text);
    expect(lives(child)).toBe(true);
    await own.close();
    await vi.waitFor(() => expect(isRunning(child)).resolves.toBe(false));
  });

  test("a command too long for the kernel, or with a NUL in it, is refused with what to do", async () => {
    expect(await exec(`echo ${"x".repeat(200_000)}`)).toMatchObject({ isError: true, text: expect.stringContaining("write_file") });
    expect(await exec("echo a\0b")).toMatchObject({ isError: true, text: expect.stringContaining("NUL") });
    expect((await exec(`true ${"x".repeat(131_000)}`)).isError).toBe(false);
  });
});

/** Whether it runs; one that waits to be reaped does not. */
async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat !== undefined && !/\) [ZX] /.test(stat);
}
