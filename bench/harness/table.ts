/** The figures as a table of plain text, and as one in Markdown for docs/performance.md. */
import type { Figure, Goal } from "./figure.ts";

const HEAD = ["what", "median", "p95", "unit", "n", "goal", "reached"] as const;
/** Columns that hold numbers stand at the right. */
const RIGHT: ReadonlySet<string> = new Set(["median", "p95", "n"]);

export function textTable(figures: readonly Figure[]): string {
  const notes = notesOf(figures);
  const rows = [HEAD, ...figures.map((made) => cells(made, notes))];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => pad(cell, widths[column] ?? 0, RIGHT.has(HEAD[column] ?? "")))
      .join("  ")
      .trimEnd();
  const rule = widths.map((count) => "─".repeat(count)).join("  ");
  const [head, ...body] = rows.map(line);
  return [head, rule, ...body, ...(notes.length === 0 ? [] : ["", ...notes.map((note, index) => `[${index + 1}] ${note}`)])].join("\n");
}

export function markdownTable(figures: readonly Figure[]): string {
  const notes = notesOf(figures);
  const line = (row: readonly string[]): string => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = `|${HEAD.map((name) => (RIGHT.has(name) ? "---:" : "---")).join("|")}|`;
  const footnotes = notes.map((note, index) => `${index + 1}. ${note}`);
  return [line(HEAD), rule, ...figures.map((made) => line(cells(made, notes))), ...(notes.length === 0 ? [] : ["", ...footnotes])].join(
    "\n",
  );
}

function cells(made: Figure, notes: readonly string[]): readonly string[] {
  const mark = made.note === undefined ? "" : ` [${notes.indexOf(made.note) + 1}]`;
  const reached = made.reached === undefined ? "" : made.reached ? "yes" : "NO";
  return [made.what + mark, number(made.median), number(made.p95), made.unit, String(made.n), goalText(made.goal), reached];
}

function notesOf(figures: readonly Figure[]): readonly string[] {
  return [...new Set(figures.flatMap(({ note }) => note ?? []))];
}

function goalText(goal: Goal | undefined): string {
  return goal === undefined ? "–" : `${goal.of === "p95" ? "p95 " : ""}≤ ${number(goal.limit)}`;
}

/** Three significant digits, and whole numbers from a hundred on: more would pretend to a precision no run has. */
export function number(value: number): string {
  const size = Math.abs(value);
  if (Number.isInteger(value) || size >= 100) return String(Math.round(value));
  return String(Number(value.toPrecision(size < 1 ? 2 : 3)));
}

function pad(text: string, to: number, right: boolean): string {
  return right ? text.padStart(to) : text.padEnd(to);
}
