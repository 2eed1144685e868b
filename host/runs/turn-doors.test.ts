/** The sandbox is the adversary: every door, called in the wrong order, twice, late, or with somebody else's names. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MAX_FRAME_BYTES } from "../../contracts/wire/turn.ts";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import { createScriptedModel, type ScriptStep } from "../adapters/model-scripted/index.ts";
import { openStore } from "../adapters/store-sqlite/index.ts";
import { TaskRules } from "../domain/task-rules.ts";
import { formatMessages } from "../domain/prompt.ts";
import type { ModelStreamPart } from "../ports/model.ts";
import type { BatchRules, Store } from "../ports/store.ts";
import { HostTools } from "./host-tools.ts";
import { LiveTurn } from "./turn-doors.ts";

const LIMITS = { steps: 4, toolCalls: 3, toolOutputBytes: 1024, toolTimeoutMs: 1000 };
const PROMPT = { prompt: [{ role: "user" as const, content: [{ type: "text" as const, text: "hi" }] }] };
const taskRules = new TaskRules(() => undefined, "UTC", 5);
const never = new AbortController().signal;

let home: string;
let store: Store;
let clock: FakeClock;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hermit-doors-"));
  store = openStore(home);
  clock = new FakeClock();
});
afterEach(() => {
  store.close();
  rmSync(home, { recursive: true, force: true });
});

const rules = (): BatchRules => ({ now: clock.now(), maxMessages: 16, maxBytes: 100_000, starts: () => true, format: formatMessages });
const say = (id: string): void => {
  const register = { chat: "c", name: "c", folder: "c", trigger: "@A", requiresTrigger: false };
  const message = {
    id,
    chat: "c",
    sender: "s",
    senderName: "S",
    text: id,
    timestamp: new Date(clock.now()).toISOString(),
    isFromMe: false,
  };
  store.accept(message, { now: clock.now(), replyVia: null, register });
};

/** A live turn of a model that plays `steps`. */
function begin(steps: readonly ScriptStep[], { agentNamesSessions = false } = {}) {
  if (store.waiting() === 0) say("m1");
  const claim = store.claimTurn("c", rules());
  if (claim === undefined) throw new Error("nothing to claim");
  const ended: string[] = [];
  const scripted = createScriptedModel({ clock, steps, loop: true });
  const model = { id: scripted.id, stream: (_: unknown, signal: AbortSignal) => scripted.stream(PROMPT, signal) };
  const live = new LiveTurn({
    claim,
    store,
    model,
    hostTools: new HostTools({
      groupSync: { refresh: () => false, report: () => undefined },
      store,
      clock,
      log: { debug() {}, info() {}, warn() {}, error() {} },
      audit: new MemoryAudit(),
      replyBytes: 1000,
      outputBytes: 1000,
      random: () => 0,
      taskRules,
      isServed: () => true,
      onTasksChanged: () => {},
      onWork: () => {},
    }),
    clock,
    limits: LIMITS,
    replyBytes: 1000,
    taskRules,
    batchRules: rules,
    onActivity: () => {},
    onText: () => {},
    onReply: () => {},
    onDone: () => ended.push("done"),
    agentNamesSessions,
    onFailed: (error) => ended.push(`${error.message} ${error.retryable}`),
  });
  const step = async (): Promise<ModelStreamPart[]> => {
    const parts: ModelStreamPart[] = [];
    for await (const part of await live.model("scripted", PROMPT, never)) parts.push(part);
    return parts;
  };
  const callOf = (parts: readonly ModelStreamPart[]): string => {
    const call = parts.find((part) => part.type === "tool-call");
    if (call === undefined) throw new Error("no tool call");
    return call.toolCallId;
  };
  return { live, claim, ended, step, callOf };
}

const exec = { toolCalls: [{ name: "exec", input: { command: "x" } }] };
const send = { toolCalls: [{ name: "send_message", input: { text: "hello" } }] };
const answer = { text: "fine" };
const outbox = () => store.outboxHeads().map(({ text }) => text);

test("a result for a call the model never made is refused and not journalled", async () => {
  const { live, step, callOf } = begin([exec]);
  const toolCallId = callOf(await step());
  for (const forged of [
    { step: 0, toolCallId: "forged", toolName: "exec" },
    { step: 1, toolCallId, toolName: "exec" },
    { step: 0, toolCallId, toolName: "read_file" },
  ]) {
    expect(() => live.result({ ...forged, text: "x", isError: false })).toThrow(/No open call/);
  }
  live.result({ step: 0, toolCallId, toolName: "exec", text: "x", isError: false });
  expect(() => live.result({ step: 0, toolCallId, toolName: "exec", text: "again", isError: false })).toThrow(/No open call/);
});

test("no model step, boundary or finish passes while a tool result is missing", async () => {
  const { live, step } = begin([exec]);
  await step();
  await expect(step()).rejects.toThrow(/are missing/);
  expect(() => live.boundary()).toThrow(/are missing/);
  expect(() => live.finish({ text: "done" })).toThrow(/are missing/);
  expect(outbox()).toEqual([]);
});

test("a host tool the model did not ask for has no effect", async () => {
  const { live, step, callOf } = begin([exec, send]);
  await expect(live.tool("send_message", { step: 0, toolCallId: "x", input: { text: "spam" } })).rejects.toThrow(/No open call/);
  const toolCallId = callOf(await step());
  await expect(live.tool("send_message", { step: 0, toolCallId, input: { text: "spam" } })).rejects.toThrow(/No open call/);
  expect(outbox()).toEqual([]);
});

test("a host tool called again with the same key answers as before and sends nothing more", async () => {
  const { live, step, callOf } = begin([send]);
  const toolCallId = callOf(await step());
  const call = { step: 0, toolCallId, input: { text: "hello" } };
  expect(await live.tool("send_message", call)).toEqual({ text: "Sent.", isError: false });
  expect(await live.tool("send_message", { ...call, input: { text: "other" } })).toEqual({ text: "Sent.", isError: false });
  expect(store.counts().undelivered).toBe(1);
});

test("the outcome of send_message cannot be forged through the result door", async () => {
  const { live, step, callOf } = begin([send]);
  const toolCallId = callOf(await step());
  expect(() => live.result({ step: 0, toolCallId, toolName: "send_message", text: "Sent.", isError: false })).toThrow(/done by the host/);
});

test("the step limit holds whatever the runner counts", async () => {
  const { live, step, callOf } = begin([exec]);
  for (let n = 0; n < LIMITS.steps; n++) {
    live.result({ step: n, toolCallId: callOf(await step()), toolName: "exec", text: "", isError: false });
  }
  await expect(step()).rejects.toMatchObject({ code: "TURN_LIMIT" });
});

test("the tool-call limit holds for host tools: past it nothing is sent", async () => {
  const { live, step, callOf } = begin([send]);
  for (let n = 0; n < LIMITS.toolCalls; n++) {
    await live.tool("send_message", { step: n, toolCallId: callOf(await step()), input: { text: `${n}` } });
  }
  const over = await live.tool("send_message", { step: 3, toolCallId: callOf(await step()), input: { text: "over" } });
  expect(over).toMatchObject({ isError: true, text: expect.stringContaining("limit of 3") });
  expect(store.counts().undelivered).toBe(3);
});

test("a second model step at the same time is refused, and the first one goes on", async () => {
  const { live, step } = begin([answer]);
  const first = await live.model("scripted", PROMPT, never);
  await expect(step()).rejects.toThrow(/One model step at a time/);
  for await (const _ of first);
  expect(live.finish({ text: "fine" })).toEqual({ state: "done" });
});

test("a model step given up half-way is not a step: the next one may begin and nothing of it is stored", async () => {
  const { live, step } = begin([answer]);
  await (await live.model("scripted", PROMPT, never)).cancel();
  await step();
  live.finish({ text: "fine" });
  expect(outbox()).toEqual(["fine"]);
});

test("another model than the configured one is refused", async () => {
  const { live } = begin([answer]);
  await expect(live.model("expensive", PROMPT, never)).rejects.toMatchObject({ code: "MODEL_UNKNOWN" });
});

test("after the turn is over every door is shut", async () => {
  const { live, step, ended } = begin([answer]);
  await step();
  live.finish({ text: "fine" });
  expect(ended).toEqual(["done"]);
  say("m2");
  expect(() => live.finish({ text: "more" })).toThrow(/over/);
  expect(() => live.boundary()).toThrow(/over/);
  await expect(step()).rejects.toThrow(/over/);
  await expect(live.tool("send_message", { step: 0, toolCallId: "c", input: { text: "late" } })).rejects.toThrow(/over/);
  live.event({ type: "failed", error: "late", retryable: true });
  expect(ended).toEqual(["done"]);
  expect(store.waiting()).toBe(1);
});

test("new messages are not pulled in past half the turn's steps, so that answering them cannot hit the limit", async () => {
  const { live, step, callOf } = begin([exec]);
  for (let n = 0; n < 2; n++) live.result({ step: n, toolCallId: callOf(await step()), toolName: "exec", text: "", isError: false });
  say("late");
  expect(live.boundary()).toEqual({ inputs: [] });
  expect(live.finish({ text: "enough" })).toEqual({ state: "done" });
  expect(store.waiting()).toBe(1);
});

test("internal parts are cut from replies", () => {
  const { live } = begin([send]);
  expect(live.finish({ text: "a <internal>secret\nplan</internal> b" })).toEqual({ state: "done" });
  expect(outbox()).toEqual(["a  b"]);
});

test("an answer that speaks as the host does is sent with another mark", () => {
  const { live } = begin([answer]);
  live.finish({ text: "well,\n[hermit] Your key has expired." });
  expect(outbox()).toEqual(["well,\n(hermit) Your key has expired."]);
});

test("an answer as large as may be, all of it marks that never close, is taken in a moment", () => {
  const { live } = begin([answer]);
  const text = "<internal>".repeat(MAX_FRAME_BYTES / 10);
  const begun = performance.now();
  expect(live.finish({ text })).toEqual({ state: "done" });
  expect(performance.now() - begun).toBeLessThan(1_000);
});

test("what the runner gives up with is quoted, on one line, and bounded", () => {
  const { live, ended } = begin([answer]);
  live.event({ type: "failed", error: `nothing.\n[hermit] Run ${"x".repeat(3_000)}`, retryable: false });
  expect(ended).toEqual([expect.stringMatching(/^“nothing\. \(hermit\) Run x{400,500}…” false$/)]);
});

test("a tool result far beyond its limit is cut before it is stored", async () => {
  const { live, claim, step, callOf } = begin([exec]);
  const toolCallId = callOf(await step());
  live.result({ step: 0, toolCallId, toolName: "exec", text: "x".repeat(1_000_000), isError: false });
  expect(store.findResult(claim.id, 0, toolCallId)?.text.length).toBeLessThanOrEqual(2 * LIMITS.toolOutputBytes);
});

test("a fault of the provider decides for itself whether the run is worth another try", async () => {
  const { live, step, ended } = begin([{ text: "half", error: { status: 400, message: "no such thing" } }]);
  await step();
  live.event({ type: "failed", error: "the stream broke", retryable: true });
  expect(ended).toEqual([expect.stringMatching(/no such thing.* false$/)]);
});

describe("a runner that names its session", () => {
  const sessionOf = () => store.turnOfSession(1)?.session;

  test("is not heard: the host names conversations", () => {
    const { live } = begin([answer]);
    live.event({ type: "session", id: "another" });
    expect(sessionOf()).toBeUndefined();
  });

  test("is heard where the agent keeps them itself, a few times a run", () => {
    const { live } = begin([answer], { agentNamesSessions: true });
    for (let n = 1; n <= 30; n++) live.event({ type: "session", id: `s${n}` });
    expect(sessionOf()).toBe("s16");
  });
});
