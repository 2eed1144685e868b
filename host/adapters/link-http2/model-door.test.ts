import { once } from "node:events";
import { expect, test, vi } from "vitest";
import { MODEL_ID_HEADER, MODEL_STEP_PATH, ModelError } from "../../../contracts/wire/model.ts";
import { ModelCallError, RefusedError } from "../../domain/errors.ts";
import { createLinkServer, type LinkLimits } from "./index.ts";
import type { TurnDoors } from "../../ports/link.ts";
import type { ModelStreamPart } from "../../ports/model.ts";
import { partsOf, serveLink as serveLinkOn } from "../../../contracts/suites/served-link.ts";

const serveLink = (doors: Partial<TurnDoors> = {}, limits: Partial<LinkLimits> = {}) => serveLinkOn(createLinkServer(limits), doors);
const MODEL = { [MODEL_ID_HEADER]: "house-model" };
const HELLO = { prompt: [{ role: "user", content: [{ type: "text", text: "hello" }] }] };

test("parts come back as server-sent events, dates as ISO text and bytes as base64, closed by [DONE]", async () => {
  const parts: ModelStreamPart[] = [
    { type: "stream-start", warnings: [] },
    { type: "response-metadata", timestamp: new Date(0) },
    { type: "file", mediaType: "image/png", data: { type: "data", data: Buffer.from("pixels") } },
    { type: "error", error: new Error("half-way") },
  ];
  await using served = await serveLink({ model: async () => partsOf(parts) });
  const answer = await served.post(MODEL_STEP_PATH, HELLO, MODEL);
  expect(answer).toMatchObject({ status: 200, headers: { "content-type": "text/event-stream" } });
  expect(answer.text.split("\n\n")).toEqual([
    'data: {"type":"stream-start","warnings":[]}',
    'data: {"type":"response-metadata","timestamp":"1970-01-01T00:00:00.000Z"}',
    `data: {"type":"file","mediaType":"image/png","data":{"type":"data","data":"${Buffer.from("pixels").toString("base64")}"}}`,
    'data: {"type":"error","error":"half-way"}',
    "data: [DONE]",
    "",
  ]);
});

test("a model stream that breaks ends with one error part", async () => {
  const broken = new ReadableStream<ModelStreamPart>({
    pull: (controller) => controller.error(new Error("the line went dead")),
  });
  await using served = await serveLink({ model: async () => broken });
  const { text } = await served.post(MODEL_STEP_PATH, HELLO, MODEL);
  expect(text).toBe('data: {"type":"error","error":"the line went dead"}\n\ndata: [DONE]\n\n');
});

test("a part that cannot be written breaks the answer off, so that it is not taken for a whole one", async () => {
  const part: ModelStreamPart = { type: "raw", rawValue: 1n };
  await using served = await serveLink({ model: async () => partsOf([part]) });
  await expect(served.post(MODEL_STEP_PATH, HELLO, MODEL)).rejects.toMatchObject({ code: "ERR_HTTP2_STREAM_ERROR" });
  expect((await served.post("/v1/turn/boundary")).status).toBe(200);
});

test("the door gets the model asked for and the call, with file bytes decoded", async () => {
  await using served = await serveLink();
  const file = { type: "file", mediaType: "image/png", data: { type: "data", data: Buffer.from("pixels").toString("base64") } };
  const reasoning = { type: "reasoning", text: "hm", providerOptions: { house: { signature: "s" } } };
  const call = {
    prompt: [
      { role: "system", content: "be brief" },
      { role: "user", content: [{ type: "text", text: "look" }, file] },
      { role: "assistant", content: [reasoning, { type: "tool-call", toolCallId: "c", toolName: "exec", input: { command: "id" } }] },
      { role: "tool", content: [{ type: "tool-result", toolCallId: "c", toolName: "exec", output: { type: "text", value: "uid=0" } }] },
    ],
    tools: [{ type: "function", name: "exec", description: "run", inputSchema: { type: "object" } }],
    toolChoice: { type: "auto" },
  };
  await served.post(MODEL_STEP_PATH, call, MODEL);
  const [asked] = served.recorded.models;
  const [system, , ...others] = call.prompt;
  expect(asked?.modelId).toBe("house-model");
  const decoded = { ...file, data: { type: "data", data: new Uint8Array(Buffer.from("pixels")) } };
  const user = { role: "user", content: [{ type: "text", text: "look" }, decoded] };
  expect(asked?.options).toEqual({ ...call, prompt: [system, user, ...others] });
});

test("what could reach past the door is dropped: headers, and provider options outside of assistant parts", async () => {
  await using served = await serveLink();
  const evil = { providerOptions: { openaiCompatible: { model: "dearer", type: "image_url" } } };
  const text = { type: "text", text: "hi" };
  const call = {
    ...evil,
    headers: { authorization: "x" },
    includeRawChunks: true,
    prompt: [
      { role: "system", content: "s", ...evil },
      { role: "user", content: [{ ...text, ...evil }], ...evil },
    ],
    tools: [{ type: "function", name: "exec", inputSchema: {}, ...evil }],
  };
  expect(await served.post(MODEL_STEP_PATH, call, MODEL)).toMatchObject({ status: 200 });
  expect(served.recorded.models[0]?.options).toEqual({
    prompt: [
      { role: "system", content: "s" },
      { role: "user", content: [text] },
    ],
    tools: [{ type: "function", name: "exec", inputSchema: {} }],
  });
});

test("tools run by the provider and files by URL or reference are refused: they are a way to the network", async () => {
  await using served = await serveLink();
  const withFile = (data: object) => ({ prompt: [{ role: "user", content: [{ type: "file", mediaType: "image/png", data }] }] });
  const calls = [
    { ...HELLO, tools: [{ type: "provider", id: "house.web_search", name: "web_search", args: {} }] },
    withFile({ type: "url", url: "https://example.org/?q=secret" }),
    withFile({ type: "reference", reference: { house: "file-1" } }),
    withFile({ type: "data", data: "https://example.org/" }),
    { prompt: [] },
    {},
  ];
  for (const call of calls) {
    const answer = await served.post(MODEL_STEP_PATH, call, MODEL);
    expect({ call, status: answer.status }).toEqual({ call, status: 400 });
    expect(ModelError.parse(JSON.parse(answer.text)).error.type).toBe("invalid_request_error");
  }
  expect(await served.post(MODEL_STEP_PATH, HELLO)).toMatchObject({ status: 400 });
  expect(await served.post(MODEL_STEP_PATH, HELLO, { ...MODEL, "ai-language-model-streaming": "false" })).toMatchObject({ status: 400 });
  expect(served.recorded.models).toEqual([]);
});

test("a refused call says by its status whether trying again can help", async () => {
  const cases: [Error, number, string][] = [
    [new ModelCallError("MODEL_REFUSED", "slow down", { retryable: true }), 429, "rate_limit_exceeded"],
    [new ModelCallError("MODEL_UNREACHABLE", "gone", { retryable: true }), 503, "internal_server_error"],
    [new ModelCallError("MODEL_UNKNOWN", "which?"), 404, "model_not_found"],
    [new ModelCallError("MODEL_REFUSED", "bad key"), 400, "invalid_request_error"],
    [new RefusedError("TURN_LIMIT", "no budget"), 403, "forbidden"],
    [new Error("secret"), 500, "internal_server_error"],
  ];
  for (const [fault, status, type] of cases) {
    await using served = await serveLink({
      model: async () => {
        throw fault;
      },
    });
    const answer = await served.post(MODEL_STEP_PATH, HELLO, MODEL);
    const message = status === 500 ? "The host could not do this." : fault.message;
    expect({ status: answer.status, ...JSON.parse(answer.text) }).toEqual({ status, error: { message, type } });
  }
});

test("a runner that closes its model step, or leaves, aborts the call upstream", async () => {
  for (const leave of ["close the step", "close the link"]) {
    const cancelled = vi.fn<() => void>();
    const endless = new ReadableStream<ModelStreamPart>({ pull: () => new Promise(() => undefined), cancel: cancelled });
    let upstream: AbortSignal | undefined;
    await using served = await serveLink({
      model: async (_id, _options, signal) => {
        upstream = signal;
        return endless;
      },
    });
    const stream = served.client.request({ ":method": "POST", ":path": MODEL_STEP_PATH, ...MODEL });
    stream.on("error", () => undefined);
    stream.end(JSON.stringify(HELLO));
    await once(stream, "response");
    if (leave === "close the step") stream.close();
    else served.sandboxSocket.destroy();
    await vi.waitFor(() => expect(cancelled).toHaveBeenCalledOnce());
    expect(upstream?.aborted).toBe(true);
  }
});

test("an answer nobody reads holds the model back instead of filling the host's memory", async () => {
  let pulled = 0;
  const delta = "x".repeat(10_000);
  const endless = new ReadableStream<ModelStreamPart>(
    {
      pull: (controller) => {
        pulled += delta.length;
        controller.enqueue({ type: "text-delta", id: "t", delta });
      },
    },
    { highWaterMark: 0 },
  );
  await using served = await serveLink({ model: async () => endless });
  const stream = served.client.request({ ":method": "POST", ":path": MODEL_STEP_PATH, ...MODEL });
  stream.on("error", () => undefined);
  stream.end(JSON.stringify(HELLO));
  await once(stream, "response");
  // A round trip on the same link: by then everything the window allows has been written.
  for (let round = 0; round < 20; round++) await served.post("/v1/turn/boundary");
  const settled = pulled;
  for (let round = 0; round < 20; round++) await served.post("/v1/turn/boundary");
  expect(pulled).toBe(settled);
  expect(pulled).toBeLessThan(1_000_000);
});

test("model steps beyond the limit at once are refused as passing, and freed when one ends", async () => {
  const gate = Promise.withResolvers<void>();
  const model = () => gate.promise.then(() => partsOf([]));
  await using served = await serveLink({ model }, { modelSteps: 1 });
  const first = served.post(MODEL_STEP_PATH, HELLO, MODEL);
  await vi.waitFor(async () => expect((await served.post(MODEL_STEP_PATH, HELLO, MODEL)).status).toBe(429));
  gate.resolve();
  expect((await first).status).toBe(200);
  expect((await served.post(MODEL_STEP_PATH, HELLO, MODEL)).status).toBe(200);
});
