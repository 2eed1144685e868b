/** `hermit audit verify | tail | export`: the audit log read, while a host runs or not. */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import {
  auditFolder,
  auditKeyFile,
  checkExport,
  checkLog,
  exportLog,
  listFiles,
  newestRecords,
  readKey,
  readPublicKey,
} from "../adapters/audit-files/index.ts";
import type { Finding, Verdict } from "../audit/chain-check.ts";
import { visible } from "../audit/entry.ts";
import type { AuditRecord } from "../audit/record.ts";
import type { Config } from "../config/index.ts";
import { HostError, isHostError } from "../domain/errors.ts";
import { AUDIT_KINDS } from "../ports/audit.ts";
import { type KnownEnd, readKnownEnd } from "./audit-head.ts";
import { type GlobalOptions, loadConfigForCli } from "./context.ts";
import { EXIT_FAILED } from "./exit-codes.ts";

export interface VerifyOptions extends GlobalOptions {
  readonly json?: boolean;
  /** An export instead of the home's own log. */
  readonly file?: string;
}

export interface TailOptions extends GlobalOptions {
  readonly lines?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly denied?: boolean;
  readonly json?: boolean;
}

const NAME_HOME = "Name the home with --home.";
const DEFAULT_LINES = 20;
const MAX_LINES = 10_000;
/** The harmless cause. */
const ANOTHER_USER = "this is another user than Hermit runs as, with a key of their own: then judge it as that user";

/** Exit code 1: the log is not what was written, or there is none. */
export async function auditVerify(options: VerifyOptions): Promise<number> {
  const { config } = await loadConfigForCli(options);
  const judged = options.file === undefined ? judgeHome(config) : judgeExport(options.file);
  const isSound = judged.findings.length === 0 && judged.files !== 0;
  if (options.json === true) process.stdout.write(`${visible(JSON.stringify({ ok: isSound, ...judged }))}\n`);
  else process.stdout.write(describe(judged));
  return isSound ? 0 : EXIT_FAILED;
}

export async function auditTail(options: TailOptions): Promise<void> {
  const matches = filterOf(options);
  const count = linesOf(options.lines);
  const { config } = await loadConfigForCli(options);
  const folder = auditFolder(config.home);
  const { records, strange } = newestRecords(folder, count, matches);
  for (const record of records)
    process.stdout.write(`${options.json === true ? visible(JSON.stringify(record)) : describeRecord(record)}\n`);
  if (listFiles(folder).length === 0) process.stderr.write(`hermit: there is no audit log in ${config.home}.\n`);
  if (strange > 0) process.stderr.write(`hermit: ${strange} of the lines read are no records; \`hermit audit verify\` says more.\n`);
}

/** `to`: a new file, or `-`. */
export async function auditExport(to: string, options: GlobalOptions): Promise<void> {
  const { config } = await loadConfigForCli(options);
  const folder = auditFolder(config.home);
  if (listFiles(folder).length === 0) {
    throw new HostError("AUDIT_BROKEN", `There is no audit log in ${config.home}.`, { hint: NAME_HOME });
  }
  const { instance, head } = readKnownEnd(config.home);
  const { key } = keysOf(config, folder);
  const header = { at: new Date().toISOString(), home: instance ?? null, key: key ?? null, head: head ?? null };
  let [lines, length] = [0, 0];
  const counted = (write: (bytes: Buffer) => void) => (bytes: Buffer) => {
    lines++;
    length += bytes.length;
    write(bytes);
  };
  const exportBy = (write: (bytes: Buffer) => void): void => exportLog(folder, header, counted(write));
  if (to === "-") exportBy((bytes) => void process.stdout.write(bytes));
  else exportToFile(to, exportBy);
  const place = to === "-" ? "standard output" : to;
  // The first line is the export's own.
  process.stderr.write(`hermit: ${lines - 1} lines of the log, ${length} bytes, written to ${visible(place)}.\n`);
}

interface Judged extends Verdict {
  readonly where: string;
  /** Null: an export, or there is none. */
  readonly files: number | null;
  readonly head: KnownEnd["head"] | null;
}

function judgeHome(config: Config): Judged {
  const { home } = config;
  const folder = auditFolder(home);
  // Before the log: what is added from here on is no fault.
  const { instance, head, unknown } = readKnownEnd(home);
  const { key, findings, notes } = keysOf(config, folder);
  const checked = checkLog(folder, { key, home: instance, head });
  return {
    ...checked,
    where: home,
    head: head ?? null,
    findings: [...checked.findings, ...findings],
    notes: [...checked.notes, ...notes, ...unaskedNote(checked.records, head, unknown)],
  };
}

function judgeExport(file: string): Judged {
  const { header, verdict } = checkExport(file);
  const notes = unaskedNote(verdict.records, header.head ?? undefined, undefined);
  return { ...verdict, where: file, files: null, head: header.head, notes: [...verdict.notes, ...notes] };
}

function unaskedNote(records: number, head: KnownEnd["head"], unknown: string | undefined): readonly string[] {
  if (records === 0 || head !== undefined) return [];
  return [`Where the log ended is not known (${unknown ?? "the database has not been told yet"}): an end cut off would not be seen.`];
}

/** The key the log must be signed with: the owner's own, where this user may read it, else what stands in the home. */
function keysOf(
  { home, mounts }: Config,
  folder: string,
): { readonly key: string | undefined; readonly findings: readonly Finding[]; readonly notes: readonly string[] } {
  const stated = readPublicKey(folder);
  const file = auditKeyFile({ home, ownersFolder: mounts.ownersFolder });
  try {
    const own = readKey(file);
    own?.secret.fill(0);
    if (own === undefined || stated === undefined || own.publicKey === stated)
      return { key: own?.publicKey ?? stated, findings: [], notes: [] };
    const text = `audit.pub does not belong to the key ${file}: one of the two was put in the other's place, or ${ANOTHER_USER}`;
    return { key: own.publicKey, findings: [{ seq: 0, file: "audit.pub", wrong: "key", text }], notes: [] };
  } catch (error) {
    if (!isHostError(error)) throw error;
    return { key: stated, findings: [], notes: [`${error.message} Only audit.pub was compared.`] };
  }
}

function describe({ where, files, findings, notes, records, first, last, signed, key, head }: Judged): string {
  const lines: string[] = [];
  if (files === 0 && findings.length === 0) lines.push(noLog(where));
  else if (findings.length === 0) {
    const place = files === null ? "" : ` in ${files} file${files === 1 ? "" : "s"}`;
    const known = head === null ? "" : `; the database knows of ${head?.count}`;
    lines.push(`Sound: ${records} records (${first} to ${last})${place}, signed up to ${signed === 0 ? "none" : signed}${known}.`);
  } else {
    lines.push("Not sound:");
    for (const { file, text } of findings) lines.push(`  ${file === "" ? "" : `${file}: `}${text}.`);
    lines.push(`${records} records could be followed, the last of them ${last}, signed up to ${signed === 0 ? "none" : signed}.`);
  }
  for (const note of notes) lines.push(`Note: ${note}`);
  if (key !== undefined)
    lines.push(
      `Key: ${key}`,
      "Whoever holds it could have written the log anew: compare it with the one you noted, and keep exports elsewhere.",
    );
  return `${lines.map(visible).join("\n")}\n`;
}

function noLog(home: string): string {
  return `There is no audit log in ${home}: no host has written one there. ${NAME_HOME}`;
}

function describeRecord({ at, decision, kind, group, turn, subject, reason, times }: AuditRecord): string {
  const whose = group === null ? "host" : turn === null ? group : `${group} turn ${turn}`;
  const often = times === 1 ? "" : ` (${times} times)`;
  return visible(`${at}  ${decision.padEnd(7)}  ${kind.padEnd(10)}  ${whose}  ${subject}${often}${reason === "" ? "" : `  ${reason}`}`);
}

function filterOf({ group, kind, denied }: TailOptions): (record: AuditRecord) => boolean {
  if (kind !== undefined && !AUDIT_KINDS.some((known) => known === kind)) {
    throw new HostError("CONFIG_INVALID", `--kind ${visible(kind)} is no kind of record.`, {
      hint: `There are ${AUDIT_KINDS.join(", ")}.`,
    });
  }
  return (record) =>
    (group === undefined || record.group === group) &&
    (kind === undefined || record.kind === kind) &&
    (denied !== true || record.decision === "denied");
}

function linesOf(given: string | undefined): number {
  if (given === undefined) return DEFAULT_LINES;
  const count = /^\d{1,5}$/.test(given) ? Number(given) : 0;
  if (count >= 1 && count <= MAX_LINES) return count;
  throw new HostError("CONFIG_INVALID", `--lines ${visible(given)} is no number of lines.`, {
    hint: `Write a number from 1 to ${MAX_LINES}.`,
  });
}

function exportToFile(path: string, write: (write: (bytes: Buffer) => void) => void): void {
  let file: number;
  try {
    file = openSync(path, "wx", 0o600);
  } catch (cause) {
    throw unwritable(path, cause);
  }
  try {
    write((bytes) => {
      try {
        for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
      } catch (cause) {
        throw unwritable(path, cause);
      }
    });
  } catch (error) {
    // Half an export would pass for a log whose end was cut off.
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

function unwritable(path: string, cause: unknown): HostError {
  const what = (cause as NodeJS.ErrnoException).code === "EEXIST" ? "exists already" : `cannot be written: ${(cause as Error).message}`;
  return new HostError("CONFIG_INVALID", `${path} ${what}.`, {
    cause,
    hint: "Name a new file in a folder you may write to, with room, or - for standard output.",
  });
}
