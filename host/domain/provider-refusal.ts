import type { ErrorCode } from "./errors.ts";

export interface ProviderRefusal {
  readonly code: Extract<ErrorCode, "MODEL_REFUSED" | "MODEL_INPUT_REFUSED" | "MODEL_UNREACHABLE">;
  readonly retryable: boolean;
  readonly hint: string;
}

/**
 * What an HTTP status other than success says about a model call. `MODEL_REFUSED`: the same call will be refused again until
 * somebody changes something. `MODEL_INPUT_REFUSED`: so will it, unless it says something else. `MODEL_UNREACHABLE`: the provider is busy or broken and may answer the same call later.
 */
export function refusalOfStatus(status: number): ProviderRefusal {
  if (status === 429) return later("The provider limits how often it may be called; raise the limit there, or call less often.");
  if (status === 408 || status === 425 || status >= 500) return later("The provider has a fault of its own; its status page may say more.");
  const code = INPUT_REFUSALS.has(status) ? "MODEL_INPUT_REFUSED" : "MODEL_REFUSED";
  return { code, retryable: false, hint: REFUSAL_HINTS[status] ?? hintOfOther(status) };
}

/**
 * Its words are about the key, and may have a part of it. Those of any other answer may be the call's own, which a sandbox wrote: were a
 * stretch of the key hidden in them, it could try the key out character by character.
 */
export function isAboutKey(status: number | undefined): boolean {
  return status === 401 || status === 403;
}

/** Statuses that speak of the call's content rather than of who makes it. */
const INPUT_REFUSALS: ReadonlySet<number> = new Set([400, 413, 422]);

const REFUSAL_HINTS: Readonly<Record<number, string>> = {
  400: "The provider does not take this call as it is; the model may lack tools, or the prompt may be too long for it.",
  401: "Check the model's key (HERMIT_MODEL_KEY).",
  402: "The account at the provider has no credit left.",
  403: "The key is known but may not use this model; check its rights at the provider.",
  404: "Check the model's name and the base URL, which for most providers ends in /v1.",
  413: "The prompt is too long for this model.",
};

function hintOfOther(status: number): string {
  if (status >= 300 && status < 400) return "The base URL points elsewhere; set it to the final address, redirects are not followed.";
  return "Check the [model] section of hermit.toml.";
}

function later(hint: string): ProviderRefusal {
  return { code: "MODEL_UNREACHABLE", retryable: true, hint };
}
