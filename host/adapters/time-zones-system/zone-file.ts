/**
 * One file of /usr/share/zoneinfo (TZif, RFC 9636): the listed changes, then the rule for the years after them. Read without Intl,
 * which would keep 8 MB of tables in memory for this. Leap seconds are ignored; files that count them are not offered.
 */
import { LAST_INSTANT, type Stretch, type Zone } from "../../domain/schedule-zone.ts";
import { changesOf, readPosixRule, type YearRule } from "./posix-rule.ts";

const HEADER_BYTES = 44;
const SECOND = 1000;
/** JavaScript's dates end in 275760; the last rules are computed a little before that. */
const LAST_RULED_YEAR = 275_000;

interface Counts {
  readonly isUt: number;
  readonly isStandard: number;
  readonly leaps: number;
  readonly times: number;
  readonly types: number;
  readonly letters: number;
}

/** Undefined: not a zone file of version 2 or later, or a damaged one. */
export function readZoneFile(name: string, file: Buffer): Zone | undefined {
  try {
    return readZone(name, file);
  } catch (error) {
    // A file that ends too early, or points outside itself.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function readZone(name: string, file: Buffer): Zone | undefined {
  const first = readHeader(file, 0);
  if (first === undefined || file.readUInt8(4) < "2".charCodeAt(0)) return undefined;
  // Version 2 repeats the block with 64-bit times after the one with 32-bit times.
  const second = HEADER_BYTES + blockBytes(first, 4);
  const counts = readHeader(file, second);
  if (counts === undefined || counts.leaps > 0 || counts.types === 0) return undefined;
  const times = second + HEADER_BYTES;
  const kinds = times + counts.times * 8;
  const types = kinds + counts.times;
  const offsetOfType = (type: number): number => {
    if (type >= counts.types) throw new RangeError(`local time type ${type} of ${counts.types}`);
    return file.readInt32BE(types + type * 6) * SECOND;
  };
  const changes: Change[] = [];
  let offset = offsetOfType(0);
  const initial = offset;
  for (let n = 0; n < counts.times; n++) {
    const next = offsetOfType(file.readUInt8(kinds + n));
    // Only the name or the kind of time changed: clocks did not.
    if (next === offset) continue;
    offset = next;
    changes.push({ at: Number(file.readBigInt64BE(times + n * 8)) * SECOND, offset });
  }
  const footer = /^\n(.*)\n/.exec(file.toString("latin1", second + HEADER_BYTES + blockBytes(counts, 8)))?.[1];
  if (footer === undefined) return undefined;
  const rule = footer === "" ? offset : readPosixRule(footer);
  return rule === undefined ? undefined : new ListedZone(name, initial, changes, rule);
}

function readHeader(file: Buffer, at: number): Counts | undefined {
  if (file.toString("latin1", at, at + 4) !== "TZif") return undefined;
  const count = (n: number): number => file.readUInt32BE(at + 20 + n * 4);
  return { isUt: count(0), isStandard: count(1), leaps: count(2), times: count(3), types: count(4), letters: count(5) };
}

function blockBytes(counts: Counts, timeBytes: number): number {
  return (
    counts.times * (timeBytes + 1) + counts.types * 6 + counts.letters + counts.leaps * (timeBytes + 4) + counts.isStandard + counts.isUt
  );
}

interface Change {
  readonly at: number;
  /** From `at` on. */
  readonly offset: number;
}

class ListedZone implements Zone {
  readonly name: string;
  readonly #initial: number;
  readonly #changes: readonly Change[];
  readonly #rule: YearRule | number;
  /** Changes by the rule around one year; searches ask for neighbours again and again. */
  #around: { readonly year: number; readonly changes: readonly Change[] } | undefined;

  constructor(name: string, initial: number, changes: readonly Change[], rule: YearRule | number) {
    this.name = name;
    this.#initial = initial;
    this.#changes = changes;
    this.#rule = rule;
  }

  stretchAt(instant: number): Stretch {
    const last = this.#changes.at(-1);
    if (last !== undefined && instant < last.at) return stretchIn(this.#changes, this.#initial, instant);
    const listed = last === undefined ? [] : [last];
    const before = last === undefined ? this.#initial : (this.#changes.at(-2)?.offset ?? this.#initial);
    if (typeof this.#rule === "number") return stretchIn(listed, before, instant);
    const ruled = this.#ruledAround(this.#rule, instant).filter(({ at }) => last === undefined || at > last.at);
    return stretchIn([...listed, ...ruled], before, instant);
  }

  /** The year before is there too, so that what came before the year's first change is known; the year after ends its last stretch. */
  #ruledAround(rule: YearRule, instant: number): readonly Change[] {
    const year = Math.min(new Date(Math.min(instant, LAST_INSTANT)).getUTCFullYear(), LAST_RULED_YEAR);
    if (this.#around?.year === year) return this.#around.changes;
    const changes = [year - 1, year, year + 1].flatMap((each) => changesOf(rule, each));
    this.#around = { year, changes };
    return changes;
  }
}

/** `initial`: the offset before the first change. */
function stretchIn(changes: readonly Change[], initial: number, instant: number): Stretch {
  let low = 0;
  let high = changes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((changes[middle]?.at ?? Infinity) <= instant) low = middle + 1;
    else high = middle;
  }
  const current = changes[low - 1];
  const offset = current?.offset ?? initial;
  const before = low > 1 ? (changes[low - 2]?.offset ?? initial) : initial;
  return { from: current?.at ?? -Infinity, until: changes[low]?.at ?? Infinity, offset, before };
}
