/** Starts a sandbox whose runner is `sandbox-suite-runner.ts` and talks to it line by line. */
import type { Duplex } from "node:stream";
import { expect } from "vitest";
import type { Sandbox, SandboxRuntime, SandboxSpec } from "../../host/ports/sandbox-runtime.ts";

const NEVER = new AbortController().signal;

export interface SandboxStarter {
  readonly runtime: SandboxRuntime;
  spec(owner?: Partial<SandboxSpec["owner"]>): SandboxSpec;
}

export interface StartedSandbox extends AsyncDisposable {
  readonly sandbox: Sandbox;
  tell(line: string): void;
  /** The runner's next line; rejects when the link ends before. */
  line(): Promise<string>;
  ask(line: string): Promise<string>;
  /** Runs the body of an async function inside; what it throws is answered as `{ error }`, with the error's code where it has one. */
  run(body: string): Promise<unknown>;
}

/** Starts one and reads the runner's greeting; disposing stops it. */
export async function start(harness: SandboxStarter, owner?: Partial<SandboxSpec["owner"]>): Promise<StartedSandbox> {
  const sandbox = await harness.runtime.start(harness.spec(owner), NEVER);
  const line = readLines(sandbox.link);
  const tell = (text: string): void => void sandbox.link.write(`${text}\n`);
  try {
    expect(await line()).toBe("ready");
  } catch (error) {
    await sandbox.stop(0);
    throw error;
  }
  const ask = (text: string): Promise<string> => {
    tell(text);
    return line();
  };
  return {
    sandbox,
    tell,
    line,
    ask,
    run: async (body) => JSON.parse(await ask(`run ${Buffer.from(body).toString("base64")}`)),
    [Symbol.asyncDispose]: () => sandbox.stop(0),
  };
}

function readLines(link: Duplex): () => Promise<string> {
  const lines: string[] = [];
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  let unread: string[] = [];
  link.on("error", () => {});
  link.on("data", (chunk: Buffer) => {
    const parts = chunk.toString("utf8").split("\n");
    for (const [n, part] of parts.entries()) {
      unread.push(part);
      if (n === parts.length - 1) break;
      const line = unread.join("");
      unread = [];
      const next = waiting.shift();
      if (next) next.resolve(line);
      else lines.push(line);
    }
  });
  link.once("close", () => {
    for (const { reject } of waiting) reject(new Error("the link ended"));
  });
  return () => {
    const line = lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    const next = Promise.withResolvers<string>();
    waiting.push(next);
    next.promise.catch(() => {});
    return next.promise;
  };
}
