/**
 * Secrets out of whatever leaves the house: those that are configured, in every form they are known to take (key-scrubber.ts), and whatever
 * has the shape of one. Another shape is another line in SHAPES.
 */
import { createScrubber } from "./key-scrubber.ts";

export type Redact = (text: string) => string;

const MARK = "[secret]";

/** What a match is replaced by where it is not the mark alone: the words that say what stood there are kept. */
const SHAPES: readonly (readonly [shape: RegExp, replacement: string])[] = [
  // A block that is cut off is still a key.
  [/-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(?:-----END [A-Z0-9 ]+-----|$)/g, MARK],
  // OpenAI, Anthropic and who else begins so.
  [/\bsk-[A-Za-z0-9_-]{16,}/g, MARK],
  // GitHub, GitLab.
  [/\b(?:gh[a-z]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,})/g, MARK],
  // Amazon, Google, Slack.
  [/\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b/g, MARK],
  [/\bAIza[A-Za-z0-9_-]{24,}/g, MARK],
  [/\bxox[a-z]-[A-Za-z0-9-]{10,}/g, MARK],
  // JSON Web Tokens.
  [/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?/g, MARK],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{16,}/gi, `$1 ${MARK}`],
  [/(:\/\/[^\s/:@]*:)[^\s/@]+@/g, `$1${MARK}@`],
];

/** `secrets`: the configured ones. */
export function createRedactor(secrets: readonly string[]): Redact {
  const scrub = createScrubber(secrets);
  return (text) => SHAPES.reduce((rest, [shape, replacement]) => rest.replace(shape, replacement), scrub(text));
}

/** A JSON value with every text in it redacted, names of fields included. */
export function redactJson(value: unknown, redact: Redact): unknown {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map((one) => redactJson(one, redact));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [redact(key), redactJson(one, redact)]));
}
