/** Turns that go on from their journal, and turns that come to a limit. */
import { expect, test } from "vitest";
import { call, calls, echoToolbox, finish, openTurn, playTurn, type Script, says } from "../../contracts/suites/scripted-turn.ts";
import type { JournalEntry } from "../../contracts/wire/turn.ts";
import { createLinkServer } from "../../host/adapters/link-http2/index.ts";
import { createToolbox, type Toolbox } from "../tools/registry.ts";
import { runOnLink } from "./run-on-link.ts";
import { INTERRUPTED } from "./turn-loop.ts";

type Turn = Script & { readonly toolbox?: Toolbox };
const REAL_TOOLS = createToolbox({ cwd: "/", roots: ["/"], env: {} });
const open = ({ toolbox = REAL_TOOLS, ...script }: Turn) =>
  openTurn(createLinkServer(), (stream, signal) => runOnLink({ stream, signal, pid: 1, openToolbox: async () => toolbox }), script);
const play = (turn: Turn) => playTurn(open(turn));

const INPUT: JournalEntry = { kind: "input", text: "hello" };
const user = (text: string) => ({ role: "user", content: [{ type: "text", text }] });

test("calls beyond the limit are answered, not run, counting what the journal holds", async () => {
  const toolbox = echoToolbox();
  const turn = await play({
    toolbox,
    limits: { toolCalls: 2 },
    journal: [
      INPUT,
      { kind: "step", step: 0, content: [{ type: "tool-call", toolCallId: "c1", toolName: "echo", input: { text: "before" } }] },
      { kind: "result", step: 0, toolCallId: "c1", toolName: "echo", text: "before", isError: false },
    ],
    steps: [calls(call("echo", { text: "second" }, "c2"), call("echo", { text: "third" }, "c3")), says("ok")],
  });
  expect(toolbox.ran).toEqual(["second"]);
  expect(turn.results.at(-1)).toMatchObject({
    toolCallId: "c3",
    isError: true,
    text: "Tool-call limit of 2 reached; answer with what you have.",
  });
});

test("at the step limit the turn ends in words, with what was said last", async () => {
  const step = (text: string, id: string) => [...says(text).slice(0, -1), ...calls(call("echo", { text: "x" }, id))];
  const turn = await play({ toolbox: echoToolbox(), limits: { steps: 2 }, steps: [step("one", "c1"), step("two", "c2")] });
  expect(turn.finishes).toEqual(["two\n\nStopped: this turn reached its limit of 2 model steps."]);
  expect(turn.results).toHaveLength(2);
});

test("an answer the provider withheld or cut to nothing is said to be so", async () => {
  for (const [reason, words] of [
    ["content-filter", "withheld"],
    ["length", "output limit"],
  ] as const) {
    const turn = await play({ steps: [[finish(reason)]] });
    expect(turn.finishes).toEqual([expect.stringContaining(words)]);
  }
});

test("a resumed turn reports a sandbox tool it does not know the end of, and never runs it again", async () => {
  const toolbox = echoToolbox();
  const turn = await play({
    toolbox,
    journal: [
      INPUT,
      {
        kind: "step",
        step: 0,
        content: ["c1", "c2"].map((toolCallId) => ({ type: "tool-call", toolCallId, toolName: "echo", input: { text: "x" } })),
      },
      { kind: "result", step: 0, toolCallId: "c1", toolName: "echo", text: "x", isError: false },
    ],
    steps: [says("resumed")],
  });
  expect(toolbox.ran).toEqual([]);
  expect(turn.results).toEqual([{ step: 0, toolCallId: "c2", toolName: "echo", text: INTERRUPTED, isError: true }]);
  expect(turn.prompts[0]?.at(-1)).toMatchObject({
    role: "tool",
    content: [{ output: { type: "text", value: "x" } }, { output: { type: "error-text", value: INTERRUPTED } }],
  });
  expect(turn.finishes).toEqual(["resumed"]);
});

test("a resumed turn asks the host again for a host tool, by the same key", async () => {
  const turn = await play({
    journal: [
      INPUT,
      { kind: "step", step: 0, content: [{ type: "tool-call", toolCallId: "c9", toolName: "send_message", input: { text: "n" } }] },
    ],
    steps: [says("resumed")],
  });
  expect(turn.hostCalls).toEqual([{ name: "send_message", call: { step: 0, toolCallId: "c9", input: { text: "n" } } }]);
});

test("a turn resumed after its answer finishes with that answer, without a model step", async () => {
  const turn = await play({ journal: [INPUT, { kind: "step", step: 0, content: [{ type: "text", text: "the answer" }] }], steps: [] });
  expect(turn.finishes).toEqual(["the answer"]);
  expect(turn.prompts).toEqual([]);
});

test("a turn resumed after a follow-up takes the next model step under the next number", async () => {
  const turn = await play({
    journal: [INPUT, { kind: "step", step: 0, content: [{ type: "text", text: "first" }] }, { kind: "input", text: "and?" }],
    toolbox: echoToolbox(),
    steps: [calls(call("echo", { text: "a" })), says("second")],
  });
  expect(turn.prompts[0]?.at(-1)).toEqual(user("and?"));
  expect(turn.results[0]?.step).toBe(1);
  expect(turn.finishes).toEqual(["second"]);
});
