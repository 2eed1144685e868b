import { randomBytes } from "node:crypto";
import nacl from "tweetnacl";
import { expect, test } from "vitest";
import { leaseSealer } from "./lease-seal.ts";

const seal = leaseSealer((bytes) => randomBytes(bytes));
const bytesOf = (base64: string) => new Uint8Array(Buffer.from(base64, "base64"));

function opened(answer: ReturnType<typeof seal>, secretKey: Uint8Array): string | undefined {
  const plain = nacl.box.open(bytesOf(answer.sealed), bytesOf(answer.nonce), bytesOf(answer.publicKey), secretKey);
  return plain === null ? undefined : Buffer.from(plain).toString();
}

test("the runner's key opens the value, another key does not, and what is sent shows nothing of it", () => {
  const [runner, other] = [nacl.box.keyPair(), nacl.box.keyPair()];
  const value = "hunter2 ünïcode 🦀\n";
  const answer = seal(value, runner.publicKey);
  expect(opened(answer, runner.secretKey)).toBe(value);
  expect(opened(answer, other.secretKey)).toBeUndefined();
  expect(Buffer.from(answer.sealed, "base64").includes("hunter2")).toBe(false);
});

test("each answer has a key and a nonce of its own", () => {
  const { publicKey } = nacl.box.keyPair();
  const [one, two] = [seal("same", publicKey), seal("same", publicKey)];
  expect(new Set([one.nonce, two.nonce, one.publicKey, two.publicKey, one.sealed, two.sealed]).size).toBe(6);
});

/** All points of low order of Curve25519, with the forms above the prime that stand for them; with either top bit. */
const WEAK = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
].flatMap((hex) => {
  const point = Buffer.from(hex, "hex");
  const withTopBit = Buffer.from(point);
  withTopBit.writeUInt8((withTopBit[31] ?? 0) | 0x80, 31);
  return [point, withTopBit];
});

test.each(WEAK.map((point) => [point.toString("hex"), point] as const))("the weak key %s is refused", (_hex, point) => {
  expect(() => seal("value", point)).toThrow(expect.objectContaining({ code: "LEASE_REFUSED" }));
});
