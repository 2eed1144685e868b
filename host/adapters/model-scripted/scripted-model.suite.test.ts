import { SteppedClock } from "../../../contracts/suites/channel.ts";
import { runModelSuite } from "../../../contracts/suites/model.ts";
import type { ModelCallOptions } from "../../ports/model.ts";
import { createScriptedModel } from "./index.ts";

const asked = (text: string): ModelCallOptions => ({
  prompt: [{ role: "user", content: [{ type: "text", text }] }],
  tools: [{ type: "function", name: "exec", inputSchema: { type: "object" } }],
});

const steps = [
  { deltas: ["one ", "two ", "three"], when: { lastUserContains: "talk" } },
  { text: "a moment", toolCalls: ["a", "b"].map((command) => ({ name: "exec", input: { command } })), when: { lastUserContains: "work" } },
  { error: { status: 503, message: "overloaded" } },
];

runModelSuite("scripted", async () => ({
  model: createScriptedModel({ steps, clock: new SteppedClock() }),
  says: asked("talk"),
  calls: asked("work"),
  refused: asked("fail"),
  long: { provenBy: "host/domain/model-step.test.ts" },
  dispose: async () => undefined,
}));
