/**
 * The end of a log, judged before anything is added to it: from its newest signed record on, and against what the database knows.
 * What lies further back was judged when that was the end, and `hermit audit verify` judges all of it.
 */
import { ChainCheck, type Expected } from "../../audit/chain-check.ts";
import { NOTHING_BEFORE, parseLine } from "../../audit/record.ts";
import { type LastLines, type LogFile, readLastLines } from "./log-files.ts";

/** No file of ours is nearly as long; one that is is not read. */
const MAX_FILE_BYTES = 64 * 1_024 * 1_024;

export interface LogEnd {
  readonly seq: number;
  readonly hash: string;
  /** Sound records since the newest signed one. */
  readonly unsigned: number;
  /** The newest file is complete: what comes next goes into another. */
  readonly isSealed: boolean;
  /** Bytes behind the last newline of the newest file. */
  readonly torn: Buffer;
  /** Undefined: it is as it was written. */
  readonly damage: string | undefined;
}

/** `files`: oldest first. Never throws: what cannot be read is damage. */
export function judgeEnd(files: readonly LogFile[], expected: Required<Pick<Expected, "key" | "home" | "head">>): LogEnd {
  const newest = files.at(-1);
  const count = expected.head?.count ?? 0;
  const lost = { seq: count, hash: NOTHING_BEFORE, unsigned: 0, isSealed: false, torn: Buffer.alloc(0) };
  if (newest === undefined) return { ...lost, damage: new ChainCheck(expected).end().findings[0]?.text };
  if (newest.size > MAX_FILE_BYTES) return { ...lost, damage: `${newest.name} is far longer than any file of the log` };
  let stretch: LastLines;
  try {
    stretch = readLastLines(newest.path, isStart);
  } catch (error) {
    return { ...lost, damage: `${newest.name} cannot be read: ${(error as Error).message}` };
  }
  const { lines, isWhole, torn } = stretch;
  const [first] = lines;
  const start = first === undefined ? undefined : parseLine(first);
  let after = start === undefined ? undefined : { seq: start.seq - 1, hash: start.prev };
  let unreadable: string | undefined;
  const before = files.at(-2);
  if (isWhole) {
    try {
      after = endOf(before);
    } catch (error) {
      unreadable = `${before?.name} cannot be read: ${(error as Error).message}`;
    }
  }
  const check = new ChainCheck({ ...expected, ...(after === undefined ? {} : { after }) });
  check.openFile(newest.name);
  for (const line of lines) check.line(line);
  const { findings, records, last, hash, signed } = check.end();
  // That the chain begins there was told when it did.
  const damage = unreadable ?? findings.find(({ wrong }) => wrong !== "begun-anew")?.text;
  const sealed = lines.at(-1);
  return {
    seq: Math.max(last, damage === undefined ? 0 : count),
    hash,
    unsigned: signed > 0 ? last - signed : records,
    isSealed: sealed !== undefined && parseLine(sealed)?.mark?.is === "sealed",
    torn,
    damage,
  };
}

/** A stretch may begin with what says by itself that it was written here. */
function isStart(line: Buffer): boolean {
  const { mark } = parseLine(line) ?? {};
  return mark?.is === "checkpoint" || mark?.is === "sealed" || mark?.is === "begins";
}

/** What a file without a signed record goes on from. */
function endOf(before: LogFile | undefined): Expected["after"] {
  if (before === undefined) return undefined;
  if (before.size > MAX_FILE_BYTES) throw new Error("it is far longer than any file of the log");
  const { lines } = readLastLines(before.path, () => true);
  const last = lines.at(-1);
  const record = last === undefined ? undefined : parseLine(last);
  return record === undefined ? undefined : { seq: record.seq, hash: record.hash };
}
