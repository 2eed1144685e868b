/** edit_file: exact replacement. What is not unique is not guessed. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import * as z from "zod";
import { fileError, resolvePath } from "./paths.ts";
import { shown, defineTool, ToolError } from "./tool.ts";
import { replaceFile } from "./write-file.ts";

/** Larger files are not source text; they would be held several times over. */
const MAX_EDIT_BYTES = 8 * 1024 * 1024;
const MAX_NAMED_LINES = 10;

const EditFileInput = z.strictObject({
  path: z.string().min(1).describe("Relative to the workspace."),
  old_text: z.string().min(1).describe("Exact text to replace, with its white space; must occur once unless replace_all."),
  new_text: z.string(),
  replace_all: z.boolean().optional().describe("Replace every occurrence."),
});

export const editFile = defineTool({
  name: "edit_file",
  description: "Replace an exact piece of text in a file.",
  input: EditFileInput,
  async run(input, context) {
    try {
      const path = await resolvePath(input.path, context);
      const text = await readText(path, input.path);
      const at = occurrences(text, input.old_text);
      if (at.length === 0) throw new ToolError(`old_text does not occur in ${input.path}. ${nearMiss(text, input.old_text)}`);
      if (at.length > 1 && input.replace_all !== true) {
        throw new ToolError(
          `old_text occurs ${at.length} times in ${input.path}, at ${nameLines(text, at)}. Give more of the text around it, or set replace_all.`,
        );
      }
      await replaceFile(path, text.split(input.old_text).join(input.new_text));
      return shown(`Replaced ${at.length} ${at.length === 1 ? "occurrence" : "occurrences"} in ${input.path}, at ${nameLines(text, at)}.`);
    } catch (error) {
      throw fileError(error, input.path);
    }
  },
});

async function readText(path: string, asked: string): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stat = await file.stat();
  if (stat.isDirectory()) throw new ToolError(`${asked} is a directory.`);
  if (!stat.isFile()) throw new ToolError(`${asked} is not a regular file.`);
  if (stat.size > MAX_EDIT_BYTES) throw new ToolError(`${asked} is larger than 8 MiB. Use exec with sed.`);
  try {
    // The byte order mark is kept, or the file would come back without it.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.readFile());
  } catch {
    throw new ToolError(`${asked} is not UTF-8 text; editing it here would damage it. Use exec.`);
  }
}

/** Without overlaps, left to right, as the replacement sees them. */
function occurrences(text: string, wanted: string): number[] {
  const at: number[] = [];
  for (let from = text.indexOf(wanted); from !== -1; from = text.indexOf(wanted, from + wanted.length)) at.push(from);
  return at;
}

function nameLines(text: string, at: readonly number[]): string {
  const numbers: number[] = [];
  let line = 1;
  let from = 0;
  for (const position of at.slice(0, MAX_NAMED_LINES)) {
    for (let newline = text.indexOf("\n", from); newline !== -1 && newline < position; newline = text.indexOf("\n", from)) {
      line++;
      from = newline + 1;
    }
    numbers.push(line);
  }
  const more = at.length > MAX_NAMED_LINES ? " and more" : "";
  return `${at.length === 1 ? "line" : "lines"} ${numbers.join(", ")}${more}`;
}

/** Most misses are white space: say where the first line would match without it. */
function nearMiss(text: string, wanted: string): string {
  const firstLine = wanted
    .split("\n")
    .map((line) => line.trim())
    .find((line) => line !== "");
  if (firstLine === undefined) return "Read the file and copy the text exactly.";
  const near = text
    .split("\n")
    .flatMap((line, index) => (line.includes(firstLine) ? [index + 1] : []))
    .slice(0, MAX_NAMED_LINES);
  if (near.length === 0) return "Not even its first line does. Read the file and copy the text exactly.";
  return `Its first line occurs at line ${near.join(", ")}, so white space or a later line differs. Read that part and copy it exactly.`;
}
