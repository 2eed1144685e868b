/**
 * One record of the audit log, as a line.
 *
 * Canonical form: JSON without white space whose fields are, in this order, seq, at, kind, decision, group, turn, subject, reason, times,
 * mark (in some of the log's own records), prev. `hash` is SHA-256 over exactly those bytes, in lower-case hex, and stands behind
 * them as the last field. A signed record has one more behind it: `signature`, Ed25519 over `hermit-audit:` and the hash.
 */
import { createHash, hash as hashOnce } from "node:crypto";
import { AUDIT_KINDS } from "../ports/audit.ts";
import type { WrittenEntry } from "./entry.ts";
import type { Sign } from "./signing.ts";

/** What a record of the log about itself says to programs; its reason says it to people. */
export type AuditMark =
  /** Signed: everything up to here was written with this key, on this home. */
  | { readonly is: "checkpoint"; readonly home: string; readonly key: string }
  /** Signed; the last record of its file. */
  | { readonly is: "sealed"; readonly home: string; readonly key: string; readonly next: string }
  /** A crash left a line without its end, which was cut off. */
  | { readonly is: "recovered"; readonly bytes: number; readonly sha256: string }
  /** The oldest file was removed for room: the log begins behind this record. */
  | { readonly is: "removed"; readonly file: string; readonly seq: number; readonly hash: string }
  /** What came before is not as it was written; the chain begins anew. `file` stays as it was found; null: there was none. */
  | { readonly is: "begins"; readonly file: string | null; readonly sha256: string | null };

export interface AuditRecord extends WrittenEntry {
  readonly seq: number;
  /** ISO 8601. */
  readonly at: string;
  readonly mark?: AuditMark;
  readonly prev: string;
  readonly hash: string;
  readonly signature?: string;
}

/** What the first record of a chain follows. */
export const NOTHING_BEFORE = "0".repeat(64);
/** Longer than any record with texts as long as they may be, whatever they are made of. */
export const MAX_LINE_BYTES = 8 * 1_024;

const HASH = /^[0-9a-f]{64}$/;
const ENDING = /^,"hash":"([0-9a-f]{64})"(?:,"signature":"([0-9a-f]{128})")?}$/;
const HASH_ENDING_LENGTH = `,"hash":"${NOTHING_BEFORE}"}`.length;
const SIGNED_ENDING_LENGTH = HASH_ENDING_LENGTH + `,"signature":"${"0".repeat(128)}"`.length;

export function composeLine(
  content: Omit<AuditRecord, "hash" | "signature">,
  sign: Sign | undefined,
): { readonly line: string; readonly hash: string } {
  const body = canonical(content);
  const hash = hashOnce("sha256", body, "hex");
  const signature = sign === undefined ? "" : `,"signature":"${sign(hash)}"`;
  return { line: `${body.slice(0, -1)},"hash":"${hash}"${signature}}\n`, hash };
}

/** `line`: without its newline. Undefined: these are not the bytes of a record as it was written. */
export function parseLine(line: Buffer): AuditRecord | undefined {
  const found = endingOf(line, SIGNED_ENDING_LENGTH) ?? endingOf(line, HASH_ENDING_LENGTH);
  if (found === undefined) return undefined;
  // The bytes and not their text: two different ones may read the same.
  const bytes = line.subarray(0, found.from);
  if (createHash("sha256").update(bytes).update("}").digest("hex") !== found.hash) return undefined;
  const body = `${bytes.toString("utf8")}}`;
  const content = parseContent(body);
  if (content === undefined || canonical(content) !== body) return undefined;
  return { ...content, hash: found.hash, ...(found.signature === undefined ? {} : { signature: found.signature }) };
}

function endingOf(line: Buffer, length: number) {
  const from = line.length - length;
  if (from < 0) return undefined;
  const [, hash, signature] = ENDING.exec(line.toString("latin1", from)) ?? [];
  return hash === undefined ? undefined : { from, hash, signature };
}

function canonical({ seq, at, kind, decision, group, turn, subject, reason, times, mark, prev }: Omit<AuditRecord, "hash">): string {
  return JSON.stringify({
    seq,
    at,
    kind,
    decision,
    group,
    turn,
    subject,
    reason,
    times,
    ...(mark === undefined ? {} : { mark: canonicalMark(mark) }),
    prev,
  });
}

function canonicalMark(mark: AuditMark): AuditMark {
  switch (mark.is) {
    case "checkpoint":
      return { is: mark.is, home: mark.home, key: mark.key };
    case "sealed":
      return { is: mark.is, home: mark.home, key: mark.key, next: mark.next };
    case "recovered":
      return { is: mark.is, bytes: mark.bytes, sha256: mark.sha256 };
    case "removed":
      return { is: mark.is, file: mark.file, seq: mark.seq, hash: mark.hash };
    case "begins":
      return { is: mark.is, file: mark.file, sha256: mark.sha256 };
  }
}

function parseContent(body: string): Omit<AuditRecord, "hash" | "signature"> | undefined {
  let value: Readonly<Record<string, unknown>>;
  try {
    value = Object(JSON.parse(body));
  } catch {
    return undefined;
  }
  const { seq, at, kind, decision, group, turn, subject, reason, times, mark, prev } = value;
  const isRecord =
    isCount(seq) &&
    isText(at) &&
    AUDIT_KINDS.some((known) => known === kind) &&
    (decision === "allowed" || decision === "denied" || decision === "noted") &&
    (group === null || isText(group)) &&
    (turn === null || typeof turn === "number") &&
    isText(subject) &&
    isText(reason) &&
    typeof times === "number" &&
    (mark === undefined || isMark(Object(mark))) &&
    isHash(prev);
  return isRecord ? (value as unknown as AuditRecord) : undefined;
}

function isMark({ is, home, key, next, bytes, sha256, file, seq, hash }: Readonly<Record<string, unknown>>): boolean {
  switch (is) {
    case "checkpoint":
      return isText(home) && isHash(key);
    case "sealed":
      return isText(home) && isHash(key) && isText(next);
    case "recovered":
      return isCount(bytes) && isHash(sha256);
    case "removed":
      return isText(file) && typeof seq === "number" && isHash(hash);
    case "begins":
      return (file === null || isText(file)) && (sha256 === null || isHash(sha256));
    default:
      return false;
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) > 0;
}

function isHash(value: unknown): boolean {
  return isText(value) && HASH.test(value);
}
