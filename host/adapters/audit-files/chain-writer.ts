/**
 * The chain as it grows: which record is the last, in which file, and what the database knows of it.
 *
 * Before each record the file must be as it was left. If it is not, it stays as it was found, and a record in the next file says so and
 * begins the chain anew.
 */
import { hash } from "node:crypto";
import { mkdirSync, unlinkSync } from "node:fs";
import type { WrittenEntry } from "../../audit/entry.ts";
import { type AuditMark, composeLine, NOTHING_BEFORE } from "../../audit/record.ts";
import type { Sign } from "../../audit/signing.ts";
import type { Clock } from "../../ports/clock.ts";
import type { AuditHeadStore } from "../../ports/guard-store.ts";
import { judgeEnd } from "./log-end.ts";
import { firstPlace, hashOf, listFiles, nameOf, nextNumber } from "./log-files.ts";
import { OpenFile } from "./open-file.ts";

export interface ChainWriterOptions {
  readonly folder: string;
  /** Public key, hex. */
  readonly key: string;
  readonly instance: string;
  readonly head: AuditHeadStore;
  readonly clock: Pick<Clock, "now">;
  readonly onDamage: (text: string) => void;
}

/** What was found when the log was opened. `torn`: as crashes leave it. `damaged`: somebody should look. */
export interface Recovered {
  readonly kind: "torn" | "damaged";
  /** One sentence, for the owner. */
  readonly text: string;
}

interface Damage {
  readonly text: string;
  /** Undefined: there was no file. */
  readonly file: string | undefined;
}

export class ChainWriter {
  readonly recovered: Recovered | undefined;
  readonly #options: ChainWriterOptions;
  #seq: number;
  #hash: string;
  #unsigned: number;
  /** What the database knows; kept by `settle`. */
  #settled: number;
  /** Undefined: the next record makes one. */
  #file: OpenFile | undefined;
  /** Number of the next file; one that could not be made is not tried again. */
  #next: number;
  /** Found and not yet told in the log. */
  #damage: Damage | undefined;

  constructor(options: ChainWriterOptions) {
    const { folder, key, instance, head } = options;
    this.#options = options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const files = listFiles(folder);
    const known = head.auditHead();
    const end = judgeEnd(files, { key, home: instance, head: known });
    this.#seq = end.seq;
    this.#hash = end.hash;
    this.#unsigned = end.unsigned;
    this.#settled = known?.count ?? 0;
    const newest = files.at(-1);
    this.#next = nextNumber(files);
    if (end.damage !== undefined) this.recovered = { kind: "damaged", text: this.#beginAnew({ text: end.damage, file: newest?.name }) };
    else if (newest !== undefined) this.recovered = this.#goOn(newest.number, end);
  }

  /** Records since the newest signed one. */
  get unsigned(): number {
    return this.#unsigned;
  }

  /** Bytes of the file that is written. */
  get fileBytes(): number {
    return this.#file?.size ?? 0;
  }

  get nextFile(): string {
    return nameOf(this.#next);
  }

  append(entry: WrittenEntry, mark?: AuditMark, sign?: Sign): void {
    if (this.#file?.isAsLeft() === false) {
      this.#damage = { text: `${this.#file.name} was changed, moved or removed while the host ran`, file: this.#file.name };
      this.endFile();
    }
    if (this.#damage !== undefined) this.#options.onDamage(this.#beginAnew(this.#damage));
    this.#write(entry, mark, sign);
  }

  /** Of the log's own. Signed where `sign` is given: then it is settled too. */
  appendOwn(subject: string, reason: string, mark: AuditMark, sign?: Sign): void {
    this.append(ownEntry(subject, reason), mark, sign);
    if (sign === undefined) return;
    this.#unsigned = 0;
    this.settle();
  }

  /** What was recorded is on disk, and the database knows. */
  settle(): void {
    if (this.#seq === this.#settled) return;
    this.#file?.sync();
    this.#options.head.moveAuditHead({ count: this.#seq, hash: this.#hash });
    this.#settled = this.#seq;
  }

  /** The next record goes into another file. */
  endFile(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  /** Removes the oldest files until all of them take no more than `maxBytes`. Told first, then done. */
  removeOldest(maxBytes: number): void {
    const files = listFiles(this.#options.folder).filter(({ isRegular }) => isRegular);
    let bytes = files.reduce((sum, { size }) => sum + size, 0);
    for (const [n, { name, path, size }] of files.entries()) {
      const after = files[n + 1];
      if (bytes <= maxBytes || after === undefined) break;
      const place = firstPlace(after.path);
      const reason = `It is removed for room: what was recorded up to record ${place.seq} is gone.`;
      this.appendOwn(name, reason, { is: "removed", file: name, ...place });
      this.#file?.sync();
      unlinkSync(path);
      bytes -= size;
    }
  }

  #goOn(number: number, { torn, isSealed }: { readonly torn: Buffer; readonly isSealed: boolean }): Recovered | undefined {
    this.#file = OpenFile.open(this.#options.folder, number);
    if (torn.length > 0) this.#file.cut(this.#file.size - torn.length);
    if (isSealed) this.endFile();
    if (torn.length === 0) return undefined;
    const text = `${torn.length} bytes of an unfinished record were cut off, as a crash leaves them.`;
    this.#write(ownEntry("unfinished record", text), { is: "recovered", bytes: torn.length, sha256: hash("sha256", torn, "hex") });
    this.settle();
    return { kind: "torn", text: `At the end of the audit log ${text}` };
  }

  /** Returns what the owner is told. */
  #beginAnew({ text, file }: Damage): string {
    const found = listFiles(this.#options.folder).find(({ name }) => name === file);
    const stays = found === undefined ? "" : ` ${found.name} stays as it is.`;
    const mark: AuditMark = { is: "begins", file: found?.name ?? null, sha256: found === undefined ? null : hashOf(found.path) };
    this.#hash = NOTHING_BEFORE;
    this.#write(ownEntry(found?.name ?? "audit log", `${text}.${stays}`), mark);
    this.#unsigned = 1;
    this.#damage = undefined;
    this.settle();
    return `The audit log was not as it was left: ${text}.${stays} It goes on in ${this.#file?.name}; \`hermit audit verify\` says more.`;
  }

  #write(entry: WrittenEntry, mark?: AuditMark, sign?: Sign): void {
    this.#file ??= OpenFile.make(this.#options.folder, this.#next++);
    const at = new Date(this.#options.clock.now()).toISOString();
    const content = { seq: this.#seq + 1, at, ...entry, ...(mark === undefined ? {} : { mark }), prev: this.#hash };
    const composed = composeLine(content, sign);
    this.#file.append(composed.line);
    this.#seq++;
    this.#hash = composed.hash;
    this.#unsigned++;
  }
}

function ownEntry(subject: string, reason: string): WrittenEntry {
  return { kind: "audit", decision: "noted", group: null, turn: null, subject, reason, times: 1 };
}
