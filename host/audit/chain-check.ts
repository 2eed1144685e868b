/**
 * Whether a log is what was written.
 *
 * It is given files and their lines in order and follows the chain: each record's own hash, the hash of the one before it, each signature, and at last where
 * the database says the log ends. Behind the first thing wrong nothing more can be said, until the chain begins anew.
 */
import type { AuditHead } from "../ports/guard-store.ts";
import { type AuditRecord, NOTHING_BEFORE, parseLine } from "./record.ts";
import { isSignedBy } from "./signing.ts";

export interface Expected {
  /** Public key, hex. Undefined: the log's own first. */
  readonly key: string | undefined;
  /** The store's instance. Undefined: any, but one. */
  readonly home: string | undefined;
  /** Undefined: not known. */
  readonly head: AuditHead | undefined;
  /** For a stretch of a log: whose hash its first record goes on from. */
  readonly after?: { readonly seq: number; readonly hash: string };
}

export type Wrong =
  /** Not the bytes of a record as it was written. */
  | "altered"
  | "missing"
  /** Not where it belongs, but further down. */
  | "moved"
  | "repeated"
  /** It does not follow the one before it, or is another than the database knows. */
  | "replaced"
  /** The end is gone. */
  | "cut"
  | "signature"
  | "key"
  | "home"
  /** The host itself found the log not as it was written, and began anew. */
  | "begun-anew"
  /** A file the host left as it found it has changed since. */
  | "changed-again";

export interface Finding {
  readonly seq: number;
  readonly file: string;
  readonly wrong: Wrong;
  readonly text: string;
}

export interface Verdict {
  readonly findings: readonly Finding[];
  /** What is worth knowing and not wrong. */
  readonly notes: readonly string[];
  /** That were read and are sound. */
  readonly records: number;
  /** 0: there is none. */
  readonly first: number;
  readonly last: number;
  /** Hash of `last`. */
  readonly hash: string;
  /** Last record under a good signature; 0: there is none. */
  readonly signed: number;
  /** The key asked for, or the log's own. */
  readonly key: string | undefined;
  readonly home: string | undefined;
}

const HARMLESS = "it can be no more than that Hermit ran, or this is asked, as another user, whose ~/.config/hermit/audit.key is another";

interface Place {
  readonly seq: number;
  readonly hash: string;
}

export class ChainCheck {
  readonly #head: AuditHead | undefined;
  #key: string | undefined;
  #home: string | undefined;
  readonly #findings: Finding[] = [];
  readonly #notes: string[] = [];
  #file = "";
  #fileBefore: { readonly name: string; readonly sha256: string; readonly torn: number } | undefined;
  /** The last sound record. */
  #last: Place | undefined;
  /** Set while nothing can be said; kept by `#breakOff` and `#beginAnew`. */
  #brokenAt: number | undefined;
  /** Where the log's first record says it goes on from, until something says why that is not there. */
  #anchor: (Place & { readonly file: string }) | undefined;
  #records = 0;
  #first = 0;
  #signed = 0;
  #headHash: string | undefined;

  constructor({ key, home, head, after }: Expected) {
    this.#key = key;
    this.#home = home;
    this.#head = head;
    this.#last = after;
  }

  openFile(name: string): void {
    this.#file = name;
  }

  /** `line`: without its newline. */
  line(line: Buffer): void {
    const record = parseLine(line);
    if (record?.mark?.is === "begins") this.#beginAnew(record, record.mark);
    else if (this.#brokenAt !== undefined) this.#lookFor(this.#brokenAt, record);
    else if (record === undefined) this.#breakOff(this.#next, "altered", `record ${this.#next} is not what was written`);
    else if (this.#follows(record)) this.#accept(record);
  }

  /** The file that was opened last is there and cannot be read. */
  unreadable(why: string): void {
    if (this.#brokenAt === undefined) this.#breakOff(this.#next, "altered", `${this.#file} cannot be read: ${why}`);
    this.closeFile("", 0);
  }

  /** `torn`: bytes behind the last newline. `sha256`: of the whole file. */
  closeFile(sha256: string, torn: number): void {
    this.#fileBefore = { name: this.#file, sha256, torn };
  }

  end(): Verdict {
    this.#judgeAnchor();
    if (this.#brokenAt === undefined) this.#judgeEnd();
    const torn = this.#fileBefore?.torn ?? 0;
    if (torn > 0) this.#notes.push(`${torn} bytes of an unfinished record stand at the end: a host is writing it, or was cut off.`);
    return {
      findings: this.#findings,
      notes: this.#notes,
      records: this.#records,
      first: this.#first,
      last: this.#last?.seq ?? 0,
      hash: this.#last?.hash ?? NOTHING_BEFORE,
      signed: this.#signed,
      key: this.#key,
      home: this.#home,
    };
  }

  get #next(): number {
    return (this.#last?.seq ?? 0) + 1;
  }

  #follows(record: AuditRecord): boolean {
    const { seq, prev } = record;
    if (this.#last === undefined) {
      if (seq > 1) this.#anchor = { seq: seq - 1, hash: prev, file: this.#file };
      else if (prev !== NOTHING_BEFORE) return this.#breakOff(seq, "replaced", "record 1 follows another, which is not there");
      return true;
    }
    if ((this.#fileBefore?.torn ?? 0) > 0) {
      return this.#breakOff(this.#next, "altered", `${this.#fileBefore?.torn} bytes at the end of ${this.#fileBefore?.name} are no record`);
    }
    const next = this.#next;
    if (seq > next) return this.#breakOff(next, "missing", `${records(next, seq - 1)} missing: record ${seq} stands in that place`);
    if (seq < this.#first)
      return this.#breakOff(seq, "moved", `record ${seq} stands behind record ${next - 1}: records were put in another order`);
    if (seq < next) return this.#breakOff(next, "repeated", `record ${seq} stands again where record ${next} belongs`);
    if (prev !== this.#last.hash)
      return this.#breakOff(seq, "replaced", `record ${seq} does not follow record ${seq - 1}: one of the two was replaced`);
    return true;
  }

  #accept(record: AuditRecord): void {
    const { seq, hash, mark } = record;
    if ((mark?.is === "checkpoint" || mark?.is === "sealed") && !this.#isOurs(record, mark)) return;
    this.#last = { seq, hash };
    this.#records++;
    if (this.#first === 0) this.#first = seq;
    if (seq === this.#head?.count) this.#headHash = hash;
    const { mark: told, reason } = record;
    if (told?.is === "recovered") this.#notes.push(`Record ${seq}: ${reason}`);
    if (told?.is === "removed" && told.seq === this.#anchor?.seq && told.hash === this.#anchor.hash) {
      this.#notes.push(`Records 1 to ${told.seq} were removed for room, says record ${seq}.`);
      this.#anchor = undefined;
    }
  }

  #isOurs({ seq, hash, signature }: AuditRecord, { key, home }: { readonly key: string; readonly home: string }): boolean {
    this.#key ??= key;
    this.#home ??= home;
    if (key !== this.#key) {
      const text = `record ${seq} was signed with another key (${key}) than this log's (${this.#key}); ${HARMLESS}`;
      return this.#breakOff(seq, "key", text);
    }
    if (home !== this.#home) return this.#breakOff(seq, "home", `record ${seq} was signed on another home (${home})`);
    if (signature === undefined || !isSignedBy(key, hash, signature)) {
      return this.#breakOff(
        seq,
        "signature",
        `the signature of record ${seq} is wrong: what stands since record ${this.#signed} may be another's`,
      );
    }
    this.#signed = seq;
    return true;
  }

  #beginAnew(record: AuditRecord, { file, sha256 }: { readonly file: string | null; readonly sha256: string | null }): void {
    const { seq, at, reason } = record;
    this.#judgeAnchor();
    this.#find(seq, "begun-anew", `at ${at} the host found: ${reason.replace(/\.$/, "")}`);
    if (sha256 !== null && file === this.#fileBefore?.name && sha256 !== this.#fileBefore.sha256) {
      this.#find(seq, "changed-again", `${file} is not as it was when the host left it as it found it`);
    }
    this.#brokenAt = undefined;
    this.#fileBefore = undefined;
    this.#last = { seq: seq - 1, hash: record.prev };
    this.#accept(record);
  }

  /** A record that is missing where it belongs may only have been moved. */
  #lookFor(seq: number, record: AuditRecord | undefined): void {
    const last = this.#findings.at(-1);
    if (record?.seq !== seq || last?.wrong !== "missing") return;
    this.#findings[this.#findings.length - 1] = {
      ...last,
      wrong: "moved",
      text: `record ${seq} is not where it belongs, but further down: records were put in another order`,
    };
  }

  #judgeAnchor(): void {
    const { seq, file } = this.#anchor ?? {};
    this.#anchor = undefined;
    // What was not followed to its end may have said so.
    if (seq === undefined || file === undefined || this.#brokenAt !== undefined) return;
    const text = `${records(1, seq)} missing, and nothing here says that they were removed for room`;
    this.#findings.unshift({ seq: 1, file, wrong: "missing", text });
  }

  #judgeEnd(): void {
    const last = this.#last?.seq ?? 0;
    if (this.#head === undefined) return;
    const { count, hash } = this.#head;
    if (last < count) {
      const text =
        last === 0
          ? `the log is gone; the database knows of ${count} records`
          : `the log ends with record ${last}, and the database knows of ${count}: the end was cut off`;
      this.#find(last + 1, "cut", text);
    } else if (this.#headHash !== undefined && this.#headHash !== hash) {
      this.#find(count, "replaced", `record ${count} is another than the one the database knows`);
    } else if (this.#headHash === undefined) {
      this.#notes.push(`The database knows record ${count}, which is no longer here to compare.`);
    }
  }

  /** Returns false. */
  #breakOff(seq: number, wrong: Wrong, text: string): false {
    this.#brokenAt = seq;
    this.#find(seq, wrong, text);
    return false;
  }

  #find(seq: number, wrong: Wrong, text: string): void {
    this.#findings.push({ seq, file: this.#file, wrong, text });
  }
}

function records(from: number, to: number): string {
  return from === to ? `record ${from} is` : `records ${from} to ${to} are`;
}
