/**
 * Secrets out of whatever leaves the house: those that are configured, in every form they are known to take (leak-scanner.ts), and whatever
 * has the shape of one (key-shapes.ts).
 */
import { KEY_SHAPES } from "./key-shapes.ts";
import { createScrubber } from "./leak-scanner.ts";

export type Redact = (text: string) => string;

/** `secrets`: the configured ones. For what only the owner reads: stretches of a secret are replaced too. */
export function createRedactor(secrets: readonly string[]): Redact {
  const scrub = createScrubber(secrets, false);
  return (text) => redactShapes(scrub(text));
}

/** Without knowing a single secret. */
export function redactShapes(text: string): string {
  return KEY_SHAPES.reduce((rest, [shape, replacement]) => rest.replace(shape, replacement), text);
}

/** A JSON value with every text in it redacted, names of fields included. */
export function redactJson(value: unknown, redact: Redact): unknown {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map((one) => redactJson(one, redact));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [redact(key), redactJson(one, redact)]));
}
