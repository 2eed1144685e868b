/** What a secret may be. */
import { isUtf8 } from "node:buffer";

/** The longest in use, certificates with their keys, have 8 KiB. */
export const MAX_VALUE_BYTES = 16 * 1024;

/** One newline at the end is the editor's, not the secret's. `fault` reads on from "the value …". The bytes stay the caller's to zero. */
export function parseValue(bytes: Uint8Array): { readonly value: string } | { readonly fault: string } {
  if (!isUtf8(bytes)) return { fault: "is not UTF-8 text" };
  const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString("utf8")
    .replace(/\r?\n$/, "");
  if (value === "") return { fault: "is empty" };
  if (value.includes("\0")) return { fault: "holds a NUL character" };
  return Buffer.byteLength(value) > MAX_VALUE_BYTES ? { fault: `is longer than ${MAX_VALUE_BYTES / 1024} KiB` } : { value };
}
