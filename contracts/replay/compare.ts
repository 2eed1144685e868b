/**
 * What a host did against what was recorded (fixtures/golden/README.md).
 *
 * Binding, per chat or folder and in order: texts sent; messages given to the agent, prompts of tasks; `scheduled`, `isMain`, `session`
 * of those runs; the tables afterwards. How inputs are divided into runs and follow-ups, typing, times and exit codes are not compared:
 * a host that does not poll divides otherwise. Between chats order binds nothing, except who starts first where slots are short.
 */
import { asRecorded, compareTables } from "./compare-tables.ts";
import { CORRECTIONS, CUT_SHORT } from "./corrections.ts";
import type { Dump, Lack, Observed } from "./driver.ts";
import type { Binding, Scenario } from "./scenario.ts";
import { spokenLines } from "./script.ts";

/** The host's own words to a chat begin so; they are set aside. */
const NOTICE = "[hermit]";

export interface Difference {
  /** What was compared: `sends to fam@g.us`, `inputs of fam`, `table sessions`. */
  readonly subject: string;
  readonly wanted: readonly string[];
  readonly got: readonly string[];
}

export interface Comparison {
  readonly differences: readonly Difference[];
  readonly notices: readonly string[];
}

/** What was seen of a host that was played. */
export interface Played {
  readonly observed: readonly Observed[];
  readonly dump: Dump;
  readonly lacks: readonly Lack[];
}

export function compare(scenario: Scenario, { observed: seen, dump, lacks }: Played): Comparison {
  const { observed, notices } = withoutNotices(seen);
  const differences = [
    ...(scenario.binding === undefined ? [] : compareFlows(scenario.binding, observed, lacks, CUT_SHORT.has(scenario.name))),
    ...(scenario.meta.verdict === "keep" && scenario.meta.tables !== false ? compareTables(scenario.dbAfter, dump, lacks) : []),
    ...judgeByWords(scenario, { observed, dump }),
  ];
  return { differences, notices };
}

/** What two hosts did with the same scenario, whatever was recorded; the recording says which values are a host's own. */
export function compareHosts({ dbAfter }: Scenario, one: Played, other: Played): Comparison {
  const [wanted, got] = [withoutNotices(one.observed), withoutNotices(other.observed)];
  const lacks = [...one.lacks, ...other.lacks];
  const differences = [
    ...compareFlows(wanted.observed, got.observed, lacks, false),
    ...compareTables(asRecorded(one.dump, dbAfter), other.dump, lacks),
  ];
  return { differences, notices: [...wanted.notices, ...got.notices] };
}

function withoutNotices(seen: readonly Observed[]): { readonly observed: readonly Observed[]; readonly notices: readonly string[] } {
  const isNotice = (one: Observed): boolean => one.obs === "send" && one.text.startsWith(NOTICE);
  return {
    observed: seen.filter((one) => !isNotice(one)),
    notices: seen.flatMap((one) => (one.obs === "send" && isNotice(one) ? [`${one.chat}: ${one.text}`] : [])),
  };
}

function judgeByWords({ name, meta, binding }: Scenario, found: { observed: readonly Observed[]; dump: Dump }): readonly Difference[] {
  const check = CORRECTIONS[name];
  const isInWords = meta.verdict === "defect" && (binding === undefined || meta.correctedDb !== undefined);
  if (isInWords && check === undefined) throw new Error(`${name}: nothing checks "${meta.correctedDb ?? meta.correct}"`);
  const wrong = check?.(found);
  return wrong === undefined ? [] : [{ subject: "correction", wanted: [meta.correctedDb ?? meta.correct ?? ""], got: [wrong] }];
}

type Seen = Binding | Observed;

function compareFlows(
  wanted: readonly Seen[],
  got: readonly Observed[],
  lacks: readonly Lack[],
  isCutShort: boolean,
): readonly Difference[] {
  return [
    ...differ("sends to", bySubject(wanted, sendOf), bySubject(got, sendOf), isCutShort),
    ...differ("inputs of", bySubject(wanted, inputsOf(lacks)), bySubject(got, inputsOf(lacks)), isCutShort),
  ];
}

type Entry = readonly [subject: string, lines: readonly string[]];

function sendOf(one: Seen): Entry | undefined {
  return one.obs === "send" ? [one.chat, [one.text]] : undefined;
}

/** Facts about a run stand before each of its messages, so that it does not matter which message began it. */
function inputsOf(lacks: readonly Lack[]): (one: Seen, facts: Map<string, string>) => Entry | undefined {
  const conversations = new Conversations();
  return (one, facts) => {
    if (one.obs === "run") {
      const conversation = lacks.includes("sessions") ? "" : ` ${conversations.ofRun(one)}`;
      facts.set(one.group, `${one.scheduled ? "task" : "messages"}${one.isMain ? " as main" : ""} in ${one.chat}${conversation}`);
      return [one.group, spokenLines(one.prompt).map((line) => `${facts.get(one.group)}: ${line}`)];
    }
    if (one.obs === "followup") return [one.group, spokenLines(one.text).map((line) => `${facts.get(one.group)}: ${line}`)];
    return undefined;
  };
}

/**
 * Which conversation a run goes on with, numbered in the order they began: a follow-up of one host is a new run that resumes the session
 * for another, and the name a session gets in between is nobody's concern. One that was there from the start goes by its name.
 */
class Conversations {
  readonly #known = new Map<string, string>();
  readonly #unnamed = new Map<string, string>();
  readonly #begun = new Map<string, number>();

  ofRun({ group, session, scheduled }: { group: string; session: string | null; scheduled: boolean }): string {
    if (session === null) {
      if (scheduled) return "apart";
      const number = (this.#begun.get(group) ?? 0) + 1;
      this.#begun.set(group, number);
      this.#unnamed.set(group, `conversation ${number}`);
      return `conversation ${number}`;
    }
    const key = `${group} ${session}`;
    const conversation = this.#known.get(key) ?? this.#unnamed.get(group) ?? `session ${session}`;
    if (!this.#known.has(key)) this.#unnamed.delete(group);
    this.#known.set(key, conversation);
    return conversation;
  }
}

function bySubject(
  all: readonly Seen[],
  entryOf: (one: Seen, facts: Map<string, string>) => Entry | undefined,
): ReadonlyMap<string, readonly string[]> {
  const subjects = new Map<string, string[]>();
  const facts = new Map<string, string>();
  for (const one of all) {
    const entry = entryOf(one, facts);
    if (entry === undefined) continue;
    const [subject, lines] = entry;
    subjects.set(subject, [...(subjects.get(subject) ?? []), ...lines]);
  }
  return subjects;
}

function differ(
  what: string,
  wanted: ReadonlyMap<string, readonly string[]>,
  got: ReadonlyMap<string, readonly string[]>,
  isCutShort: boolean,
): readonly Difference[] {
  const subjects = [...new Set([...wanted.keys(), ...got.keys()])].toSorted();
  return subjects.flatMap((subject) => {
    const theirs = wanted.get(subject) ?? [];
    const mine = (got.get(subject) ?? []).slice(0, isCutShort ? theirs.length : undefined);
    if (JSON.stringify(mine) === JSON.stringify(theirs)) return [];
    return [{ subject: `${what} ${subject}`, wanted: theirs, got: mine }];
  });
}
