/**
 * The owner's secrets, from where they may lie on this machine: systemd credentials `hermit-secret-<name>`, the sealed store, the environment.
 * Of a name that is in several, the first source in this order counts.
 *
 * Files are looked at on each use and read again when they are others. In memory a value is a string, which this runtime cannot overwrite:
 * one that is not kept any longer stays there until its place is used again.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { HostError } from "../../domain/errors.ts";
import { isSecretName, SECRET_NAME_RULE, type SecretSource } from "../../domain/secret.ts";
import type { Secrets, StoredSecret } from "../../ports/secrets.ts";
import { readWhole, stampOf } from "./private-file.ts";
import type { Entry } from "./seal.ts";
import { SealedStore, type SealedStoreOptions } from "./sealed-store.ts";
import { MAX_VALUE_BYTES, parseValue } from "./value.ts";

const CREDENTIAL_PREFIX = "hermit-secret-";
const NEWLINE_BYTES = 2;

export interface LocalSecretsOptions extends SealedStoreOptions {
  /** By name. */
  readonly environment: ReadonlyMap<string, { reveal(): string }>;
}

export interface DescribedSecret extends StoredSecret {
  /** Where else the name is, to no effect. */
  readonly shadowed: readonly SecretSource[];
}

interface ReadCredential {
  readonly stamp: string;
  readonly value: string;
}

interface Kept {
  readonly stamp: string | undefined;
  readonly entries: readonly Entry[];
}

export class LocalSecrets implements Secrets {
  readonly sealed: SealedStore;
  readonly #credentialFolder: string | undefined;
  readonly #environment: LocalSecretsOptions["environment"];
  /** As last read. */
  #credentials = new Map<string, ReadCredential>();
  #entries: Kept = { stamp: undefined, entries: [] };
  /** Of the same reading; undefined: to be made of what was read. */
  #values: readonly string[] | undefined;
  /** When `values` last looked. */
  #looked: string | undefined;

  constructor(options: LocalSecretsOptions) {
    this.sealed = new SealedStore(options);
    this.#credentialFolder = options.credentials;
    this.#environment = options.environment;
  }

  list(): readonly DescribedSecret[] {
    const sealed = new Map(this.#readSealed().map(({ name, changedAt }) => [name, changedAt]));
    const credentials = this.#credentialNames();
    const misnamed = credentials.find((name) => !isSecretName(name));
    if (misnamed !== undefined)
      throw unusable(`${CREDENTIAL_PREFIX}${misnamed}`, "has no name a secret can have", `A name is ${SECRET_NAME_RULE}.`);
    for (const name of credentials) this.#readCredential(name);
    const names = new Set([...credentials, ...sealed.keys(), ...this.#environment.keys()]);
    return [...names].sort().map((name) => {
      const sources: SecretSource[] = [];
      if (credentials.includes(name)) sources.push("credential");
      if (sealed.has(name)) sources.push("sealed");
      if (this.#environment.has(name)) sources.push("environment");
      const [source = "environment", ...shadowed] = sources;
      return { name, source, changedAt: source === "sealed" ? (sealed.get(name) ?? null) : null, shadowed };
    });
  }

  reveal(name: string): string | undefined {
    if (!isSecretName(name)) return undefined;
    const sealed = (): string | undefined => this.#readSealed().find((entry) => entry.name === name)?.value;
    return this.#readCredential(name) ?? sealed() ?? this.#environment.get(name)?.reveal();
  }

  /** The same array as before while nothing has changed. */
  values(): readonly string[] {
    const look = this.#look();
    if (this.#values === undefined || look !== this.#looked) {
      this.#looked = look;
      this.#refresh();
      const environment = [...this.#environment.values()].map((secret) => secret.reveal());
      const credentials = [...this.#credentials.values()].map(({ value }) => value);
      const sealed = this.#entries.entries.map(({ value }) => value);
      this.#values = Object.freeze([...new Set([...credentials, ...sealed, ...environment])]);
    }
    return this.#values;
  }

  /** What cannot be read now stays as it was. */
  #refresh(): void {
    try {
      for (const name of this.#credentialNames()) this.#readCredential(name);
    } catch {}
    try {
      this.#readSealed();
    } catch {}
  }

  /** What shows from outside that something was changed. */
  #look(): string {
    let names: string[] = [];
    try {
      names = this.#credentialNames();
    } catch {}
    return [this.sealed.stamp(), ...names.map((name) => `${name} ${stampOf(this.#credentialPath(name))}`)].join("\n");
  }

  #readSealed(): readonly Entry[] {
    const stamp = this.sealed.stamp();
    if (stamp === undefined || stamp !== this.#entries.stamp) {
      this.#entries = this.sealed.read() ?? { stamp: undefined, entries: [] };
      this.#values = undefined;
    }
    return this.#entries.entries;
  }

  #credentialNames(): string[] {
    if (this.#credentialFolder === undefined) return [];
    try {
      const files = readdirSync(this.#credentialFolder).filter((file) => file.startsWith(CREDENTIAL_PREFIX));
      return files.map((file) => file.slice(CREDENTIAL_PREFIX.length));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw new HostError("SECRET_STORE_UNUSABLE", `The folder of systemd's credentials cannot be read: ${(cause as Error).message}.`, {
        cause,
        hint: "Run Hermit as the user of its service, or without CREDENTIALS_DIRECTORY.",
      });
    }
  }

  #readCredential(name: string): string | undefined {
    if (this.#credentialFolder === undefined) return undefined;
    const path = this.#credentialPath(name);
    const known = this.#credentials.get(name);
    if (known !== undefined && stampOf(path) === known.stamp) return known.value;
    const file = readWhole(path, MAX_VALUE_BYTES + NEWLINE_BYTES);
    if (file === undefined) {
      if (this.#credentials.delete(name)) this.#values = undefined;
      return undefined;
    }
    const hint = `A secret is UTF-8 text of 1 to ${MAX_VALUE_BYTES} bytes.`;
    if ("fault" in file) throw unusable(`${CREDENTIAL_PREFIX}${name}`, file.fault, hint);
    const parsed = parseValue(file.bytes);
    file.bytes.fill(0);
    if ("fault" in parsed) throw unusable(`${CREDENTIAL_PREFIX}${name}`, parsed.fault, hint);
    this.#credentials.set(name, { stamp: file.stamp, value: parsed.value });
    this.#values = undefined;
    return parsed.value;
  }

  #credentialPath(name: string): string {
    return join(this.#credentialFolder ?? "", `${CREDENTIAL_PREFIX}${name}`);
  }
}

function unusable(credential: string, what: string, hint: string): HostError {
  return new HostError("SECRET_STORE_UNUSABLE", `The systemd credential ${credential} ${what}.`, { hint });
}
