/** write_file: a whole file, created or replaced at once. */
import { randomUUID } from "node:crypto";
import { lstat, mkdir, rename, rm, stat, writeFile as writeWhole } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { fileError, resolvePath } from "./paths.ts";
import { shown, defineTool, ToolError } from "./tool.ts";

const WriteFileInput = z.strictObject({
  path: z.string().min(1).describe("Relative to the workspace."),
  content: z.string(),
});

export const writeFile = defineTool({
  name: "write_file",
  description: "Write a text file, replacing what was there. Missing directories are created. To change part of a file use edit_file.",
  input: WriteFileInput,
  async run(input, context) {
    try {
      await replaceFile(await resolvePath(input.path, context), input.content);
      return shown(`Wrote ${Buffer.byteLength(input.content)} bytes to ${input.path}.`);
    } catch (error) {
      throw fileError(error, input.path);
    }
  },
});

/** Readers see the old content or the new, never half of it. Keeps the mode of a file that existed. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const before = await stat(path).catch(() => undefined);
  if (before !== undefined && !before.isFile()) {
    throw new ToolError(`${path} is ${before.isDirectory() ? "a directory" : "not a regular file"}. Choose another name.`);
  }
  if (before === undefined && (await lstat(path).catch(() => undefined)) !== undefined) {
    throw new ToolError(`${path} is a link to nowhere. Remove it first.`);
  }
  await mkdir(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.write-${randomUUID()}`);
  try {
    await writeWhole(temporary, content, { flag: "wx", mode: before === undefined ? 0o666 : before.mode & 0o7777 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
