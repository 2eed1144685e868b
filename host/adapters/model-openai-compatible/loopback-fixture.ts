/** A provider on loopback that a test holds in its hand, for what a well-behaved mock server does not do. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Model, ModelCallOptions, ModelStreamPart } from "../../ports/model.ts";

export interface ProviderRequest {
  readonly headers: IncomingMessage["headers"];
  readonly url: string;
  readonly body: { readonly messages: readonly { readonly content: unknown }[] } & Record<string, unknown>;
  readonly response: ServerResponse;
  /** Resolves when the connection of this request has gone, whoever ended it. */
  readonly gone: Promise<unknown>;
}

export interface LoopbackProvider {
  readonly baseURL: string;
  readonly requests: number;
  /** Resolves with the next request that has not been taken yet. */
  next(): Promise<ProviderRequest>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** With `answer` each request is answered as it comes; otherwise the test takes them with `next`. */
export async function serveLoopback(answer?: (request: ProviderRequest) => void): Promise<LoopbackProvider> {
  const waiting: ProviderRequest[] = [];
  const takers: ((request: ProviderRequest) => void)[] = [];
  let requests = 0;
  const server = createServer((message, response) => {
    requests += 1;
    void readBody(message).then((body) => {
      const request = { headers: message.headers, url: message.url ?? "", body, response, gone: once(response, "close") };
      const take = answer ?? takers.shift();
      if (take === undefined) waiting.push(request);
      else take(request);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    get requests() {
      return requests;
    },
    next: () =>
      new Promise((resolve) => {
        const request = waiting.shift();
        if (request === undefined) takers.push(resolve);
        else resolve(request);
      }),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

async function readBody(message: IncomingMessage): Promise<ProviderRequest["body"]> {
  let text = "";
  for await (const chunk of message.setEncoding("utf8")) text += String(chunk);
  return text === "" ? { messages: [] } : (JSON.parse(text) as ProviderRequest["body"]);
}

export function beginStream(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
}

export function sendDelta(response: ServerResponse, delta: object): boolean {
  return sendEvent(response, { id: "c1", model: "m", created: 1, choices: [{ index: 0, delta, finish_reason: null }] });
}

export function sendEvent(response: ServerResponse, event: object): boolean {
  return response.write(`data: ${JSON.stringify(event)}\n\n`);
}

export function endStream(
  response: ServerResponse,
  finishReason: string,
  usage: object = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
): void {
  sendEvent(response, { id: "c1", choices: [{ index: 0, delta: {}, finish_reason: finishReason }] });
  sendEvent(response, { id: "c1", choices: [], usage });
  response.end("data: [DONE]\n\n");
}

export function answerJson(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

export const asked: ModelCallOptions = { prompt: [{ role: "user", content: [{ type: "text", text: "hello" }] }] };

/** A call whose answer has begun with the word `one`, read up to it. */
export async function begin(model: Model, provider: LoopbackProvider, signal = new AbortController().signal) {
  const call = model.stream(asked, signal);
  const { response, gone } = await provider.next();
  beginStream(response);
  sendDelta(response, { content: "one" });
  const reader = (await call).getReader();
  const seen: ModelStreamPart[] = [];
  while (seen.at(-1)?.type !== "text-delta") seen.push(...(await readOne(reader)));
  return { response, gone, reader, seen };
}

/** The next part, or nothing at the end. */
export async function readOne(reader: ReadableStreamDefaultReader<ModelStreamPart>): Promise<ModelStreamPart[]> {
  const { done, value } = await reader.read();
  return done ? [] : [value];
}

export async function drain(reader: ReadableStreamDefaultReader<ModelStreamPart>): Promise<ModelStreamPart[]> {
  const parts: ModelStreamPart[] = [];
  for (let next = await readOne(reader); next.length > 0; next = await readOne(reader)) parts.push(...next);
  return parts;
}
