/**
 * A leased secret's wrapping: tweetnacl's box, from a key pair made for this one answer to the key the runner made for its turn.
 *
 * Key and plain bytes are zeroed; the value itself is a string, which this runtime cannot overwrite.
 */
import nacl from "tweetnacl";
import { RefusedError } from "../domain/errors.ts";

export interface SealedAnswer {
  /** In base64, as everything here. */
  readonly sealed: string;
  readonly nonce: string;
  readonly publicKey: string;
}

/** Throws RefusedError LEASE_REFUSED for a key under which anybody could open it. */
export type SealLease = (value: string, publicKey: Uint8Array) => SealedAnswer;

/** `random`: that many bytes nobody can foresee. */
export function leaseSealer(random: (bytes: number) => Uint8Array): SealLease {
  return (value, publicKey) => {
    const own = nacl.box.keyPair.fromSecretKey(random(nacl.box.secretKeyLength));
    // A point of low order makes the same shared secret with every key: nothing but zeros.
    const shared = nacl.scalarMult(own.secretKey, publicKey);
    const isWeak = shared.every((byte) => byte === 0);
    shared.fill(0);
    if (isWeak) throw new RefusedError("LEASE_REFUSED", "The public key is weak: what is sealed to it anybody could open.");
    const nonce = random(nacl.box.nonceLength);
    const plain = Buffer.from(value);
    const sealed = nacl.box(plain, nonce, publicKey, own.secretKey);
    plain.fill(0);
    own.secretKey.fill(0);
    return { sealed: base64(sealed), nonce: base64(nonce), publicKey: base64(own.publicKey) };
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
