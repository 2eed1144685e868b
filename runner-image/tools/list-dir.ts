/** list_dir: names in one directory. */
import type { Dirent } from "node:fs";
import { opendir, readlink } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { fileError, resolvePath } from "./paths.ts";
import { shown, defineTool } from "./tool.ts";

/** Names shown; of a larger directory the first of these met, sorted. */
const MAX_NAMES = 1_000;

const ListDirInput = z.strictObject({
  path: z.string().min(1).optional().describe("Relative to the workspace; the workspace itself unless told."),
});

export const listDir = defineTool({
  name: "list_dir",
  description: "List a directory, sorted. Directories end in /, links show where they lead.",
  input: ListDirInput,
  async run(input, context) {
    const asked = input.path ?? ".";
    try {
      const path = await resolvePath(asked, context);
      const entries: Dirent[] = [];
      let more = false;
      for await (const entry of await opendir(path)) {
        more = entries.length === MAX_NAMES;
        if (more) break;
        entries.push(entry);
      }
      if (entries.length === 0) return shown("(empty)");
      const names = await Promise.all(entries.map((entry) => display(path, entry)));
      names.sort();
      if (more) names.push(`[… more than ${MAX_NAMES} names; use exec with find or ls …]`);
      return shown(names.join("\n"));
    } catch (error) {
      throw fileError(error, asked);
    }
  },
});

async function display(directory: string, entry: Dirent): Promise<string> {
  const name = onOneLine(entry.name);
  if (entry.isDirectory()) return `${name}/`;
  if (!entry.isSymbolicLink()) return name;
  return `${name} -> ${onOneLine(await readlink(join(directory, entry.name)).catch(() => "?"))}`;
}

/** A name may hold a newline; it must not look like two names. */
function onOneLine(name: string): string {
  return /[\u0000-\u001f\u007f]/.test(name) ? JSON.stringify(name) : name;
}
