import { expect, test, vi } from "vitest";
import {
  call,
  calls,
  echoToolbox,
  finish,
  openTurn,
  type Part,
  playTurn,
  type Script,
  says,
} from "../../contracts/suites/scripted-turn.ts";
import { HOST_TOOLS } from "../../contracts/wire/tools.ts";
import type { JournalEntry } from "../../contracts/wire/turn.ts";
import { createLinkServer } from "../../host/adapters/link-http2/index.ts";
import { ModelCallError, RefusedError } from "../../host/domain/errors.ts";
import { createToolbox, type Toolbox } from "../tools/registry.ts";
import { runOnLink } from "./run-on-link.ts";

type Turn = Script & { readonly toolbox?: Toolbox };
const REAL_TOOLS = createToolbox({ cwd: "/", roots: ["/"], env: {} });
const open = ({ toolbox = REAL_TOOLS, ...script }: Turn) =>
  openTurn(createLinkServer(), (stream, signal) => runOnLink({ stream, signal, pid: 1, openToolbox: async () => toolbox }), script);
const play = (turn: Turn) => playTurn(open(turn));

const INPUT: JournalEntry = { kind: "input", text: "hello" };
const kinds = (events: readonly { type: string }[]) => events.map(({ type }) => type);
const user = (text: string) => ({ role: "user", content: [{ type: "text", text }] });

test("a plain answer is one model step, its text streamed and then finished with", async () => {
  const turn = await play({ steps: [says("Hel", "lo", "!")] });
  expect(turn.finishes).toEqual(["Hello!"]);
  expect(turn.events[0]).toEqual({ type: "ready", v: 1, pid: 1 });
  const streamed = turn.events.map((event) => (event.type === "text" ? event.delta : ""));
  expect(streamed.join("")).toBe("Hello!");
  expect(turn.prompts).toEqual([[{ role: "system", content: "You are Andy." }, user("hello")]]);
});

test("tool calls run in the order asked, each result with the host before the next begins", async () => {
  const order: string[] = [];
  const tools = echoToolbox();
  const run = tools.run.bind(tools);
  tools.run = async (...args) => {
    order.push(`run ${(args[1] as { text: string }).text}`);
    return run(...args);
  };
  const turn = await play({
    toolbox: tools,
    result: ({ toolCallId }) => void order.push(`journalled ${toolCallId}`),
    steps: [calls(call("echo", { text: "a" }, "c1"), call("echo", { text: "b" }, "c2")), says("done")],
  });
  expect(order).toEqual(["run a", "journalled c1", "run b", "journalled c2"]);
  expect(kinds(turn.events)).toEqual(["ready", "tool-started", "tool-ended", "tool-started", "tool-ended", "text"]);
  expect(turn.prompts[1]?.slice(2)).toEqual([
    {
      role: "assistant",
      content: ["c1", "c2"].map((toolCallId, at) => ({ type: "tool-call", toolCallId, toolName: "echo", input: { text: "ab"[at] } })),
    },
    {
      role: "tool",
      content: ["c1", "c2"].map((toolCallId, at) => ({
        type: "tool-result",
        toolCallId,
        toolName: "echo",
        output: { type: "text", value: "ab"[at] },
      })),
    },
  ]);
});

test("the model is offered every tool with its JSON schema", async () => {
  const turn = await play({ steps: [says("ok")] });
  const tools = turn.calls[0]?.tools ?? [];
  expect(tools.map(({ name }) => name)).toEqual(["exec", "read_file", "write_file", "edit_file", "list_dir", ...Object.keys(HOST_TOOLS)]);
  expect(tools[0]).toMatchObject({ type: "function", inputSchema: { type: "object", required: ["command"], additionalProperties: false } });
});

test("a host tool is called by its key, journalled by the host, and not reported again", async () => {
  const turn = await play({ steps: [calls(call("send_message", { text: "news" })), says("done")] });
  expect(turn.hostCalls).toEqual([{ name: "send_message", call: { step: 0, toolCallId: "c1", input: { text: "news" } } }]);
  expect(turn.results).toEqual([]);
  expect(turn.prompts[1]?.at(-1)).toMatchObject({ role: "tool", content: [{ output: { type: "text", value: "sent" } }] });
});

test("a host tool that is refused becomes an error result in the refusal's words", async () => {
  const turn = await play({
    tool: async () => {
      throw new RefusedError("TURN_LIMIT", "Too many messages this turn.");
    },
    steps: [calls(call("send_message", { text: "news" })), says("done")],
  });
  expect(turn.results).toEqual([
    { step: 0, toolCallId: "c1", toolName: "send_message", text: "Too many messages this turn.", isError: true },
  ]);
  expect(turn.finishes).toEqual(["done"]);
});

test("messages that arrive between steps are given to the next step", async () => {
  const turn = await play({
    toolbox: echoToolbox(),
    boundaries: [["wait", "one more"]],
    steps: [calls(call("echo", { text: "a" })), says("done")],
  });
  expect(turn.prompts[1]?.slice(-2)).toEqual([user("wait"), user("one more")]);
});

test("messages that arrive before the turn could close keep it going", async () => {
  const turn = await play({ finishes: [{ state: "more", inputs: ["and?"] }], steps: [says("first"), says("second")] });
  expect(turn.finishes).toEqual(["first", "second"]);
  expect(turn.prompts[1]?.slice(1)).toEqual([
    user("hello"),
    { role: "assistant", content: [{ type: "text", text: "first" }] },
    user("and?"),
  ]);
});

test("reasoning is replayed with what its provider signed, and is not part of the answer", async () => {
  const signed = { house: { signature: "s1" } };
  const thinking: Part[] = [
    { type: "reasoning-start", id: "r" },
    { type: "reasoning-delta", id: "r", delta: "let me see" },
    { type: "reasoning-end", id: "r", providerMetadata: signed },
  ];
  const turn = await play({
    finishes: [{ state: "more", inputs: ["go on"] }],
    steps: [[...thinking, ...says("so")], says("end")],
  });
  expect(turn.finishes[0]).toBe("so");
  expect(turn.prompts[1]?.[2]).toEqual({
    role: "assistant",
    content: [
      { type: "reasoning", text: "let me see", providerOptions: signed },
      { type: "text", text: "so" },
    ],
  });
});

test("a tool that does not exist, or arguments that are no JSON, give the model an error it can act on", async () => {
  const turn = await play({
    steps: [calls(call("rm -rf", {}, "c1"), call("exec", '{"command":', "c2"), call("exec", { cmd: "id" }, "c3")), says("sorry")],
  });
  expect(turn.results.map(({ toolName, isError }) => [toolName, isError])).toEqual([
    ["rm_-rf", true],
    ["exec", true],
    ["exec", true],
  ]);
  expect(turn.results[0]?.text).toBe(
    `There is no tool named "rm -rf". Available: exec, read_file, write_file, edit_file, list_dir, ${Object.keys(HOST_TOOLS).join(", ")}.`,
  );
  expect(turn.results[1]?.text).toContain("not valid JSON");
  expect(turn.results[2]?.text).toContain("Wrong input for exec: command:");
  expect(turn.prompts[1]?.[2]).toMatchObject({ content: [{}, { toolCallId: "c2", input: {} }, {}] });
});

test("two calls of one step under the same id are run once", async () => {
  const toolbox = echoToolbox();
  await play({ toolbox, steps: [calls(call("echo", { text: "a" }), call("echo", { text: "b" })), says("ok")] });
  expect(toolbox.ran).toEqual(["a"]);
});

test("a model that fails ends the run, saying whether trying again can help", async () => {
  const cut = new ReadableStream<Part>({ start: (controller) => controller.close() });
  const cases: [() => readonly Part[] | ReadableStream<Part>, object][] = [
    [() => [{ type: "error", error: new Error("overloaded") }], { error: "overloaded", retryable: true }],
    [() => cut, { error: "The model's answer ended before it was finished.", retryable: true }],
    [() => [finish("error")], { error: "The model ended its answer with an error.", retryable: true }],
    [
      () => {
        throw new ModelCallError("MODEL_REFUSED", "slow down", { retryable: true });
      },
      { error: "slow down", retryable: true },
    ],
    [
      () => {
        throw new ModelCallError("MODEL_UNREACHABLE", "no route", { retryable: true });
      },
      { error: "no route", retryable: true },
    ],
    [
      () => {
        throw new ModelCallError("MODEL_UNKNOWN", "no such model");
      },
      { error: "no such model", retryable: false },
    ],
    [
      () => {
        throw new RefusedError("TURN_LIMIT", "the budget is spent");
      },
      { error: "the budget is spent", retryable: false },
    ],
  ];
  for (const [step, failure] of cases) {
    const turn = await play({ steps: [step] });
    expect(turn.events.at(-1)).toEqual({ type: "failed", ...failure });
    expect(turn.finishes).toEqual([]);
  }
});

test("a conversation too large for one model call fails in words, and trying again is not said to help", async () => {
  const large = "x".repeat(4_500_000);
  const turn = await play({ journal: [INPUT, { kind: "input", text: large }, { kind: "input", text: large }], steps: [says("never")] });
  expect(turn.events.at(-1)).toMatchObject({ type: "failed", error: expect.stringContaining("request body"), retryable: false });
  expect(turn.prompts).toEqual([]);
});

test("a refused result ends the run instead of going on with what the host does not have", async () => {
  const turn = await play({
    toolbox: echoToolbox(),
    result: () => {
      throw new RefusedError("TURN_STOPPED", "This turn is over.");
    },
    steps: [calls(call("echo", { text: "a" }))],
  });
  expect(turn.events.at(-1)).toEqual({ type: "failed", error: "This turn is over.", retryable: false });
});

test("a stop ends the turn inside a model step, and the runner stays until the link ends", async () => {
  let upstream: AbortSignal | undefined;
  const asked = Promise.withResolvers<void>();
  await using turn = await open({
    steps: [
      (_options, signal) => {
        upstream = signal;
        asked.resolve();
        return new ReadableStream<Part>({ pull: () => new Promise(() => undefined) });
      },
    ],
  });
  await asked.promise;
  const aborted = new Promise<void>((resolve) => upstream?.addEventListener("abort", () => resolve()));
  turn.link.feed({ v: 1, type: "stop", reason: "the owner said so" });
  await aborted;
  expect(kinds(turn.played.events)).toEqual(["ready"]);
  turn.link.close();
  await turn.runner;
});

test("a stop ends the turn inside a tool, whose result is not reported", async () => {
  const started = Promise.withResolvers<void>();
  const toolbox = echoToolbox();
  toolbox.run = (_name, _input, { signal }) =>
    new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve({ text: "[stopped]", isError: true }));
      started.resolve();
    });
  await using turn = await open({ toolbox, steps: [calls(call("echo", { text: "a" }))] });
  await started.promise;
  turn.link.feed({ v: 1, type: "stop", reason: "enough" });
  turn.leave();
  await turn.runner;
  expect(turn.played.results).toEqual([]);
  expect(toolbox.closed).toBe(true);
});

test("what commands left running ends with the turn, while the link still stands", async () => {
  const toolbox = echoToolbox();
  await using turn = await open({ toolbox, steps: [says("ok")] });
  await turn.over;
  await vi.waitFor(() => expect(toolbox.closed).toBe(true));
  turn.link.feed({ v: 1, type: "stop", reason: "the link still stands" });
  turn.link.close();
  await turn.runner;
});

test("a link that ends inside a tool takes the runner and its tools with it", async () => {
  const started = Promise.withResolvers<void>();
  const toolbox = echoToolbox();
  toolbox.run = (_name, _input, { signal }) =>
    new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve({ text: "[stopped]", isError: true }));
      started.resolve();
    });
  await using turn = await open({ toolbox, steps: [calls(call("echo", { text: "a" }))] });
  await started.promise;
  turn.link.close();
  await turn.runner;
  expect(toolbox.closed).toBe(true);
});

test("a sandbox that cannot be made ready fails the turn in words, before any step, and the runner leaves with the link", async () => {
  const openToolbox = () => Promise.reject(new Error("The decoy could not be laid out."));
  const opened = openTurn(
    createLinkServer(),
    (stream, signal) => runOnLink({ stream, signal, pid: 1, openToolbox }).catch(() => undefined),
    {
      steps: [says("never")],
    },
  );
  const turn = await playTurn(opened);
  expect(turn.events.at(-1)).toEqual({ type: "failed", error: "The decoy could not be laid out.", retryable: false });
  expect(turn.prompts).toEqual([]);
});
