/**
 * Parses JSON a sandbox wrote. What it would become is bounded first, on the bytes: a few megabytes hold millions of values, and each costs
 * a hundred times its two bytes once it is parsed, and far more where a schema finds something wrong with every one of them.
 */
import * as z from "zod";

/** Nine times what a turn of 64 steps with four calls each sends, signed reasoning included. */
const MAX_VALUES = 50_000;
/** Schemas and JSON.stringify go down by recursion. */
const MAX_DEPTH = 100;

/** The value, or the end of a sentence on what is wrong with it. */
type Parsed<T> = { readonly value: T } | { readonly wrong: string };

export function parseUntrusted<T>(schema: z.ZodType<T>, bytes: Buffer): Parsed<T> {
  const excess = excessOf(bytes);
  if (excess !== undefined) return { wrong: excess };
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch {
    return { wrong: "is not JSON" };
  }
  const parsed = schema.safeParse(value);
  return parsed.success ? { value: parsed.data } : { wrong: firstIssue(parsed.error) };
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPENING: readonly unknown[] = [0x5b, 0x7b];
const CLOSING: readonly unknown[] = [0x5d, 0x7d];

/** Items and fields are what stands behind an opening bracket or a comma. Bytes that are not JSON may count as anything: they are refused anyway. */
function excessOf(bytes: Buffer): string | undefined {
  let values = 0;
  let depth = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      for (at++; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if (byte === COMMA) values++;
    else if (OPENING.includes(byte)) {
      values++;
      depth++;
    } else if (CLOSING.includes(byte)) depth--;
    if (values > MAX_VALUES) return `holds more than ${MAX_VALUES} values`;
    if (depth > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH}`;
  }
  return undefined;
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return "has the wrong shape";
  const where = issue.path.length === 0 ? "is wrong" : `is wrong at \`${issue.path.map(String).join(".").slice(0, 120)}\``;
  return `${where}: ${issue.message.slice(0, 300)}`;
}

/** Read only up to the first item that is wrong. An array of zod's own names each, and naming ten thousand takes a tenth of a second. */
export function listOf<T>(item: z.ZodType<T>, { least = 0, most = MAX_VALUES }: { least?: number; most?: number } = {}) {
  return z
    .array(z.unknown())
    .min(least)
    .max(most)
    .transform((items, context): T[] => {
      const read: T[] = [];
      for (const [at, one] of items.entries()) {
        const parsed = item.safeParse(one);
        if (parsed.success) read.push(parsed.data);
        else {
          const [issue] = parsed.error.issues;
          context.addIssue({ code: "custom", message: issue?.message ?? "not as described", path: [at, ...(issue?.path ?? [])] });
          return z.NEVER;
        }
      }
      return read;
    });
}
