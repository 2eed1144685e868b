/** For tests of leases: the host's part of one, as the host does it. */
import { randomBytes } from "node:crypto";
import type { Redeem, SealedSecret } from "../../contracts/wire/secrets.ts";
import { leaseSealer } from "../../host/secrets/lease-seal.ts";

export const LEASE = { name: "github", env: "GITHUB_TOKEN", ticket: randomBytes(32).toString("base64") };

const seal = leaseSealer((bytes) => randomBytes(bytes));

export function sealed(value: string, { publicKey }: Pick<Redeem, "publicKey">, expiresAt: number): SealedSecret {
  return { ...seal(value, Buffer.from(publicKey, "base64")), expiresAt };
}
