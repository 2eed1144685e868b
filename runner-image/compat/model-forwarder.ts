/**
 * The agent's way to its model: a plain HTTP server on the sandbox's loopback, whose calls go over the link to the host. The host
 * decides what passes and adds the key.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { ANTHROPIC_BASE_PATH, ANTHROPIC_HEADERS } from "../../contracts/wire/anthropic.ts";
import { MAX_FRAME_BYTES } from "../../contracts/wire/turn.ts";

export interface ModelForwarder {
  /** For ANTHROPIC_BASE_URL. */
  readonly url: string;
  /** Calls made so far. */
  readonly calls: number;
  /** Calls that have no whole answer yet. */
  readonly inFlight: number;
  close(): void;
}

export async function openForwarder(overLink: typeof globalThis.fetch): Promise<ModelForwarder> {
  let calls = 0;
  let inFlight = 0;
  const server = createServer((request, response) => {
    calls++;
    inFlight++;
    response.once("close", () => inFlight--);
    passOn(overLink, request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get calls() {
      return calls;
    },
    get inFlight() {
      return inFlight;
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function passOn(overLink: typeof globalThis.fetch, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "http://host");
  if (request.method !== "POST") return refuse(response, 405, "Only POST passes.");
  const body = await readBody(request);
  if (body === undefined) return refuse(response, 413, `A request may be ${MAX_FRAME_BYTES} bytes.`);
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const headers = Object.fromEntries(
    ANTHROPIC_HEADERS.flatMap((name) => (request.headers[name] === undefined ? [] : [[name, String(request.headers[name])]])),
  );
  const answer = await overLink(`http://host${ANTHROPIC_BASE_PATH}${pathname}`, {
    headers: { ...headers, "content-type": "application/json" },
    body,
    signal: gone.signal,
  }).catch(() => undefined);
  if (answer === undefined) return refuse(response, 502, "The host could not be reached.");
  const passed = ["content-type", "retry-after"].flatMap((name) => {
    const value = answer.headers.get(name);
    return value === null || value === undefined ? [] : [[name, value]];
  });
  response.writeHead(answer.status, Object.fromEntries(passed));
  if (answer.body === null) response.end();
  else await pipeline(Readable.fromWeb(answer.body as ReadableStream), response);
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_FRAME_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** In Anthropic's form, so that the agent's library shows the words. */
function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ type: "error", error: { type: "invalid_request_error", message } }));
}
