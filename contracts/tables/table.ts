/**
 * Recorded tables: pure rules as data, one input and its output a line.
 *
 * A row is `keep` (we do as recorded), `defect` (we do as `correct` says) or `free` (either will do). Who reads a table gives the
 * schema of its rows; what the recording holds beyond it would be a fact nobody checks, so the schemas are strict.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";

const TABLES = join(import.meta.dirname, "../../fixtures/golden/tables");

const Verdict = z.enum(["keep", "defect", "free"]);

const TableMeta = z.strictObject({
  title: z.string(),
  section: z.string(),
  baseline: z.string(),
  verdict: Verdict,
  rows: z.int().positive(),
  columns: z.string(),
  fixture: z.unknown().optional(),
});

export interface TableRow<In, Out, Correct> {
  readonly id: string;
  readonly in: In;
  readonly out: Out;
  readonly verdict: z.infer<typeof Verdict>;
  readonly correct: Correct | undefined;
}

export interface Table<In, Out, Correct> {
  readonly name: string;
  readonly section: string;
  readonly fixture: unknown;
  readonly rows: readonly TableRow<In, Out, Correct>[];
}

/** Throws where a row does not fit its schema, an id repeats, or the number of rows is not the one recorded. */
export function readTable<In, Out, Correct = Out>(
  name: string,
  columns: { in: z.ZodType<In>; out: z.ZodType<Out>; correct?: z.ZodType<Correct> },
  folder = TABLES,
): Table<In, Out, Correct> {
  const meta = TableMeta.parse(JSON.parse(readFileSync(join(folder, name, "meta.json"), "utf8")));
  const Row = z.strictObject({
    id: z.string(),
    in: columns.in,
    out: columns.out,
    verdict: Verdict.default(meta.verdict),
    correct: (columns.correct ?? (columns.out as unknown as z.ZodType<Correct>)).optional(),
    note: z.string().optional(),
  });
  const lines = readFileSync(join(folder, name, "cases.jsonl"), "utf8")
    .trimEnd()
    .split("\n");
  const rows = lines.map((line, n) => {
    const parsed = Row.safeParse(JSON.parse(line));
    if (!parsed.success) throw new Error(`${name}, line ${n + 1}: ${z.prettifyError(parsed.error)}`);
    const { id, in: given, out, verdict, correct } = parsed.data as TableRow<In, Out, Correct>;
    return { id, in: given, out, verdict, correct };
  });
  if (rows.length !== meta.rows) throw new Error(`${name}: ${rows.length} rows, ${meta.rows} were recorded`);
  if (new Set(rows.map(({ id }) => id)).size !== rows.length) throw new Error(`${name}: an id repeats`);
  return { name, section: meta.section, fixture: meta.fixture, rows };
}

/**
 * A line for each row our rule gets wrong; empty when it holds them all. A `free` row may differ, and is still asked: the rule must
 * answer it without throwing.
 */
export function wrongRows<In, Out, Correct>(
  table: Table<In, Out, Correct>,
  rule: (given: In, row: TableRow<In, Out, Correct>) => unknown,
): string[] {
  return table.rows.flatMap((row) => {
    const wanted = row.verdict === "defect" ? row.correct : row.out;
    const got = rule(row.in, row);
    if (row.verdict === "free" || isDeepStrictEqual(got, wanted)) return [];
    return [`${row.id} (${row.verdict}, §${table.section}): wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`];
  });
}
