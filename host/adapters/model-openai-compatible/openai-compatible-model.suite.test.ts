import { SteppedClock } from "../../../contracts/suites/channel.ts";
import { runModelSuite } from "../../../contracts/suites/model.ts";
import type { ModelCallOptions } from "../../ports/model.ts";
import { createOpenAICompatibleModel } from "./index.ts";
import { answerJson, beginStream, endStream, type ProviderRequest, sendDelta, serveLoopback } from "./loopback-fixture.ts";

const asked = (text: string): ModelCallOptions => ({
  prompt: [{ role: "user", content: [{ type: "text", text }] }],
  tools: [{ type: "function", name: "exec", inputSchema: { type: "object" } }],
});

/** Far more than the sockets' buffers, which grow to some megabytes. */
const LONG_DELTAS = 2_000;
const LONG_DELTA = "x".repeat(32 * 1024);

runModelSuite("openai-compatible", async () => {
  let given = 0;
  const provider = await serveLoopback(({ body, response }: ProviderRequest) => {
    const said = body.messages.at(-1)?.content;
    if (said === "fail") return answerJson(response, 401, { error: { message: "who are you?" } });
    beginStream(response);
    if (said === "long") return sendLong();
    if (said === "talk") {
      for (const content of ["one ", "two ", "three"]) sendDelta(response, { content });
      return endStream(response, "stop");
    }
    const call = (index: number, input: string) => ({ index, id: `c${index}`, function: { name: "exec", arguments: input } });
    sendDelta(response, { tool_calls: [call(0, '{"command":'), call(1, '{"command":"b"}')] });
    sendDelta(response, { tool_calls: [{ index: 0, function: { arguments: '"a"}' } }] });
    endStream(response, "tool_calls");

    function sendLong(): void {
      while (given < LONG_DELTAS && !response.destroyed) {
        given += 1;
        if (!sendDelta(response, { content: LONG_DELTA })) return void response.once("drain", sendLong);
      }
    }
  });
  return {
    model: createOpenAICompatibleModel({ baseURL: provider.baseURL, apiKey: "sk-test", modelId: "m", clock: new SteppedClock() }),
    says: asked("talk"),
    calls: asked("work"),
    refused: asked("fail"),
    long: { options: asked("long"), whole: LONG_DELTAS, given: () => given },
    dispose: () => provider[Symbol.asyncDispose](),
  };
});
