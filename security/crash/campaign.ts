/**
 * A kill -9 campaign: one home, one growing feed, a host started over and over and killed at random moments.
 *
 * Each round gives the whole feed again from its start, as after a crash nobody knows what had arrived. In half of the rounds the input
 * then ends, so that kills also land while the host drains; in the other half more is said while it works. Between rounds the host may
 * stay down for a while, with tasks falling due; after many kills it is left to finish. `settle` lets everything come to its end.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { watch } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { TemporaryHome } from "../harness/temporary-home.ts";
import { openStore } from "../../host/adapters/store-sqlite/index.ts";
import { CHATS, makeMessage, type Message, REPEATING } from "./feed.ts";
import { placeWitness } from "./witness.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** A host whose input has ended is gone at about this: kills land before, in and after the work, which all the same gets done. */
const LATEST_KILL_MS = 2_000;
/** A turn that meets 20 is given up by the host, which takes it for the cause: a host is left to end by itself before that. */
const MOST_KILLS_IN_A_ROW = 15;
/** The longest a host may take to work off everything. */
const DRAIN_MS = 300_000;
/** Bounds: on `round`, when many are taken together; on `prepare` and `settle`. */
export const ROUND_MS = 10_000;
export const REST_MS = 3 * DRAIN_MS;

const AIMED_SHARE = 0.5;
/** A commit takes a few milliseconds on most disks. */
const AFTER_WRITE_MS = 8;
/** A host that writes nothing any more is killed then. */
const NO_WRITE_MS = 300;
const DRAINING_SHARE = 0.5;
const DOWN_SHARE = 0.25;
const LONGEST_DOWN_MS = 800;
const LARGEST_BURST = 4;

interface Running {
  readonly child: ChildProcess;
  /** Null: it was killed. */
  readonly exited: Promise<number | null>;
  stderr(): string;
}

export class Campaign implements Disposable {
  readonly messages: Message[] = [];
  /** Hosts started, and times the store was opened by hand. */
  starts = 0;
  /** After the end of the input. */
  killsWhileDraining = 0;
  /** What a host said that ended by itself and not well. */
  readonly complaints: string[] = [];
  readonly #home: TemporaryHome;
  readonly #random: () => number;
  #child: ChildProcess | undefined;
  #killsInARow = 0;

  constructor(home: TemporaryHome, seed: number) {
    this.#home = home;
    this.#random = randomFrom(seed);
  }

  /** A home as a household has it: its chats are known, some tasks repeat. */
  async prepare(): Promise<void> {
    // The tables, for the witness to be there before the first reminder is.
    this.#withStore(() => {});
    placeWitness(this.#home.database);
    const host = this.#start();
    for (const chat of CHATS) this.#say(host, chat);
    await this.#drain(host);
    this.#withStore((store) => {
      for (const { id, chat, says, everyMs, missed } of REPEATING) {
        const now = Date.now();
        store.createTask({
          id,
          folder: chat,
          chat: `console:${chat}`,
          prompt: `say: ${says}`,
          scheduleType: "interval",
          scheduleValue: String(everyMs),
          contextMode: "isolated",
          nextRun: new Date(now + everyMs).toISOString(),
          lastRun: null,
          lastResult: null,
          status: "active",
          createdAt: new Date(now).toISOString(),
          timeZone: null,
          catchUp: missed,
          failures: 0,
        });
      }
    });
  }

  /** False: the host ended by itself. */
  async round(): Promise<boolean> {
    const random = this.#random;
    if (random() < DOWN_SHARE) await pause(random() * LONGEST_DOWN_MS);
    const host = this.#start();
    this.#sayBurst(host);
    if (this.#killsInARow >= MOST_KILLS_IN_A_ROW) {
      this.#killsInARow = 0;
      await this.#drain(host);
      return false;
    }
    const isDraining = random() < DRAINING_SHARE;
    const killMs = random() * LATEST_KILL_MS;
    const timers = [setTimeout(() => this.#kill(host), killMs)];
    if (isDraining) host.child.stdin?.end();
    else for (let i = 0; i < 2; i++) timers.push(setTimeout(() => this.#sayBurst(host), random() * killMs));
    const code = await host.exited;
    for (const timer of timers) clearTimeout(timer);
    if (code !== null) {
      this.#killsInARow = 0;
      this.#expectWell(code, host);
      return false;
    }
    this.#killsInARow++;
    if (isDraining) this.killsWhileDraining++;
    return true;
  }

  /** Everything said is worked off, repeating tasks end, and reminders that are still to come are waited for. */
  async settle(): Promise<void> {
    await this.#drain(this.#start());
    let last = 0;
    this.#withStore((store) => {
      for (const { id } of REPEATING) store.changeTask(id, { status: "paused" });
      for (const { status, nextRun } of store.tasks())
        if (status === "active" && nextRun !== null) last = Math.max(last, Date.parse(nextRun));
    });
    await pause(Math.max(0, last - Date.now()));
    await this.#drain(this.#start());
  }

  /** Ends the host of a campaign that was given up. */
  [Symbol.dispose](): void {
    this.#child?.kill("SIGKILL");
  }

  /** At once, or a moment after the host has written something next: what must be one step with a write is cut from it only there. */
  #kill({ child, exited }: Running): void {
    const kill = (): void => void child.kill("SIGKILL");
    if (this.#random() >= AIMED_SHARE) return kill();
    const ended = new AbortController();
    void exited.then(() => ended.abort());
    const delayMs = this.#random() * AFTER_WRITE_MS;
    for (const folder of ["store", "console"]) {
      watch(join(this.#home.path, folder), { signal: ended.signal }).once("change", () => setTimeout(kill, delayMs));
    }
    const timer = setTimeout(kill, NO_WRITE_MS);
    void exited.then(() => clearTimeout(timer));
  }

  #start(): Running {
    this.starts++;
    const child = spawn(join(ROOT, "hermit"), ["run", "--jsonl", "--home", this.#home.path], {
      env: { PATH: process.env["PATH"], HERMIT_ENGINE: process.env["HERMIT_ENGINE"], HERMIT_RETRY_BASE_S: "0.2" },
      stdio: ["pipe", "ignore", "pipe"],
    });
    this.#child = child;
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-4000);
    });
    // A killed host leaves a broken pipe behind; that is the point.
    child.stdin.on("error", () => {});
    child.stdin.write(this.messages.map(line).join(""));
    const exited = new Promise<number | null>((resolve) => void child.once("close", resolve));
    return { child, exited, stderr: () => stderr };
  }

  #sayBurst(host: Running): void {
    const size = 1 + Math.floor(this.#random() * LARGEST_BURST);
    for (let i = 0; i < size; i++) this.#say(host, CHATS[Math.floor(this.#random() * CHATS.length)] ?? "family");
  }

  #say({ child }: Running, chat: string): void {
    const message = makeMessage(this.messages.length, chat, this.#random, Date.now());
    this.messages.push(message);
    child.stdin?.write(line(message));
  }

  async #drain(host: Running): Promise<void> {
    host.child.stdin?.end();
    const timer = setTimeout(() => host.child.kill("SIGKILL"), DRAIN_MS);
    this.#expectWell(await host.exited, host);
    clearTimeout(timer);
  }

  #expectWell(code: number | null, { stderr }: Running): void {
    if (code !== 0)
      this.complaints.push(code === null ? `a host did not end within ${DRAIN_MS / 1000} s` : `a host ended with ${code}: ${stderr()}`);
  }

  /** As the only host on the home. */
  #withStore(work: (store: ReturnType<typeof openStore>) => void): void {
    this.starts++;
    const store = openStore(this.#home.path);
    try {
      work(store);
    } finally {
      store.close();
    }
  }
}

function line({ id, chat, sender, text, ts }: Message): string {
  return `${JSON.stringify({ id, chat, sender, text, ts })}\n`;
}

/** Mulberry32: small, seeded, good enough to spread kills. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
