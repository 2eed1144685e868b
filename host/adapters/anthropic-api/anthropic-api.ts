/** Anthropic's API over HTTP: adds the key, bounds time and bytes, and lets nothing of a refusal out that could hold the key. */
import { ModelCallError } from "../../domain/errors.ts";
import { createScrubber } from "../../domain/leak-scanner.ts";
import { isAboutKey } from "../../domain/provider-refusal.ts";
import type { AnthropicAnswer, AnthropicApi, AnthropicCall } from "../../ports/anthropic-api.ts";
import type { Clock } from "../../ports/clock.ts";

export interface AnthropicApiOptions {
  /** Up to and without `/v1/messages`. */
  readonly baseURL: string;
  /** Undefined: the service asks for none. */
  readonly apiKey: string | undefined;
  readonly clock: Clock;
  /** Until the service begins to answer. */
  readonly firstTokenTimeoutMs: number;
  readonly totalTimeoutMs: number;
}

/** A long answer of a model has a few hundred kilobytes as events. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const MAX_REFUSAL_BYTES = 64 * 1024;
const MAX_WORDS = 500;
const DEFAULT_VERSION = "2023-06-01";
/** A subscription's token, NanoClaw's CLAUDE_CODE_OAUTH_TOKEN (contract §7.8), goes another way than a key and needs this feature named. */
const TOKEN_PREFIX = "sk-ant-oat";
const TOKEN_FEATURE = "oauth-2025-04-20";

export function createAnthropicApi(options: AnthropicApiOptions): AnthropicApi {
  const { baseURL, apiKey, clock, firstTokenTimeoutMs, totalTimeoutMs } = options;
  const host = new URL(baseURL).host;
  const keys = apiKey === undefined ? [] : [apiKey];
  const scrub = createScrubber(keys, true);
  const scrubOfKey = createScrubber(keys, false);
  const unreachable = (why: string, cause?: unknown): ModelCallError =>
    new ModelCallError("MODEL_UNREACHABLE", `${host} ${scrub(why)}.`, { retryable: true, cause });

  return {
    async call({ path, headers, body }, signal) {
      const ending = new AbortController();
      const end = (): void => ending.abort(signal.reason);
      signal.addEventListener("abort", end, { once: true });
      if (signal.aborted) end();
      const late = (what: string, ms: number) => clock.setTimer(ms, () => ending.abort(unreachable(`${what} within ${ms / 1000} s`)));
      const first = late("did not answer", firstTokenTimeoutMs);
      const total = late("did not finish its answer", totalTimeoutMs);
      let isRead = false;
      const release = (): void => {
        first.cancel();
        total.cancel();
        signal.removeEventListener("abort", end);
      };
      try {
        const answer = await fetch(`${baseURL.replace(/\/+$/, "")}${path}`, {
          method: "POST",
          headers: { ...headersOf(headers, apiKey), "content-type": "application/json" },
          body: JSON.stringify(body),
          redirect: "error",
          signal: ending.signal,
        });
        if (!answer.ok) return await refusal(answer, isAboutKey(answer.status) ? scrubOfKey : scrub);
        first.cancel();
        isRead = true;
        return passing(answer, bounded(answer, release));
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        throw ending.signal.aborted ? ending.signal.reason : unreachable(`could not be reached (${codeOf(error)})`, error);
      } finally {
        if (!isRead) release();
      }
    },
  };

  function passing(answer: Response, body: ReadableStream<Uint8Array>): AnthropicAnswer {
    const type = answer.headers.get("content-type") ?? "";
    return { status: answer.status, contentType: type.startsWith("text/event-stream") ? "text/event-stream" : "application/json", body };
  }
}

function headersOf(headers: AnthropicCall["headers"], apiKey: string | undefined): Record<string, string> {
  const version = { "anthropic-version": headers["anthropic-version"] ?? DEFAULT_VERSION };
  const beta = headers["anthropic-beta"];
  if (apiKey?.startsWith(TOKEN_PREFIX)) {
    return {
      ...version,
      authorization: `Bearer ${apiKey}`,
      "anthropic-beta": [...(beta === undefined ? [] : [beta]), TOKEN_FEATURE].join(","),
    };
  }
  return {
    ...version,
    ...(apiKey === undefined ? {} : { "x-api-key": apiKey }),
    ...(beta === undefined ? {} : { "anthropic-beta": beta }),
  };
}

/** Errors when the answer is too long or breaks off; `onEnd` once, however it ends. */
function bounded(answer: Response, onEnd: () => void): ReadableStream<Uint8Array> {
  const reader = (answer.body ?? new ReadableStream({ start: (controller) => controller.close() })).getReader();
  let bytes = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done) {
            bytes += value.length;
            if (bytes > MAX_ANSWER_BYTES) throw new ModelCallError("MODEL_REFUSED", "The answer was too long and was cut off.");
            controller.enqueue(value);
            return;
          }
          onEnd();
          controller.close();
        } catch (error) {
          onEnd();
          await reader.cancel().catch(() => undefined);
          controller.error(error);
        }
      },
      async cancel(reason) {
        onEnd();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** The service's own words in its own form, short and without the key: agents show them to people. */
async function refusal(answer: Response, scrub: (text: string) => string): Promise<AnthropicAnswer> {
  const text = await readStart(answer);
  const { type, message } = errorOf(text);
  const retryAfter = answer.headers.get("retry-after");
  const words = scrub(message ?? `The model service answered ${answer.status}.`).slice(0, MAX_WORDS);
  return {
    status: answer.status,
    contentType: "application/json",
    ...(retryAfter !== null && /^\d{1,6}$/.test(retryAfter) ? { retryAfter } : {}),
    body: ReadableStream.from([Buffer.from(JSON.stringify({ type: "error", error: { type, message: words } }))]),
  };
}

async function readStart(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_REFUSAL_BYTES) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}

function errorOf(text: string): { readonly type: string; readonly message: string | undefined } {
  let error: unknown;
  try {
    error = (JSON.parse(text) as { error?: unknown } | null)?.error;
  } catch {}
  const { type, message } = Object(error) as { type?: unknown; message?: unknown };
  return {
    type: typeof type === "string" && /^[a-z_]{1,60}$/.test(type) ? type : "api_error",
    message: typeof message === "string" ? message : undefined,
  };
}

/** undici hides the reason one level down. */
function codeOf(error: unknown): string {
  const { code, cause } = Object(error) as { code?: unknown; cause?: unknown };
  const inner = (Object(cause) as { code?: unknown }).code;
  return typeof inner === "string" ? inner : typeof code === "string" ? code : "no connection";
}
