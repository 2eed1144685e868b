/** Fields as a line of the log holds them: without secrets, of bounded size, and of characters that do nothing to whoever reads them. */
import { firstCharacters } from "../../domain/bounded-text.ts";
import type { Redact } from "../../domain/redaction.ts";

const MAX_TEXT_CHARACTERS = 2_000;
/** What is looked through for secrets: far more than is written, so that none is cut in two where it would show. */
const MAX_GIVEN_CHARACTERS = 32_000;
const MAX_ENTRIES = 50;
const MAX_DEPTH = 5;
/** Of one line, all fields together. */
const MAX_TEXTS = 500;

/** Controls but for tab and line feed, which JSON writes as escapes; what turns text around; line ends of other worlds. */
const UNSAFE = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function writtenFields(fields: object, redact: Redact): Record<string, unknown> {
  const written = new Writer(redact).value(fields, 0);
  return typeof written === "object" && written !== null && !Array.isArray(written)
    ? (written as Record<string, unknown>)
    : { fields: written };
}

export function writtenText(text: string, redact: Redact): string {
  const given = firstCharacters(text, MAX_GIVEN_CHARACTERS);
  const safe = redact(given).replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  if (safe.length <= MAX_TEXT_CHARACTERS && given.length === text.length) return safe;
  return `${firstCharacters(safe, MAX_TEXT_CHARACTERS)}… (${text.length} characters)`;
}

/** Nothing a caller gives may end the host or fill its disk: neither a ring, nor a getter that throws, nor a million entries. */
class Writer {
  readonly #redact: Redact;
  #texts = 0;

  constructor(redact: Redact) {
    this.#redact = redact;
  }

  value(given: unknown, depth: number): unknown {
    if (typeof given === "string") return this.#text(given);
    if (typeof given === "bigint") return String(given);
    if (typeof given === "function" || typeof given === "symbol") return undefined;
    if (typeof given !== "object" || given === null) return given;
    if (depth > MAX_DEPTH) return "(deeper)";
    try {
      return this.#thing(given, depth);
    } catch {
      return "(unreadable)";
    }
  }

  #thing(given: object, depth: number): unknown {
    if (given instanceof Error) return this.#entries(Object.entries(partsOf(given)), depth);
    if (ArrayBuffer.isView(given)) return `(${given.byteLength} bytes)`;
    // Before its fields: a secret says by it what may be known of it.
    if ("toJSON" in given && typeof given.toJSON === "function") return this.value(given.toJSON(), depth + 1);
    if (Array.isArray(given)) return this.#list(given, depth);
    return this.#entries(Object.entries(given), depth);
  }

  #list(given: readonly unknown[], depth: number): unknown[] {
    const some = given.slice(0, MAX_ENTRIES).map((one) => this.value(one, depth + 1));
    return given.length > MAX_ENTRIES ? [...some, `(${given.length} entries)`] : some;
  }

  #entries(given: readonly (readonly [string, unknown])[], depth: number): Record<string, unknown> {
    const some = given.slice(0, MAX_ENTRIES).map(([name, value]) => [this.#text(name), this.value(value, depth + 1)] as const);
    return Object.fromEntries(given.length > MAX_ENTRIES ? [...some, ["…", `(${given.length} entries)`]] : some);
  }

  #text(text: string): string {
    return ++this.#texts > MAX_TEXTS ? "(more)" : writtenText(text, this.#redact);
  }
}

/** Its name, message, stack and cause are no fields like others. */
function partsOf(error: Error): Record<string, unknown> {
  const { name, message, stack, cause } = error;
  const several = error instanceof AggregateError ? { errors: error.errors as unknown } : {};
  return { ...error, name, message, stack, ...(cause === undefined ? {} : { cause }), ...several };
}
