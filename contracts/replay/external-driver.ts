/**
 * A driver that is a program: started as a command, spoken to over the driver wire, ended when it is no longer needed.
 *
 * It is not trusted to work. Each call is bounded in time, each answer in size; a program that hangs, ends, or says what is no
 * answer fails its scenario with what it did and the end of its standard error, and the next scenario has a new one.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import * as z from "zod";
import { type Dump, DriverError, type Lack, type Observed, type OpenDriver, type ReplayDriver } from "./driver.ts";
import { DRIVER_WIRE_VERSION, type DriverAnswer, DriverAnswers, DriverFailure, type DriverRequest } from "./driver-wire.ts";
import type { AppliedEvent, MessageEvent } from "./scenario.ts";

export interface ExternalLimits {
  /** Of one call, the start of the program included. */
  readonly callMs: number;
  readonly answerBytes: number;
}

/** Hours of a scenario are one call: a host may take its time for them. The tables of a month are well below 32 MiB. */
const LIMITS: ExternalLimits = { callMs: 60_000, answerBytes: 32 * 1024 * 1024 };
/** From the end of its input to the end of the program. */
const LEAVE_MS = 2_000;
const STDERR_KEPT_CHARS = 4_000;
const SHOWN_CHARS = 200;

export interface ExternalHost extends AsyncDisposable {
  readonly open: OpenDriver;
}

/** `command`: for /bin/sh. It is started with the first scenario and serves one after the other. */
export function externalHost(command: string, limits: ExternalLimits = LIMITS): ExternalHost {
  let program: Program | undefined;
  return {
    async open(scenario) {
      if (program === undefined || program.hasFailed) {
        await program?.end();
        program = new Program(command, limits);
      }
      const { lacks } = await program.ask("open", { v: DRIVER_WIRE_VERSION, scenario: scenario.path });
      return new ExternalDriver(program, lacks);
    },
    async [Symbol.asyncDispose]() {
      await program?.end();
    },
  };
}

class ExternalDriver implements ReplayDriver {
  readonly lacks: readonly Lack[];
  readonly observed: Observed[] = [];
  readonly #program: Program;

  constructor(program: Program, lacks: readonly Lack[]) {
    this.#program = program;
    this.lacks = lacks;
  }

  async start(): Promise<void> {
    this.#saw(await this.#program.ask("start", {}));
  }

  async stop(how: "kill" | "graceful", withinMs: number): Promise<void> {
    this.#saw(await this.#program.ask("stop", { how, withinMs }));
  }

  async deliver(messages: readonly MessageEvent[]): Promise<void> {
    this.#saw(await this.#program.ask("deliver", { messages: [...messages] }));
  }

  async apply(event: AppliedEvent): Promise<void> {
    this.#saw(await this.#program.ask("apply", { event }));
  }

  async advanceTo(ms: number): Promise<void> {
    this.#saw(await this.#program.ask("advanceTo", { ms }));
  }

  async dump(): Promise<Dump> {
    return (await this.#program.ask("dump", {})).tables;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#program.hasFailed) await this.#program.end();
    else await this.#program.ask("close", {});
  }

  #saw({ observed }: { readonly observed: readonly Observed[] }): void {
    this.observed.push(...observed);
  }
}

type Asked<What extends DriverRequest["do"]> = Omit<Extract<DriverRequest, { do: What }>, "id" | "do">;

interface Waiting {
  readonly take: (line: string) => void;
  readonly reject: (error: DriverError) => void;
}

class Program {
  readonly #command: string;
  readonly #limits: ExternalLimits;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed = Promise.withResolvers<void>();
  readonly #killWithUs = (): void => this.#kill();
  #waiting: Waiting | undefined;
  #asked = 0;
  /** Of an answer that is not whole yet. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #stderr = "";
  /** Why it is of no use any more. Resolves when it is gone, and with it the last of its standard error known. */
  #failure: Promise<DriverError> | undefined;
  #isEnding = false;

  constructor(command: string, limits: ExternalLimits) {
    this.#command = command;
    this.#limits = limits;
    // A group of its own, so that what the shell starts ends with it.
    this.#child = spawn(command, { shell: true, detached: true, stdio: "pipe" });
    process.once("exit", this.#killWithUs);
    this.#child.stdout.on("data", (chunk: Buffer) => this.#read(chunk));
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT_CHARS);
    });
    // It ended before it had read all: said by `exit`.
    this.#child.stdin.on("error", () => {});
    this.#child.on("error", (error) => this.#fail(`cannot be started: ${error.message}`));
    this.#child.on("exit", (code, signal) => {
      if (!this.#isEnding) this.#fail(`ended (${signal ?? `exit code ${code}`})`);
    });
    this.#child.on("close", () => {
      process.off("exit", this.#killWithUs);
      this.#closed.resolve();
    });
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Rejects with DriverError. One call at a time. */
  async ask<What extends DriverRequest["do"]>(what: What, fields: Asked<What>): Promise<DriverAnswer<What>> {
    if (this.#failure !== undefined) throw await this.#failure;
    const id = ++this.#asked;
    const timer = setTimeout(() => this.#fail(`did not answer ${what} within ${this.#limits.callMs / 1000} s`), this.#limits.callMs);
    try {
      return await new Promise((resolve, reject) => {
        const take = (line: string): void => {
          const answer = readAnswer(what, id, line);
          if ("wrong" in answer) return this.#fail(answer.wrong);
          this.#waiting = undefined;
          resolve(answer.right);
        };
        this.#waiting = { take, reject };
        this.#child.stdin.write(`${JSON.stringify({ id, do: what, ...fields })}\n`);
      });
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
  }

  /** Idempotent. Its input ends, and if that does not end it, it is killed. */
  async end(): Promise<void> {
    this.#isEnding = true;
    this.#child.stdin.end();
    await this.#gone(LEAVE_MS);
    this.#kill();
    await this.#gone(LEAVE_MS);
    // What left its process group may hold the pipes open; it is no longer ours to wait for.
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }

  #read(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", from)) {
      this.#hold(chunk.subarray(from, end));
      from = end + 1;
      const line = Buffer.concat(this.#held).toString("utf8");
      this.#held = [];
      this.#heldBytes = 0;
      if (this.#failure !== undefined) return;
      if (this.#waiting === undefined) this.#fail(`said what nobody asked for: ${shown(line)}`);
      else this.#waiting.take(line);
    }
    this.#hold(chunk.subarray(from));
  }

  #hold(part: Buffer): void {
    this.#heldBytes += part.length;
    if (this.#heldBytes > this.#limits.answerBytes) this.#fail(`answered with more than ${this.#limits.answerBytes} bytes`);
    else this.#held.push(part);
  }

  /** The first failure counts. */
  #fail(what: string): void {
    if (this.#failure !== undefined) return;
    this.#kill();
    this.#failure = this.#gone(LEAVE_MS).then(() => {
      const said = this.#stderr.trim();
      const error = new DriverError(
        `The driver \`${this.#command}\` ${what}.${said === "" ? "" : `\nIts standard error ends with:\n${said}`}`,
      );
      this.#waiting?.reject(error);
      return error;
    });
  }

  #kill(): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // It is gone already.
    }
  }

  async #gone(withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      this.#closed.promise,
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, withinMs);
      }),
    ]);
    clearTimeout(timer);
  }
}

function readAnswer<What extends DriverRequest["do"]>(
  what: What,
  id: number,
  line: string,
): { readonly right: DriverAnswer<What> } | { readonly wrong: string } {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return { wrong: `answered ${what} with what is no JSON (standard output is for answers alone): ${shown(line)}` };
  }
  const failure = DriverFailure.safeParse(json).data;
  if (failure !== undefined) return { wrong: `failed at ${what}: ${failure.error}` };
  const answer = DriverAnswers[what].safeParse(json);
  if (!answer.success) return { wrong: `answered ${what} with what is no answer to it: ${z.prettifyError(answer.error)}\n${shown(line)}` };
  if (answer.data.id !== id) return { wrong: `answered request ${answer.data.id} where ${id}, ${what}, was asked` };
  return { right: answer.data as DriverAnswer<What> };
}

function shown(line: string): string {
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS)}…` : line;
}
