/**
 * `./hermit` as its user runs it: the built program, an environment that holds only what is given, a bound on its life.
 *
 * Every process started here is ended by its number when its owner is disposed of, whatever state the test left it in.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Writable } from "node:stream";

const ROOT = join(import.meta.dirname, "..", "..");
const PROGRAM = join(ROOT, "hermit");
const SECOND_MS = 1000;
/** Longer than any run here should take; what is alive then hangs. */
const LIFE_MS = 45 * SECOND_MS;
const BUILD_MS = 60 * SECOND_MS;
/** Far above what any test expects to see: a host that floods must fail the test, not this process. */
const MAX_OUTPUT_CHARS = 32 * 1024 * 1024;

export interface HermitOptions {
  readonly home: string;
  /** Default: `run`. */
  readonly args?: readonly string[];
  /** Beside PATH, HOME, HERMIT_HOME and the engine this test run was told to use. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to standard input, which then ends. Absent: standard input stays open. */
  readonly input?: string | Buffer;
}

export interface Ending {
  /** Null: killed by `signal`. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From spawn to the end of its output. */
  readonly ms: number;
}

export interface HermitProcess extends AsyncDisposable {
  readonly pid: number;
  readonly stdin: Writable;
  /** Settles when the process has ended and its output is read. Rejects where it outlived LIFE_MS. */
  readonly ended: Promise<Ending>;
  stdout(): string;
  stderr(): string;
  /** Resolves when standard output matches. Rejects when the process ends without it. */
  printed(pattern: RegExp): Promise<void>;
  /** As `printed`, of standard error. */
  complained(pattern: RegExp): Promise<void>;
  /** As the given promise, but rejects when the process ends first: what it would have done will not come any more. */
  before<T>(event: Promise<T>): Promise<T>;
  signal(name: NodeJS.Signals): void;
  /** Nobody reads standard output any more. */
  closeStdout(): void;
}

/** The bundle is made from the tree as it stands, so that no test passes on an old one. */
export function buildHermit(): void {
  execFileSync(process.execPath, [join(ROOT, "runner-image", "build", "bundle.ts")], { stdio: "ignore", timeout: BUILD_MS });
}

export function startHermit(options: HermitOptions): HermitProcess {
  return new Running(options);
}

/** Resolves with how it ended. Rejects where it would not end. */
export async function runHermit(options: HermitOptions & { readonly input: string | Buffer }): Promise<Ending> {
  await using hermit = startHermit(options);
  return await hermit.ended;
}

class Running implements HermitProcess {
  readonly pid: number;
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #texts = { stdout: "", stderr: "" };
  /** Called on every piece of output and at the end. */
  readonly #watchers = new Set<() => void>();
  #isOver = false;

  constructor({ home, args = ["run"], env = {}, input }: HermitOptions) {
    const startedAt = performance.now();
    const engine = process.env["HERMIT_ENGINE"];
    this.#child = spawn(PROGRAM, args, {
      env: { PATH: process.env["PATH"], HOME: home, HERMIT_HOME: home, ...(engine && { HERMIT_ENGINE: engine }), ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    if (this.#child.pid === undefined) throw new Error(`${PROGRAM} could not be started`);
    this.pid = this.#child.pid;
    this.#collect("stdout");
    this.#collect("stderr");
    // A host that ends before it has read everything leaves a broken pipe; how it ended is what tests look at.
    this.stdin.on("error", () => undefined);
    if (input !== undefined) this.stdin.end(input);
    this.ended = this.#untilEnd(startedAt);
    // Not every test waits for the end; disposal does.
    this.ended.catch(() => undefined);
  }

  get stdin(): Writable {
    if (this.#child.stdin === null) throw new Error("standard input is a pipe");
    return this.#child.stdin;
  }

  stdout = (): string => this.#texts.stdout;
  stderr = (): string => this.#texts.stderr;
  printed = (pattern: RegExp): Promise<void> => this.#seen("stdout", pattern);
  complained = (pattern: RegExp): Promise<void> => this.#seen("stderr", pattern);

  before<T>(event: Promise<T>): Promise<T> {
    const tooLate = this.ended.then(({ code, stdout, stderr }) => {
      throw new Error(`hermit ended with ${code} too early: ${stdout.slice(-1000)}\n${stderr.slice(-2000)}`);
    });
    return Promise.race([event, tooLate]);
  }

  signal(name: NodeJS.Signals): void {
    if (!this.#isOver) this.#child.kill(name);
  }

  closeStdout(): void {
    this.#child.stdout?.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.ended.catch(() => undefined);
  }

  #collect(name: "stdout" | "stderr"): void {
    this.#child[name]?.setEncoding("utf8").on("data", (text: string) => {
      this.#texts[name] = (this.#texts[name] + text).slice(-MAX_OUTPUT_CHARS);
      this.#tell();
    });
  }

  #tell(): void {
    for (const watcher of this.#watchers) watcher();
  }

  async #untilEnd(startedAt: number): Promise<Ending> {
    let outlived = false;
    const timer = setTimeout(() => {
      outlived = true;
      this.#child.kill("SIGKILL");
    }, LIFE_MS);
    const [code, signal] = (await once(this.#child, "close")) as [number | null, NodeJS.Signals | null];
    clearTimeout(timer);
    this.#isOver = true;
    this.#tell();
    if (outlived) throw new Error(`hermit did not end within ${LIFE_MS / SECOND_MS} s; its standard error: ${this.stderr().slice(-2000)}`);
    return { code, signal, stdout: this.stdout(), stderr: this.stderr(), ms: performance.now() - startedAt };
  }

  #seen(name: "stdout" | "stderr", pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = pattern.test(this.#texts[name]);
        if (!found && !this.#isOver) return;
        this.#watchers.delete(look);
        if (found) resolve();
        else reject(new Error(`hermit ended without ${pattern} on ${name}: ${this.stdout().slice(-1000)}\n${this.stderr().slice(-2000)}`));
      };
      this.#watchers.add(look);
      look();
    });
  }
}
