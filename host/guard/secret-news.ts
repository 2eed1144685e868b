/**
 * Changes the owner makes to the secrets while the host runs, which another process writes: noticed before each turn, and recorded.
 */
import { SECRET_PLACES } from "../domain/secret.ts";
import type { Audit } from "../ports/audit.ts";
import type { Secrets, StoredSecret } from "../ports/secrets.ts";

export class SecretNews {
  readonly #secrets: Secrets;
  readonly #audit: Audit;
  #known: ReadonlyMap<string, StoredSecret> | undefined;

  constructor(secrets: Secrets, audit: Audit) {
    this.#secrets = secrets;
    this.#audit = audit;
  }

  /** The first time what there is, then what is other than the last time. Throws HostError SECRET_STORE_UNUSABLE, AUDIT_BROKEN. */
  note(): void {
    const now = new Map(this.#secrets.list().map((secret) => [secret.name, secret]));
    const before = this.#known;
    for (const [name, secret] of now) {
      const was = before?.get(name);
      if (was?.source === secret.source && was.changedAt === secret.changedAt) continue;
      const where = `in ${SECRET_PLACES[secret.source]}`;
      this.#record(
        name,
        before === undefined ? `it is kept ${where}` : was === undefined ? `it was set, ${where}` : `it was changed, ${where}`,
      );
    }
    for (const name of before?.keys() ?? []) if (!now.has(name)) this.#record(name, "it was removed");
    this.#known = now;
  }

  #record(subject: string, reason: string): void {
    this.#audit.record({ kind: "secret", decision: "noted", group: null, turn: null, subject, reason });
  }
}
