/**
 * Secrets as one sealed text: tweetnacl's secretbox around all of them, names included. What shows is how long it all is, and which key opens
 * it, by a hash that tells nothing about the key.
 *
 * Keys and plain text in buffers are zeroed after use. The values themselves are strings, which this runtime cannot overwrite: they stay in
 * memory until it reuses the place.
 */
import { createHash, randomBytes } from "node:crypto";
import nacl from "tweetnacl";
import * as z from "zod";

const VERSION = 1;
const HINT_CHARACTERS = 16;

const Sealed = z.strictObject({
  v: z.literal(VERSION),
  /** Which key, see `hintOf`. */
  key: z.hex().length(HINT_CHARACTERS),
  nonce: z.base64().length(Math.ceil(nacl.secretbox.nonceLength / 3) * 4),
  sealed: z.base64(),
});
export type Sealed = z.infer<typeof Sealed>;

const Entry = z.strictObject({
  name: z.string(),
  value: z.string(),
  /** Epoch milliseconds. */
  changedAt: z.int(),
});
export type Entry = z.infer<typeof Entry>;
const Entries = z.array(Entry);

export function seal(entries: readonly Entry[], key: Uint8Array): string {
  const nonce = randomBytes(nacl.secretbox.nonceLength);
  const plain = Buffer.from(JSON.stringify(entries));
  const sealed = Buffer.from(nacl.secretbox(plain, nonce, key));
  plain.fill(0);
  const text: Sealed = { v: VERSION, key: hintOf(key), nonce: nonce.toString("base64"), sealed: sealed.toString("base64") };
  return `${JSON.stringify(text)}\n`;
}

/** `fault` reads on from "the store …". */
export function parseSealed(text: string): Sealed | { readonly fault: string } {
  try {
    const json: unknown = JSON.parse(text);
    const parsed = Sealed.safeParse(json);
    if (parsed.success) return parsed.data;
    const version: unknown = Object(json).v;
    if (typeof version === "number" && version > VERSION) return { fault: "was written by a newer version of Hermit" };
  } catch {}
  return { fault: "is damaged" };
}

export function isSealedWith(sealed: Sealed, key: Uint8Array): boolean {
  return sealed.key === hintOf(key);
}

/** Undefined: it was changed since it was sealed. */
export function unseal({ nonce, sealed }: Sealed, key: Uint8Array): readonly Entry[] | undefined {
  const plain = nacl.secretbox.open(Buffer.from(sealed, "base64"), Buffer.from(nonce, "base64"), key);
  if (plain === null) return undefined;
  try {
    return Entries.parse(JSON.parse(Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength).toString("utf8")));
  } catch {
    // Nobody who has the key writes anything else, and what the parser says would quote it.
    return undefined;
  } finally {
    plain.fill(0);
  }
}

function hintOf(key: Uint8Array): string {
  return createHash("sha256").update("hermit seal key\0").update(key).digest("hex").slice(0, HINT_CHARACTERS);
}
