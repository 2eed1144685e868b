/** The tables a host left against those a recording, or another host, has. Rows have no order. */
import type { Difference } from "./compare.ts";
import type { Dump, Lack } from "./driver.ts";
import { type Cell, type Row, type TableName, Tables } from "./tables.ts";

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

/** Tables as a recording has them. */
export type RecordedTables = Readonly<Record<TableName, readonly Row[]>>;

export function compareTables(recorded: RecordedTables, dump: Dump, lacks: readonly Lack[]): readonly Difference[] {
  return Tables.flatMap((table) => {
    if (table === "sessions" && lacks.includes("sessions")) return [];
    const wanted = inOrder(table, recorded[table]);
    const got = inOrder(table, dump[table]);
    const isSame = wanted.length === got.length && wanted.every((row, n) => sameRow(table, row, got[n] ?? {}));
    return isSame ? [] : [{ subject: `table ${table}`, ...shownRows(table, wanted, got) }];
  });
}

/**
 * The tables one host left, as another's would have to be. What the recording says is a host's own (ids it made, times it read) is
 * the other's own as well; where the recording does not know a row, a column is judged by the table's other rows.
 */
export function asRecorded(dump: Dump, recorded: RecordedTables): RecordedTables {
  return Object.fromEntries(
    Tables.map((table) => {
      const known = recorded[table];
      const columns = new Set(known.flatMap((row) => Object.keys(row)));
      const ofColumn = Object.fromEntries(known.flatMap((row) => Object.entries(row).filter(([, cell]) => isOwn(cell))));
      const rows = dump[table].map((row) => {
        const model = known.find((one) => KEY[table].every((column) => one[column] === row[column])) ?? ofColumn;
        const cells = Object.entries(row).filter(([column]) => columns.size === 0 || columns.has(column));
        return Object.fromEntries(cells.map(([column, cell]) => [column, cell !== null && isOwn(model[column]) ? model[column] : cell]));
      });
      return [table, rows];
    }),
  ) as unknown as RecordedTables;
}

function isOwn(cell: Cell | undefined): boolean {
  return typeof cell === "object" && cell !== null && !("$json" in cell);
}

function inOrder<R extends Row>(table: TableName, rows: readonly R[]): readonly R[] {
  const key = (row: R): string => KEY[table].map((column) => sortable(row[column])).join(" ");
  return rows.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

/** Ids of tasks sort by when they were made, and so after those that were there before. */
function sortable(cell: Cell | undefined): string {
  if (typeof cell === "object" && cell !== null && "$task" in cell) return `~${String(cell.$task).padStart(20, "0")}`;
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

/** The rows that differ; of those that are the same row, the columns that differ beside those that name it. */
function shownRows(table: TableName, wanted: readonly Row[], got: readonly Row[]): Pick<Difference, "wanted" | "got"> {
  const extra = [...got];
  const missing = wanted.filter((row) => {
    const at = extra.findIndex((one) => sameRow(table, row, one));
    if (at >= 0) extra.splice(at, 1);
    return at < 0;
  });
  const differs = (column: string, theirs: Row, ours: Row): boolean => {
    const cell = theirs[column];
    return cell !== undefined && !sameCell(cell, ours[column] ?? null, ours);
  };
  const areTwins = (theirs: Row, ours: Row): boolean => KEY[table].every((column) => !differs(column, theirs, ours));
  const show = (row: Row, isShown: (column: string) => boolean): string =>
    JSON.stringify(Object.fromEntries(Object.entries(row).filter(([column]) => KEY[table].includes(column) || isShown(column))));
  return {
    wanted: missing.map((theirs) => {
      const ours = extra.find((row) => areTwins(theirs, row));
      return show(theirs, (column) => ours === undefined || differs(column, theirs, ours));
    }),
    got: extra.map((ours) => {
      const theirs = missing.find((row) => areTwins(row, ours));
      return show(ours, (column) => theirs === undefined || differs(column, theirs, ours));
    }),
  };
}
