/**
 * Secrets: what the owner keeps for Hermit to use. Read anew for each use, so that one that was changed or removed is not used again.
 */
import type { SecretSource } from "../domain/secret.ts";

export interface StoredSecret {
  readonly name: string;
  readonly source: SecretSource;
  /** Epoch milliseconds; null: not known. */
  readonly changedAt: number | null;
}

export interface Secrets {
  /** By name. Throws HostError SECRET_STORE_UNUSABLE. */
  list(): readonly StoredSecret[];
  /** Undefined: no such secret. Throws HostError SECRET_STORE_UNUSABLE. */
  reveal(name: string): string | undefined;
  /** Every value there is, for finding them in what leaves. Never throws: a store that became unreadable keeps the values last read. */
  values(): readonly string[];
}
