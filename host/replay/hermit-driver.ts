/** Drives our own host through a scenario: fake clock, scripted sandboxes, a WhatsApp-like channel, a real database in a folder of its own. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import type { AppliedEvent, Dump, MessageEvent, Observed, OpenDriver, ReplayDriver } from "../../contracts/replay/driver.ts";
import { AgentFile, type Scenario } from "../../contracts/replay/scenario.ts";
import { Script } from "../../contracts/replay/script.ts";
import { Tables } from "../../contracts/replay/tables.ts";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { contextModeColumn, nanoclawTables } from "../adapters/store-sqlite/migrations/0001-nanoclaw.ts";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import { createHost, type Host, type HostSettings } from "../host.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Store } from "../ports/store.ts";
import { puppetModel } from "./puppet-model.ts";
import { ReplayPlatform } from "./replay-channel.ts";
import { createScriptedAgent, toolCallOf, unanswered } from "./scripted-agent.ts";
import { ScriptedSandboxes } from "./scripted-sandboxes.ts";
import { watchStore } from "./watched-store.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export const openHermit: OpenDriver = async (scenario) => new HermitDriver(scenario);

interface Life {
  readonly host: Host;
  readonly store: Store;
  readonly clock: MortalClock;
}

class HermitDriver implements ReplayDriver {
  readonly lacks = ["sessions", "group-sync"] as const;
  readonly observed: Observed[] = [];
  readonly #scenario: Scenario;
  readonly #home: string;
  readonly #startedAt: number;
  readonly #clock: FakeClock;
  readonly #platform: ReplayPlatform;
  readonly #script: Script;
  #life: Life | undefined;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#startedAt = Date.parse(scenario.seed.start);
    this.#clock = new FakeClock(this.#startedAt);
    this.#script = new Script(scenario);
    this.#platform = new ReplayPlatform({
      onSend: (chat, text) => this.#see({ obs: "send", chat, text }),
      onSendFailed: (chat, text) => this.#see({ obs: "send-failed", chat, text }),
      onTyping: (chat, on) => this.#see({ obs: "typing", chat, on }),
    });
    this.#home = mkdtempSync(join(tmpdir(), "hermit-replay-"));
    if (scenario.seed.noDatabase !== true) seedDatabase(this.#home, scenario);
  }

  async start(): Promise<void> {
    const clock = new MortalClock(this.#clock);
    const { seed, agentDefault } = this.#scenario;
    const opened = openStore(this.#home, { assistantName: seed.assistantName });
    const store = watchStore(opened, {
      startedAt: this.#clock.now(),
      onClaim: ({ group: { folder, chat }, journal, task }) => {
        const prompt = unanswered(journal).join("\n");
        this.#see({ obs: "run", group: folder, chat, isMain: folder === "main", session: null, scheduled: task !== undefined, prompt });
      },
    });
    const agent = createScriptedAgent({
      script: this.#script,
      clock,
      bootMs: agentDefault.bootMs,
      onFollowUp: (folder, text) => this.#see({ obs: "followup", group: folder, text }),
    });
    const sandboxes = new ScriptedSandboxes({
      agent,
      failsToStart: (folder) => {
        if (!this.#script.nextCannotStart(folder)) return false;
        this.#script.skip(folder);
        return true;
      },
    });
    const host = createHost(
      {
        store,
        runtime: sandboxes,
        links: sandboxes,
        timeZones: systemTimeZones(),
        workspaces: { prepare: () => ({ mounts: [], user: { uid: 1, gid: 1 } }) },
        model: puppetModel,
        channels: [this.#platform.channel()],
        clock,
        log: silent,
        random: () => 0,
      },
      settingsOf(this.#scenario, this.#home),
    );
    this.#life = { host, store, clock };
    await host.start();
    this.#see({ obs: "host-up" });
    await tick();
  }

  async stop(how: "kill" | "graceful", withinMs: number): Promise<void> {
    const life = this.#living();
    if (how === "graceful") {
      let isClosed = false;
      const closing = life.host.close().then(() => {
        isClosed = true;
      });
      const deadline = this.#clock.now() + withinMs;
      await tick();
      for (let due = this.#clock.nextDue; !isClosed && due !== undefined && due <= deadline; due = this.#clock.nextDue) {
        this.#clock.advance(due - this.#clock.now());
        await tick();
      }
      if (isClosed) await closing;
    }
    this.#kill(life);
    this.#see({ obs: "host-down" });
  }

  async deliver(messages: readonly MessageEvent[]): Promise<void> {
    this.#platform.say(
      messages.map(({ id, chat, sender, name, text, fromMe = false, ts }) => ({
        id,
        chat,
        sender,
        senderName: name,
        text,
        timestamp: new Date(ts).toISOString(),
        isFromMe: fromMe,
      })),
    );
    await tick();
  }

  async apply(event: AppliedEvent): Promise<void> {
    if (event.op === "sendFails") this.#platform.failSends(event.count);
    else if (event.op === "disconnect") {
      this.#platform.isUp = false;
      this.#clock.setTimer(event.downMs, () => {
        this.#platform.isUp = true;
      });
    } else if (event.op === "ipc") this.#ask(event);
    else throw new Error(`${event.op}: our host has no door for it yet`);
    await tick();
  }

  /** A file written while no turn of the group runs. What was no JSON object is nothing anybody could say at the tool door. */
  #ask({ group, body, raw }: Extract<AppliedEvent, { op: "ipc" }>): void {
    const said = body ?? objectIn(raw ?? "");
    if (said === undefined) return;
    const { host, store } = this.#living();
    // Identity is the stream there, the folder here; a folder nobody registered has neither.
    if (store.groupByFolder(group) !== undefined) host.ask(group, ...toolCallOf(said));
  }

  async advanceTo(ms: number): Promise<void> {
    const until = this.#startedAt + ms;
    for (let due = this.#clock.nextDue; due !== undefined && due <= until; due = this.#clock.nextDue) {
      this.#clock.advance(due - this.#clock.now());
      await tick();
    }
    this.#clock.advance(until - this.#clock.now());
    await tick();
  }

  dump(): Dump {
    const db = new Database(join(this.#home, "store", "messages.db"), { readonly: true });
    try {
      return Object.fromEntries(Tables.map((table) => [table, db.prepare(`SELECT * FROM ${table}`).all()])) as unknown as Dump;
    } finally {
      db.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#life !== undefined) this.#kill(this.#life);
    await tick();
    rmSync(this.#home, { recursive: true, force: true });
  }

  #see(one: Observed extends infer One ? (One extends Observed ? Omit<One, "at"> : never) : never): void {
    this.observed.push({ at: this.#clock.now() - this.#startedAt, ...one } as Observed);
  }

  #living(): Life {
    if (this.#life === undefined) throw new Error("the host is not up");
    return this.#life;
  }

  /** Nothing of it happens any more: its timers are dead, and whatever its promises still try finds the database closed. */
  #kill({ store, clock }: Life): void {
    clock.die();
    store.close();
    this.#life = undefined;
  }
}

/** Promises only: one turn of the event loop lets all of them run that can. */
function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function objectIn(text: string): AgentFile["body"] | undefined {
  try {
    return AgentFile.shape.body.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** A clock whose timers end with the process they belong to. */
class MortalClock implements Clock {
  readonly #clock: Clock;
  #isDead = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  setTimer(ms: number, callback: () => void): Timer {
    return this.#clock.setTimer(ms, () => {
      if (!this.#isDead) callback();
    });
  }

  die(): void {
    this.#isDead = true;
  }
}

/** As large as it takes: limits of ours have tests of their own. */
function settingsOf({ seed }: Scenario, home: string): HostSettings {
  const idleMs = typeof seed.idleTimeoutMs === "number" ? seed.idleTimeoutMs : 30 * MINUTE_MS;
  return {
    home,
    version: "replay",
    turn: {
      assistantName: seed.assistantName,
      timeZone: seed.tz,
      system: "",
      limits: { steps: 10_000, toolCalls: 10_000, toolOutputBytes: 100_000, toolTimeoutMs: MINUTE_MS },
      replyBytes: 1_000_000,
      idleTimeoutMs: Math.max(seed.containerTimeoutMs, idleMs + 30 * SECOND_MS),
      hardTimeoutMs: 24 * 60 * MINUTE_MS,
      stopGraceMs: SECOND_MS,
      retry: { baseMs: 5 * SECOND_MS, maxRetries: 5, jitter: 0 },
    },
    slots: seed.maxConcurrent,
    maxWaitingMessages: 100_000,
    maxMessageBytes: 1_000_000,
    maxBatchMessages: 5_000,
    maxBatchBytes: 10_000_000,
    sandboxLimits: { memoryBytes: 1, pids: 1, cpus: 1, tmpBytes: 1 },
    sandboxStartTimeoutMs: SECOND_MS,
    shutdownGraceMs: 2 * SECOND_MS,
  };
}

/** The home as the old program would have left it. */
function seedDatabase(home: string, { seed }: Scenario): void {
  mkdirSync(join(home, "store"), { recursive: true });
  const db = new Database(join(home, "store", "messages.db"));
  try {
    db.pragma("synchronous = OFF");
    db.exec(nanoclawTables);
    db.exec(contextModeColumn);
    db.transaction(() => {
      for (const table of Tables) {
        for (const row of seed.tables[table] ?? []) {
          const columns = Object.keys(row);
          const values = Object.values(row).map((value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : value));
          db.prepare(`INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`).run(...values);
        }
      }
    })();
  } finally {
    db.close();
  }
}
