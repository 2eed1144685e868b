/** Every text in a value of a call, at any depth: names of fields, and bytes, which may be a file's. */
import { RefusedError } from "../domain/errors.ts";

export interface TextChange {
  text(text: string): string;
  bytes(bytes: Uint8Array): Uint8Array;
}

/** No model and no tool of ours asks for a tenth of it; a sandbox could send a value that cannot be walked through. */
const MAX_DEPTH = 100;

/** The same value where nothing was changed. Throws RefusedError LINK_PROTOCOL where it is nested too deeply. */
export function changeTexts<Value>(value: Value, change: TextChange): Value {
  return changed(value, change, 0) as Value;
}

function changed(value: unknown, change: TextChange, depth: number): unknown {
  if (typeof value === "string") return change.text(value);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return change.bytes(value);
  if (depth >= MAX_DEPTH) throw new RefusedError("LINK_PROTOCOL", `This is nested more than ${MAX_DEPTH} levels deep.`);
  if (Array.isArray(value)) {
    const parts = value.map((part: unknown) => changed(part, change, depth + 1));
    return parts.every((part, at) => part === value[at]) ? value : parts;
  }
  const fields = Object.entries(value);
  const others = fields.map(([name, field]) => [change.text(name), changed(field, change, depth + 1)] as const);
  return others.every(([name, field], at) => name === fields[at]?.[0] && field === fields[at][1]) ? value : Object.fromEntries(others);
}
