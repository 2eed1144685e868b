/**
 * The model wire: the AI SDK's gateway protocol, version 0.0.1, as its own gateway provider speaks it.
 *
 *   POST /v1/model/language-model   body: V4 call options as JSON, without the abort signal
 *                                   answer: SSE, one V4 stream part per `data:` line, then `[DONE]`
 *   errors: HTTP status + ModelError
 *
 * The body's schema is the door's own, because it is policy: what a sandbox may put into a call made with the host's key
 * (host/adapters/link-http2/model-call.ts). The `authorization` header is required by the provider and means nothing here: the stream is the identity.
 */
import * as z from "zod";

export const MODEL_BASE_PATH = "/v1/model";
export const MODEL_STEP_PATH = "/v1/model/language-model";
export const MODEL_ID_HEADER = "ai-language-model-id";

/**
 * On a message of a prompt, as its provider options: it belongs to an earlier turn. Providers do not know the name and pass it over; models
 * of our own that look for what is unanswered start behind it.
 */
export const EARLIER = { hermit: { earlier: true } } as const;

export function isEarlier({ providerOptions }: { readonly providerOptions?: Readonly<Record<string, unknown>> | undefined }): boolean {
  return (providerOptions?.["hermit"] as { earlier?: unknown } | undefined)?.earlier === true;
}

export const ModelErrorType = z.enum([
  "authentication_error",
  "invalid_request_error",
  "rate_limit_exceeded",
  "model_not_found",
  "forbidden",
  "internal_server_error",
]);
export type ModelErrorType = z.infer<typeof ModelErrorType>;

export const ModelError = z.strictObject({ error: z.strictObject({ message: z.string(), type: ModelErrorType }) });
export type ModelError = z.infer<typeof ModelError>;
