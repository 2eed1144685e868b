/** Moves a folder so that it is whole in one place at any moment, and never whole in two under its own name. */
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { HostError } from "../domain/errors.ts";
import { copyTree, syncFolder } from "./copy-tree.ts";

/** The copy on the other disk, until it is whole; the original, until the copy is in its place. */
const COMING = ".coming";
const GOING = ".going";

/** A folder to move lies there, or the original of one whose move was cut off. */
export function isMovable(from: string): boolean {
  return existsSync(from) || existsSync(`${from}${GOING}`);
}

/**
 * One rename where both are on one disk; else a copy, which takes its name only after the original has lost its own. Cut off in between,
 * the same call begins anew with the original, also with another `to`. `from` gone and `to` there: done already. Throws HostError
 * HOME_UNUSABLE where two of them are there. `rename`: for tests.
 */
export function moveFolder(from: string, to: string, rename: typeof renameSync = renameSync): void {
  const [coming, going] = [`${to}${COMING}`, `${from}${GOING}`];
  const isArrived = existsSync(to);
  refuseTwo(from, isArrived ? to : undefined);
  if (existsSync(going) && !isArrived) {
    // Whatever was copied may be gone, or half of another attempt: only the original is whole for sure.
    renameSync(going, from);
    syncParents(from);
  }
  if (existsSync(from)) {
    rmSync(coming, { recursive: true, force: true });
    try {
      rename(from, to);
      syncParents(from, to);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    }
    const { leftOut } = copyTree(from, coming, { ownerOf: () => statSync(from) });
    if (leftOut.length > 0)
      throw new HostError("HOME_UNUSABLE", `${from} cannot be moved whole: ${leftOut[0]}.`, { hint: "Mend that first." });
    syncParents(coming);
    renameSync(from, going);
    syncParents(from);
    renameSync(coming, to);
    syncParents(to);
  }
  if (existsSync(to)) rmSync(going, { recursive: true, force: true });
}

/** `other`: default the original of a move that was cut off, which is not the same as what lies in its old place since. */
export function refuseTwo(from: string, other = `${from}${GOING}`): void {
  if (!existsSync(from) || !existsSync(other)) return;
  throw new HostError("HOME_UNUSABLE", `${from} cannot be moved: there is ${other} already.`, {
    hint: "Move the one away that is not in use.",
  });
}

function syncParents(...paths: readonly string[]): void {
  for (const path of new Set(paths.map((path) => dirname(path)))) syncFolder(path);
}
