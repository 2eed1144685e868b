/** Drives our own host through a scenario: fake clock, a WhatsApp-like channel, a real database in a folder of its own, agents on a stage. */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import type { Dump, Lack, Observed, OpenDriver, ReplayDriver } from "../../contracts/replay/driver.ts";
import { AgentFile, type AppliedEvent, type MessageEvent, type Scenario } from "../../contracts/replay/scenario.ts";
import { Script } from "../../contracts/replay/script.ts";
import { Tables } from "../../contracts/replay/tables.ts";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { contextModeColumn, nanoclawTables } from "../adapters/store-sqlite/migrations/0001-nanoclaw.ts";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { systemTimeZones } from "../adapters/time-zones-system/index.ts";
import type { Host, HostSettings } from "../host-parts.ts";
import { createHost } from "../host.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Store } from "../ports/store.ts";
import { CLOSED_LIMITS, closedGuard } from "./closed-guard.ts";
import { makeHome } from "./home-folder.ts";
import { ReplayPlatform } from "./replay-channel.ts";
import { toolCallOf, unanswered } from "./scripted-agent.ts";
import { scriptedStaging, tick } from "./scripted-staging.ts";
import type { Stage, Staging } from "./staging.ts";
import { watchStore } from "./watched-store.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export const openHermit: OpenDriver = async (scenario) => new HermitDriver(scenario, scriptedStaging());

/** The same host with its agents elsewhere. */
export function hermitOn(staging: Staging): OpenDriver {
  return async (scenario) => new HermitDriver(scenario, staging);
}

interface Life {
  readonly host: Host;
  readonly store: Store;
  readonly clock: MortalClock;
  readonly stage: Stage;
}

class HermitDriver implements ReplayDriver {
  readonly lacks: readonly Lack[];
  readonly observed: Observed[] = [];
  readonly #scenario: Scenario;
  readonly #home = makeHome();
  readonly #startedAt: number;
  readonly #clock: FakeClock;
  readonly #platform: ReplayPlatform;
  readonly #script: Script;
  readonly #staging: Staging;
  readonly #stages: Stage[] = [];
  #life: Life | undefined;
  #drawn = 0;
  /** No chance, but never twice the same: two tasks of one millisecond have names of their own. */
  readonly #random = (): number => (this.#drawn++ % 1_000_000) / 1_000_000;

  constructor(scenario: Scenario, staging: Staging) {
    this.lacks = staging.lacks;
    this.#staging = staging;
    this.#scenario = scenario;
    this.#startedAt = Date.parse(scenario.seed.start);
    this.#clock = new FakeClock(this.#startedAt);
    this.#script = new Script(scenario, () => this.#clock.now() - this.#startedAt);
    this.#platform = new ReplayPlatform({
      ...(scenario.seed.own === undefined ? {} : { chats: scenario.seed.own.chats }),
      onSend: (chat, text) => this.#see({ obs: "send", chat, text }),
      onSendFailed: (chat, text) => this.#see({ obs: "send-failed", chat, text }),
      onTyping: (chat, on) => this.#see({ obs: "typing", chat, on }),
    });
    this.#platform.groups = scenario.seed.channelGroups ?? {};
    if (scenario.seed.noDatabase !== true) seedDatabase(this.#home.path, scenario);
  }

  async start(): Promise<void> {
    const clock = new MortalClock(this.#clock);
    const { seed } = this.#scenario;
    const stage = await this.#staging.open({
      scenario: this.#scenario,
      script: this.#script,
      clock,
      home: this.#home.path,
      onFollowUp: (folder, text) => this.#see({ obs: "followup", group: folder, text }),
    });
    this.#stages.push(stage);
    const opened = openStore(this.#home.path, { assistantName: seed.assistantName });
    const store = watchStore(opened, {
      startedAt: this.#clock.now(),
      isExact: seed.own !== undefined,
      onTask: (id) => this.#script.taskMade(id),
      onClaim: ({ group: { folder, chat }, journal, taskId, session }) => {
        const prompt = unanswered(journal).join("\n");
        const facts = { isMain: folder === "main", session: session?.id ?? null, scheduled: taskId !== null };
        this.#see({ obs: "run", group: folder, chat, ...facts, prompt });
      },
    });
    const host = createHost(
      {
        store,
        ...stage.parts,
        timeZones: systemTimeZones(),
        channels: [this.#platform.channel()],
        clock,
        log: silent,
        random: this.#random,
        guard: closedGuard(randomBytes),
      },
      stage.settings(settingsOf(this.#scenario, this.#home.path)),
    );
    this.#life = { host, store, clock, stage };
    await host.start();
    this.#see({ obs: "host-up" });
    await this.#quiet();
  }

  async stop(how: "kill" | "graceful", withinMs: number): Promise<void> {
    const life = this.#living();
    if (how === "graceful") {
      let isClosed = false;
      const closing = life.host.close().then(() => {
        isClosed = true;
      });
      const deadline = this.#clock.now() + withinMs;
      await Promise.race([closing, this.#quiet()]);
      for (let due = this.#clock.nextDue; !isClosed && due !== undefined && due <= deadline; due = this.#clock.nextDue) {
        this.#clock.advance(due - this.#clock.now());
        await Promise.race([closing, this.#quiet()]);
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
    await this.#quiet();
  }

  async apply(event: AppliedEvent): Promise<void> {
    if (event.op === "sendFails") this.#platform.failSends(event.count);
    else if (event.op === "disconnect") {
      this.#platform.isUp = false;
      this.#clock.setTimer(event.downMs, () => {
        this.#platform.isUp = true;
      });
    } else if (event.op === "ipc") this.#ask(event);
    // Resolves when the turn is over, which may take time of the replay's; a group that is gone has none.
    else if (event.op === "stop")
      this.#living()
        .host.stopTurns({ group: event.group })
        .catch(() => {});
    else this.#platform.groups = event.groups;
    await this.#quiet();
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
      await this.#quiet();
    }
    this.#clock.advance(until - this.#clock.now());
    await this.#quiet();
  }

  dump(): Dump {
    const db = new Database(join(this.#home.path, "store", "messages.db"), { readonly: true });
    try {
      return Object.fromEntries(Tables.map((table) => [table, db.prepare(`SELECT * FROM ${table}`).all()])) as unknown as Dump;
    } finally {
      db.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#life !== undefined) this.#kill(this.#life);
    await Promise.all(this.#stages.map((stage) => stage.close()));
    await tick();
    this.#home.remove();
  }

  #see(one: Observed extends infer One ? (One extends Observed ? Omit<One, "at"> : never) : never): void {
    this.observed.push({ at: this.#clock.now() - this.#startedAt, ...one } as Observed);
  }

  async #quiet(): Promise<void> {
    await this.#life?.stage.quiet(this.#life.host);
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
      retry: { baseMs: 5 * SECOND_MS, maxRetries: 5, ...seed.own?.retry, jitter: 0 },
      historyBytes: 0,
      agentNamesSessions: true,
    },
    slots: seed.maxConcurrent,
    maxWaitingMessages: 100_000,
    maxMessageBytes: 1_000_000,
    maxBatchMessages: 5_000,
    maxBatchBytes: 10_000_000,
    sandboxLimits: { memoryBytes: 1, pids: 1, cpus: 1, tmpBytes: 1 },
    sandboxStartTimeoutMs: SECOND_MS,
    ...CLOSED_LIMITS,
    shutdownGraceMs: 2 * SECOND_MS,
    maxTaskFailures: seed.own?.maxTaskFailures ?? 5,
  };
}

/** The home as the old program would have left it; of a recording of our own, as we would. */
function seedDatabase(home: string, { seed }: Scenario): void {
  if (seed.own !== undefined) openStore(home).close();
  mkdirSync(join(home, "store"), { recursive: true });
  const db = new Database(join(home, "store", "messages.db"));
  try {
    db.pragma("synchronous = OFF");
    db.exec(nanoclawTables);
    if (seed.own === undefined) db.exec(contextModeColumn);
    const insert = db.transaction((table: string, rows: readonly Readonly<Record<string, unknown>>[]) => {
      for (const row of rows) {
        const columns = Object.keys(row);
        const values = Object.values(row).map((value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : value));
        db.prepare(`INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`).run(...values);
      }
    });
    for (const table of Tables) insert(table, seed.tables[table] ?? []);
    const tasks = Object.entries(seed.own?.tasks ?? {});
    insert(
      "hermit_tasks",
      tasks.map(([id, { timeZone, catchUp, failures }]) => ({ task_id: id, time_zone: timeZone, catch_up: catchUp, failures })),
    );
  } finally {
    db.close();
  }
}
