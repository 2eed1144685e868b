import { runModelSuite } from "../../../contracts/suites/model.ts";
import type { ModelCallOptions } from "../../ports/model.ts";
import { createOfflineModel } from "./index.ts";

const asked = (text: string): ModelCallOptions => ({
  prompt: [{ role: "user", content: [{ type: "text", text }] }],
  tools: [{ type: "function", name: "exec", inputSchema: { type: "object" } }],
});

runModelSuite("offline", async () => ({
  model: createOfflineModel(),
  says: asked("hello"),
  calls: asked("run: ls"),
  refused: { never: "it answers whatever it is asked" },
  long: { provenBy: "host/domain/model-step.test.ts" },
  dispose: async () => undefined,
}));
