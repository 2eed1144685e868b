/** Who may ask the host for what, and what it makes of nonsense: the old host's files, asked at our tool door. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { FakeClock } from "../../host/adapters/memory/fake-clock.ts";
import { MemoryTranscripts } from "../../host/adapters/memory/memory-transcripts.ts";
import { payloadModel } from "../../host/adapters/model-payload/index.ts";
import { openStore } from "../../host/adapters/store-sqlite/index.ts";
import { systemTimeZones } from "../../host/adapters/time-zones-system/index.ts";
import { isHostError } from "../../host/domain/errors.ts";
import type { Group } from "../../host/domain/group.ts";
import type { Task, TaskStatus } from "../../host/domain/task.ts";
import type { Host } from "../../host/host-parts.ts";
import { createHost } from "../../host/host.ts";
import type { Store } from "../../host/ports/store.ts";
import { CLOSED_LIMITS, closedGuard } from "../../host/replay/closed-guard.ts";
import { ReplayPlatform } from "../../host/replay/replay-channel.ts";
import { ScriptedSandboxes } from "../../host/replay/scripted-sandboxes.ts";
import type { HostToolOutcome } from "../wire/tools.ts";
import { readTable, wrongRows } from "./table.ts";

const Sent = z.strictObject({ chat: z.string(), text: z.string() });
const Registered = z.strictObject({ jid: z.string(), name: z.string(), folder: z.string(), trigger: z.string() });
const Status = z.enum(["active", "paused", "completed", "deleted"]);
const NewTask = z.strictObject({
  group_folder: z.string(),
  chat_jid: z.string(),
  prompt: z.string(),
  schedule_type: z.string(),
  schedule_value: z.string(),
  context_mode: z.string(),
  status: z.string(),
  hasNextRun: z.boolean(),
  idShape: z.boolean(),
});

const commands = readTable("ipc-commands", {
  in: z.strictObject({
    source: z.string(),
    dir: z.enum(["messages", "tasks"]),
    file: z.string().optional(),
    body: z.json().optional(),
    raw: z.string().optional(),
  }),
  out: z.strictObject({
    file: z.string(),
    sent: z.array(Sent).optional(),
    tasks: z.record(z.string(), z.union([Status, NewTask])).optional(),
    registered: z.array(Registered.extend({ added_at: z.strictObject({ $time: z.literal("added_at") }) })).optional(),
    refreshed: z.array(z.strictObject({ force: z.boolean() })).optional(),
    snapshot: z.array(z.unknown()).optional(),
  }),
  correct: z.string(),
});
type Row = (typeof commands.rows)[number];

interface Effects {
  readonly sent?: readonly z.infer<typeof Sent>[];
  readonly tasks?: Readonly<Record<string, unknown>>;
  /** A group made by a file always had to be called by its trigger (§6.3). */
  readonly registered?: readonly (z.infer<typeof Registered> & { requiresTrigger: boolean })[];
  /** Each time the platform was asked for its groups. */
  readonly refreshed?: readonly { force: boolean }[];
}

interface Played {
  /** Undefined: it cannot be said as a call. */
  readonly outcome: HostToolOutcome | undefined;
  readonly effects: Effects;
}

/** Files that are no command at all. Nothing comes of them here either. */
const NO_CALL: Record<string, readonly string[]> = {
  "the wire carries JSON objects: what is none ends before any tool is looked for": numbers(
    "0212 0214 0215 0216 0218 0219 0221 0222 0226 0229 0234 0235 0236",
  ),
};

/** Where effects differ, and why they should. */
const DEVIATIONS: Record<string, readonly string[]> = {
  "a folder nobody registered has no turn, so nobody can speak for it": numbers("0122"),
  "without a chat, the caller's own is meant": numbers("0200"),
  "a call has no directory: its name says what it is": numbers("0211 0321"),
  "a call has no file name": numbers("0241"),
  "a value of the wrong type is refused in words instead of being turned into text": numbers("0196 0198 0253 0258 0295"),
  "a context mode that does not exist is refused in words instead of being replaced": numbers("0271 0272 0273 0275"),
  "a folder name is letters, digits, dash and underscore": numbers("0343"),
};

function numbers(list: string): readonly string[] {
  return list.split(" ").map((number) => `ipc-commands-${number}`);
}

/** What the old host read of a file, and what our tools call it; any other field changed nothing. */
const TASK = { taskId: "task_id" };
const READ: Record<string, Record<string, string>> = {
  message: { chatJid: "chat", text: "text" },
  schedule_task: {
    prompt: "prompt",
    schedule_type: "schedule_type",
    schedule_value: "schedule_value",
    targetJid: "chat",
    context_mode: "context_mode",
  },
  register_group: { jid: "chat", name: "name", folder: "folder", trigger: "trigger" },
};

const Fixture = z.strictObject({
  registered: z.record(z.string(), z.string()),
  tasks: z.record(z.string(), z.tuple([z.string(), z.enum(["active", "paused"])])),
  assistantName: z.string(),
  note: z.string(),
});
const fixture = Fixture.parse(commands.fixture);
const START = Date.UTC(2026, 0, 1);
const groups: readonly Group[] = Object.entries(fixture.registered).map(([chat, folder]) => {
  return { chat, name: folder, folder, trigger: "@Andy", requiresTrigger: true };
});
const tasks: readonly Task[] = Object.entries(fixture.tasks).map(([id, [folder, status]]) => taskOf(id, folder, status));

function taskOf(id: string, folder: string, status: TaskStatus): Task {
  return {
    id,
    folder,
    chat: groups.find((group) => group.folder === folder)?.chat ?? `${folder}@g.us`,
    prompt: "do",
    scheduleType: "once",
    scheduleValue: "2030-01-01T00:00:00.000Z",
    contextMode: "isolated",
    nextRun: "2030-01-01T00:00:00.000Z",
    lastRun: null,
    lastResult: null,
    status,
    createdAt: new Date(START).toISOString(),
    timeZone: null,
    catchUp: "once",
    failures: 0,
  };
}

/** A host in the state of the fixture. It is used again until something has come of a row. */
class Door {
  readonly #home = mkdtempSync(join(tmpdir(), "hermit-ipc-"));
  readonly #sent: z.infer<typeof Sent>[] = [];
  readonly #store: Store;
  readonly #platform: ReplayPlatform;
  readonly #host: Host;

  private constructor() {
    this.#store = openStore(this.#home);
    this.#store.atomically(() => {
      for (const group of groups) this.#store.registerGroup(group, START);
      for (const task of tasks) this.#store.createTask(task);
    });
    const sandboxes = new ScriptedSandboxes({ agent: async () => 0, failsToStart: () => true });
    this.#platform = new ReplayPlatform({
      onSend: (chat, text) => this.#sent.push({ chat, text }),
      onSendFailed: () => {},
      onTyping: () => {},
    });
    this.#host = createHost(
      {
        store: this.#store,
        runtime: sandboxes,
        links: sandboxes,
        timeZones: systemTimeZones(),
        transcripts: new MemoryTranscripts(),
        workspaces: { prepare: () => ({ mounts: [], user: { uid: 1, gid: 1 } }) },
        model: payloadModel,
        channels: [this.#platform.channel()],
        clock: new FakeClock(START),
        log: { debug() {}, info() {}, warn() {}, error() {} },
        random: () => 0.5,
        guard: closedGuard(randomBytes),
      },
      {
        home: this.#home,
        version: "test",
        turn: {
          assistantName: fixture.assistantName,
          timeZone: "UTC",
          system: "",
          limits: { steps: 1, toolCalls: 1, toolOutputBytes: 4096, toolTimeoutMs: 1 },
          replyBytes: 4096,
          idleTimeoutMs: 1,
          hardTimeoutMs: 1,
          stopGraceMs: 1,
          retry: { baseMs: 1, maxRetries: 0, jitter: 0 },
          historyBytes: 0,
          agentNamesSessions: false,
        },
        slots: 1,
        maxWaitingMessages: 1,
        maxMessageBytes: 1,
        maxBatchMessages: 1,
        maxBatchBytes: 1,
        sandboxLimits: { memoryBytes: 1, pids: 1, cpus: 1, tmpBytes: 1 },
        sandboxStartTimeoutMs: 1,
        ...CLOSED_LIMITS,
        shutdownGraceMs: 1,
        maxTaskFailures: 5,
      },
    );
  }

  static async open(): Promise<Door> {
    const door = new Door();
    await door.#host.start();
    await door.#host.settled();
    door.#platform.listings = 0;
    return door;
  }

  async play(source: string, name: string, input: object): Promise<{ outcome: HostToolOutcome; effects: Effects }> {
    const outcome = this.#ask(source, name, input);
    await this.#host.settled();
    return { outcome, effects: this.#effects() };
  }

  /** Who is not registered has no stream to call on; what he would be told is why. */
  #ask(source: string, name: string, input: object): HostToolOutcome {
    try {
      return this.#host.ask(source, name, input);
    } catch (error) {
      if (!isHostError(error) || error.code !== "GROUP_UNKNOWN") throw error;
      return { text: error.message, isError: true };
    }
  }

  #effects(): Effects {
    const now = new Map(this.#store.tasks().map((task) => [task.id, task]));
    const changed = tasks.flatMap((was): [string, unknown][] => {
      const is = now.get(was.id);
      now.delete(was.id);
      if (is === undefined) return [[was.id, "deleted"]];
      if (isDeepStrictEqual(is, was)) return [];
      return [[was.id, isDeepStrictEqual({ ...is, status: was.status }, was) ? is.status : is]];
    });
    for (const task of now.values()) changed.push(["$new", newTask(task)]);
    const registered = this.#store
      .groups()
      .filter((group) => !groups.some((was) => isDeepStrictEqual(was, group)))
      .map(({ chat, name, folder, trigger, requiresTrigger }) => ({ jid: chat, name, folder, trigger, requiresTrigger }));
    return {
      ...(this.#sent.length === 0 ? {} : { sent: this.#sent }),
      ...(changed.length === 0 ? {} : { tasks: Object.fromEntries(changed) }),
      ...(registered.length === 0 ? {} : { registered }),
      ...(this.#platform.listings === 0 ? {} : { refreshed: Array(this.#platform.listings).fill({ force: true }) }),
    };
  }

  async close(): Promise<void> {
    await this.#host.close();
    rmSync(this.#home, { recursive: true, force: true });
  }
}

function newTask({ id, folder, chat, prompt, scheduleType, scheduleValue, contextMode, status, nextRun }: Task): z.infer<typeof NewTask> {
  return {
    group_folder: folder,
    chat_jid: chat,
    prompt,
    schedule_type: scheduleType,
    schedule_value: scheduleValue,
    context_mode: contextMode,
    status,
    hasNextRun: nextRun !== null,
    idShape: /^task-\d+-[0-9a-z]{6}$/.test(id),
  };
}

const Body = z.record(z.string(), z.json());
type Body = z.infer<typeof Body>;
const isNothing = (effects: Effects): boolean => Object.keys(effects).length === 0;

/** Undefined: no JSON object. */
function bodyOf({ body, raw }: Row["in"]): Body | undefined {
  let said: unknown = body;
  try {
    said ??= JSON.parse(raw ?? "");
  } catch {
    return undefined;
  }
  return Body.safeParse(said).data;
}

/** The recorded columns that a call can have: what became of the file, and of files for agents, is not among them. */
function recorded({ out: { sent, tasks: changed, registered, refreshed } }: Row): Effects {
  return {
    ...(refreshed === undefined ? {} : { refreshed }),
    ...(sent === undefined ? {} : { sent }),
    ...(changed === undefined ? {} : { tasks: changed }),
    ...(registered === undefined
      ? {}
      : { registered: registered.map(({ jid, name, folder, trigger }) => ({ jid, name, folder, trigger, requiresTrigger: true })) }),
  };
}

async function playAll(input: (body: Body) => object): Promise<Map<string, Played>> {
  const played = new Map<string, Played>();
  let door = await Door.open();
  for (const { id, in: given } of commands.rows) {
    const body = bodyOf(given);
    const one: Played = body === undefined ? { outcome: undefined, effects: {} } : await door.play(given.source, toolOf(body), input(body));
    played.set(id, one);
    if (isNothing(one.effects)) continue;
    await door.close();
    door = await Door.open();
  }
  await door.close();
  return played;
}

function toolOf({ type }: Body): string {
  return type === "message" ? "send_message" : typeof type === "string" ? type : "";
}

/** Values go as they are, valid or not. */
function inputOf(body: Body): object {
  const { type } = body;
  const names = (typeof type === "string" ? READ[type] : undefined) ?? TASK;
  return Object.fromEntries(Object.entries(names).flatMap(([old, ours]) => (old in body ? [[ours, body[old]]] : [])));
}

let played: ReadonlyMap<string, Played>;
beforeAll(async () => {
  played = await playAll(inputOf);
}, 60_000);

test("recorded commands do at the tool door what they did as files, or the corrected thing", () => {
  const deviating = Object.values(DEVIATIONS).flat().toSorted();
  const wrong = wrongRows(commands, (_given, row) => {
    const { outcome, effects } = played.get(row.id) ?? {};
    if (row.verdict === "defect") return isNothing(effects ?? {}) && outcome?.isError === true ? row.correct : { outcome, effects };
    return isDeepStrictEqual(effects, recorded(row)) ? row.out : effects;
  });
  // Exactly these: a row that no longer deviates must be struck from the list.
  expect(wrong).toEqual(deviating.map((id) => expect.stringContaining(`${id} (keep, §6.2-6.3)`)));
});

test("what is no call of ours has no effect, and every row that is none is listed with its reason", () => {
  const noObject = Object.values(NO_CALL).flat();
  expect(commands.rows.filter(({ id }) => played.get(id)?.outcome === undefined).map(({ id }) => id)).toEqual(noObject);
});

test("what the old host dropped without a word is refused in words, unless it asked for what is so already", () => {
  const accepted = commands.rows.filter((row) => {
    const { outcome, effects } = played.get(row.id) ?? {};
    return outcome?.isError === false && isNothing(effects ?? {});
  });
  const asked = accepted.map(({ in: { body } }) => z.looseObject({ type: z.string(), taskId: z.string() }).parse(body));
  expect(new Set(asked.map(({ type, taskId }) => `${type} ${taskId}`))).toEqual(
    new Set([
      ...["k-main", "k-fam", "k-work", "k-gone"].map((id) => `resume_task ${id}`),
      "pause_task k-fam-paused",
      // Tools the old host did not have; nothing is changed by this.
      ...["get_task k-fam", "update_task k-fam"],
    ]),
  );
  for (const { outcome } of played.values()) if (outcome?.isError === true) expect(outcome.text).toMatch(/^[A-Z].{10,}\.$/s);
});

test("a call that brings a field the tool does not have, such as whose call it is, is refused and does nothing", async () => {
  const whole = await playAll((body) => {
    const { type: _, ...fields } = body;
    return fields;
  });
  const claims = commands.rows.filter(({ in: given }) => {
    const body = bodyOf(given) ?? {};
    return "groupFolder" in body || "isMain" in body || "status" in body || "added_at" in body;
  });
  expect(claims.length).toBeGreaterThan(100);
  for (const { id } of claims) expect({ id, ...whole.get(id) }).toMatchObject({ effects: {}, outcome: { isError: true } });
});
