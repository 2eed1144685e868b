/** What people and agents read of a workspace's limits. */
import { RefusedError } from "../domain/errors.ts";
import type { Amount, WorkspaceCount } from "../ports/workspace.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const NAME_CHARACTERS = 60;

/** A turn left more in the workspace than its ceiling: the limit, or what was there when it began. */
export function workspaceFull(count: WorkspaceCount, ceiling: Amount, limit: Amount): RefusedError {
  const [what, setting] = exceeded(count, ceiling);
  const [held, most] = [shown(ceiling, what), shown(limit, what)];
  const message = held === most ? `The workspace holds more than the ${most} it may.` : `The workspace held ${held} of ${most}, and grew.`;
  const hint = `${largestOf(count)}Have what is not needed deleted: a turn may begin as long as it adds nothing. Or raise ${setting}.`;
  return new RefusedError("WORKSPACE_FULL", message, { hint });
}

/** No turn begins any more. */
export function pastHelp(count: WorkspaceCount, most: Amount, limit: Amount, folder: string): RefusedError {
  const [what, setting] = exceeded(count, most);
  const hint = `${largestOf(count)}Delete what is not needed from groups/${folder} in the home folder, or raise ${setting}.`;
  return new RefusedError("WORKSPACE_FULL", `The workspace holds more than ${shown(most, what)}; it may hold ${shown(limit, what)}.`, {
    hint,
  });
}

export function diskLow(freeBytes: number, floorBytes: number): RefusedError {
  return new RefusedError("DISK_LOW", `The disk of the workspaces has ${size(freeBytes)} left; ${size(floorBytes)} are kept free.`, {
    hint: "Free some space on the host, or lower workspace.free_mb.",
  });
}

/** For the agent whose turn begins so. */
export function fullAtStart(held: Amount, limit: Amount): string {
  return (
    `Your workspace is full: ${shown(held, "bytes")} of ${shown(limit, "bytes")}, ${held.files} of ${shown(limit, "files")}. ` +
    "Delete what is not needed before anything else; this turn is stopped when it adds to it."
  );
}

function exceeded(count: Amount, most: Amount): [keyof Amount, string] {
  return count.bytes > most.bytes ? ["bytes", "workspace.max_mb"] : ["files", "workspace.max_files"];
}

function shown(amount: Amount, what: keyof Amount): string {
  return what === "bytes" ? size(amount.bytes) : `${amount.files} files and folders`;
}

function largestOf({ largest }: WorkspaceCount): string {
  const named = largest.filter(({ bytes }) => bytes >= MIB).map(({ path, bytes }) => `${quoted(path)} (${size(bytes)})`);
  return named.length === 0 ? "" : `Most is in ${named.join(", ")}. `;
}

/** A name may say anything, so it is shown as one: in quotes, without what would end a line, them or the reading direction. */
function quoted(name: string): string {
  const shown = name.replace(/[\p{C}\p{Zl}\p{Zp}"“”\uFFFD]/gu, "?");
  return `“${shown.length > NAME_CHARACTERS ? `${shown.slice(0, NAME_CHARACTERS - 1).replace(/[\uD800-\uDBFF]$/, "")}…` : shown}”`;
}

function size(bytes: number): string {
  return bytes >= GIB ? `${(bytes / GIB).toFixed(1)} GiB` : `${Math.floor(bytes / MIB)} MiB`;
}
