/**
 * Who wrote the log: an Ed25519 key (RFC 8032).
 *
 * tweetnacl signs, and is loaded with the first signature: a host with little to record never needs it. Node's own cryptography judges
 * signatures, a whole log in a fortieth of the time: what the one says the other must confirm.
 */
import { createPrivateKey, createPublicKey, randomBytes, verify } from "node:crypto";

/** Of a record's hash, as hex. */
export type Sign = (hash: string) => string;

const SEED_BYTES = 32;
const SECRET_BYTES = 64;
const PKCS8_HEADER = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI_HEADER = Buffer.from("302a300506032b6570032100", "hex");

/** A new secret as tweetnacl has it: seed, then public key. */
export function makeSecret(): Buffer {
  const seed = randomBytes(SEED_BYTES);
  return Buffer.concat([seed, publicHalf(seed)]);
}

/** As hex. Undefined: this is no secret, or its halves do not belong together. */
export function publicKeyOf(secret: Uint8Array): string | undefined {
  if (secret.length !== SECRET_BYTES) return undefined;
  const stated = Buffer.from(secret.subarray(SEED_BYTES));
  return publicHalf(secret.subarray(0, SEED_BYTES)).equals(stated) ? stated.toString("hex") : undefined;
}

export async function loadSigner(secret: Uint8Array): Promise<Sign> {
  const { default: nacl } = await import("tweetnacl");
  return (hash) => Buffer.from(nacl.sign.detached(signedBytes(hash), secret)).toString("hex");
}

/** `key`: a public key, hex. */
export function isSignedBy(key: string, hash: string, signature: string): boolean {
  const publicKey = createPublicKey({
    key: Buffer.concat([SPKI_HEADER, Buffer.from(key, "hex")]),
    format: "der",
    type: "spki",
  });
  return verify(null, signedBytes(hash), publicKey, Buffer.from(signature, "hex"));
}

function signedBytes(hash: string): Uint8Array {
  return new TextEncoder().encode(`hermit-audit:${hash}`);
}

function publicHalf(seed: Uint8Array): Buffer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEADER, seed]), format: "der", type: "pkcs8" });
  return createPublicKey(key).export({ format: "der", type: "spki" }).subarray(SPKI_HEADER.length);
}
