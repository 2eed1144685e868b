/** The owner's list of folders that groups may see beside their own, taken over. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseMountAllowlist } from "../domain/mount-allowlist.ts";

/** Where NanoClaw's list lies, and where ours does: outside the home, as there, so that nothing in the home can change what it may see. */
function allowlistPaths(ownersFolder: string): { from: string; to: string } {
  const pathOf = (program: string): string => join(ownersFolder, ".config", program, "mount-allowlist.json");
  return { from: pathOf("nanoclaw"), to: pathOf("hermit") };
}

export function allowlistSteps(ownersFolder: string): { action: "copy"; what: string }[] {
  const { from, to } = allowlistPaths(ownersFolder);
  return existsSync(from) && !existsSync(to) ? [{ action: "copy", what: `${from} → ${to}` }] : [];
}

export function allowlistNotes(ownersFolder: string): string[] {
  const { from, to } = allowlistPaths(ownersFolder);
  if (!existsSync(from)) return [];
  if (existsSync(to))
    return readFileSync(from).equals(readFileSync(to))
      ? []
      : [`${to} is there already and was left as it is; ${from} says something else.`];
  return parseMountAllowlist(readFileSync(from, "utf8")) === undefined
    ? [`${from} is no list of allowed mounts; none is allowed until it is mended.`]
    : [];
}

export function copyAllowlist(ownersFolder: string): void {
  if (allowlistSteps(ownersFolder).length === 0) return;
  const { from, to } = allowlistPaths(ownersFolder);
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  writeFileSync(to, readFileSync(from), { flag: "wx", mode: 0o600 });
}
