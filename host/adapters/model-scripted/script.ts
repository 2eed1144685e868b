/**
 * The script a scripted model plays, and how it is read from a file.
 *
 * JSON (`.json`): `{ "loop": false, "steps": [ … ] }` or just the array of steps. JSON lines (`.jsonl`, `.ndjson`): a step a
 * line; a first line `{ "loop": true }` makes it begin again after its end. Empty lines are passed over.
 */
import { readFileSync, statSync } from "node:fs";
import * as z from "zod";
import { RefusedError } from "../../domain/errors.ts";

export const ScriptStep = z
  .strictObject({
    /** Said in one piece. */
    text: z.string().optional(),
    /** Said in these pieces; instead of `text`. */
    deltas: z.array(z.string()).optional(),
    toolCalls: z.array(z.strictObject({ name: z.string().min(1), input: z.unknown() })).optional(),
    /** Milliseconds before the first part. Default 0. */
    delayMs: z.number().nonnegative().max(3_600_000).optional(),
    /** Alone: the call is refused. After text, deltas or tool calls: the stream breaks off with it. `status` is an HTTP status. */
    error: z.strictObject({ status: z.int().min(300).max(599), message: z.string() }).optional(),
    /** The step is played only where all of this holds, and then before the steps without a condition. */
    when: z
      .strictObject({
        /** Part of the last user message as the model receives it, wrapper and escapes included. */
        lastUserContains: z.string().min(1).optional(),
        /** Steps the model has taken in this turn before. */
        step: z.int().nonnegative().optional(),
      })
      .optional(),
  })
  .refine((step) => step.text === undefined || step.deltas === undefined, { error: "text and deltas exclude each other" })
  .refine((step) => step.text !== undefined || step.deltas !== undefined || step.toolCalls !== undefined || step.error !== undefined, {
    error: 'a step needs text, deltas, toolCalls or error; to say nothing write "text": ""',
  });
export type ScriptStep = z.infer<typeof ScriptStep>;

export const Script = z.strictObject({ loop: z.boolean().default(false), steps: z.array(ScriptStep).min(1) });
export type Script = z.infer<typeof Script>;

const LoopLine = z.strictObject({ loop: z.boolean() });

/** A script is held in memory as a whole. */
const MAX_SCRIPT_BYTES = 16 * 1024 * 1024;

/** Throws RefusedError (CONFIG_INVALID) naming file, line and what to do. */
export function loadScript(path: string): Script {
  const text = readScriptFile(path);
  return /\.(?:jsonl|ndjson)$/i.test(path) ? parseLines(path, text) : parseDocument(path, text);
}

function readScriptFile(path: string): string {
  let bytes: number;
  try {
    bytes = statSync(path).size;
    if (bytes <= MAX_SCRIPT_BYTES) return readFileSync(path, "utf8");
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new RefusedError("CONFIG_INVALID", `script ${path}: cannot be read (${reason}).`, {
      hint: "Give the path of an existing script file, JSON or JSON lines.",
      cause,
    });
  }
  throw wrong(path, 1, `the file has ${bytes} bytes, more than ${MAX_SCRIPT_BYTES}`, "Split it into shorter scripts.");
}

function parseLines(path: string, text: string): Script {
  const steps: ScriptStep[] = [];
  let loop: boolean | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const value = parseJson(path, line, index);
    const header = steps.length === 0 && loop === undefined ? LoopLine.safeParse(value) : undefined;
    if (header?.success === true) {
      loop = header.data.loop;
      continue;
    }
    steps.push(parseStep(path, index + 1, value));
  }
  if (steps.length === 0) throw wrong(path, 1, "there is no step in it", 'Write at least one, for example {"text": "hello"}.');
  return { loop: loop ?? false, steps };
}

function parseStep(path: string, line: number, value: unknown): ScriptStep {
  const parsed = ScriptStep.safeParse(value);
  if (!parsed.success) throw invalid(path, line, parsed.error);
  return parsed.data;
}

function parseDocument(path: string, text: string): Script {
  const value = parseJson(path, text, 0);
  const isArray = Array.isArray(value);
  const parsed = Script.safeParse(isArray ? { steps: value } : value);
  if (parsed.success) return parsed.data;
  const [field, step] = parsed.error.issues[0]?.path ?? [];
  const line = field === "steps" && typeof step === "number" ? lineOfElement(text, isArray ? 1 : 2, step) : 1;
  throw invalid(path, line, parsed.error);
}

function parseJson(path: string, text: string, linesBefore: number): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw wrong(
      path,
      linesBefore + lineOfFault(text),
      `not JSON: ${(cause as Error).message.replace(/\s+/g, " ")}`,
      "Correct the JSON there.",
    );
  }
}

/** JSON.parse does not always say where. The fault is on the first line that text up to and with it fails by more than being cut off. */
function lineOfFault(text: string): number {
  const lines = text.trimEnd().split("\n");
  let [low, high] = [1, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isFaulty(`${lines.slice(0, middle).join("\n")}\n`)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function isFaulty(prefix: string): boolean {
  try {
    JSON.parse(prefix);
    return false;
  } catch (error) {
    const { message } = error as Error;
    const position = / at position (\d+)/.exec(message)?.[1];
    return !message.startsWith("Unexpected end of JSON input") && (position === undefined || Number(position) < prefix.length);
  }
}

/** The line on which the n-th object opens at this depth of nesting; only called on text that is JSON. */
function lineOfElement(text: string, depth: number, wanted: number): number {
  let open = 0;
  let seen = -1;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token === "{" && open === depth && ++seen === wanted) return text.slice(0, index).split("\n").length;
    if (token === "{" || token === "[") open += 1;
    if (token === "}" || token === "]") open -= 1;
  }
  return 1;
}

function invalid(path: string, line: number, error: z.ZodError): RefusedError {
  const [issue] = error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
  const hint =
    "A step may have text or deltas, toolCalls [{name, input}], delayMs, error {status, message}, when {lastUserContains, step}.";
  return wrong(path, line, `${place}${issue?.message ?? "not a step"}`, hint);
}

function wrong(path: string, line: number, what: string, hint: string): RefusedError {
  return new RefusedError("CONFIG_INVALID", `script ${path}, line ${line}: ${what}.`, { hint });
}
