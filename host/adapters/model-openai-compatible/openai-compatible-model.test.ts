/** Against a real server on loopback that answers in OpenAI's shape. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { LLMock } from "@copilotkit/aimock";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SteppedClock } from "../../../contracts/suites/channel.ts";
import { collect, expectLegalOrder, textOf } from "../../../contracts/suites/model.ts";
import { ModelCallError } from "../../domain/errors.ts";
import type { Model, ModelCallOptions } from "../../ports/model.ts";
import { createOpenAICompatibleModel, type OpenAICompatibleOptions } from "./index.ts";

const KEY = "sk-test-0123456789abcdef";
let server: LLMock;
beforeEach(async () => {
  server = new LLMock({ port: 0, chunkSize: 4, auth: { apiKeys: [KEY] } });
  await server.start();
});
afterEach(() => server.stop().catch(() => undefined));

function model(changes: Partial<OpenAICompatibleOptions> = {}): Model {
  return createOpenAICompatibleModel({
    baseURL: `${server.url}/v1`,
    apiKey: KEY,
    modelId: "llama3.2",
    clock: new SteppedClock(),
    ...changes,
  });
}

function asked(text: string, more: Partial<ModelCallOptions> = {}): ModelCallOptions {
  return { prompt: [{ role: "user", content: [{ type: "text", text }] }], ...more };
}

describe("an answer", () => {
  test("text arrives in the provider's pieces, with the tokens it counted", async () => {
    server.onMessage("hello", { content: "Hello there, how are you?", usage: { prompt_tokens: 11, completion_tokens: 7 } });
    const parts = await collect(model(), asked("hello"));
    expectLegalOrder(parts);
    expect(parts.filter((part) => part.type === "text-delta")).toHaveLength(7);
    expect(textOf(parts)).toBe("Hello there, how are you?");
    expect(parts.at(-1)).toMatchObject({
      type: "finish",
      finishReason: { unified: "stop", raw: "stop" },
      usage: { inputTokens: { total: 11 }, outputTokens: { total: 7 } },
    });
  });

  test("reasoning arrives apart from the text", async () => {
    server.onMessage("why", { content: "Because.", reasoning: "Let me think." });
    const parts = await collect(model({ modelId: "o3-mini" }), asked("why"));
    expectLegalOrder(parts);
    expect(parts.map((part) => (part.type === "reasoning-delta" ? part.delta : "")).join("")).toBe("Let me think.");
    expect(textOf(parts)).toBe("Because.");
  });

  test("tool calls arrive whole, and their results go back with the next step", async () => {
    server.onToolResult("b", { content: "done" });
    server.onMessage("both", {
      toolCalls: [
        { name: "exec", arguments: '{"command":"ls"}', id: "a" },
        { name: "exec", arguments: '{"command":"pwd"}', id: "b" },
      ],
    });
    const tools: ModelCallOptions["tools"] = [{ type: "function", name: "exec", inputSchema: { type: "object" } }];
    const first = await collect(model(), asked("both", { tools }));
    expectLegalOrder(first);
    const calls = first.filter((part) => part.type === "tool-call");
    expect(calls.map((part) => [part.toolCallId, part.toolName, part.input])).toEqual([
      ["a", "exec", '{"command":"ls"}'],
      ["b", "exec", '{"command":"pwd"}'],
    ]);
    const second = await collect(model(), {
      tools,
      prompt: [
        ...asked("both").prompt,
        {
          role: "assistant",
          content: calls.map((part) => ({ type: "tool-call", toolCallId: part.toolCallId, toolName: "exec", input: {} })),
        },
        {
          role: "tool",
          content: calls.map((part) => ({
            type: "tool-result",
            toolCallId: part.toolCallId,
            toolName: "exec",
            output: { type: "text", value: "ok" },
          })),
        },
      ],
    });
    expect(textOf(second)).toBe("done");
  });

  test("the id names provider and model, and the key is in no part and not in the model", async () => {
    server.onMessage("hello", { content: "Hi" });
    const named = model({ name: "ollama" });
    expect(named.id).toBe("ollama/llama3.2");
    const parts = await collect(named, asked("hello", { includeRawChunks: true }));
    expect(JSON.stringify([parts, named])).not.toContain(KEY);
    expect(parts.some((part) => part.type === "raw")).toBe(false);
  });
});

describe("what the sandbox may not decide", () => {
  test("headers and provider options of the call reach nobody", async () => {
    server.onMessage("hello", { content: "Hi" });
    await collect(
      model({ headers: { "x-title": "Hermit" } }),
      asked("hello", {
        headers: { authorization: "Bearer stolen", "x-title": "Other" },
        providerOptions: { openaiCompatible: { model: "the-dear-one", user: "x" }, "openai-compatible": { user: "x" } },
      }),
    );
    const request = server.getLastRequest();
    // The journal hides the key; that the server's own check let the call pass shows it was the right one.
    expect(request?.headers["x-title"]).toBe("Hermit");
    expect(request?.body).toMatchObject({ model: "llama3.2", stream: true, stream_options: { include_usage: true } });
    expect(request?.body).not.toHaveProperty("user");
  });
});

describe("a refusal", () => {
  test.each([
    [400, "MODEL_INPUT_REFUSED", false],
    [403, "MODEL_REFUSED", false],
    [404, "MODEL_REFUSED", false],
    [408, "MODEL_UNREACHABLE", true],
    [429, "MODEL_UNREACHABLE", true],
    [500, "MODEL_UNREACHABLE", true],
    [503, "MODEL_UNREACHABLE", true],
  ])("%d rejects the call, in words and with what to do", async (status, code, retryable) => {
    server.nextRequestError(status, { message: "the provider's words" });
    const error = await refusal(model(), asked("hello"));
    expect(error).toMatchObject({ code, retryable });
    expect(error.message).toContain(`openai-compatible/llama3.2: ${server.url}/v1 answered ${status}: the provider's words.`);
    expect(error.hint).toMatch(/./);
    expect(error.cause).toBeUndefined();
  });

  test("a 429 says how long the provider asks to wait", async () => {
    server.nextRequestError(429, { message: "slow down" });
    expect((await refusal(model(), asked("hello"))).message).toContain("It asks to wait 1 s.");
  });

  test("a wrong key and no key are refused by the server's own check", async () => {
    for (const apiKey of ["sk-wrong-0123456789abcdef", ""]) {
      const error = await refusal(model({ apiKey }), asked("hello"));
      expect(error).toMatchObject({ code: "MODEL_REFUSED", retryable: false });
      expect(error.message).toContain("401");
      expect(error.hint).toContain("HERMIT_MODEL_KEY");
    }
  });

  test("a server that is not there can be tried again later", async () => {
    const absent = model();
    await server.stop();
    const error = await refusal(absent, asked("hello"));
    expect(error).toMatchObject({ code: "MODEL_UNREACHABLE", retryable: true });
    expect(error.message).toContain("ECONNREFUSED");
    expect(error.hint).toContain("Nothing listens there");
  });
});

test("an answer cut before its first word rejects the call, so that another provider can be asked", async () => {
  server.onMessage("hello", { content: "Never." }, { truncateAfterChunks: 1 });
  expect(await refusal(model(), asked("hello"))).toMatchObject({ code: "MODEL_UNREACHABLE", retryable: true });
});

test("no timer is left over, whether the answer was whole, cut, refused or abandoned", async () => {
  const clock = new SteppedClock();
  const timed = model({ clock });
  server.onMessage("whole", { content: "All of it" });
  server.onMessage("cut", { content: "Nothing of it" }, { truncateAfterChunks: 1 });
  await collect(timed, asked("whole"));
  await refusal(timed, asked("cut"));
  server.nextRequestError(500);
  await refusal(timed, asked("whole"));
  const reader = (await timed.stream(asked("whole"), new AbortController().signal)).getReader();
  await reader.read();
  await reader.cancel();
  expect(clock.armed).toBe(0);
});

test("the library is loaded at the first call, not before", { timeout: 30_000 }, async () => {
  const program = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ resolve(name, context, next) { if (name.startsWith("@ai-sdk/")) loaded.push(name); return next(name, context); } });
    const { createOpenAICompatibleModel } = await import(${JSON.stringify(new URL("./index.ts", import.meta.url).href)});
    const clock = { now: () => 0, setTimer: () => ({ cancel() {} }) };
    const model = createOpenAICompatibleModel({ baseURL: "http://127.0.0.1:9/v1", modelId: "m", clock });
    const before = loaded.length;
    await model.stream({ prompt: [] }, new AbortController().signal).catch(() => {});
    console.log(JSON.stringify([before, loaded.includes("@ai-sdk/openai-compatible")]));`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program]);
  expect(JSON.parse(stdout)).toEqual([0, true]);
});

describe("settings that cannot be used", () => {
  test.each([
    ["no URL", { baseURL: "127.0.0.1:11434/v1" }, "not a URL"],
    ["no scheme", { baseURL: "localhost:11434/v1" }, "neither http nor https"],
    ["another scheme", { baseURL: "file:///etc/passwd" }, "neither http nor https"],
    ["a password in the URL", { baseURL: "https://me:hunter22@localhost/v1" }, "user name or password"],
    ["a line break in the key", { apiKey: "sk-secret-secret\n" }, "header Authorization"],
    ["a header past ASCII", { headers: { "x-key": "schlüssel-geheim" } }, "header x-key"],
  ])("%s is refused at once, and not repeated", (_what, changes, says) => {
    const error = thrown(() => model(changes));
    expect(error).toMatchObject({ code: "CONFIG_INVALID" });
    expect(error.message).toContain(says);
    expect(error.message).not.toMatch(/hunter22|secret|geheim/);
  });
});

async function refusal(from: Model, options: ModelCallOptions): Promise<ModelCallError> {
  const error: unknown = await from.stream(options, new AbortController().signal).catch((reason: unknown) => reason);
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
