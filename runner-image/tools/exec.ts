/**
 * exec: one bash command in its own process group.
 *
 * The output is bounded while it streams; the call ends when the shell does. Children left in the background keep running
 * with their output discarded, until the toolbox closes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import * as z from "zod";
import { OutputWindow } from "./output-window.ts";
import { defineTool, type ToolContext, ToolError, type ToolOutcome } from "./tool.ts";

const SHELL = "/bin/bash";
/**
 * Joins standard error to standard output before the command is parsed, so that both arrive in order. The `cat` makes the
 * output a pipe: Node hands out a socket, and a socket cannot be opened again as /dev/stdout or /dev/stderr.
 */
const LAUNCH = `exec ${SHELL} -c "$1" > >(exec cat) 2>&1`;
/** Longest command in bytes: the kernel takes 128 KiB an argument. */
const MAX_COMMAND_BYTES = 128 * 1024 - 1;
/** How long to wait for the rest of the output once the shell is gone; a background child may hold the pipe for ever. */
const DRAIN_MS = 200;

const ExecInput = z.strictObject({
  command: z.string().min(1).describe("Run by bash."),
  timeout_seconds: z.number().positive().optional().describe("Kill the command after this long."),
});

export const exec = defineTool({
  name: "exec",
  description:
    "Run a bash command in the workspace and return its output, standard error included. Long output keeps its head and tail. There is no terminal and no standard input.",
  input: ExecInput,
  run(input, context) {
    if (Buffer.byteLength(input.command) > MAX_COMMAND_BYTES) {
      throw new ToolError("The command is longer than 128 KiB. Write it to a file with write_file, then run that file.");
    }
    if (input.command.includes("\0")) throw new ToolError("The command contains a NUL character. Remove it.");
    const timeoutMs = Math.min((input.timeout_seconds ?? Number.POSITIVE_INFINITY) * 1000, context.timeoutMs);
    return runCommand(input.command, timeoutMs, context);
  },
});

type Ending = { code: number | null; signal: NodeJS.Signals | null };

async function runCommand(command: string, timeoutMs: number, context: ToolContext): Promise<ToolOutcome> {
  context.signal.throwIfAborted();
  const { surroundings } = context;
  const around = await surroundings?.variables();
  context.signal.throwIfAborted();
  const child = spawn(SHELL, ["-c", LAUNCH, SHELL, command], {
    cwd: context.cwd,
    env: { ...around, ...context.env },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = new OutputWindow(context.outputBytes);
  const drained = collect(child, output);
  if (child.pid !== undefined) context.groups.add(child.pid);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup(child.pid);
  }, timeoutMs);
  const stop = (): void => killGroup(child.pid);
  context.signal.addEventListener("abort", stop, { once: true });
  try {
    const ending = await ended(child);
    // Killed from here, the whole group is gone and so is the pipe's other end.
    await Promise.race([drained.done, pause(DRAIN_MS)]);
    drained.discardRest();
    if (!groupLives(child.pid)) context.groups.delete(child.pid ?? 0);
    const stopped = context.signal.aborted;
    const mark = stopped ? "[stopped]" : timedOut ? `[timed out after ${timeoutMs / 1000} s and was killed]` : endingMark(ending);
    const said = [mark, ...(surroundings?.takeNotes() ?? [])];
    return { text: said.reduce(withMark, output.text()), isError: timedOut || stopped };
  } finally {
    clearTimeout(timer);
    context.signal.removeEventListener("abort", stop);
  }
}

function collect(child: ChildProcess, output: OutputWindow): { done: Promise<void>; discardRest(): void } {
  let discarding = false;
  const pipes = [child.stdout, child.stderr].filter((pipe) => pipe !== null);
  const ends = pipes.map((pipe) => {
    pipe.on("data", (chunk: Buffer) => {
      if (!discarding) output.push(chunk);
    });
    return new Promise<void>((resolve) => {
      pipe.on("error", () => resolve());
      pipe.once("close", () => resolve());
    });
  });
  return {
    done: Promise.all(ends).then(() => undefined),
    discardRest() {
      discarding = true;
    },
  };
}

function ended(child: ChildProcess): Promise<Ending> {
  return new Promise((resolve, reject) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (error) => reject(new ToolError(`The command could not be started: ${error.message}.`)));
  });
}

function endingMark({ code, signal }: Ending): string {
  if (signal !== null) return `[killed by ${signal}]`;
  return code === 0 ? "" : `[exit ${code}]`;
}

function withMark(text: string, mark: string): string {
  if (mark === "") return text;
  return text === "" || text.endsWith("\n") ? text + mark : `${text}\n${mark}`;
}

/** Kills a command and all its children that have not left its group; nothing happens when they are gone. */
export function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // ESRCH: gone already.
  }
}

function groupLives(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    process.kill(-pid, 0);
    return true;
  } catch {
    return false;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
