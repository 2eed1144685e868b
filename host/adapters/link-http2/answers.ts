/**
 * What the sandbox is told. A refusal we raise on purpose is passed on in words; anything else is one fixed sentence, so
 * that no path, key or stack of the host is ever part of an answer.
 */
import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { REFUSAL_HEADER } from "../../../contracts/wire/egress.ts";
import type { ModelError, ModelErrorType } from "../../../contracts/wire/model.ts";
import type { Refusal } from "../../../contracts/wire/turn.ts";
import { describeError, type HostError, isHostError } from "../../domain/errors.ts";

/** The link itself says no: wrong path, shape or size. The sandbox may go on with other requests. */
export class DoorRefusal extends Error {
  override readonly name = "DoorRefusal";
  readonly status: number;
  readonly code: string;
  constructor(status: number, message: string, code = "LINK_PROTOCOL") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface Denial {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

export function denialFor(error: unknown): Denial {
  if (error instanceof DoorRefusal) return { status: error.status, code: error.code, message: error.message };
  // A store that fails stops the host; its message may name files, and the sandbox can do nothing with it.
  if (!isHostError(error) || error.name === "StoreError") {
    return { status: 500, code: "INTERNAL", message: "The host could not do this." };
  }
  const denial = { code: error.code, message: error.message };
  if (error.name === "RefusedError") return { status: 403, ...denial };
  if (error.name === "ModelCallError") return { status: modelStatus(error), ...denial };
  return { status: 409, ...denial };
}

const EGRESS_STATUSES: Partial<Record<string, number>> = {
  EGRESS_PROTOCOL: 400,
  EGRESS_DENIED: 403,
  SECRET_SHOWN: 403,
  DECOY_TAKEN: 403,
  SECRET_UNKNOWN: 403,
  SECRET_STORE_UNUSABLE: 403,
  EGRESS_LIMIT: 429,
  EGRESS_UNREACHABLE: 502,
};
const TOO_SLOW = 504;

export function egressDenialFor(error: unknown): Denial {
  const status = isHostError(error) ? EGRESS_STATUSES[error.code] : undefined;
  if (!isHostError(error) || status === undefined) return denialFor(undefined);
  const isTooSlow = error.cause instanceof Error && error.cause.name === "TimeoutError";
  return { status: isTooSlow ? TOO_SLOW : status, code: error.code, message: describeError(error) };
}

/** The status is all the runner has to tell a passing fault (429, 5xx) from a lasting one. */
function modelStatus(error: HostError): number {
  if (error.retryable) return error.code === "MODEL_REFUSED" ? 429 : 503;
  return error.code === "MODEL_UNKNOWN" ? 404 : 400;
}

/** Never `authentication_error`: the library replaces the message of that one by advice about its own service. */
function modelErrorType(status: number): ModelErrorType {
  if (status >= 500) return "internal_server_error";
  if (status === 429) return "rate_limit_exceeded";
  if (status === 404) return "model_not_found";
  return status === 403 || status === 409 ? "forbidden" : "invalid_request_error";
}

export function answerJson(stream: ServerHttp2Stream, status: number, body: object): void {
  answer(stream, { ":status": status, "content-type": "application/json" }, JSON.stringify(body));
}

export function answerEmpty(stream: ServerHttp2Stream): void {
  answer(stream, { ":status": 204 });
}

/** Of what was asked of the world outside, for whichever program asked: words, and the code beside them. */
export function answerEgressRefusal(stream: ServerHttp2Stream, { status, code, message }: Denial): void {
  const head = { ":status": status, "content-type": "text/plain; charset=utf-8", [REFUSAL_HEADER]: code };
  answer(stream, head, `${message}\n`);
}

export function answerRefusal(stream: ServerHttp2Stream, denial: Denial): void {
  const refusal: Refusal = { code: denial.code, message: denial.message };
  answerJson(stream, denial.status, refusal);
}

export function answerModelError(stream: ServerHttp2Stream, denial: Denial): void {
  const error: ModelError = { error: { message: denial.message, type: modelErrorType(denial.status) } };
  answerJson(stream, denial.status, error);
}

/** In the form of Anthropic's own errors, which the agent's library shows. */
export function answerAnthropicError(stream: ServerHttp2Stream, { status, message }: Denial): void {
  const type =
    status >= 500 ? "api_error" : status === 429 ? "rate_limit_error" : status === 403 ? "permission_error" : "invalid_request_error";
  answerJson(stream, status, { type: "error", error: { type, message } });
}

function answer(stream: ServerHttp2Stream, head: OutgoingHttpHeaders, body?: string): void {
  if (stream.destroyed || stream.closed) return;
  // An answer that has begun cannot be taken back; broken off, it says that it is not whole. (`close` would end it in order first.)
  if (stream.headersSent) {
    stream.destroy(new Error("the answer could not be finished"));
    return;
  }
  closeAfterAnswer(stream);
  stream.respond(head);
  stream.end(body);
}

/** Of a request whose body is not read to its end: the reset tells the sender to stop, after the answer has left. */
export function closeAfterAnswer(stream: ServerHttp2Stream): void {
  stream.once("finish", () => {
    if (!stream.readableEnded && !stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
  });
}
