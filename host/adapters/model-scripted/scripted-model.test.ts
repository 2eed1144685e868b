import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { SteppedClock } from "../../../contracts/suites/channel.ts";
import { ModelCallError, RefusedError } from "../../domain/errors.ts";
import type { Model, ModelCallOptions, ModelStreamPart } from "../../ports/model.ts";
import { createScriptedModel } from "./index.ts";

type Prompt = ModelCallOptions["prompt"];

const folder = mkdtempSync(join(tmpdir(), "script-"));
afterAll(() => rmSync(folder, { recursive: true }));

function script(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const clock = new SteppedClock();

describe("which step is played", () => {
  test("steps are played by what the prompt holds, so a resumed turn goes on where it was", async () => {
    const steps = [{ toolCalls: [{ name: "exec", input: { command: "ls" } }] }, { deltas: ["a", "b"] }];
    const first = await play(createScriptedModel({ steps, clock }), [user("go")]);
    expect(first).toMatchObject({ text: "", calls: [{ toolCallId: "call-1", toolName: "exec", input: '{"command":"ls"}' }] });
    const resumed = await play(createScriptedModel({ steps, clock }), [user("go"), ...called("call-1")]);
    expect(resumed).toMatchObject({ text: "ab", deltas: ["a", "b"], calls: [], finish: "stop" });
  });

  test("tool call ids do not repeat within a turn", async () => {
    const steps = [
      { toolCalls: [{ name: "a", input: {} }] },
      {
        toolCalls: [
          { name: "b", input: {} },
          { name: "b", input: [1] },
        ],
      },
    ];
    const { calls } = await play(createScriptedModel({ steps, clock }), [user("go"), ...called("call-1")]);
    expect(calls.map((call) => [call.toolCallId, call.input])).toEqual([
      ["call-2", "{}"],
      ["call-3", "[1]"],
    ]);
  });

  test("a step whose condition holds goes before the sequence and takes no place in it", async () => {
    const steps = [
      { text: "zero" },
      { text: "rain", when: { lastUserContains: "weather" } },
      { text: "one" },
      { text: "late rain", when: { lastUserContains: "storm", step: 1 } },
    ];
    const model = createScriptedModel({ steps, clock });
    expect((await play(model, [user("hello")])).text).toBe("zero");
    expect((await play(model, [user("weather?")])).text).toBe("rain");
    expect((await play(model, [user("weather?"), ...called("call-1"), user("and now?")])).text).toBe("one");
    expect((await play(model, [user("storm?")])).text).toBe("zero");
    expect((await play(model, [user("storm?"), ...called("call-1")])).text).toBe("late rain");
  });

  test("after its end the script refuses for good", async () => {
    const model = createScriptedModel({ path: script("one.jsonl", '{"text":"only"}\n'), clock });
    const refused = await refusal(model, [user("go"), ...called("call-1")]);
    expect(refused).toMatchObject({ code: "SCRIPT_EXHAUSTED", retryable: false });
    expect(refused.message).toContain("one.jsonl");
    expect(refused.message).toContain("step 1");
    expect(refused.hint).toContain("loop");
  });

  test.each([
    ["loop.json", '{ "loop": true, "steps": [{"text":"a"},{"text":"b"}] }'],
    ["loop.jsonl", '{"loop":true}\n{"text":"a"}\n\n{"text":"b"}\n'],
  ])("a looping script (%s) begins again", async (name, content) => {
    const model = createScriptedModel({ path: script(name, content), clock });
    expect((await play(model, [user("go"), ...called("1"), ...called("2"), ...called("3")])).text).toBe("b");
  });

  test("a script of conditions alone that loops is still exhausted where none holds", async () => {
    const model = createScriptedModel({ steps: [{ text: "a", when: { step: 4 } }], loop: true, clock });
    expect(await refusal(model, [user("go")])).toMatchObject({ code: "SCRIPT_EXHAUSTED" });
  });
});

describe("faults and delays", () => {
  test.each([
    [401, "MODEL_REFUSED", false],
    [400, "MODEL_INPUT_REFUSED", false],
    [302, "MODEL_REFUSED", false],
    [408, "MODEL_UNREACHABLE", true],
    [429, "MODEL_UNREACHABLE", true],
    [503, "MODEL_UNREACHABLE", true],
  ])("a scripted %d refuses the call as a provider would", async (status, code, retryable) => {
    const model = createScriptedModel({ steps: [{ error: { status, message: "because" } }], clock });
    const refused = await refusal(model, [user("go")]);
    expect(refused).toMatchObject({ code, retryable });
    expect(refused.message).toContain("because");
  });

  test("a fault after text breaks the stream off with an error part", async () => {
    const model = createScriptedModel({ steps: [{ text: "half", error: { status: 500, message: "cut" } }], clock });
    const { text, finish, errors } = await play(model, [user("go")]);
    expect([text, finish]).toEqual(["half", "error"]);
    expect(errors).toEqual([expect.objectContaining({ code: "MODEL_UNREACHABLE", retryable: true })]);
  });

  test("a delayed step waits on the clock and a stopped one leaves no timer", async () => {
    const time = new SteppedClock();
    const model = createScriptedModel({ steps: [{ text: "late", delayMs: 500 }], clock: time });
    let settled = false;
    const played = play(model, [user("go")]).finally(() => (settled = true));
    time.advance(499);
    await Promise.resolve();
    expect(settled).toBe(false);
    time.advance(1);
    expect((await played).text).toBe("late");

    const stop = new AbortController();
    const stopped = model.stream({ prompt: [user("go")] }, stop.signal);
    stop.abort(new Error("enough"));
    await expect(stopped).rejects.toThrow("enough");
    expect(time.armed).toBe(0);
  });
});

describe("scripts that cannot be played", () => {
  const broken: readonly [string, string, number, RegExp][] = [
    ["cut.json", '[\n  {"text": "a"},\n', 2, /not JSON/],
    ["token.json", '[\n  {"text": "a"},\n  {"text": b}\n]', 3, /not JSON/],
    ["comma.json", '[\n  {"text": "a"}\n\n  {"text": "b"}\n]', 4, /not JSON/],
    ["newline.json", '[\n  {"text": "a\n"},\n  {"text": "b"}\n]', 2, /not JSON/],
    ["token.jsonl", '{"text":"a"}\n\n{"text":\n', 3, /not JSON/],
    ["typo.jsonl", '{"text":"a"}\n{"txet":"b"}\n', 2, /txet/],
    ["typo.json", '{ "loop": true,\n "steps": [\n {"text":"{["},\n {"toolCalls": [{"name":""}]}\n]}', 4, /toolCalls\.0\.name/],
    ["both.json", '[\n {"text":"a"},\n {"text":"a","deltas":["b"]}]', 3, /exclude/],
    ["nothing.json", '[{"delayMs": 5}]', 1, /needs text/],
    ["negative.json", '[{"text":"a","delayMs":-1}]', 1, /delayMs/],
    ["status.json", '[{"error":{"status":200,"message":"fine"}}]', 1, /status/],
    ["empty.json", "[]", 1, /steps/],
    ["empty.jsonl", "\n\n", 1, /no step/],
    ["second-header.jsonl", '{"loop":true}\n{"loop":true}\n', 2, /loop/],
    ["null.json", "null", 1, /expected object/],
  ];
  test.each(broken)("%s is refused with file, line and remedy", (name, content, line, what) => {
    const path = script(name, content);
    const error = thrown(() => createScriptedModel({ path, clock }));
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toMatchObject({ code: "CONFIG_INVALID", retryable: false });
    expect(error.message).toContain(`${path}, line ${line}:`);
    expect(error.message).toMatch(what);
    expect((error as RefusedError).hint).toMatch(/./);
  });

  test("a file that is not there is named", () => {
    const error = thrown(() => createScriptedModel({ path: join(folder, "absent.json"), clock }));
    expect(error).toMatchObject({ code: "CONFIG_INVALID" });
    expect(error.message).toMatch(/absent\.json.*ENOENT/);
  });

  test("a file too large to hold is refused before it is read", () => {
    const path = script("huge.json", " ".repeat(16 * 1024 * 1024 + 1));
    expect(thrown(() => createScriptedModel({ path, clock })).message).toContain("more than 16777216");
  });
});

function user(text: string): Prompt[number] {
  return { role: "user", content: [{ type: "text", text }] };
}

function called(id: string): Prompt {
  return [
    { role: "assistant", content: [{ type: "tool-call", toolCallId: id, toolName: "exec", input: {} }] },
    { role: "tool", content: [{ type: "tool-result", toolCallId: id, toolName: "exec", output: { type: "text", value: "ok" } }] },
  ];
}

async function play(model: Model, prompt: Prompt) {
  const parts: ModelStreamPart[] = [];
  for await (const part of await model.stream({ prompt }, new AbortController().signal)) parts.push(part);
  const deltas = parts.filter((part) => part.type === "text-delta").map((part) => part.delta);
  return {
    deltas,
    text: deltas.join(""),
    calls: parts.filter((part) => part.type === "tool-call"),
    errors: parts.filter((part) => part.type === "error").map((part) => part.error),
    finish: parts.find((part) => part.type === "finish")?.finishReason.unified,
  };
}

async function refusal(model: Model, prompt: Prompt): Promise<ModelCallError> {
  const error: unknown = await model.stream({ prompt }, new AbortController().signal).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ModelCallError);
  return error as ModelCallError;
}

function thrown(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}
