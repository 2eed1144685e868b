/**
 * Decoys: files with worthless keys, laid out before any tool runs. The host relies on them, so a turn begins with all of them or not at
 * all. Nothing else runs in the sandbox yet: what lies in the way was left by an earlier turn, and the sandbox is not fit for this one.
 */
import { lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { TurnStart } from "../../contracts/wire/turn.ts";

const OWNER_ONLY_FOLDER = 0o700;
const OWNER_ONLY_FILE = 0o600;

/** Throws where one cannot be laid out as it is asked for. `below`: the folder all of them are in. */
export function layOutDecoys(decoys: TurnStart["decoys"], below = "/tmp"): void {
  for (const { path, text } of decoys) {
    try {
      if (!isBelow(path, below)) throw new Error(`the path is not below ${below}`);
      makeFolder(dirname(path), below);
      // A file of its own: what is there already, a link included, is an error.
      writeFileSync(path, text, { flag: "wx", mode: OWNER_ONLY_FILE });
    } catch (error) {
      throw new Error(`The decoy ${JSON.stringify(path.slice(0, 200))} could not be laid out: ${reasonOf(error)}.`, { cause: error });
    }
  }
}

function isBelow(path: string, below: string): boolean {
  const parts = path.slice(below.length + 1).split("/");
  return path.startsWith(`${below}/`) && !path.includes("\0") && parts.every((part) => part !== "" && part !== "." && part !== "..");
}

/** Each part of the way by itself: a link in it is not followed but refused. */
function makeFolder(path: string, below: string): void {
  if (path === below) return;
  makeFolder(dirname(path), below);
  try {
    mkdirSync(path, OWNER_ONLY_FOLDER);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST" || !lstatSync(path).isDirectory()) throw error;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
