/** NanoClaw's old agent as a process: one JSON object in, marked outputs out, an exit code (contract §7.2–7.4). */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import type { PayloadFacts } from "../../contracts/wire/turn.ts";
import { OutputMarkers } from "./output-markers.ts";

export interface Payload {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Null: it was killed. Rejects where it could not be started. */
  readonly exited: Promise<number | null>;
  /** It and all it started. */
  kill(): void;
}

/** Of its standard error, as much as the old host showed (contract §7.4). */
const STDERR_TAIL_CHARS = 200;
/** A process it left behind may hold its output open for ever. */
const LAST_OUTPUT_MS = 1_000;

export interface PayloadEnd {
  /** Null: it was killed. */
  readonly code: number | null;
  readonly stderrTail: string;
}

/** Resolves when it has ended and `onOutput` has had all it said, in order. Rejects where it could not be started. */
export async function followPayload(payload: Payload, onOutput: (output: unknown) => void): Promise<PayloadEnd> {
  const { stdout, stderr, exited } = payload;
  const markers = new OutputMarkers(onOutput);
  let stderrTail = "";
  stdout.on("data", (chunk: Buffer) => markers.push(chunk));
  stderr.setEncoding("utf8").on("data", (text: string) => {
    stderrTail = (stderrTail + text).slice(-STDERR_TAIL_CHARS);
  });
  const drained = Promise.all([stdout, stderr].map((stream) => new Promise((resolve) => stream.once("close", resolve))));
  const code = await exited;
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, LAST_OUTPUT_MS);
  await Promise.race([drained, late.promise]);
  clearTimeout(timer);
  markers.end();
  return { code, stderrTail };
}

/** What it reads from standard input: one JSON object (contract §7.2). */
export function payloadInput(prompt: string, session: string | undefined, facts: PayloadFacts): string {
  const { groupFolder, chatJid, isMain, isScheduledTask } = facts;
  return JSON.stringify({
    prompt,
    ...(session === undefined ? {} : { sessionId: session }),
    groupFolder,
    chatJid,
    isMain,
    ...(isScheduledTask ? { isScheduledTask } : {}),
  });
}

export interface PayloadProcess {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

export function spawnPayload({ command, cwd, env }: PayloadProcess, input: string): Payload {
  const [program = "", ...args] = command;
  // In a process group of its own, so that what it started can be ended with it.
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ["pipe", "pipe", "pipe"] });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", (error) => reject(new Error(`The agent could not be started: ${error.message}.`, { cause: error })));
    child.once("exit", (code) => resolve(code));
  });
  // It need not read what it is given.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  return {
    stdout: child.stdout,
    stderr: child.stderr,
    exited,
    kill() {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // Nothing of it is left.
      }
    },
  };
}
