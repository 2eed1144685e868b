/** The words of an agent come from inside its sandbox: what is not said in the one form there is, is no model step. */
import { expect, test } from "vitest";
import type { ModelCallOptions } from "../../ports/model.ts";
import { payloadModel } from "./index.ts";

const say = async (text: string) => {
  const options: ModelCallOptions = { prompt: [{ role: "user", content: [{ type: "text", text }] }] };
  return Array.fromAsync(await payloadModel.stream(options, new AbortController().signal));
};

test("a text and a call are said as a model says them", async () => {
  const parts = await say(JSON.stringify({ text: "so", call: { toolCallId: "1", name: "send_message", input: { text: "hi" } } }));
  expect(parts.map(({ type }) => type)).toEqual(["text-start", "text-delta", "text-end", "tool-call", "finish"]);
  expect(parts[3]).toMatchObject({ toolCallId: "1", toolName: "send_message", input: '{"text":"hi"}' });
});

test.each([
  ["an id that is a list", { call: { toolCallId: ["x"], name: "n", input: {} } }],
  ["a name that is an object", { call: { toolCallId: "x", name: { length: 1 }, input: {} } }],
  ["arguments that are a list", { call: { toolCallId: "x", name: "n", input: [] } }],
  ["no arguments", { call: { toolCallId: "x", name: "n" } }],
  ["a text that claims a length", { text: { length: -1e9 } }],
  ["a field nobody knows", { text: "hi", reasoning: "hm" }],
  ["nothing of a kind", null],
])("%s is refused, for good", async (_, said) => {
  await expect(say(JSON.stringify(said))).rejects.toMatchObject({ code: "MODEL_REFUSED", retryable: false });
});

test("words that are no JSON are refused, for good", async () => {
  await expect(say("hello")).rejects.toMatchObject({ code: "MODEL_REFUSED", retryable: false });
});
