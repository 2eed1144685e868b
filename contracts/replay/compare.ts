/**
 * What a host did against what was recorded (fixtures/golden/README.md).
 *
 * Binding, per chat or folder and in order: texts sent; messages given to the agent, prompts of tasks; `scheduled`, `isMain`, `session`
 * of those runs; the tables afterwards. How inputs are divided into runs and follow-ups, typing, times and exit codes are not compared:
 * a host that does not poll divides otherwise. Between chats order binds nothing, except who starts first where slots are short.
 */
import { CORRECTIONS } from "./corrections.ts";
import type { Dump, Lack, Observed } from "./driver.ts";
import type { Binding, Scenario } from "./scenario.ts";
import { messageLines } from "./script.ts";
import { type Cell, type Row, type TableName, Tables } from "./tables.ts";

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

export function compare(scenario: Scenario, seen: { observed: readonly Observed[]; dump: Dump }, lacks: readonly Lack[]): Comparison {
  const observed = seen.observed.filter((one) => one.obs !== "send" || !one.text.startsWith(NOTICE));
  const notices = seen.observed.flatMap((one) => (one.obs === "send" && one.text.startsWith(NOTICE) ? [`${one.chat}: ${one.text}`] : []));
  const differences = [
    ...(scenario.binding === undefined ? [] : compareFlows(scenario.binding, observed, lacks)),
    ...(scenario.meta.verdict === "keep" ? compareTables(scenario, seen.dump, lacks) : []),
    ...judgeByWords(scenario, { observed, dump: seen.dump }),
  ];
  return { differences, notices };
}

function judgeByWords({ name, meta, binding }: Scenario, found: { observed: readonly Observed[]; dump: Dump }): readonly Difference[] {
  const check = CORRECTIONS[name];
  const isInWords = meta.verdict === "defect" && (binding === undefined || meta.correctedDb !== undefined);
  if (isInWords && check === undefined) throw new Error(`${name}: nothing checks "${meta.correctedDb ?? meta.correct}"`);
  const wrong = check?.(found);
  return wrong === undefined ? [] : [{ subject: "correction", wanted: [meta.correctedDb ?? meta.correct ?? ""], got: [wrong] }];
}

type Seen = Binding | Observed;

function compareFlows(wanted: readonly Binding[], got: readonly Observed[], lacks: readonly Lack[]): readonly Difference[] {
  return [
    ...differ("sends to", bySubject(wanted, sendOf), bySubject(got, sendOf)),
    ...differ("inputs of", bySubject(wanted, inputsOf(lacks)), bySubject(got, inputsOf(lacks))),
  ];
}

type Entry = readonly [subject: string, lines: readonly string[]];

function sendOf(one: Seen): Entry | undefined {
  return one.obs === "send" ? [one.chat, [one.text]] : undefined;
}

/** Facts about a run stand before each of its messages, so that it does not matter which message began it. */
function inputsOf(lacks: readonly Lack[]): (one: Seen, facts: Map<string, string>) => Entry | undefined {
  return (one, facts) => {
    if (one.obs === "run") {
      const session = lacks.includes("sessions") ? "" : ` session ${one.session ?? "none"}`;
      facts.set(one.group, `${one.scheduled ? "task" : "messages"}${one.isMain ? " as main" : ""} in ${one.chat}${session}`);
      return [one.group, spoken(one.prompt).map((line) => `${facts.get(one.group)}: ${line}`)];
    }
    if (one.obs === "followup") return [one.group, spoken(one.text).map((line) => `${facts.get(one.group)}: ${line}`)];
    return undefined;
  };
}

/** A message without text starts nothing here (contract §8.23), and whether the agent sees it beside another is free. */
function spoken(input: string): readonly string[] {
  return messageLines(input).filter((line) => !/^<message [^>]*>\s*<\/message>$/.test(line));
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
): readonly Difference[] {
  const subjects = [...new Set([...wanted.keys(), ...got.keys()])].toSorted();
  return subjects.flatMap((subject) => {
    const [mine, theirs] = [got.get(subject) ?? [], wanted.get(subject) ?? []];
    if (JSON.stringify(mine) === JSON.stringify(theirs)) return [];
    return [{ subject: `${what} ${subject}`, wanted: theirs, got: mine }];
  });
}

/** Of each table what identifies a row, for the order in which they are compared. */
const KEY: Readonly<Record<TableName, readonly string[]>> = {
  chats: ["jid"],
  messages: ["chat_jid", "id"],
  scheduled_tasks: ["created_at", "group_folder", "prompt"],
  task_run_logs: ["task_id", "id"],
  router_state: ["key"],
  sessions: ["group_folder"],
  registered_groups: ["jid"],
};

function compareTables({ dbAfter }: Scenario, dump: Dump, lacks: readonly Lack[]): readonly Difference[] {
  return Tables.flatMap((table) => {
    if (table === "sessions" && lacks.includes("sessions")) return [];
    const wanted = inOrder(table, dbAfter[table].flatMap(table === "chats" && lacks.includes("group-sync") ? unsynced : keep));
    const got = inOrder(table, dump[table]);
    const isSame = wanted.length === got.length && wanted.every((row, n) => sameRow(table, row, got[n] ?? {}));
    if (isSame) return [];
    return [{ subject: `table ${table}`, wanted: wanted.map(showRow), got: got.map(showRow) }];
  });
}

function keep(row: Row): readonly Row[] {
  return [row];
}

/** Without what only synchronisation with the platform brings: chats nobody spoke in, and names. */
function unsynced(row: Row): readonly Row[] {
  if (typeof row["last_message_time"] === "object") return [];
  const { name: _, ...rest } = row;
  return [rest];
}

function inOrder<R extends Row>(table: TableName, rows: readonly R[]): readonly R[] {
  const key = (row: R): string => KEY[table].map((column) => sortable(row[column])).join(" ");
  return rows.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

function sortable(cell: Cell | undefined): string {
  return typeof cell === "number" ? String(cell).padStart(20, "0") : JSON.stringify(cell);
}

/** Columns of ours beside the recorded ones are ignored, and so is the number of a run in the log: it is counted over all chats. */
function sameRow(table: TableName, wanted: Row, got: Row): boolean {
  const columns = Object.entries(wanted).filter(([column]) => table !== "task_run_logs" || column !== "id");
  return columns.every(([column, cell]) => sameCell(cell, got[column] ?? null, got));
}

function sameCell(wanted: Cell, got: Cell, row: Row): boolean {
  if (typeof wanted !== "object" || wanted === null) return wanted === got;
  if ("$json" in wanted) return typeof got === "string" && canonical(parseJson(got)) === canonical(wanted.$json);
  if ("$ms" in wanted) return typeof got === "number" && got >= 0;
  if ("$task" in wanted) return typeof got === "string" && got !== "";
  if ("$error" in wanted) return typeof got === "string" && got !== "" && (wanted.prefixed !== true || got.startsWith("Error: "));
  if (wanted.from === undefined) return typeof got === "string" && !Number.isNaN(Date.parse(got));
  const from = row[wanted.from];
  return typeof got === "string" && typeof from === "string" && Date.parse(got) === Date.parse(from) + (wanted.plusMs ?? 0);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The order of an object's keys is no difference. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, one: unknown) =>
    typeof one === "object" && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
}

function showRow(row: Row): string {
  return JSON.stringify(row);
}
