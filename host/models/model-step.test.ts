/** What a model step leaves for the journal can be read again: whatever a model sends, it fits the wire or nothing is kept. */
import { expect, test } from "vitest";
import { AssistantPart } from "../../contracts/wire/turn.ts";
import type { ModelStreamPart } from "../ports/model.ts";
import { type CollectedStep, collectStep } from "./model-step.ts";

const usage = {
  inputTokens: { total: 3, noCache: 3, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 2, text: 2, reasoning: 0 },
};
const finish: ModelStreamPart = { type: "finish", usage, finishReason: { unified: "stop", raw: undefined } };
const signature = { provider: { signature: "s" } };

/** Parts as no type would allow them, too. */
async function collect(...parts: readonly unknown[]) {
  const steps: CollectedStep[] = [];
  const stream = ReadableStream.from([...parts, finish] as ModelStreamPart[]);
  const passed = collectStep(stream, { onText() {}, onFault() {}, onStep: (step) => void steps.push(step) });
  const failure = await Array.fromAsync(passed).then(
    () => undefined,
    (error: unknown) => error,
  );
  return { steps, failure };
}

test("what a provider wants back is kept with reasoning and calls; a text has no place for it", async () => {
  const { steps } = await collect(
    { type: "reasoning-start", id: "r" },
    { type: "reasoning-delta", id: "r", delta: "hm" },
    { type: "reasoning-end", id: "r", providerMetadata: signature },
    { type: "text-start", id: "t", providerMetadata: signature },
    { type: "text-delta", id: "t", delta: "so" },
    { type: "text-end", id: "t", providerMetadata: signature },
    { type: "tool-call", toolCallId: "1", toolName: "bash", input: "{}", providerMetadata: signature },
  );
  expect(steps.map(({ content }) => content)).toEqual([
    [
      { type: "reasoning", text: "hm", providerOptions: signature },
      { type: "text", text: "so" },
      { type: "tool-call", toolCallId: "1", toolName: "bash", input: {}, providerOptions: signature },
    ],
  ]);
  for (const part of steps[0]?.content ?? []) AssistantPart.parse(part);
});

test.each([
  ["an id that is a list", { type: "tool-call", toolCallId: ["x"], toolName: "n", input: "{}" }],
  ["a name that is a list", { type: "tool-call", toolCallId: "x", toolName: ["n"], input: "{}" }],
  ["arguments that claim a length", { type: "tool-call", toolCallId: "x", toolName: "n", input: { length: -1e9 } }],
  ["a text that claims a length", { type: "text-delta", id: "t", delta: { length: -1e9 } }],
  ["metadata that is none", { type: "tool-call", toolCallId: "x", toolName: "n", input: "{}", providerMetadata: "s" }],
])("%s: the step fails, and nothing of it is kept", async (_, part) => {
  const { steps, failure } = await collect({ type: "text-start", id: "t" }, part);
  expect(steps).toEqual([]);
  expect(failure).toMatchObject({ code: "MODEL_REFUSED", retryable: false });
});
