/**
 * The audit log as files: `<home>/audit/audit-00000001.jsonl` and on, a record a line (audit/record.ts), each bound to the one before it.
 *
 * On disk: a record is with the operating system when `record` returns. It is settled, that is flushed and then known to the database
 * as the log's end, with the next signed record, at `settle`, at `close`, and at once for the kinds in URGENT. The database never knows
 * more than the disk has. A power cut can take what was recorded since: of the turns that run, at most CHECKPOINT_RECORDS records. A
 * killed host loses nothing but the numbers of a flood (audit/flood.ts).
 *
 * What is not as it was left, by a hand or a disk, is never added to and never mended: it stays as found, the chain begins anew in the
 * next file with a record that says so, and the owner is told. A host that refused to start would be stopped by whoever can write one
 * byte. Bytes of an unfinished last line alone are cut off, with a record of how many they were and their hash.
 */
import { writtenEntry } from "../../audit/entry.ts";
import { Flood } from "../../audit/flood.ts";
import { MAX_LINE_BYTES } from "../../audit/record.ts";
import { loadSigner, type Sign } from "../../audit/signing.ts";
import { HostError, isHostError } from "../../domain/errors.ts";
import type { Redact } from "../../domain/redaction.ts";
import type { Audit, AuditEntry, AuditKind } from "../../ports/audit.ts";
import type { Clock } from "../../ports/clock.ts";
import type { AuditHeadStore } from "../../ports/guard-store.ts";
import { ChainWriter, type Recovered } from "./chain-writer.ts";
import { openKey, readPublicKey, type SigningKey, writePublicKey } from "./key-file.ts";
import { auditFolder } from "./log-files.ts";

export interface AuditLogOptions {
  /** Absolute. */
  readonly home: string;
  /** The store's, which signed records name. */
  readonly instance: string;
  /** Absolute. */
  readonly keyFile: string;
  /** Of all files together. */
  readonly maxBytes: number;
  readonly head: AuditHeadStore;
  readonly clock: Pick<Clock, "now">;
  readonly redact: Redact;
  /** Hears what was found not as it was left while the host runs; what is recorded after it is in a new file. Must not throw. */
  readonly onDamage: (text: string) => void;
}

/** One writer: the home's lock sees to it. */
export interface AuditLog extends Audit {
  /** Undefined: the log was as it was left. */
  readonly recovered: Recovered | undefined;
  /** At a turn's end: what was recorded is on disk, and the database knows. Does nothing where nothing was. Throws HostError AUDIT_BROKEN. */
  settle(): void;
  /** Signs, settles, lets go of the file. Idempotent. Rejects with HostError AUDIT_BROKEN where that could not be written. */
  close(): Promise<void>;
}

/** Throws HostError AUDIT_BROKEN: the folder or the key cannot be used. */
export function openAuditLog(options: AuditLogOptions): AuditLog {
  const key = openKey(options.keyFile);
  return guarded(options.home, () => new FileAuditLog(options, key));
}

const CHECKPOINT_RECORDS = 256;
/** Settled at once: few, and what an attacker would most like to be lost. */
const URGENT: ReadonlySet<AuditKind> = new Set(["decoy", "leak", "override", "config"]);
/** Not more often: a sandbox can cause them, and a flush to an SD card takes up to a second. */
const URGENT_EVERY_MS = 1_000;
/** So many files make a whole log: one of them is what is removed for room. */
const FILES = 8;
/** What a small board reads through in a second or two. */
const MAX_FILE_BYTES = 16 * 1_024 * 1_024;

class FileAuditLog implements AuditLog {
  readonly #options: AuditLogOptions;
  readonly #key: SigningKey;
  readonly #chain: ChainWriter;
  readonly #flood = new Flood((entry) => this.#chain.append(entry));
  /** A file longer than this gets its last record. */
  readonly #fullBytes: number;
  readonly #fileBytes: number;
  #urgentAt = Number.NEGATIVE_INFINITY;
  #signing: Promise<Sign> | undefined;
  /** Set once loaded. */
  #sign: Sign | undefined;
  #cannotSign: unknown;
  #closed: Promise<void> | undefined;

  constructor(options: AuditLogOptions, key: SigningKey) {
    const { home, instance, head, clock, onDamage } = options;
    const folder = auditFolder(home);
    this.#options = options;
    this.#key = key;
    this.#fileBytes = Math.min(Math.floor(options.maxBytes / FILES), MAX_FILE_BYTES);
    // One more record and the last one still go in.
    this.#fullBytes = this.#fileBytes - 2 * MAX_LINE_BYTES;
    this.#chain = new ChainWriter({ folder, key: key.publicKey, instance, head, clock, onDamage });
    if (readPublicKey(folder) !== key.publicKey) writePublicKey(folder, key.publicKey);
  }

  get recovered(): Recovered | undefined {
    return this.#chain.recovered;
  }

  record(entry: AuditEntry): void {
    guarded(this.#options.home, () => {
      if (this.#closed !== undefined) throw new HostError("AUDIT_BROKEN", "The audit log is closed: the host has ended.");
      // Before the record and not after it: what threw is not in the log.
      this.#signIfDue();
      const now = this.#options.clock.now();
      this.#flood.tellOverdue(now);
      this.#flood.record(writtenEntry(entry, this.#options.redact), now);
      if (URGENT.has(entry.kind)) this.#settleUrgent(now);
    });
  }

  settle(): void {
    guarded(this.#options.home, () => {
      this.#flood.tellAll();
      this.#signIfDue();
      this.#chain.settle();
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  async #finish(): Promise<void> {
    const { home } = this.#options;
    try {
      guarded(home, () => this.#flood.tellAll());
      const sign = this.#chain.unsigned > 0 ? await this.#loadSigner() : undefined;
      guarded(home, () => {
        if (sign !== undefined) this.#checkpoint(sign);
        this.#chain.settle();
      });
    } finally {
      this.#chain.endFile();
      this.#key.secret.fill(0);
    }
  }

  #settleUrgent(now: number): void {
    if (Math.abs(now - this.#urgentAt) < URGENT_EVERY_MS) return;
    this.#urgentAt = now;
    this.#chain.settle();
  }

  #signIfDue(): void {
    const isFull = this.#chain.fileBytes > this.#fullBytes;
    if (!isFull && this.#chain.unsigned < CHECKPOINT_RECORDS) return;
    if (this.#cannotSign !== undefined) throw this.#cannotSign;
    if (this.#sign === undefined) this.#loadSignerMeanwhile();
    else if (isFull) this.#rotate(this.#sign);
    else this.#checkpoint(this.#sign);
  }

  #checkpoint(sign: Sign): void {
    const { instance: home } = this.#options;
    this.#chain.appendOwn(
      "checkpoint",
      `It signs ${this.#chain.unsigned} records.`,
      { is: "checkpoint", home, key: this.#key.publicKey },
      sign,
    );
  }

  #rotate(sign: Sign): void {
    const { instance: home, maxBytes } = this.#options;
    const next = this.#chain.nextFile;
    this.#chain.appendOwn("end of file", `${next} goes on.`, { is: "sealed", home, key: this.#key.publicKey, next }, sign);
    this.#chain.endFile();
    this.#chain.removeOldest(maxBytes - this.#fileBytes);
  }

  /** Some milliseconds, once, in which the log goes on unsigned. */
  #loadSignerMeanwhile(): void {
    this.#loadSigner().then(
      (sign) => {
        this.#sign = sign;
      },
      (error: unknown) => {
        this.#cannotSign = error;
      },
    );
  }

  #loadSigner(): Promise<Sign> {
    this.#signing ??= loadSigner(this.#key.secret).catch((cause: unknown) => {
      const detail = { cause, hint: "Install Hermit's packages again: `make toolchain`." };
      throw new HostError("AUDIT_BROKEN", `The audit log cannot be signed: ${(cause as Error).message}.`, detail);
    });
    return this.#signing;
  }
}

/** What cannot be written is AUDIT_BROKEN, whatever kept it from being. */
function guarded<Result>(home: string, work: () => Result): Result {
  try {
    return work();
  } catch (cause) {
    if (isHostError(cause) && cause.code === "AUDIT_BROKEN") throw cause;
    const isFull = (cause as NodeJS.ErrnoException).code === "ENOSPC";
    const hint = isFull ? "Free some space." : "Make the folder and what is in it writable for the user Hermit runs as.";
    throw new HostError(
      "AUDIT_BROKEN",
      `The audit log in ${auditFolder(home)} cannot be written: ${(cause as Error).message.replace(/\.$/, "")}.`,
      {
        cause,
        hint: (isHostError(cause) ? cause.hint : undefined) ?? hint,
      },
    );
  }
}
