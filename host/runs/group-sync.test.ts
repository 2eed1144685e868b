import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { HostError, StoreError } from "../domain/errors.ts";
import type { Channel, PlatformGroup } from "../ports/channel.ts";
import type { Store } from "../ports/store.ts";
import { GroupSync } from "./group-sync.ts";

const START = Date.UTC(2026, 2, 2, 9);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let home: string;
let clock: FakeClock;
let store: Store;
let sync: GroupSync;
let warnings: object[];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-groups-"));
  store = openStore(home);
  clock = new FakeClock(START);
  warnings = [];
});
afterEach(() => {
  sync.close();
  store.close();
  rmSync(home, { recursive: true, force: true });
});

/** A channel whose platform has these groups; `asked` counts. */
class Platform {
  asked = 0;
  groups: readonly PlatformGroup[] = [{ chat: "a:1", name: "Alpha" }];
  fault: Error | undefined;
  /** Until it is resolved nothing is answered. */
  gate: Promise<void> | undefined;
  readonly channel: Channel;

  constructor(id = "a") {
    this.channel = {
      id,
      delivery: "idempotent",
      owns: (chat) => chat.startsWith(`${id}:`),
      connect: async () => {},
      deliver: async () => {},
      close: async () => {},
      listGroups: async () => {
        this.asked++;
        await this.gate;
        if (this.fault !== undefined) throw this.fault;
        return this.groups;
      },
    };
  }
}

function open(...channels: readonly Channel[]): GroupSync {
  const log = { debug() {}, info() {}, warn: (fields: object) => void warnings.push(fields), error() {} };
  sync = new GroupSync({ store, channels, clock, log });
  return sync;
}

async function started(...channels: readonly Channel[]): Promise<void> {
  open(...channels).start();
  await sync.quiet();
}

/** The table as it is on disk, by chat. */
function chats(): Record<string, unknown> {
  const db = new Database(join(home, "store", "messages.db"), { readonly: true });
  const rows = db.prepare("SELECT * FROM chats").all() as { jid: string; name: string; last_message_time: string }[];
  db.close();
  return Object.fromEntries(rows.map(({ jid, name, last_message_time: at }) => [jid, `${name} ${at}`]));
}

const unreachable = (): HostError => new HostError("CHANNEL_UNREACHABLE", "The platform is down.", { retryable: true });
const iso = (ms: number): string => new Date(ms).toISOString();

test("at the first start the names are stored, and when that was", async () => {
  await started(new Platform().channel);
  expect(chats()).toEqual({ "a:1": `Alpha ${iso(START)}`, __group_sync__: `__group_sync__ ${iso(START)}` });
  expect(store.chats(9)).toEqual([{ chat: "a:1", name: "Alpha", lastActivity: iso(START) }]);
  expect(sync.report()).toBe(`The platforms were asked for their groups at ${iso(START)}.`);
});

test("a later start asks only when a day has passed since the last time, whichever host that was", async () => {
  store.markNamesSynced(START - DAY_MS + 1);
  const platform = new Platform();
  await started(platform.channel);
  expect(platform.asked).toBe(0);
  sync.close();
  clock.advance(1);
  await started(platform.channel);
  expect(platform.asked).toBe(1);
});

test("after that it is asked once a day, by one timer", async () => {
  const platform = new Platform();
  await started(platform.channel);
  for (const day of [2, 3, 4]) {
    clock.advance(DAY_MS - 1);
    expect([platform.asked, clock.armed]).toEqual([day - 1, 1]);
    clock.advance(1);
    await sync.quiet();
    expect([platform.asked, clock.armed]).toEqual([day, 1]);
  }
});

test("a machine that was suspended for days asks within an hour, one whose clock was set back does not wait for the old time", async () => {
  const platform = new Platform();
  await started(platform.channel);
  clock.jump(3 * DAY_MS);
  clock.advance(HOUR_MS);
  await sync.quiet();
  expect(platform.asked).toBe(2);
  clock.jump(-300 * DAY_MS);
  clock.advance(HOUR_MS);
  await sync.quiet();
  expect(platform.asked).toBe(3);
});

test("a name that changed is replaced and the chat's time kept; one that did not change is not written again", async () => {
  const platform = new Platform();
  platform.groups = [
    { chat: "a:1", name: "Alpha" },
    { chat: "a:2", name: "Beta" },
  ];
  await started(platform.channel);
  clock.advance(HOUR_MS);
  platform.groups = [
    { chat: "a:1", name: "Alpha" },
    { chat: "a:2", name: "Gamma" },
  ];
  expect(store.nameChats(platform.groups, clock.now())).toBe(1);
  expect(store.nameChats(platform.groups, clock.now())).toBe(0);
  expect(chats()).toMatchObject({ "a:1": `Alpha ${iso(START)}`, "a:2": `Gamma ${iso(START)}` });
});

test("asked for, it happens at once, whatever the last time was; who asks meanwhile shares it", async () => {
  const platform = new Platform();
  await started(platform.channel);
  const answered = Promise.withResolvers<void>();
  platform.gate = answered.promise;
  platform.groups = [{ chat: "a:1", name: "Renamed" }];
  expect([sync.refresh(), sync.refresh()]).toEqual([true, true]);
  expect(sync.report()).toContain("in a moment");
  answered.resolve();
  await sync.quiet();
  expect(platform.asked).toBe(2);
  expect(chats()).toMatchObject({ "a:1": `Renamed ${iso(START)}` });
});

test("asked for inside a transaction it begins when that is over", async () => {
  const platform = new Platform();
  await started(platform.channel);
  store.atomically(() => {
    sync.refresh();
    expect(platform.asked).toBe(1);
  });
  await sync.quiet();
  expect(platform.asked).toBe(2);
});

test("a channel that fails is logged and told, writes nothing, keeps no other back, and is asked again the next day", async () => {
  const [a, b] = [new Platform("a"), new Platform("b")];
  a.fault = unreachable();
  b.groups = [{ chat: "b:1", name: "Beta" }];
  await started(a.channel, b.channel);
  expect(chats()).toEqual({ "b:1": `Beta ${iso(START)}` });
  expect(warnings).toEqual([{ channel: "a", reason: "The platform is down." }]);
  expect(sync.report()).toBe("The platforms could not all be asked for their groups: a: The platform is down.");
  a.fault = undefined;
  clock.advance(DAY_MS - 1);
  expect(a.asked).toBe(1);
  clock.advance(1);
  await sync.quiet();
  expect(chats()).toMatchObject({ "a:1": `Alpha ${iso(START + DAY_MS)}`, __group_sync__: `__group_sync__ ${iso(START + DAY_MS)}` });
  expect(sync.report()).toBe(`The platforms were asked for their groups at ${iso(START + DAY_MS)}.`);
});

test("a channel that fails before it returns a promise is no different", async () => {
  const { channel } = new Platform();
  await started({
    ...channel,
    listGroups: () => {
      throw unreachable();
    },
  });
  expect(warnings).toHaveLength(1);
});

test("a platform that never answers is given up after half a minute", async () => {
  const platform = new Platform();
  platform.gate = new Promise(() => {});
  open(platform.channel).start();
  await Promise.resolve();
  clock.advance(30_000);
  await sync.quiet();
  expect(sync.report()).toContain("No answer within 30 s.");
  expect([chats(), clock.armed]).toEqual([{}, 1]);
});

test("after close nothing is asked, stored or left armed, and what was under way has ended", async () => {
  const platform = new Platform();
  const answered = Promise.withResolvers<void>();
  platform.gate = answered.promise;
  open(platform.channel).start();
  await Promise.resolve();
  sync.close();
  await sync.quiet();
  answered.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect([chats(), clock.armed, sync.refresh(), warnings]).toEqual([{}, 0, false, []]);
});

test("a sync that close overtakes is not begun", async () => {
  const platform = new Platform();
  open(platform.channel).start();
  sync.close();
  await sync.quiet();
  expect([platform.asked, clock.armed]).toEqual([0, 0]);
});

test("where no channel has groups to list nothing is armed, written or said", async () => {
  const { listGroups: _, ...channel } = new Platform().channel;
  const db = new Database(join(home, "store", "messages.db"), { readonly: true });
  const version = db.pragma("data_version", { simple: true });
  await started(channel);
  clock.advance(3 * DAY_MS);
  expect([clock.armed, sync.refresh(), sync.report()]).toEqual([0, false, undefined]);
  expect(db.pragma("data_version", { simple: true })).toBe(version);
  db.close();
});

test("a platform with far too many groups and far too long names is cut, and names no chat that is not its own", async () => {
  const platform = new Platform();
  platform.groups = [
    { chat: "__group_sync__", name: "hijacked" },
    { chat: "b:1", name: "of another channel" },
    { chat: `a:${"1".repeat(200)}`, name: "an id no tool takes" },
    { chat: "a:nameless", name: "" },
    { chat: "a:long", name: "🦀".repeat(500_000) },
    { chat: "a:half", name: `${"x".repeat(199)}🦀` },
    ...Array.from({ length: 5_000 }, (_, n) => ({ chat: `a:${n}`, name: `Group ${n}` })),
  ];
  await started(platform.channel);
  const found = chats();
  expect(Object.keys(found)).toHaveLength(5_000);
  expect(found).toMatchObject({
    __group_sync__: `__group_sync__ ${iso(START)}`,
    "a:long": `${"🦀".repeat(100)} ${iso(START)}`,
    "a:half": `${"x".repeat(199)}\uFFFD ${iso(START)}`,
  });
  expect(Object.keys(found).filter((chat) => !/^a:|^__group_sync__$/.test(chat) || chat === "a:nameless")).toEqual([]);
  expect(warnings).toEqual([{ groups: 5_003, limit: 5_000 }]);
});

test("a store that fails leaves the sync over and unanswered, and throws at nobody", async () => {
  const whole = store;
  store = {
    ...store,
    nameChats: () => {
      throw new StoreError("STORE_FULL", "The disk is full.");
    },
  };
  await started(new Platform().channel);
  store = whole;
  expect(chats()).toEqual({});
});
