/** How runs end that never got a sandbox: what is stored and told of them, and what is done at the end of each. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import { createMemoryRuntime } from "../adapters/memory/memory-sandbox-runtime.ts";
import { createOfflineModel } from "../adapters/model-offline/index.ts";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { createTranscripts } from "../adapters/transcripts-jsonl/index.ts";
import { RefusedError, SandboxError } from "../domain/errors.ts";
import { formatMessages } from "../domain/prompt.ts";
import { TaskRules } from "../domain/task-rules.ts";
import { OverrideDesk } from "../guard/overrides.ts";
import { Guards } from "../guard/turn-guard.ts";
import { settings } from "../host-harness.ts";
import { closedGuard, CLOSED_LIMITS } from "../replay/closed-guard.ts";
import type { BatchRules, Store } from "../ports/store.ts";
import { LeaseKeeper } from "../sandboxes/lease-keeper.ts";
import { groupOf } from "./host-tools-harness.ts";
import { HostTools } from "./host-tools.ts";
import { hostStopping, stoppedByOwner, TurnRunner } from "./run-turn.ts";
import { Sessions } from "./sessions.ts";

let store: Store;
/** Why no sandbox can be had. */
let reason: Error;
let runner: TurnRunner;
/** How the newest run had ended, each time a run was said to be over. */
let ends: (string | null)[];

beforeEach(() => {
  const home = mkdtempSync(join(tmpdir(), "hermit-run-turn-"));
  const clock = new FakeClock();
  store = openStore(home, { assistantName: "Andy" });
  onTestFinished(() => {
    store.close();
    rmSync(home, { recursive: true });
  });
  ends = [];
  const { turn, sandboxLimits } = settings(home);
  const { screen, ...guard } = closedGuard(randomBytes);
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const random = (): number => 0;
  const audit = new MemoryAudit();
  const overrides = new OverrideDesk({ store, audit, clock, hasGroup: () => true, onEnded: () => {} });
  const taskRules = new TaskRules(() => undefined, "UTC", 5);
  const batchRules = (): BatchRules => ({ now: clock.now(), maxMessages: 9, maxBytes: 9999, starts: () => true, format: formatMessages });
  runner = new TurnRunner({
    store,
    leases: new LeaseKeeper({
      runtime: createMemoryRuntime({ clock, runner: () => Promise.resolve(0) }),
      workspaces: {
        prepare: () => {
          throw reason;
        },
      },
      instance: "home-1",
      generation: 1,
      limits: sandboxLimits,
      startTimeoutMs: 1,
    }),
    sessions: new Sessions({ store, transcripts: createTranscripts(home), log, historyBytes: 1000, agentNamesSessions: () => false }),
    links: {
      serve: () => {
        throw new Error("there is no sandbox");
      },
    },
    hostTools: new HostTools({
      store,
      clock,
      log,
      audit,
      replyBytes: 1000,
      outputBytes: 1000,
      random,
      taskRules,
      groupSync: { refresh: () => false, report: () => undefined },
      isServed: () => true,
      onTasksChanged: () => {},
      onWork: () => {},
    }),
    taskRules,
    model: createOfflineModel(),
    guards: new Guards({ ...guard, screen, overrides, log, clock, limits: CLOSED_LIMITS.egress }),
    redact: (text) => text,
    clock,
    log,
    random,
    settings: turn,
    batchRules,
    onReply: () => {},
    onTyping: () => {},
    onText: () => {},
    onTurnEnd: () => {},
    onRunEnd: () => ends.push(store.runs().at(-1)?.outcome ?? null),
  });
  store.registerGroup(groupOf("fam"), clock.now());
});

let said = 0;
function say(...texts: readonly string[]): void {
  for (const text of texts) {
    const message = { id: `m${++said}`, chat: "c:fam", sender: "s", senderName: "S", text, timestamp: new Date(said).toISOString() };
    store.accept({ ...message, isFromMe: false }, { now: said, replyVia: null });
  }
}

const run = (signal = new AbortController().signal) => runner.run("fam", signal);
const told = () => store.outboxHeads().map(({ text }) => text);
/** What the next turn would be asked. */
const next = () => {
  const claim = store.claimTurn("fam", { now: 1, maxMessages: 9, maxBytes: 9999, starts: () => true, format: formatMessages });
  return claim?.journal
    .flatMap((entry) => (entry.kind === "input" ? [...entry.text.matchAll(/>([^<>]+)<\/message>/g)] : []))
    .map(([, text]) => text);
};

describe("that a run is over is said once its end is stored,", () => {
  test("of a turn that failed", async () => {
    reason = new SandboxError("SANDBOX_START_FAILED", "No image.");
    say("hi");
    expect([await run(), ends]).toEqual([{ next: "again" }, ["failed"]]);
  });

  test("of one that is tried again, each time", async () => {
    reason = new SandboxError("SANDBOX_START_FAILED", "Not now.", { retryable: true });
    say("hi");
    for (let n = 1; n <= 3; n++) expect([await run(), ends]).toMatchObject([{ next: "retry" }, Array.from({ length: n }, () => "failed")]);
  });

  test.each([
    ["that the stopping host cut off", hostStopping(), "interrupted"],
    ["that the owner stopped", stoppedByOwner(), "stopped"],
  ])("of one %s", async (_what, why, outcome) => {
    reason = why;
    say("hi");
    await run();
    expect(ends).toEqual([outcome]);
  });
});

describe("messages that filled the workspace", () => {
  beforeEach(() => {
    reason = new RefusedError("WORKSPACE_FULL", "The workspace is full.");
  });

  test("are not taken up with the next one, and where they were several the notice says so", async () => {
    say("fill it", "and hurry");
    await run();
    expect(told()).toEqual(["[hermit] I could not finish this: The workspace is full. Its 2 messages are not taken up again."]);
    say("what is left?");
    expect(next()).toEqual(["what is left?"]);
  });

  test("alone is not counted in the notice", async () => {
    say("fill it");
    await run();
    expect(told()).toEqual(["[hermit] I could not finish this: The workspace is full."]);
  });
});

test("messages of a turn that failed through no fault of theirs are taken up with the next one, and the notice says nothing of them", async () => {
  reason = new SandboxError("SANDBOX_START_FAILED", "No image.");
  say("one", "two");
  await run();
  expect(told()).toEqual(["[hermit] I could not finish this: No image."]);
  say("three");
  expect(next()).toEqual(["one", "two", "three"]);
});
