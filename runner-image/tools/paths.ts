/**
 * Which files the file tools may name. This keeps the model oriented; what confines a program is the sandbox itself.
 */
import { realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { type ToolContext, ToolError } from "./tool.ts";

/** Absolute path of what a tool was asked for. Throws ToolError when it, or where a link leads, is outside the roots. */
export async function resolvePath(path: string, context: Pick<ToolContext, "cwd" | "roots">): Promise<string> {
  if (path.includes("\0")) throw new ToolError("The path contains a NUL character.");
  const absolute = resolve(context.cwd, path);
  if (!isInside(absolute, context.roots)) throw outside(path, context.roots);
  const real = await realOf(absolute);
  if (!isInside(real, await Promise.all(context.roots.map(realOf)))) throw outside(path, context.roots);
  return real;
}

function isInside(path: string, roots: readonly string[]): boolean {
  return roots.some((root) => {
    const way = relative(root, path);
    return way === "" || (way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way));
  });
}

function outside(path: string, roots: readonly string[]): ToolError {
  return new ToolError(`${path} is outside ${roots.join(" and ")}. Use a path below one of these; relative paths start in the workspace.`);
}

/** Links resolved as far as the path exists, so that a file about to be created is judged by its folder. */
async function realOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || parent === path) return path;
    return join(await realOf(parent), path.slice(parent === sep ? 1 : parent.length + 1));
  }
}

/** Turns the operating system's refusal into a sentence. `path` is as the model wrote it. */
export function fileError(error: unknown, path: string): ToolError {
  if (error instanceof ToolError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const sentences: Record<string, string> = {
    ENOENT: `${path} does not exist. Use list_dir to see what does.`,
    EISDIR: `${path} is a directory. Use list_dir, or name a file in it.`,
    ENOTDIR: `${path} is not a directory, or part of it is not.`,
    EACCES: `${path}: permission denied.`,
    EPERM: `${path}: not permitted.`,
    EROFS: `${path} is read-only here. Write in the workspace instead.`,
    ENOSPC: `${path}: no space is left. Delete something first.`,
    EDQUOT: `${path}: the quota is used up. Delete something first.`,
    ENAMETOOLONG: `${path.slice(0, 80)}… is too long a name.`,
    ELOOP: `${path} is a loop of links.`,
  };
  return new ToolError(sentences[code ?? ""] ?? `${path}: ${error instanceof Error ? error.message : String(error)}`);
}
