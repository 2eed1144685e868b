/**
 * The secret wire, version 1: a leased secret's way into a sandbox.
 *
 *   POST /v1/secret/redeem   Redeem → SealedSecret
 *
 * The ticket comes with `start`; it is good once, for this turn, until the lease ends. The value is sealed (tweetnacl box) from a key pair
 * the host makes for this one answer to the key the runner made for this turn.
 */
import * as z from "zod";

export const REDEEM_PATH = "/v1/secret/redeem";

const Bytes = (length: number) =>
  z.base64().refine((text) => Buffer.from(text, "base64").length === length, { error: `must be ${length} bytes in base64` });

export const Redeem = z.strictObject({
  /** 32 random bytes. */
  ticket: Bytes(32),
  /** X25519. */
  publicKey: Bytes(32),
});
export type Redeem = z.infer<typeof Redeem>;

export const SealedSecret = z.strictObject({
  sealed: z.base64(),
  nonce: Bytes(24),
  /** X25519, the host's. */
  publicKey: Bytes(32),
  /** Epoch milliseconds; the runner forgets it then. */
  expiresAt: z.int(),
});
export type SealedSecret = z.infer<typeof SealedSecret>;
