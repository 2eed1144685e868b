/**
 * One `./hermit run --jsonl` on a home of its own: messages go in on standard input, replies are awaited on standard output.
 *
 * Every wait is bounded by `WAIT_MS` and by the bench's signal. Whatever happens, `end` leaves no process behind.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { ConsoleReply } from "../../contracts/wire/console.ts";
import { STATUS_PATH, Status } from "../../contracts/wire/control.ts";
import { BenchError, unlessAborted } from "./bench-error.ts";

const PROGRAM = join(import.meta.dirname, "..", "..", "hermit");
/** A compile in a container on a small board is the slowest thing waited for. */
const WAIT_MS = 90_000;
const ASKING_EVERY_MS = 20;
const END_MS = 15_000;
const KEPT_STDERR_CHARS = 2_000;

/** What the scripted model says, so that a notice about a failure is not taken for an answer. */
export const ANSWER = "pong";

export interface HostOptions {
  readonly home: string;
  /** The whole environment of the host. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export class HostProcess {
  readonly home: string;
  /** Epoch milliseconds just before the process was asked for. */
  readonly spawnedAt: number;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #signal: AbortSignal;
  readonly #exited: Promise<unknown>;
  #stderr = "";
  #said = 0;
  readonly #replies: ConsoleReply[] = [];
  #onReply: (() => void) | undefined;

  constructor({ home, env, signal }: HostOptions) {
    this.home = home;
    this.#signal = signal;
    this.spawnedAt = Date.now();
    this.#child = spawn(PROGRAM, ["run", "--home", home, "--jsonl"], { env, stdio: ["pipe", "pipe", "pipe"] });
    // A host that died while it was spoken to is reported by whoever waits for its reply.
    this.#child.stdin.on("error", () => undefined);
    this.#exited = once(this.#child, "exit").catch(() => undefined);
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_STDERR_CHARS);
    });
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      this.#replies.push(ConsoleReply.parse(JSON.parse(line)));
      this.#onReply?.();
    });
  }

  /** `./hermit` replaces itself by Node, so this is the host's own. */
  get pid(): number {
    if (this.#child.pid === undefined) throw new BenchError(`${PROGRAM} cannot be started.`, "Run `make build`.");
    return this.#child.pid;
  }

  get database(): string {
    return join(this.home, "store", "messages.db");
  }

  say(chat = "main", text = "ping"): void {
    const line = { id: `bench-${Date.now()}-${this.#said++}`, chat, sender: "bench", text };
    this.#child.stdin.write(`${JSON.stringify(line)}\n`);
  }

  /** The next reply. Rejects when it is anything but the scripted answer. */
  async reply(): Promise<void> {
    if (this.#replies.length === 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onReply = resolve;
      await this.#bounded(promise, "a reply");
      this.#onReply = undefined;
    }
    const text = this.#replies.shift()?.text;
    if (text !== ANSWER) throw new BenchError(`A turn did not end as it should: ${text}`, this.#lastWords());
  }

  async ask(): Promise<void> {
    this.say();
    await this.reply();
  }

  /** Resolves when nothing waits or runs and no sandbox is left. */
  async idle(): Promise<void> {
    const until = Date.now() + WAIT_MS;
    for (;;) {
      const { slots, inbox, outbox } = await this.#bounded(this.#status(), "its status");
      if (slots.used === 0 && inbox === 0 && outbox === 0) return;
      if (Date.now() > until) throw new BenchError(`The host on ${this.home} does not come to rest.`, this.#lastWords());
      await pause(ASKING_EVERY_MS, undefined, { signal: this.#signal });
    }
  }

  /** Ends the input, which lets the host finish what it has and exit. */
  async drain(): Promise<void> {
    this.#child.stdin.end();
    await this.#bounded(this.#exited, "its end", false);
    if (this.#child.exitCode !== 0) throw new BenchError(`The host ended with code ${this.#child.exitCode}.`, this.#lastWords());
  }

  /** Never rejects. Asks, then kills. */
  async end(): Promise<void> {
    const { pid } = this.#child;
    if (pid === undefined) return;
    this.#child.stdin.destroy();
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
      this.#child.kill(signal);
      await Promise.race([this.#exited, pause(END_MS, undefined, { ref: false })]);
    }
  }

  async #bounded<T>(work: Promise<T>, what: string, mustLive = true): Promise<T> {
    const waiting = new AbortController();
    const tooLong = pause(WAIT_MS, undefined, { signal: waiting.signal, ref: false }).then((): never => {
      throw new BenchError(`Waited ${WAIT_MS / 1000} s for ${what} of the host.`, this.#lastWords());
    });
    const died = this.#exited.then((): Promise<never> | never => {
      if (!mustLive) return new Promise(() => undefined);
      throw new BenchError(`The host ended while ${what} was awaited.`, this.#lastWords());
    });
    for (const loser of [tooLong, died]) loser.catch(() => undefined);
    try {
      return await unlessAborted(Promise.race([work, tooLong, died]), this.#signal);
    } finally {
      waiting.abort();
    }
  }

  #status(): Promise<Status> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: join(this.home, "run", "control.sock"), path: STATUS_PATH, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.once("error", reject).once("end", () => resolve(Status.parse(JSON.parse(text))));
      });
      call.once("error", reject).end();
    });
  }

  #lastWords(): string | undefined {
    const words = this.#stderr.trim();
    return words === "" ? undefined : `Its last words: ${words}`;
  }
}
