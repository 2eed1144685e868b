/**
 * The sealed store: `secrets.sealed` in the home.
 *
 * Promise: whatever is cut off on the way, a power cut included, the store is the one before or the one after, and a key that opens it is
 * there. Nothing that cannot be read is ever written over, and no new key is made where there is a store.
 * Readers take no lock: the file is replaced whole, and its key was on disk before it.
 */
import { randomBytes } from "node:crypto";
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { HostError, RefusedError } from "../../domain/errors.ts";
import { isOwned, readWhole, replaceFile, stampOf } from "./private-file.ts";
import { type Entry, isSealedWith, parseSealed, seal, unseal } from "./seal.ts";
import { type KeyPlaces, keyFileText, makeKeyFile, readSealKeys, type SealKeys } from "./seal-keys.ts";
import { whileWriting } from "./writer-lock.ts";

const MAX_ENTRIES = 256;
/** A hundred secrets of the usual size take 20 KiB; opening this much takes a small board a tenth of a second. */
const MAX_STORE_BYTES = 1024 * 1024;
const KEY_BYTES = 32;
/** A key changed in between is another try's to find; twice in a row nobody changes it. */
const READ_ATTEMPTS = 3;
const START_ANEW = "If that cannot be had, move secrets.sealed away and set the secrets anew.";

export interface SealedStoreOptions extends KeyPlaces {
  /** Absolute. */
  readonly home: string;
  readonly now: () => number;
  /** Default: as it says. A test cuts it off. */
  readonly replace?: typeof replaceFile;
  /** For another writer. */
  readonly lockWaitMs?: number;
}

interface Opened {
  readonly entries: readonly Entry[];
  readonly stamp: string;
}

interface OpenedWithKeys extends Opened {
  readonly keys: SealKeys;
  /** Of the key that opened it among those. */
  readonly opener: number;
}

/** Methods throw HostError SECRET_STORE_UNUSABLE; those that write also HOME_UNUSABLE, STORE_FULL. Nothing is changed then. */
export class SealedStore {
  readonly #o: SealedStoreOptions;
  readonly #path: string;
  readonly #replace: typeof replaceFile;

  constructor(options: SealedStoreOptions) {
    this.#o = options;
    this.#path = join(options.home, "secrets.sealed");
    this.#replace = options.replace ?? replaceFile;
  }

  /** Undefined: there is no store. */
  stamp(): string | undefined {
    return stampOf(this.#path);
  }

  /** Undefined: there is no store. */
  read(): Opened | undefined {
    const opened = this.#open();
    if (opened !== undefined) forget(opened.keys);
    return opened;
  }

  /** `keyMade`: the new key file, if it took one. */
  async set(name: string, value: string): Promise<{ readonly isNew: boolean; readonly keyMade: string | undefined }> {
    return await this.#whileWriting(() => {
      const opened = this.#open();
      const others = (opened?.entries ?? []).filter((entry) => entry.name !== name);
      if (others.length >= MAX_ENTRIES) throw noRoom(`${MAX_ENTRIES} secrets`);
      const { keys, made } = opened === undefined ? this.#keysForNew() : { keys: opened.keys, made: undefined };
      this.#write([...others, { name, value, changedAt: this.#o.now() }], keys);
      forget(keys);
      return { isNew: others.length === (opened?.entries.length ?? 0), keyMade: made };
    });
  }

  /** Throws RefusedError SECRET_UNKNOWN. */
  async remove(name: string): Promise<void> {
    this.mustHold(name);
    await this.#whileWriting(() => {
      const opened = this.#open();
      const others = opened?.entries.filter((entry) => entry.name !== name) ?? [];
      if (opened === undefined || others.length === opened.entries.length) throw unknown(name);
      this.#write(others, opened.keys);
      forget(opened.keys);
    });
  }

  /** Throws RefusedError SECRET_UNKNOWN. */
  mustHold(name: string): void {
    if (this.read()?.entries.some((entry) => entry.name === name) !== true) throw unknown(name);
  }

  /**
   * A new key for all. The key file holds both keys while the store is sealed anew, so that one of them opens whichever store a power cut
   * leaves; a later call goes on with the key an earlier one had made. A key that is not Hermit's own is only moved to, not made or removed.
   */
  async rotateKey(): Promise<{ readonly path: string; readonly isOldKeyGone: boolean }> {
    if (this.stamp() === undefined) throw nothingSealed();
    return await this.#whileWriting(() => {
      const opened = this.#open();
      if (opened === undefined) throw nothingSealed();
      const { keys, entries, opener } = opened;
      const home = realpathSync(this.#o.home);
      const isOurs = keys.source === "file" && keys.madeFor === home;
      if (isOurs) {
        const [fresh, ...old] = keys.keys.length > 1 ? keys.keys : [randomBytes(KEY_BYTES), ...keys.keys];
        if (keys.keys.length === 1) this.#replace(keys.path, keyFileText(home, [fresh, ...old]));
        this.#write(entries, { ...keys, keys: [fresh] });
        this.#replace(keys.path, keyFileText(home, [fresh]));
      } else if (opener > 0) this.#write(entries, keys);
      else throw notOurs(keys);
      forget(keys);
      return { path: keys.path, isOldKeyGone: isOurs };
    });
  }

  async #whileWriting<T>(write: () => T): Promise<T> {
    return await whileWriting(this.#o.home, write, this.#o.lockWaitMs);
  }

  /** The keys are the caller's, to forget. */
  #open(): OpenedWithKeys | undefined {
    for (let attempt = 1; ; attempt++) {
      const file = readWhole(this.#path, MAX_STORE_BYTES);
      if (file === undefined) return undefined;
      if ("fault" in file) throw this.#unusable(file.fault, "Put the store itself there; a backup of the home has one.");
      // It is sealed, so that others may read it; who may write it could put an older one there.
      if ((file.mode & 0o022) !== 0) throw this.#unusable("can be written by others than its owner", "Run chmod 600 on it.");
      if (!isOwned(file)) throw this.#unusable("belongs to another user", "Give it to the user Hermit runs as, with chown.");
      const sealed = parseSealed(file.bytes.toString("utf8"));
      if ("fault" in sealed) throw this.#unusable(sealed.fault, "Put a backup in its place, or move it away and set the secrets anew.");
      const keys = readSealKeys(this.#o);
      if (keys === undefined) throw this.#keyMissing();
      const opener = keys.keys.findIndex((key) => isSealedWith(sealed, key));
      const key = keys.keys[opener];
      if (key === undefined) {
        if (attempt < READ_ATTEMPTS) continue;
        throw this.#unusable(`is sealed with another key than ${keys.path} holds`, `Put the key back that sealed it. ${START_ANEW}`);
      }
      const entries = unseal(sealed, key);
      if (entries === undefined) throw this.#unusable("is damaged", "Put a backup in its place, or move it away and set the secrets anew.");
      return { entries, stamp: file.stamp, keys, opener };
    }
  }

  #write(entries: readonly Entry[], keys: SealKeys): void {
    const sorted = entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const text = seal(sorted, keys.keys[0]);
    if (text.length > MAX_STORE_BYTES) throw noRoom(`${MAX_STORE_BYTES / 1024 / 1024} MiB`);
    this.#replace(this.#path, text);
  }

  #keysForNew(): { readonly keys: SealKeys; readonly made: string | undefined } {
    const home = realpathSync(this.#o.home);
    const keys = readSealKeys(this.#o);
    if (keys !== undefined) {
      if (keys.madeFor === undefined || keys.madeFor === home) return { keys, made: undefined };
      throw new HostError("SECRET_STORE_UNUSABLE", `The sealing key ${keys.path} is that of another home, ${keys.madeFor}.`, {
        hint: "Name another file for this home with secrets.key_file; it is made for you.",
      });
    }
    const { keyFile } = this.#o;
    if (keyFile === undefined) {
      throw new HostError("SECRET_STORE_UNUSABLE", "There is no place for the sealing key: this user has no folder.", {
        hint: "Name a file with secrets.key_file; it is made for you.",
      });
    }
    const key = randomBytes(KEY_BYTES);
    makeKeyFile(keyFile, home, key);
    return { keys: { keys: [key], path: keyFile, source: "file", madeFor: home }, made: keyFile };
  }

  #keyMissing(): HostError {
    const where = this.#o.keyFile === undefined ? "" : `, neither as the systemd credential hermit-seal-key nor in ${this.#o.keyFile}`;
    return this.#unusable(`has no key${where}`, `Put the key back that sealed it, or name its file with secrets.key_file. ${START_ANEW}`);
  }

  #unusable(what: string, hint: string): HostError {
    return new HostError("SECRET_STORE_UNUSABLE", `The store of secrets ${this.#path} ${what}.`, { hint });
  }
}

function forget({ keys }: SealKeys): void {
  for (const key of keys) key.fill(0);
}

function unknown(name: string): RefusedError {
  return new RefusedError("SECRET_UNKNOWN", `No secret ${name} is in the sealed store.`, {
    hint: "`hermit secrets list` shows what is there, and where it comes from.",
  });
}

function nothingSealed(): RefusedError {
  return new RefusedError("SECRET_UNKNOWN", "No secrets are sealed here.", { hint: "`hermit secrets set <name>` makes store and key." });
}

function noRoom(limit: string): RefusedError {
  return new RefusedError("SECRET_STORE_UNUSABLE", `The store of secrets holds ${limit} at most.`, {
    hint: "Remove one with `hermit secrets rm <name>`.",
  });
}

function notOurs({ path, source, madeFor }: SealKeys): RefusedError {
  const byHand =
    "put a new key, made with `openssl rand -base64 32`, on a line above the old one and run this again; then take the old one out.";
  if (source === "file" && madeFor !== undefined) {
    return new RefusedError("SECRET_STORE_UNUSABLE", `The sealing key ${path} was made for the home ${madeFor}, and may be needed there.`, {
      hint: `If that home is the one that is here now, write this one's path into the key's first line; else ${byHand}`,
    });
  }
  return new RefusedError("SECRET_STORE_UNUSABLE", `The sealing key ${path} was not made by Hermit, which does not change it.`, {
    hint: `To change it, ${byHand}`,
  });
}
