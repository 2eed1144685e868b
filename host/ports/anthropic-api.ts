/**
 * Anthropic's API, for the agent the compatibility runner plays turns with: a call goes out with the host's key, its answer comes
 * back as it is. What a sandbox may put into a call is checked before (host/adapters/link-http2/anthropic-call.ts).
 */
import type { AnthropicHeader, AnthropicPath } from "../../contracts/wire/anthropic.ts";

export interface AnthropicCall {
  readonly path: AnthropicPath;
  readonly headers: Readonly<Partial<Record<AnthropicHeader, string>>>;
  readonly body: object;
}

export interface AnthropicAnswer {
  readonly status: number;
  readonly contentType: string;
  /** Seconds the service asks to wait. */
  readonly retryAfter?: string;
  /** Bounded, and without the key. */
  readonly body: ReadableStream<Uint8Array>;
}

export interface AnthropicApi {
  /** Rejects with ModelCallError when the service was not reached; its own refusals are answers. The signal ends the call. */
  call(call: AnthropicCall, signal: AbortSignal): Promise<AnthropicAnswer>;
}
