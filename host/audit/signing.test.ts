import nacl from "tweetnacl";
import { expect, test } from "vitest";
import { isSignedBy, loadSigner, makeSecret, publicKeyOf } from "./signing.ts";

const HASH = "ab".repeat(32);

test("a key made here is one of tweetnacl's, and its signature is good by tweetnacl and by Node", async () => {
  const secret = makeSecret();
  const pair = nacl.sign.keyPair.fromSecretKey(secret);
  expect(publicKeyOf(secret)).toBe(Buffer.from(pair.publicKey).toString("hex"));
  expect(nacl.sign.keyPair.fromSeed(secret.subarray(0, 32)).publicKey).toEqual(pair.publicKey);
  const signature = (await loadSigner(secret))(HASH);
  expect(nacl.sign.detached.verify(Buffer.from(`hermit-audit:${HASH}`), Buffer.from(signature, "hex"), pair.publicKey)).toBe(true);
  expect(isSignedBy(publicKeyOf(secret) ?? "", HASH, signature)).toBe(true);
});

test("a signature is good for no other hash, no other key, and not with a bit of it changed", async () => {
  const [secret, other] = [makeSecret(), makeSecret()];
  const key = publicKeyOf(secret) ?? "";
  const signature = (await loadSigner(secret))(HASH);
  expect(isSignedBy(key, "ac".repeat(32), signature)).toBe(false);
  expect(isSignedBy(publicKeyOf(other) ?? "", HASH, signature)).toBe(false);
  for (let bit = 0; bit < 512; bit += 5) {
    const bytes = Buffer.from(signature, "hex");
    bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    expect(isSignedBy(key, HASH, bytes.toString("hex")), `bit ${bit}`).toBe(false);
  }
});

test.each([
  ["too short", (secret: Buffer) => secret.subarray(1)],
  ["of two keys", (secret: Buffer) => Buffer.concat([secret.subarray(0, 32), makeSecret().subarray(32)])],
  ["all zeros", () => Buffer.alloc(64)],
])("what is %s is no key", (_what, change) => {
  expect(publicKeyOf(change(makeSecret()))).toBeUndefined();
});

test("keys are not made twice", () => {
  expect(makeSecret()).not.toEqual(makeSecret());
});
