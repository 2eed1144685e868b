/** What a provider may do wrong, and what a hostile one may try. */
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SteppedClock } from "../../../contracts/suites/channel.ts";
import { collect, expectLegalOrder, textOf } from "../../../contracts/suites/model.ts";
import { ModelCallError } from "../../domain/errors.ts";
import type { ModelCallOptions } from "../../ports/model.ts";
import { createOpenAICompatibleModel, type OpenAICompatibleOptions } from "./index.ts";
import {
  answerJson,
  asked,
  begin,
  beginStream,
  drain,
  endStream,
  type LoopbackProvider,
  type ProviderRequest,
  sendDelta,
  sendEvent,
  serveLoopback,
} from "./loopback-fixture.ts";

const KEY = 'sk-live-"0123456789\\abcdefghijklmnop';
const HEADER_KEY = "second-secret-9876543210";
const never = new AbortController().signal;

let provider: LoopbackProvider;
let clock: SteppedClock;
beforeEach(async () => {
  provider = await serveLoopback();
  clock = new SteppedClock();
});
afterEach(() => provider[Symbol.asyncDispose]());

function model(changes: Partial<OpenAICompatibleOptions> = {}) {
  return createOpenAICompatibleModel({ baseURL: provider.baseURL, apiKey: KEY, modelId: "m", clock, ...changes });
}

/** Makes a call that the provider answers like this, and gives what became of it. */
async function outcome(answer: (request: ProviderRequest) => void, changes: Partial<OpenAICompatibleOptions> = {}) {
  const call = collect(model(changes), asked).then(
    (parts) => ({ parts, error: parts.find((part) => part.type === "error")?.error }),
    (error: unknown) => ({ parts: undefined, error }),
  );
  answer(await provider.next());
  const { parts, error } = await call;
  if (error !== undefined) expect(error).toBeInstanceOf(ModelCallError);
  return { parts, error: error as ModelCallError | undefined };
}

describe("the key", () => {
  const spellings = (key: string): string[] => [
    key,
    JSON.stringify(key).slice(1, -1),
    encodeURIComponent(key),
    Buffer.from(key).toString("base64"),
    Buffer.from(key).toString("hex"),
  ];
  const parts = (key: string): string[] => [key.slice(0, 20), key.slice(-15)];
  const echoes: readonly [string, (request: ProviderRequest, echo: string) => void][] = [
    ["in the message of a 401", ({ response }, echo) => answerJson(response, 401, { error: { message: `bad key ${echo} given` } })],
    ["in a 400 of its own form", ({ response }, echo) => answerJson(response, 400, { detail: [{ got: echo }] })],
    ["in a 403 without form", ({ response }, echo) => void response.writeHead(403).end(`no: ${echo}${echo}`)],
    [
      "in the headers of a 500",
      ({ response }, echo) => answerJson(response, 500, {}, { "x-echo": echo.replace(/[^\x20-\x7e]/g, ""), "retry-after": echo }),
    ],
    [
      "in a fault inside the stream",
      ({ response }, echo) => {
        beginStream(response);
        sendDelta(response, { content: "hi" });
        sendEvent(response, { error: { message: `with ${echo}` } });
      },
    ],
    [
      "in what is no JSON",
      ({ response }, echo) => {
        beginStream(response);
        sendDelta(response, { content: "hi" });
        response.write(`data: {"oops ${echo}\n\n`);
      },
    ],
    [
      "in JSON of another shape",
      ({ response }, echo) => {
        beginStream(response);
        sendEvent(response, { choices: echo });
      },
    ],
  ];
  const printedOf = async (answer: (typeof echoes)[number][1], echo: string): Promise<string> => {
    const { parts: said, error } = await outcome((request) => answer(request, echo), { headers: { "x-api-key": HEADER_KEY } });
    expect(error).toBeInstanceOf(ModelCallError);
    return [
      inspect(error, { depth: null, showHidden: true }),
      JSON.stringify(error),
      String(error?.message),
      String(error?.stack),
      JSON.stringify(said ?? []),
    ].join();
  };

  test.each(echoes)("echoed %s is in nothing a log could print", async (_where, answer) => {
    for (const key of [KEY, HEADER_KEY]) {
      for (const echo of spellings(key)) {
        const printed = await printedOf(answer, echo);
        for (const spelling of spellings(key)) expect(printed).not.toContain(spelling);
      }
    }
  });

  test.each(echoes.filter(([where]) => /401|403/.test(where)))("is not in parts either where it is echoed %s", async (_where, answer) => {
    for (const part of [...parts(KEY), ...parts(HEADER_KEY)]) expect(await printedOf(answer, part)).not.toContain(part);
  });

  test("is not told by what is hidden of an echo: with a right start and with a wrong one a refusal of the call's content is the same", async () => {
    const told = async (guess: string): Promise<string | undefined> => {
      const answer = ({ response }: ProviderRequest) => answerJson(response, 400, { error: { message: `no: ${guess}` } });
      return (await outcome(answer, { headers: { "x-api-key": HEADER_KEY } })).error?.message.replace(/:\d+\//, "");
    };
    for (let end = 1; end < HEADER_KEY.length; end++) {
      const [right, wrong] = [HEADER_KEY.slice(0, end), `${HEADER_KEY.slice(0, end - 1)}~`];
      expect(await told(right)).toBe((await told(wrong))?.replace(wrong, right));
    }
  });

  test("is sent as it is, and the custom header with it", async () => {
    const { error } = await outcome(
      ({ headers, response }) => {
        expect(headers.authorization).toBe(`Bearer ${KEY}`);
        expect(headers["x-api-key"]).toBe(HEADER_KEY);
        answerJson(response, 418, {});
      },
      { headers: { "x-api-key": HEADER_KEY } },
    );
    expect(error?.message).toContain("418");
  });

  test("in the base URL's query is sent and not shown", async () => {
    const { error } = await outcome(
      ({ url, response }) => {
        expect(url).toBe("/v1/chat/completions?key=query-secret-123");
        answerJson(response, 401, { error: { message: "key query-secret-123?" } });
      },
      { baseURL: `${provider.baseURL}?key=query-secret-123` },
    );
    expect(error?.message).toContain("401");
    expect(inspect(error)).not.toContain("query-secret");
  });

  test("does not follow a redirect, nor does the prompt", async () => {
    await using elsewhere = await serveLoopback(({ response }) => answerJson(response, 200, {}));
    const { error } = await outcome(
      ({ response }) => void response.writeHead(307, { location: `${elsewhere.baseURL}/chat/completions` }).end(),
    );
    expect(error).toMatchObject({ code: "MODEL_REFUSED", retryable: false });
    expect(error?.hint).toContain("redirects are not followed");
    expect(elsewhere.requests).toBe(0);
  });
});

describe("a broken answer", () => {
  test("cut half-way keeps what came, closes its blocks, then says so, and can be tried again", async () => {
    const call = await begin(model(), provider);
    sendDelta(call.response, { content: " two" });
    expect((await call.reader.read()).value).toMatchObject({ type: "text-delta", delta: " two" });
    call.response.destroy();
    const rest = await drain(call.reader);
    expect(rest.map((part) => part.type)).toEqual(["text-end", "error", "finish"]);
    expect(rest[1]).toMatchObject({ error: { code: "MODEL_UNREACHABLE", retryable: true } });
    expectLegalOrder([...call.seen, ...rest]);
  });

  test.each([
    ["ends without its finish reason", "", "MODEL_UNREACHABLE", true],
    ["goes on with what is no JSON", "data: {oops\n\n", "MODEL_UNREACHABLE", true],
    ["reports an overload", 'data: {"error":{"message":"overloaded"}}\n\n', "MODEL_UNREACHABLE", true],
    ["reports a 402", 'data: {"error":{"message":"no credit","code":402}}\n\n', "MODEL_REFUSED", false],
  ])("that %s after its first words is an error part and nothing after it", async (_what, event, code, retryable) => {
    const { parts, error } = await outcome(({ response }) => {
      beginStream(response);
      sendDelta(response, { content: "one" });
      response.end(`${event}${event === "" ? "" : 'data: {"choices":[{"delta":{"content":"more"}}]}\n\n'}`);
    });
    expectLegalOrder(parts ?? []);
    expect(textOf(parts ?? [])).toBe("one");
    expect(error).toMatchObject({ code, retryable });
  });

  test.each([
    ["a web page", "<html><body>Welcome</body></html>"],
    ["nothing", ""],
    ["a fault at once", 'data: {"error":{"message":"overloaded","code":503}}\n\n'],
  ])("that is %s rejects the call", async (_what, body) => {
    const { parts, error } = await outcome(({ response }) => void response.writeHead(200, { "content-type": "text/html" }).end(body));
    expect(parts).toBeUndefined();
    expect(error).toMatchObject({ code: "MODEL_UNREACHABLE", retryable: true });
    expect(error?.hint).toMatch(/\/v1|status page/);
  });

  test("a refusal that never ends is read to a limit and no further", async () => {
    const { error } = await outcome(({ response }) => {
      response.writeHead(400, { "content-type": "text/plain" });
      const line = "x".repeat(32_768);
      const flood = (): void => {
        while (!response.destroyed && response.write(line));
        if (!response.destroyed) response.once("drain", flood);
      };
      flood();
    });
    expect(error?.code).toBe("MODEL_INPUT_REFUSED");
    expect(error?.message.length).toBeLessThan(500);
  });

  test("counts that cannot be are not reported", async () => {
    const { parts } = await outcome(({ response }) => {
      beginStream(response);
      sendDelta(response, { content: "one" });
      endStream(response, "stop", { prompt_tokens: -500, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 7 } });
    });
    expect(parts?.at(-1)).toMatchObject({
      usage: { inputTokens: { total: undefined, noCache: undefined, cacheRead: 7 }, outputTokens: { total: 2 } },
    });
  });

  test("a tool call whose input is no JSON keeps it as a JSON string, an empty one is an empty object", async () => {
    const call = (index: number, id: string, input: string) => ({
      index,
      id,
      type: "function",
      function: { name: "exec", arguments: input },
    });
    const { parts } = await outcome(({ response }) => {
      beginStream(response);
      sendDelta(response, { tool_calls: [call(0, "a", '{"command": "ls'), call(1, "b", "")] });
      endStream(response, "tool_calls");
    });
    expectLegalOrder(parts ?? []);
    expect(parts?.filter((part) => part.type === "tool-call").map((part) => JSON.parse(part.input) as unknown)).toEqual([
      '{"command": "ls',
      {},
    ]);
  });

  test("a prompt this kind of provider cannot take is refused for good, and nothing is sent", async () => {
    const prompt: ModelCallOptions["prompt"] = [
      { role: "user", content: [{ type: "file", mediaType: "application/zip", data: { type: "data", data: "AAAA" } }] },
    ];
    const error: unknown = await model()
      .stream({ prompt }, never)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ModelCallError);
    expect(error).toMatchObject({ code: "MODEL_REFUSED", retryable: false });
    expect(provider.requests).toBe(0);
  });
});
