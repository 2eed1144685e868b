/** What a host did, recorded and played again. The host is the real one on in-memory twins; the replay is what `hermit replay` does. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { againstRecording, replayOne } from "../../contracts/replay/replay.ts";
import { renderFailure, type ScenarioReport } from "../../contracts/replay/report.ts";
import { loadScenario, type Observation } from "../../contracts/replay/scenario.ts";
import { ModelCallError, SandboxError } from "../domain/errors.ts";
import { call, HOST, RecordedHome } from "../recorded-home-harness.ts";
import { openHermit } from "../replay/hermit-driver.ts";
import { recordingOf, type ScenarioFiles } from "./recording.ts";
import { writeScenario } from "./write-scenario.ts";

function written(files: ScenarioFiles): string {
  const folder = mkdtempSync(join(tmpdir(), "recording-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeScenario(join(folder, "one"), files);
  return folder;
}

async function replayed(folder: string): Promise<ScenarioReport> {
  return replayOne(loadScenario(folder, "one"), againstRecording(openHermit));
}

/** Recorded as `hermit record` does, and as `hermit incident export` does, which did not see the beginning. */
async function passesBothWays(home: RecordedHome): Promise<Observation[]> {
  const past = home.past();
  for (const before of [home.before, undefined]) {
    const report = await replayed(written(recordingOf(past, HOST, before)));
    expect(report.outcome === "passed" ? "" : renderFailure(report)).toBe("");
  }
  return recordingOf(past, HOST, home.before)["expected.jsonl"] as Observation[];
}

const sends = (seen: readonly Observation[]): string[] => seen.flatMap((one) => (one.obs === "send" ? [`${one.chat} ${one.text}`] : []));
const shape = (seen: readonly Observation[]): string => seen.map(({ obs }) => obs).join(" ");

test("two chats, a batch, and what is said while a tool runs", async () => {
  await using home = new RecordedHome();
  await home.start();
  home.answer = (said, step) => (said.includes("slow") && step === 0 ? call("exec", { command: "slow" }) : `heard ${said.length}`);
  const slow = home.hold("slow");
  home.platform.say("slow, please", { chat: "main" });
  await slow.called;
  home.platform.say('and <this> & "that"', { chat: "main", sender: "Bo <b>" });
  home.platform.say("over here", { chat: "garden" });
  home.platform.say("and here", { chat: "garden" });
  await home.platform.replied(1);
  home.clock.advance(400);
  slow.release();
  await home.quiet();
  await home.says("later", "garden");
  const seen = await passesBothWays(home);
  expect(shape(seen)).toBe("host-up run run send followup send run send");
  expect(sends(seen).map((line) => line.split(" ")[0])).toEqual(["memory:garden", "memory:main", "memory:garden"]);
});

test("a task: made, due, answered apart, changed, asked for, cancelled; its id in the recording is the host's own", async () => {
  await using home = new RecordedHome();
  await home.start();
  const ids: string[] = [];
  home.answer = (said, step) => {
    if (said.includes("daily") && step === 0) {
      return call("schedule_task", { prompt: "water the beans", schedule_type: "interval", schedule_value: "60000" });
    }
    if (said.includes("once") && step === 0) {
      const at = new Date(home.clock.now() + 30_000).toISOString();
      return call("schedule_task", { prompt: "call mum", schedule_type: "once", schedule_value: at, context_mode: "group" });
    }
    if (said.includes("now") && step === 0) return call("run_task_now", { task_id: ids[0] });
    if (said.includes("cancel") && step === 0) return call("cancel_task", { task_id: ids[0] });
    if (said.includes("gone") && step === 0) return call("cancel_task", { task_id: "task-of-nobody" });
    return said.startsWith("<messages>") ? "done" : `<internal>I was asked</internal> ${said}!`;
  };
  await home.says("daily");
  await home.says("once");
  ids.push(...home.past().standing.tasks.map(({ id }) => id));
  for (let n = 0; n < 3; n++) {
    home.clock.advance(30_000);
    await home.quiet();
  }
  await home.says("now");
  await home.says("gone");
  await home.says("cancel");
  home.clock.advance(120_000);
  await home.quiet();
  const seen = await passesBothWays(home);
  expect(sends(seen)).toEqual([
    "memory:main done",
    "memory:main done",
    "memory:main call mum!",
    "memory:main water the beans!",
    "memory:main done",
    "memory:main water the beans!",
    "memory:main done",
    "memory:main done",
  ]);
  expect(seen.flatMap((one) => (one.obs === "run" && one.scheduled ? [one.session === null ? "apart" : "of the group"] : []))).toEqual([
    "of the group",
    "apart",
    "apart",
  ]);
  const files = recordingOf(home.past(), HOST, home.before);
  expect(JSON.stringify(files["timeline.jsonl"])).toContain('{"type":"cancel_task","task_id":{"$task":1}}');
  expect(files["db.after.json"]).toMatchObject({
    scheduled_tasks: [{ id: { $task: 2 }, prompt: "call mum", status: "completed", next_run: null, last_run: { $time: "last_run" } }],
  });
});

test("a turn that fails for now is tried again; one that fails for good is told, and its message given again with the next", async () => {
  await using home = new RecordedHome();
  await home.start();
  home.answer = (said, step) => {
    if (said.includes("one") && !said.includes("two") && step === 0) return call("send_message", { text: "on it" });
    if (said.includes("one") && !said.includes("two")) return new ModelCallError("MODEL_REFUSED", "no such key");
    return said.includes("three") && home.past().runs.length < 4
      ? new ModelCallError("MODEL_UNREACHABLE", "busy", { retryable: true })
      : "ok";
  };
  await home.says("one");
  await home.says("two");
  home.platform.say("three");
  while (home.host.status().groups[0]?.state !== "backing-off") await new Promise((resolve) => setImmediate(resolve));
  home.platform.say("four");
  home.clock.advance(6_000);
  await home.quiet();
  const seen = await passesBothWays(home);
  const inputs = seen.flatMap((one) => (one.obs === "run" ? [one.prompt.replace(/<[^>]*>|\s/g, "")] : []));
  expect(inputs).toEqual(["one", "two", "three", "three"]);
  expect(sends(seen)).toEqual(["memory:main on it", "memory:main ok", "memory:main ok", "memory:main ok"]);
});

test("a sandbox out of memory poisons its message; one that cannot be made has said nothing", async () => {
  await using home = new RecordedHome();
  await home.start();
  home.runtime.dieNextAfter(1, { code: 137, outOfMemory: true });
  await home.says("too much");
  home.runtime.failNextStart(new SandboxError("IMAGE_MISSING", "The runner image is gone."));
  await home.says("anything there?");
  await home.says("hello?");
  const seen = await passesBothWays(home);
  const inputs = seen.flatMap((one) => (one.obs === "run" ? [one.prompt.replaceAll(/<[^>]*>|\n/g, "")] : []));
  expect(inputs).toEqual(["too much", "anything there?", "anything there?hello?"]);
});

test("a group with a trigger: talk waits for it; the main group registers it, writes to it, and others may not", async () => {
  await using home = new RecordedHome();
  await home.start();
  home.answer = (said, step) => {
    const chat = "memory:team";
    if (said.includes("register") && step === 0) return call("register_group", { chat, name: "Team", folder: "team", trigger: "@Bot" });
    if (said.includes("greet") && step === 0) return call("send_message", { chat, text: "<internal>x</internal> Hello team" });
    if (said.includes("spy") && step === 0) return call("send_message", { chat: "memory:main", text: "psst" });
    return said.includes("quiet") ? "<internal>nothing to say</internal>" : "fine";
  };
  await home.says("register");
  await home.says("greet");
  home.platform.say("lunch?", { chat: "team", arrival: null });
  await home.quiet();
  home.clock.advance(5_000);
  home.platform.say("@Bot spy", { chat: "team", arrival: null });
  await home.quiet();
  home.platform.say("@bot, quiet", { chat: "team", arrival: null });
  await home.quiet();
  home.platform.say("@Bots are out", { chat: "team", arrival: null });
  await home.quiet();
  const seen = await passesBothWays(home);
  expect(sends(seen)).toEqual([
    "memory:main fine",
    "memory:team <internal>x</internal> Hello team",
    "memory:main fine",
    "memory:team fine",
  ]);
  expect(seen.flatMap((one) => (one.obs === "run" && one.group === "team" ? [one.prompt.split("<message ").length - 1] : []))).toEqual([
    2, 1,
  ]);
});

test("a host that ends in the middle of a turn, and the one that goes on with it", async () => {
  await using home = new RecordedHome();
  await home.start();
  home.answer = (said, step) => (said.includes("long") && step < 2 ? call("exec", { command: `part ${step}` }, `call-${step}`) : "there");
  await home.says("before");
  const part = home.hold("part 1");
  home.platform.say("long", { chat: "main" });
  await part.called;
  const closing = home.host.close();
  while (home.past().runs.at(-1)?.ended_at === null) {
    home.clock.advance(500);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await closing;
  home.clock.advance(3_600_000);
  part.release();
  await home.start();
  await home.quiet();
  home.clock.advance(1_000);
  await home.says("after");
  const past = home.past();
  for (const before of [home.before, undefined]) {
    const report = await replayed(written(recordingOf(past, HOST, before)));
    expect(report.outcome === "passed" ? "" : renderFailure(report)).toBe("");
  }
  const files = recordingOf(past, HOST);
  expect(shape(files["expected.jsonl"] as Observation[])).toBe("host-up run send run host-down host-up run send run send");
  const [restart] = (files["timeline.jsonl"] as { op: string; downMs?: number }[]).filter(({ op }) => op === "restart");
  expect(restart?.downMs).toBeGreaterThan(3_590_000);
});

test("the owner's stop", async () => {
  await using home = new RecordedHome();
  await home.start();
  home.answer = (said, step) => (said.includes("long") && step === 0 ? call("exec", { command: "long" }) : "yes");
  const gate = home.hold("long");
  home.platform.say("long", { chat: "main" });
  await gate.called;
  home.clock.advance(2_000);
  await home.host.stopTurns({ group: "main" });
  gate.release();
  await home.quiet();
  await home.says("and now?");
  const seen = await passesBothWays(home);
  expect(seen.flatMap((one) => (one.obs === "run" ? [one.prompt.replaceAll(/<[^>]*>|\n/g, "")] : []))).toEqual(["long", "and now?"]);
});

test("a stretch from the middle begins with the conversation that was under way and the tasks that were due in it", async () => {
  await using home = new RecordedHome();
  await home.start();
  home.answer = (said, step) => {
    if (!said.includes("beans") || step > 0) return said.startsWith("<messages>") ? "done" : "watered";
    return call("schedule_task", { prompt: "water them", schedule_type: "interval", schedule_value: "60000" });
  };
  await home.says("beans");
  home.clock.advance(61_000);
  await home.quiet();
  const from = home.clock.now();
  home.clock.advance(61_000);
  await home.quiet();
  await home.says("thanks");
  const files = recordingOf(home.past(from), HOST);
  const report = await replayed(written(files));
  expect(report.outcome === "passed" ? "" : renderFailure(report)).toBe("");
  expect(files["expected.jsonl"]).toMatchObject([
    { obs: "host-up" },
    { obs: "run", scheduled: true, session: null, prompt: "water them" },
    { obs: "send", text: "watered" },
    { obs: "run", scheduled: false, session: expect.stringMatching(/^[0-9a-f-]{36}$/) },
    { obs: "send", text: "done" },
  ]);
  expect(files["meta.json"]).toMatchObject({ tables: false, section: "own" });
});

test("a conversation that is refused, and one whose transcript is gone: each time a new one begins", async () => {
  await using home = new RecordedHome();
  await home.start();
  let refusals = 1;
  home.answer = (said) => (said.includes("again") && refusals-- > 0 ? new ModelCallError("MODEL_INPUT_REFUSED", "too long") : "yes");
  await home.says("hello");
  await home.says("again");
  rmSync(join(home.path, "sessions"), { recursive: true });
  await home.says("and now?");
  await home.says("still there?");
  const seen = await passesBothWays(home);
  const sessions = seen.flatMap((one) => (one.obs === "run" ? [one.session] : []));
  expect(sessions.map((one) => (one === null ? "none" : sessions.indexOf(one)))).toEqual(["none", 1, "none", 3, 4]);
});

test("a message changed after it was read, and one that was never read", async () => {
  await using home = new RecordedHome();
  await home.start();
  home.answer = (said) => `heard ${said.length}`;
  home.platform.say("the cat", { id: "m1", timestamp: "2026-05-04T09:00:00.000Z" });
  await home.quiet();
  home.clock.advance(1_000);
  home.platform.say("the hat", { id: "m1", timestamp: "2026-05-04T09:00:00.000Z" });
  await home.says("  ");
  home.platform.say("x".repeat(10_001));
  await home.quiet();
  const seen = await passesBothWays(home);
  expect(seen.flatMap((one) => (one.obs === "run" ? [one.prompt.includes("the cat")] : []))).toEqual([true]);
  const files = recordingOf(home.past(), HOST, home.before);
  expect(files["db.after.json"]).toMatchObject({ messages: [{ id: "m1", content: "the hat" }, { content: "  " }] });
});

test.each([
  ["a reply", "expected.jsonl", /("obs":"send".*"text":")./],
  ["a prompt", "expected.jsonl", /("prompt":"<messages>\\n<message sender=\\")./],
  ["a stored message", "db.after.json", /("content": ")./],
  ["a group", "db.after.json", /("trigger_pattern": ")./],
])("a recording in which one byte of %s was altered fails", async (_what, file, place) => {
  await using home = new RecordedHome();
  await home.start();
  await home.says("hello");
  const folder = written(recordingOf(home.past(), HOST, home.before));
  expect((await replayed(folder)).outcome).toBe("passed");
  const path = join(folder, "one", file);
  const text = readFileSync(path, "utf8");
  const altered = text.replace(place, "$1#");
  expect(altered).not.toBe(text);
  writeFileSync(path, altered);
  expect((await replayed(folder)).outcome).toBe("failed");
});
