/**
 * The Anthropic wire: what NanoClaw's old agent asks of its model service, passed on through the host, which holds the key.
 *
 *   POST /v1/anthropic/v1/messages, /v1/anthropic/v1/messages/count_tokens
 *        body, answer and errors as Anthropic's API has them; of the headers only those named here pass
 *
 * Served to turns of the compatibility runner only. The body's schema is the door's own (host/adapters/link-http2/anthropic-call.ts).
 */
export const ANTHROPIC_BASE_PATH = "/v1/anthropic";
export const ANTHROPIC_PATHS = ["/v1/messages", "/v1/messages/count_tokens"] as const;
export type AnthropicPath = (typeof ANTHROPIC_PATHS)[number];
export const ANTHROPIC_HEADERS = ["anthropic-version", "anthropic-beta"] as const;
export type AnthropicHeader = (typeof ANTHROPIC_HEADERS)[number];

/** The service path of a path on the link; undefined: no such door. */
export function anthropicPath(path: string): AnthropicPath | undefined {
  return ANTHROPIC_PATHS.find((known) => path === ANTHROPIC_BASE_PATH + known);
}
