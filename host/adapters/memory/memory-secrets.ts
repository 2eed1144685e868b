import { HostError } from "../../domain/errors.ts";
import type { Secrets, StoredSecret } from "../../ports/secrets.ts";

/** Secrets without a disk; `isBroken` makes them unreadable. */
export class MemorySecrets implements Secrets {
  isBroken = false;
  readonly #kept: Map<string, string>;

  /** In place of a clock: how many changes there were. */
  #changes = 0;
  readonly #changedAt = new Map<string, number>();

  constructor(kept: Readonly<Record<string, string>> = {}) {
    this.#kept = new Map(Object.entries(kept));
  }

  set(name: string, value: string): void {
    this.#changedAt.set(name, ++this.#changes);
    this.#kept.set(name, value);
  }

  remove(name: string): void {
    this.#kept.delete(name);
  }

  list(): readonly StoredSecret[] {
    this.#mustBeReadable();
    return [...this.#kept.keys()].sort().map((name) => ({ name, source: "sealed", changedAt: this.#changedAt.get(name) ?? 0 }));
  }

  reveal(name: string): string | undefined {
    this.#mustBeReadable();
    return this.#kept.get(name);
  }

  values(): readonly string[] {
    return [...this.#kept.values()];
  }

  #mustBeReadable(): void {
    if (this.isBroken) throw new HostError("SECRET_STORE_UNUSABLE", "The store of secrets was broken.");
  }
}
