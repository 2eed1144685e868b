/** The log as one file that can be judged elsewhere: a first line that says whose it is and where it ended, then the records as they stand. */
import { realpathSync } from "node:fs";
import * as z from "zod";
import { ChainCheck, type Verdict } from "../../audit/chain-check.ts";
import { HostError } from "../../domain/errors.ts";
import { readLines } from "./log-files.ts";
import { eachLine } from "./read-log.ts";

const Header = z.object({
  hermit: z.literal("audit-export"),
  v: z.literal(1),
  at: z.iso.datetime(),
  /** The store's instance; null: it could not be asked. */
  home: z.string().nullable(),
  key: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  head: z.object({ count: z.int(), hash: z.string() }).nullable(),
});
export type ExportHeader = z.infer<typeof Header>;

/** `header.head` must have been read before. Throws HostError AUDIT_BROKEN. */
export function exportLog(folder: string, header: Omit<ExportHeader, "hermit" | "v">, write: (bytes: Buffer) => void): void {
  write(Buffer.from(`${JSON.stringify({ hermit: "audit-export", v: 1, ...header })}\n`));
  eachLine(folder, write);
}

/** Whether an export is what its first line says. Throws HostError CONFIG_INVALID: it is no export. */
export function checkExport(path: string): { readonly header: ExportHeader; readonly verdict: Verdict } {
  let header: ExportHeader | undefined;
  let check: ChainCheck | undefined;
  try {
    const reading = readLines(realpathSync(path), (line) => {
      if (check !== undefined) return check.line(line);
      header = Header.parse(JSON.parse(line.toString("utf8")));
      check = new ChainCheck({ key: header.key ?? undefined, home: header.home ?? undefined, head: header.head ?? undefined });
      check.openFile(path);
    });
    if (reading !== undefined) check?.closeFile(reading.sha256, reading.torn);
  } catch (cause) {
    const why = cause instanceof z.ZodError || cause instanceof SyntaxError ? "its first line does not say so" : (cause as Error).message;
    throw noExport(path, why, cause);
  }
  if (header === undefined || check === undefined) throw noExport(path, "it holds no line");
  return { header, verdict: check.end() };
}

function noExport(path: string, why: string, cause?: unknown): HostError {
  return new HostError("CONFIG_INVALID", `${path} is no exported audit log: ${why}.`, {
    cause,
    hint: "Name a file that `hermit audit export` wrote.",
  });
}
