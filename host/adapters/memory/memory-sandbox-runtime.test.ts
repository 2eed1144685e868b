import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type Http2Server,
  performServerHandshake,
  type ServerHttp2Stream,
} from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, describe, expect, test } from "vitest";
import { start } from "../../../contracts/suites/sandbox-conversation.ts";
import { runSandboxRuntimeSuite, type SandboxHarness } from "../../../contracts/suites/sandbox-runtime.ts";
import { runSuiteRunner } from "../../../contracts/suites/sandbox-suite-runner.ts";
import { SandboxError } from "../../domain/errors.ts";
import type { SandboxSpec } from "../../ports/sandbox-runtime.ts";
import { systemClock } from "../clock-system/index.ts";
import { createMemoryRuntime, type MemoryRuntime } from "./memory-sandbox-runtime.ts";

// Of our own, so that what is counted in it is ours.
const folder = mkdtempSync(join(tmpdir(), "twin-"));
process.env["TMPDIR"] = folder;
afterAll(() => rmSync(folder, { recursive: true }));

const NEVER = new AbortController().signal;

function spec(owner: Partial<SandboxSpec["owner"]> = {}): SandboxSpec {
  return {
    owner: { instance: "home", generation: 1, folder: "main", ...owner },
    mounts: [],
    limits: { memoryBytes: 1e8, pids: 32, cpus: 1, tmpBytes: 1e7 },
    user: { uid: 1000, gid: 1000 },
    startTimeoutMs: 1_000,
  };
}

async function makeHarness(): Promise<SandboxHarness & { runtime: MemoryRuntime }> {
  const runtime = createMemoryRuntime({ runner: runSuiteRunner, clock: systemClock });
  const failing = createMemoryRuntime({ runner: runSuiteRunner, clock: systemClock });
  failing.failNextStart(new SandboxError("SANDBOX_LINK_FAILED", "The runner exited with code 3.", { retryable: true }));
  const imageless = createMemoryRuntime({ runner: runSuiteRunner, clock: systemClock });
  imageless.failNextStart(new SandboxError("IMAGE_MISSING", "There is no image."));
  return {
    runtime,
    failing,
    imageless,
    spec,
    leftOver: async () => (await runtime.listOwned("home")).map(({ id }) => id),
    close: () => runtime.close(),
  };
}

runSandboxRuntimeSuite("memory twin", makeHarness, {
  "check refuses where the image is missing and says what to do": "the twin has no image",
  "a second connection to the link's socket is refused": "the twin's runner is handed its end and never sees a socket",
  "what a turn leaves behind is seen from outside": "the twin has neither processes nor folders to leave anything in",
});

describe("memory twin", () => {
  test("records the spec of every sandbox started", async () => {
    await using runtime = disposable(createMemoryRuntime({ runner: runSuiteRunner, clock: systemClock }));
    await runtime.start(spec({ folder: "a" }), NEVER);
    await runtime.start(spec({ folder: "b" }), NEVER);
    expect(runtime.started.map(({ owner, limits }) => [owner.folder, limits.pids])).toEqual([
      ["a", 32],
      ["b", 32],
    ]);
  });

  test("a failure asked for meets one start, in order, and leaves nothing; the next start succeeds", async () => {
    await using runtime = disposable(createMemoryRuntime({ runner: runSuiteRunner, clock: systemClock }));
    runtime.failNextStart(new SandboxError("ENGINE_UNREACHABLE", "first", { retryable: true }));
    runtime.failNextStart(new SandboxError("IMAGE_MISSING", "second"));
    await expect(runtime.start(spec(), NEVER)).rejects.toThrow("first");
    await expect(runtime.start(spec(), NEVER)).rejects.toThrow("second");
    expect(await runtime.listOwned("home")).toEqual([]);
    expect(runtime.started).toEqual([]);
    await runtime.start(spec(), NEVER);
    expect(await runtime.listOwned("home")).toHaveLength(1);
  });

  test("a death asked for comes after the given bytes, cuts the link and is listed until stopped", async () => {
    await using harness = harnessed(await makeHarness());
    harness.runtime.dieNextAfter("ready\nfirst\n".length, { code: null, outOfMemory: true });
    const up = await start(harness);
    const closed = once(up.sandbox.link, "close");
    up.tell("echo first");
    expect(await up.sandbox.exited).toEqual({ code: null, outOfMemory: true });
    await closed;
    expect(await harness.runtime.listOwned("home")).toHaveLength(1);
    await up.sandbox.stop(0);
    expect(await harness.runtime.listOwned("home")).toEqual([]);
  });

  test("a runner that throws exits with code 1 and its error is reported once", async () => {
    const crashes: unknown[] = [];
    const runner = async (): Promise<number> => {
      throw new Error("bug in the runner");
    };
    await using runtime = disposable(createMemoryRuntime({ runner, clock: systemClock, onCrash: (error) => crashes.push(error) }));
    const sandbox = await runtime.start(spec(), NEVER);
    expect(await sandbox.exited).toEqual({ code: 1, outOfMemory: false });
    expect(crashes).toHaveLength(1);
  });

  test("a runner that never ends is forgotten when it is killed, and its signal says so", async () => {
    const aborted = Promise.withResolvers<void>();
    const runner = (_link: Duplex, signal: AbortSignal): Promise<number> => {
      signal.addEventListener("abort", () => aborted.resolve());
      return new Promise(() => {});
    };
    await using runtime = disposable(createMemoryRuntime({ runner, clock: systemClock }));
    const sandbox = await runtime.start(spec(), NEVER);
    await sandbox.stop(0);
    expect(await sandbox.exited).toEqual({ code: null, outOfMemory: false });
    await aborted.promise;
  });

  test("HTTP/2 over its link serves calls, carries megabytes, and holds them back while paused", async () => {
    const body = Buffer.alloc(4 * 1024 * 1024, "x");
    const runner = async (link: Duplex): Promise<number> => {
      const session: ClientHttp2Session = connect("http://host", { createConnection: () => link });
      for (let call = 0; call < 20; call++) {
        const stream = session.request({ ":method": "POST", ":path": "/" });
        stream.end(call === 10 ? body : "small");
        await buffer(stream);
      }
      session.close();
      return 0;
    };
    await using runtime = disposable(createMemoryRuntime({ runner, clock: systemClock }));
    const server: Http2Server = createServer();
    const lengths: number[] = [];
    const sandbox = await runtime.start(spec(), NEVER);
    const session = performServerHandshake(sandbox.link);
    const serve = async (stream: ServerHttp2Stream): Promise<void> => {
      lengths.push((await buffer(stream)).length);
      if (lengths.length === 5) {
        await sandbox.pause();
        setImmediate(() => void sandbox.resume());
      }
      stream.respond({ ":status": 200 });
      stream.end("done");
    };
    session.on("stream", (stream) => void serve(stream));
    expect(await sandbox.exited).toEqual({ code: 0, outOfMemory: false });
    expect(lengths).toHaveLength(20);
    expect(lengths[10]).toBe(body.length);
    server.close();
  });

  test("leaves no socket folder on disk, not even of starts called off half-way", async () => {
    await using runtime = disposable(createMemoryRuntime({ runner: runSuiteRunner, clock: systemClock }));
    for (let turn = 0; turn < 20; turn++) {
      const abort = new AbortController();
      const starting = runtime.start(spec(), abort.signal);
      if (turn % 2 === 0) abort.abort();
      await starting.then((sandbox) => sandbox.stop(0)).catch(() => {});
    }
    expect(readdirSync(folder)).toEqual([]);
    expect(await runtime.listOwned("home")).toEqual([]);
  });

  test("a closed runtime has ended its sandboxes and starts no other", async () => {
    const runtime = createMemoryRuntime({ runner: runSuiteRunner, clock: systemClock });
    const sandbox = await runtime.start(spec(), NEVER);
    await runtime.close();
    await sandbox.exited;
    await expect(runtime.start(spec(), NEVER)).rejects.toMatchObject({ code: "HOST_STOPPING" });
  });
});

function disposable<T extends { close(): Promise<void> }>(runtime: T): T & AsyncDisposable {
  return Object.assign(runtime, { [Symbol.asyncDispose]: () => runtime.close() });
}

function harnessed<T extends SandboxHarness>(harness: T): T & AsyncDisposable {
  return Object.assign(harness, { [Symbol.asyncDispose]: () => harness.close() });
}
