/** read_file: some lines of a text file, read no further than they reach. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import * as z from "zod";
import { OutputWindow } from "./output-window.ts";
import { fileError, resolvePath } from "./paths.ts";
import { shown, defineTool, type ToolContext, ToolError } from "./tool.ts";

const DEFAULT_LINES = 2_000;
const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

const ReadFileInput = z.strictObject({
  path: z.string().min(1).describe("Relative to the workspace."),
  offset: z.int().positive().optional().describe("First line to read, from 1."),
  limit: z.int().positive().optional().describe(`Lines to read; ${DEFAULT_LINES} unless told.`),
});
type ReadFileInput = z.infer<typeof ReadFileInput>;

export const readFile = defineTool({
  name: "read_file",
  description: "Read a text file, as it is, without line numbers. Use offset and limit for parts of long files.",
  input: ReadFileInput,
  async run(input, context) {
    try {
      // Non-blocking, so that a named pipe without a writer cannot hang the call before it is refused.
      await using file = await open(await resolvePath(input.path, context), constants.O_RDONLY | constants.O_NONBLOCK);
      const stat = await file.stat();
      if (stat.isDirectory()) throw new ToolError(`${input.path} is a directory. Use list_dir.`);
      if (!stat.isFile()) throw new ToolError(`${input.path} is not a regular file.`);
      return shown(await readLines(file, input, context, stat.size));
    } catch (error) {
      throw fileError(error, input.path);
    }
  },
});

async function readLines(file: FileHandle, input: ReadFileInput, context: ToolContext, size: number): Promise<string> {
  const first = input.offset ?? 1;
  const last = first + (input.limit ?? DEFAULT_LINES) - 1;
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const pieces: Buffer[] = [];
  let kept = 0;
  let line = 1;
  let position = 0;
  let lastByte = NEWLINE;
  for (;;) {
    context.signal.throwIfAborted();
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) break;
    const bytes = chunk.subarray(0, bytesRead);
    if (position === 0 && bytes.includes(0)) {
      throw new ToolError(`${input.path} is a binary file of ${size} bytes. Use exec to look at it (file, xxd, strings).`);
    }
    position += bytesRead;
    lastByte = bytes[bytesRead - 1] ?? NEWLINE;
    let from = 0;
    while (from < bytes.length && line <= last) {
      const newline = bytes.indexOf(NEWLINE, from);
      const to = newline === -1 ? bytes.length : newline + 1;
      if (line >= first) {
        if (kept + (to - from) > context.outputBytes) return tooLong(pieces, bytes.subarray(from, to), line, first, context.outputBytes);
        pieces.push(Buffer.from(bytes.subarray(from, to)));
        kept += to - from;
      }
      if (newline !== -1) line++;
      from = to;
    }
    if (line > last && (from < bytes.length || position < size)) {
      return `${Buffer.concat(pieces).toString("utf8")}[… the file goes on; continue with offset ${line} …]`;
    }
  }
  if (kept === 0 && first > 1) throw new ToolError(`${input.path} has only ${lastByte === NEWLINE ? line - 1 : line} lines.`);
  return Buffer.concat(pieces).toString("utf8");
}

/** Ends at a whole line where there is one; a single line beyond the bound is shown cut. */
function tooLong(pieces: readonly Buffer[], next: Buffer, line: number, first: number, maxBytes: number): string {
  const text = Buffer.concat(pieces);
  const wholeEnd = text.lastIndexOf(NEWLINE) + 1;
  if (wholeEnd > 0) {
    return `${text.toString("utf8", 0, wholeEnd)}[… more than fits; continue with offset ${line} …]`;
  }
  const window = new OutputWindow(maxBytes);
  window.push(text);
  window.push(next);
  return `${window.text()}\n[… line ${first} is longer than fits; use exec with cut or head -c …]`;
}
