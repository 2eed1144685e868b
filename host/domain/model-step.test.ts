import { expect, test } from "vitest";
import { streamOfParts, tokensOf, wholeStepParts } from "./model-step.ts";

const origin = { modelId: "m", responseId: "r", inputTokens: 7 };

test("a step without text or tool calls is a start and a finish", () => {
  const parts = Array.from(wholeStepParts({ deltas: [], toolCalls: [] }, origin));
  expect(parts.map((part) => part.type)).toEqual(["stream-start", "response-metadata", "finish"]);
});

test("text comes before tool calls, and a fault after both", () => {
  const fault = new Error("cut");
  const step = { deltas: ["a", "b"], toolCalls: [{ toolCallId: "c", toolName: "t", input: undefined }] };
  const parts = Array.from(wholeStepParts(step, origin, fault));
  expect(parts.map((part) => part.type)).toEqual([
    "stream-start",
    "response-metadata",
    "text-start",
    "text-delta",
    "text-delta",
    "text-end",
    "tool-input-start",
    "tool-input-delta",
    "tool-input-end",
    "tool-call",
    "error",
    "finish",
  ]);
  expect(parts.find((part) => part.type === "tool-call")).toMatchObject({ input: "{}" });
  expect(parts.at(-1)).toMatchObject({
    finishReason: { unified: "error" },
    usage: { inputTokens: { total: 7 }, outputTokens: { total: 2 } },
  });
});

test("tokens are counted as four characters each, begun ones whole", () => {
  expect([0, 1, 4, 5].map(tokensOf)).toEqual([0, 1, 1, 2]);
});

test("a part is made when it is read and none ahead, and cancelling makes no more", async () => {
  let made = 0;
  let released = false;
  function* parts(): Generator<number, void, undefined> {
    try {
      for (;;) yield ++made;
    } finally {
      released = true;
    }
  }
  const reader = streamOfParts(parts(), new AbortController().signal).getReader();
  await new Promise((resolve) => setImmediate(resolve));
  expect(made).toBe(0);
  expect((await reader.read()).value).toBe(1);
  expect((await reader.read()).value).toBe(2);
  await new Promise((resolve) => setImmediate(resolve));
  expect(made).toBe(2);
  await reader.cancel();
  expect([made, released]).toEqual([2, true]);
});
