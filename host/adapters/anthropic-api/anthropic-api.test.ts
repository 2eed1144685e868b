/** A real server of Anthropic's protocol on loopback, and one that does what no well-behaved one does. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { LLMock } from "@copilotkit/aimock";
import { afterEach, expect, test } from "vitest";
import type { AnthropicAnswer } from "../../ports/anthropic-api.ts";
import { FakeClock } from "../memory/fake-clock.ts";
import { createAnthropicApi } from "./index.ts";

const KEY = "sk-ant-api03-Zq81LmvT0wXy";
const BODY = { model: "claude-test", max_tokens: 50, messages: [{ role: "user", content: "hello" }] };
const CALL = { path: "/v1/messages", headers: {}, body: BODY } as const;
const never = new AbortController().signal;
const clock = new FakeClock();

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const api = (baseURL: string, apiKey: string | undefined = KEY) =>
  createAnthropicApi({ baseURL, apiKey, clock, firstTokenTimeoutMs: 1_000, totalTimeoutMs: 60_000 });
const messageOf = (error: Error): string => error.message;
const read = (answer: AnthropicAnswer) => text(answer.body);

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  closing.push(async () => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a service that answers nobody without the key answers, whole or as a stream", async () => {
  const service = new LLMock({ port: 0, auth: { apiKeys: [KEY] } });
  closing.push(() => service.stop());
  await service.start();
  service.onMessage("hello", { content: "Good morning." });
  const whole = await api(`${service.url}/`).call(CALL, never);
  expect(JSON.parse(await read(whole))).toMatchObject({ type: "message", content: [{ type: "text", text: "Good morning." }] });
  const stream = await api(service.url).call({ ...CALL, body: { ...BODY, stream: true } }, never);
  expect([stream.status, stream.contentType]).toEqual([200, "text/event-stream"]);
  expect(await read(stream)).toMatch(/event: message_start[^]*text_delta[^]*event: message_stop/);
  expect(await api(service.url, "another").call(CALL, never)).toMatchObject({ status: 401 });
});

test("of the agent's headers two pass; the key goes in its own, a token of Claude Code in another", async () => {
  const seen: IncomingMessage["headers"][] = [];
  const url = await serve((request, response) => {
    seen.push(request.headers);
    response.end("{}");
  });
  const headers = { "anthropic-version": "2030-01-01", "anthropic-beta": "x-1" };
  await read(await api(url).call({ ...CALL, headers }, never));
  await read(await api(url, "sk-ant-oat01-token").call({ ...CALL, headers }, never));
  await read(
    await createAnthropicApi({ baseURL: url, apiKey: undefined, clock, firstTokenTimeoutMs: 1, totalTimeoutMs: 1 }).call(CALL, never),
  );
  const sent = seen.map((one) => [one["x-api-key"], one.authorization, one["anthropic-version"], one["anthropic-beta"]]);
  expect(sent).toEqual([
    [KEY, undefined, "2030-01-01", "x-1"],
    [undefined, "Bearer sk-ant-oat01-token", "2030-01-01", "x-1,oauth-2025-04-20"],
    [undefined, undefined, "2023-06-01", undefined],
  ]);
});

test("a refusal keeps its status, its kind and its words, but not the key in any form", async () => {
  const url = await serve((_request, response) => {
    response.writeHead(401, { "content-type": "text/plain", "set-cookie": KEY, "retry-after": "7" });
    const message = `bad key ${KEY} (${Buffer.from(KEY).toString("base64")}, ${KEY.slice(0, 15)}…)`;
    response.end(JSON.stringify({ type: "error", error: { type: "authentication_error", message }, more: KEY }));
  });
  const answer = await api(url).call(CALL, never);
  expect(answer).toMatchObject({ status: 401, contentType: "application/json", retryAfter: "7" });
  expect(JSON.parse(await read(answer))).toEqual({
    type: "error",
    error: { type: "authentication_error", message: "bad key [key] ([key]==, [key]…)" },
  });
});

test("words that may be the call's own, which a sandbox wrote, show no difference between a right guess of the key and a wrong one", async () => {
  let [status, said] = [400, ""];
  const url = await serve((_request, response) => {
    response.writeHead(status).end(JSON.stringify({ type: "error", error: { type: "invalid_request_error", message: said } }));
  });
  for (status of [400, 413, 429, 500]) {
    for (said of [KEY.slice(0, 14), KEY.slice(0, -1), KEY.slice(5), "hunter2"]) {
      expect(JSON.parse(await read(await api(url, status === 429 ? "hunter2" : KEY).call(CALL, never)))).toMatchObject({
        error: { message: said },
      });
    }
    said = `it is ${KEY}`;
    expect(await read(await api(url).call(CALL, never))).toContain('"it is [key]"');
  }
});

test("a refusal that is no JSON, or a flood, becomes one sentence", async () => {
  const url = await serve((_request, response) => {
    response.writeHead(502, { "content-type": "text/html" });
    response.end(`<html>${KEY}${"x".repeat(1_000_000)}`);
  });
  const answer = await api(url).call(CALL, never);
  expect(JSON.parse(await read(answer))).toEqual({
    type: "error",
    error: { type: "api_error", message: "The model service answered 502." },
  });
});

test("a service that is not there, or sends the call elsewhere, was not reached; the key is not said", async () => {
  const elsewhere = await serve((_request, response) => {
    response.writeHead(307, { location: `http://127.0.0.1:1/${KEY}` });
    response.end();
  });
  const reached = { code: "MODEL_UNREACHABLE", retryable: true };
  await expect(api(elsewhere).call(CALL, never)).rejects.toMatchObject(reached);
  const gone = await serve(() => undefined);
  await closing.pop()?.();
  const message = `${new URL(gone).host} could not be reached (ECONNREFUSED).`;
  await expect(api(gone).call(CALL, never)).rejects.toMatchObject({ ...reached, message });
});

test("a service that says nothing, and one that never ends, are given up in time", async () => {
  const asked = Promise.withResolvers<void>();
  const silent = await serve(() => asked.resolve());
  const refused = api(silent).call(CALL, never).catch(messageOf);
  await asked.promise;
  clock.advance(1_000);
  expect(await refused).toContain("did not answer within 1 s");
  const endless = await serve((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("event: ping\n\n");
  });
  const reader = (await api(endless).call(CALL, never)).body.getReader();
  await reader.read();
  const more = reader.read().catch(messageOf);
  clock.advance(60_000);
  expect(await more).toContain("did not finish its answer within 60 s");
  expect(clock.armed).toBe(0);
});

test("the caller's signal ends the call at the service", async () => {
  const gone = Promise.withResolvers<void>();
  const url = await serve((_request, response) => {
    response.once("close", () => gone.resolve());
    response.writeHead(200).write("a");
  });
  const ending = new AbortController();
  const { body } = await api(url).call(CALL, ending.signal);
  const reader = body.getReader();
  await reader.read();
  ending.abort(new Error("enough"));
  await expect(reader.read()).rejects.toThrow("enough");
  await gone.promise;
});
