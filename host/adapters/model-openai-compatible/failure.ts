/**
 * Failures of the library and the provider as errors of ours.
 *
 * The original is never kept as `cause`: it holds the request's body and the response, and whoever prints it whole would
 * print those. What is useful of it is copied, scrubbed and cut.
 */
import { ModelCallError } from "../../domain/errors.ts";
import { isAboutKey, refusalOfStatus } from "../../domain/provider-refusal.ts";

export interface FailureSubject {
  readonly modelId: string;
  /** Where the provider is, for people. */
  readonly address: string;
  readonly scrub: (text: string) => string;
  /** For words about the key. */
  readonly scrubOfKey: (text: string) => string;
}

/** What we read of the library's errors and of a provider's error object; everything may be missing. */
interface FailureShape {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly code?: unknown;
  readonly cause?: unknown;
  readonly statusCode?: unknown;
  readonly data?: unknown;
  readonly responseBody?: unknown;
  readonly responseHeaders?: Readonly<Record<string, string>>;
}

export function describeFailure(error: unknown, subject: FailureSubject): ModelCallError {
  if (error instanceof ModelCallError) return error;
  const failure: FailureShape = typeof error === "object" && error !== null ? error : { message: error };
  const where = `${subject.modelId}: ${subject.address}`;
  const status = statusOf(failure);
  const say = (words: unknown): string => quote(words, isAboutKey(status) ? subject.scrubOfKey : subject.scrub);
  if (status !== undefined) {
    const { code, retryable, hint } = refusalOfStatus(status);
    return new ModelCallError(code, `${where} answered ${status}${say(wordsOf(failure))}.${waitOf(failure)}`, { hint, retryable });
  }
  if (isNetworkFault(failure)) {
    const code = networkCode(failure);
    const what = failure.statusCode === undefined ? "could not be reached" : "broke off";
    return unreachable(`${where} ${what}${code === undefined ? "" : ` (${code})`}${say(deepestMessage(failure))}.`, networkHint(code));
  }
  if (!(error instanceof Error)) return unreachable(`${where} reported a fault in its stream${say(failure.message ?? error)}.`);
  if (ANSWER_FAULTS.has(error.name)) return unreachable(`${where} broke off or sent no complete chat completion stream.`, ANSWER_HINT);
  return new ModelCallError("MODEL_REFUSED", `${subject.modelId}: the call cannot be put into this provider's form${say(error.message)}.`, {
    hint: "The prompt or a tool uses something this kind of provider does not take.",
  });
}

/** The library's names for an answer it cannot read. Their messages repeat the answer, so they are not quoted. */
const ANSWER_FAULTS = new Set(["AI_JSONParseError", "AI_TypeValidationError", "AI_InvalidResponseDataError", "AI_EmptyResponseBodyError"]);
const ANSWER_HINT = "If it happens every time, check the base URL, which for most providers ends in /v1.";

function unreachable(message: string, hint = networkHint()): ModelCallError {
  return new ModelCallError("MODEL_UNREACHABLE", message, { hint, retryable: true });
}

function networkHint(code = ""): string {
  return NETWORK_HINTS[code] ?? "Check the network and the provider.";
}

const NETWORK_HINTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Nothing listens there; start the model server or correct the base URL.",
  ENOTFOUND: "The name does not resolve; check the base URL and the network.",
  EAI_AGAIN: "The name server does not answer; check the network.",
  DEPTH_ZERO_SELF_SIGNED_CERT: "Its certificate is not trusted; add it with NODE_EXTRA_CA_CERTS.",
  SELF_SIGNED_CERT_IN_CHAIN: "Its certificate is not trusted; add it with NODE_EXTRA_CA_CERTS.",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "Its certificate is not trusted; add it with NODE_EXTRA_CA_CERTS.",
  CERT_HAS_EXPIRED: "Its certificate has expired, or this machine's clock is wrong.",
};

/** Also of an error object inside a stream that began with 200: some providers put the status into its `code`. */
function statusOf({ statusCode, code }: FailureShape): number | undefined {
  const status = statusCode ?? code;
  return typeof status === "number" && Number.isInteger(status) && status >= 300 && status <= 599 ? status : undefined;
}

/** An APICallError without a refusing status: never connected, or cut after 200. */
function isNetworkFault({ name }: FailureShape): boolean {
  return name === "AI_APICallError";
}

function* causes(failure: FailureShape): Generator<FailureShape> {
  let current: unknown = failure;
  for (let depth = 0; depth < 8 && typeof current === "object" && current !== null; depth++) {
    yield current;
    current = (current as FailureShape).cause;
  }
}

function networkCode(failure: FailureShape): string | undefined {
  for (const { code } of causes(failure)) if (typeof code === "string" && /^[A-Z0-9_]{3,60}$/.test(code)) return code;
  return undefined;
}

function deepestMessage(failure: FailureShape): unknown {
  return Array.from(causes(failure)).findLast((cause) => typeof cause.message === "string" && cause.message !== "")?.message;
}

/** The provider's own sentence, else the start of its body unless that is a web page. */
function wordsOf({ message, data, responseBody }: FailureShape): unknown {
  if (data !== undefined || typeof responseBody !== "string" || responseBody.trim() === "") return message;
  return /^\s*</.test(responseBody) ? undefined : responseBody;
}

function waitOf({ responseHeaders }: FailureShape): string {
  const seconds = responseHeaders?.["retry-after"];
  return seconds !== undefined && /^\d{1,6}$/.test(seconds) ? ` It asks to wait ${seconds} s.` : "";
}

const MAX_WORDS = 300;

function quote(words: unknown, scrub: (text: string) => string): string {
  if (typeof words !== "string" || words.trim() === "") return "";
  const characters = Array.from(
    scrub(words)
      .replace(/[\s\p{Cc}]+/gu, " ")
      .trim()
      .replace(/[.:\s]+$/, ""),
  );
  return `: ${characters.slice(0, MAX_WORDS).join("")}${characters.length > MAX_WORDS ? "…" : ""}`;
}
