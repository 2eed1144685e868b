/**
 * Any endpoint that speaks OpenAI's chat completions: Ollama, llama.cpp, OpenRouter, DeepSeek, Mistral and the like.
 *
 * The key lives in this closure and in the request's headers. It is in no error, log line or stream part of ours: errors are
 * written here from scratch (failure.ts), because the library's carry request, headers and response with them.
 */
import type { OpenAICompatibleProvider } from "@ai-sdk/openai-compatible";
import { RefusedError } from "../../domain/errors.ts";
import { createScrubber } from "../../domain/leak-scanner.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Model, ModelCallOptions } from "../../ports/model.ts";
import { describeFailure } from "./failure.ts";
import { streamCall } from "./stream-call.ts";

export interface OpenAICompatibleOptions {
  /** Address before `/chat/completions`, http or https; for most providers it ends in `/v1`. Redirects are not followed. */
  readonly baseURL: string;
  /** Sent as `Authorization: Bearer …`. Absent or empty: no such header. */
  readonly apiKey?: string;
  /** The model's name at the provider. */
  readonly modelId: string;
  /** Sent with every call. Their values are kept out of errors as the key is. */
  readonly headers?: Readonly<Record<string, string>>;
  /** First half of the model's id. Default `openai-compatible`. */
  readonly name?: string;
  readonly clock: Clock;
  /** Milliseconds until the provider must have said something. Default 120,000; past 300,000 Node's own limit ends the call. */
  readonly firstTokenTimeoutMs?: number;
  /** Milliseconds for the whole step, the reader's own pauses included. Default 600,000. */
  readonly totalTimeoutMs?: number;
}

const SECOND_MS = 1_000;
const DEFAULT_FIRST_TOKEN_TIMEOUT_MS = 120 * SECOND_MS;
const DEFAULT_TOTAL_TIMEOUT_MS = 600 * SECOND_MS;

/** Throws RefusedError (CONFIG_INVALID) when address, key or a header cannot be used. Nothing is loaded or reached before the first call. */
export function createOpenAICompatibleModel(settings: OpenAICompatibleOptions): Model {
  const id = `${settings.name ?? "openai-compatible"}/${settings.modelId}`;
  const address = parseAddress(id, settings.baseURL);
  const headers = checkHeaders(id, settings);
  const keys = [...address.searchParams.values(), ...Object.values(headers).flatMap((value) => [value, withoutScheme(value)])];
  const scrubOfKey = createScrubber(keys, false);
  const about = { modelId: id, address: scrubOfKey(address.origin + address.pathname), scrub: createScrubber(keys, true), scrubOfKey };
  let provider: Promise<OpenAICompatibleProvider> | undefined;

  return {
    id,
    async stream(options, signal) {
      signal.throwIfAborted();
      provider ??= loadProvider(address, headers);
      const model = (await provider).chatModel(settings.modelId);
      return streamCall({
        start: async (abortSignal) => (await model.doStream({ ...ownedByTheHost(options), abortSignal })).stream,
        describe: (error) => describeFailure(error, about),
        modelId: id,
        clock: settings.clock,
        firstTokenTimeoutMs: settings.firstTokenTimeoutMs ?? DEFAULT_FIRST_TOKEN_TIMEOUT_MS,
        totalTimeoutMs: settings.totalTimeoutMs ?? DEFAULT_TOTAL_TIMEOUT_MS,
        signal,
      });
    },
  };
}

/** `Bearer x` → `x` */
function withoutScheme(header: string): string {
  return header.replace(/^\S+ /, "");
}

/**
 * The call comes from a sandbox. Its headers could replace the key, its provider options are merged into the request's body
 * after the model's name and could replace that, and raw chunks would show what our own parts leave out.
 */
function ownedByTheHost(options: ModelCallOptions): ModelCallOptions {
  return { ...options, headers: {}, providerOptions: {}, includeRawChunks: false };
}

/** Loading takes some 60 ms and 15 MB, which a host that stays offline does not pay. */
async function loadProvider(address: URL, headers: Record<string, string>): Promise<OpenAICompatibleProvider> {
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
  const baseURL = address.origin + address.pathname;
  const queryParams = Object.fromEntries(address.searchParams);
  return createOpenAICompatible({ name: "openaiCompatible", baseURL, queryParams, headers, includeUsage: true, fetch: fetchOnce });
}

const MAX_REFUSAL_BYTES = 64 * 1024;

/** A redirect would carry prompt and custom headers to an address nobody configured. Of a refusal's body only the start is read. */
async function fetchOnce(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, { ...init, redirect: "manual" });
  if (response.ok || response.body === null) return response;
  const body = await readStart(response.body, MAX_REFUSAL_BYTES);
  return new Response(response.status === 304 ? null : body, { status: response.status, headers: response.headers });
}

async function readStart(stream: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes >= maxBytes) break;
  }
  return new Uint8Array(Buffer.concat(chunks).subarray(0, maxBytes));
}

function parseAddress(id: string, baseURL: string): URL {
  const refuse = (what: string): RefusedError =>
    new RefusedError("CONFIG_INVALID", `${id}: the base URL ${what}.`, {
      hint: "Write it in full, for example http://127.0.0.1:11434/v1, and give the key apart from it (HERMIT_MODEL_KEY).",
    });
  const address = URL.parse(baseURL);
  if (address === null) throw refuse("is not a URL");
  if (address.protocol !== "http:" && address.protocol !== "https:") throw refuse("is neither http nor https");
  if (address.username !== "" || address.password !== "") throw refuse("contains a user name or password");
  return address;
}

function checkHeaders(id: string, { apiKey = "", headers = {} }: OpenAICompatibleOptions): Record<string, string> {
  const all: Record<string, string> = apiKey === "" ? { ...headers } : { Authorization: `Bearer ${apiKey}`, ...headers };
  for (const [name, value] of Object.entries(all)) {
    if (/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value)) continue;
    throw new RefusedError("CONFIG_INVALID", `${id}: the value of the header ${name} cannot be sent.`, {
      hint: "Look for a line break, a space at an end or a character outside ASCII in the key or header.",
    });
  }
  return all;
}
