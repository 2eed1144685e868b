/** What a hijacked agent could put into a call made with the host's key, and what becomes of it. */
import { expect, test } from "vitest";
import { type ServedLink, serveLink } from "../../../contracts/suites/served-link.ts";
import { ModelCallError, RefusedError } from "../../domain/errors.ts";
import type { AnthropicAnswer, AnthropicCall } from "../../ports/anthropic-api.ts";
import { createLinkServer } from "./index.ts";

const PATH = "/v1/anthropic/v1/messages";
const BODY = { model: "m", max_tokens: 5, messages: [{ role: "user", content: "hi" }] };

const answered = (...chunks: string[]): AnthropicAnswer => ({
  status: 200,
  contentType: "text/event-stream",
  body: ReadableStream.from(chunks.map((chunk) => Buffer.from(chunk))),
});

/** A link whose door remembers what reached it. */
async function open(answer: (call: AnthropicCall, signal: AbortSignal) => Promise<AnthropicAnswer> = async () => answered("ok")) {
  const calls: AnthropicCall[] = [];
  const link = await serveLink(createLinkServer(), {
    anthropic: (call, signal) => {
      calls.push(call);
      return answer(call, signal);
    },
  });
  return Object.assign(link, { calls });
}

const messageOf = ({ text }: { text: string }) => (JSON.parse(text) as { error: { message: string } }).error.message;
const sayingBlock = (block: object) => ({ ...BODY, messages: [{ role: "user", content: [block] }] });
const sayingImage = (source: object) => sayingBlock({ type: "image", source });

test("a call passes with the two headers the service must know, its answer comes back as it is written", async () => {
  await using link = await open(async () => ({ ...answered("event: a\n\n", "event: b\n\n"), retryAfter: "3" }));
  const headers = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "a-1,b.2",
    "x-api-key": "none",
    authorization: "none",
    cookie: "c",
  };
  const { status, headers: got, text } = await link.post(PATH, BODY, headers);
  expect([status, got["content-type"], got["retry-after"], text]).toEqual([200, "text/event-stream", "3", "event: a\n\nevent: b\n\n"]);
  expect(link.calls).toEqual([
    { path: "/v1/messages", headers: { "anthropic-version": "2023-06-01", "anthropic-beta": "a-1,b.2" }, body: BODY },
  ]);
});

test("tokens may be counted; every other path of the service is no door", async () => {
  await using link = await open();
  expect((await link.post(`${PATH}/count_tokens`, BODY)).status).toBe(200);
  for (const path of [
    "/v1/anthropic/v1/files",
    "/v1/anthropic/v1/messages/batches",
    `${PATH}?beta=true`,
    `${PATH}/../files`,
    "/v1/anthropic",
  ]) {
    expect([path, (await link.post(path, BODY)).status]).toEqual([path, 404]);
  }
  expect(link.calls.map(({ path }) => path)).toEqual(["/v1/messages/count_tokens"]);
});

test("a turn of our own runner has no such door", async () => {
  await using link = await serveLink(createLinkServer());
  expect((await link.post(PATH, BODY)).status).toBe(404);
});

test.each<[string, object]>([
  ["a search the service would make", { ...BODY, tools: [{ type: "web_search_20250305", name: "web_search" }] }],
  [
    "code the service would run",
    {
      ...BODY,
      tools: [
        { name: "ok", input_schema: {} },
        { type: "code_execution_20250522", name: "code" },
      ],
    },
  ],
  ["a picture the service would fetch", sayingImage({ type: "url", url: "http://evil.test/?secret" })],
  ["a file the service holds", sayingImage({ type: "file", file_id: "f" })],
  [
    "a picture to fetch, in the result of a tool",
    {
      ...BODY,
      messages: [
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: [{ type: "image", source: { type: "url" } }] }] },
      ],
    },
  ],
  ["a document to fetch, inside a document", sayingImage({ type: "content", content: [{ type: "image", source: { type: "url" } }] })],
  [
    "a document to fetch, inside one that is not in a list",
    sayingImage({ type: "content", content: { type: "image", source: { type: "url" } } }),
  ],
  [
    "a picture to fetch, in a result that is not in a list",
    sayingBlock({ type: "tool_result", tool_use_id: "t", content: { type: "x", content: { type: "image", source: { type: "url" } } } }),
  ],
  ["a file the service holds, for a container of its own", sayingBlock({ type: "container_upload", file_id: "f" })],
  [
    "a file the service holds, in what a tool made",
    sayingBlock({ type: "tool_result", content: { content: [{ type: "output", file_id: "f" }] } }),
  ],
  ["one to fetch, in the system prompt", { ...BODY, system: [{ type: "document", source: { type: "url" } }] }],
  ["nothing to answer", { model: "m" }],
])("%s is refused in words, and nothing is called", async (_, body) => {
  await using link = await open();
  const answer = await link.post(PATH, body);
  expect([answer.status, JSON.parse(answer.text)]).toMatchObject([400, { type: "error", error: { type: "invalid_request_error" } }]);
  expect(link.calls).toEqual([]);
});

test("servers the service would connect to, containers it would keep, and what nobody knows are left out", async () => {
  await using link = await open();
  await link.post(PATH, {
    ...BODY,
    mcp_servers: [{ url: "http://evil.test" }],
    container: "c",
    anything: 1,
    thinking: { type: "enabled" },
  });
  expect(link.calls[0]?.body).toEqual({ ...BODY, thinking: { type: "enabled" } });
});

test("tools of the agent's own, pictures in the call and what a model wrote pass unread", async () => {
  await using link = await open();
  const body = {
    ...BODY,
    tools: [{ name: "Bash", description: "d", input_schema: { type: "object" }, cache_control: { type: "ephemeral" } }],
    messages: [
      { role: "user", content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } }] },
      { role: "assistant", content: [{ type: "tool_use", id: "t", name: "Bash", input: { source: { type: "url" } } }] },
    ],
  };
  expect((await link.post(PATH, body)).status).toBe(200);
  expect(link.calls[0]?.body).toEqual(body);
});

test("a header that is no list of names is refused", async () => {
  await using link = await open();
  for (const beta of ["a b", "a,,b", "http://evil.test", "x".repeat(2_000)]) {
    expect([beta.slice(0, 20), (await link.post(PATH, BODY, { "anthropic-beta": beta })).status]).toEqual([beta.slice(0, 20), 400]);
  }
});

test("a body larger than any frame is refused before it is parsed", async () => {
  await using link = await open();
  const { status } = await link.post(PATH, { ...BODY, system: "x".repeat(9 * 1024 * 1024) });
  expect([status, link.calls]).toEqual([413, []]);
});

test("a refusal of the host reads as one of the service: what is final stays final, what passes may be tried again", async () => {
  const refusals = [
    new RefusedError("TURN_LIMIT", "Enough."),
    new ModelCallError("MODEL_REFUSED", "Slower.", { retryable: true }),
    new ModelCallError("MODEL_UNREACHABLE", "Nobody there.", { retryable: true }),
    new Error("a path of the host: /root/secret"),
  ];
  await using link = await open(async () => Promise.reject(refusals.shift()));
  const seen = [];
  for (let n = 0; n < 4; n++) seen.push(await link.post(PATH, BODY).then((answer) => [answer.status, messageOf(answer)]));
  expect(seen).toEqual([
    [403, "Enough."],
    [429, "Slower."],
    [503, "Nobody there."],
    [500, "The host could not do this."],
  ]);
});

test("five calls at once are one too many", async () => {
  const gate = Promise.withResolvers<void>();
  await using link = await open(() => gate.promise.then(() => answered("ok")));
  const open4 = Array.from({ length: 4 }, () => link.post(PATH, BODY));
  await waitFor(link, 4);
  expect((await link.post(PATH, BODY)).status).toBe(429);
  gate.resolve();
  for (const { text } of await Promise.all(open4)) expect(text).toBe("ok");
});

test("an agent that gives up an answer ends the call", async () => {
  const ended = Promise.withResolvers<void>();
  await using link = await open(async (_call, signal) => {
    signal.addEventListener("abort", () => ended.resolve());
    return { ...answered(), body: new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from("a")) }) };
  });
  const stream = link.client.request({ ":method": "POST", ":path": PATH });
  stream.on("error", () => undefined);
  stream.end(JSON.stringify(BODY));
  await new Promise((resolve) => stream.once("data", resolve));
  stream.close();
  await ended.promise;
});

test("an answer that breaks off is not passed off as whole", async () => {
  await using link = await open(async () => ({
    ...answered(),
    body: ReadableStream.from(
      (async function* () {
        yield Buffer.from("half");
        throw new Error("gone");
      })(),
    ),
  }));
  await expect(link.post(PATH, BODY)).rejects.toThrow("NGHTTP2");
});

async function waitFor(link: ServedLink & { calls: readonly unknown[] }, count: number): Promise<void> {
  while (link.calls.length < count) await new Promise((resolve) => setImmediate(resolve));
}
