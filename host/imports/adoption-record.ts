/** Where a home came from, in `adoption.json` in the home; and the note in the old folder that says where it went. */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod";
import { ADOPTION_FILE } from "../adapters/store-sqlite/unfinished-move.ts";
import { HostError } from "../domain/errors.ts";
import { syncFolder } from "./copy-tree.ts";

const Record = z.object({
  v: z.literal(1),
  /** In the old folder's note too, so that the two find each other. */
  id: z.uuid(),
  /** The old folder, absolute. */
  from: z.string(),
  at: z.iso.datetime(),
  /**
   * `copied`: all is here but WhatsApp's keys. `adopted`: they are too, and the old program cannot start. `returned`: database and
   * groups are back in the old folder, the keys are on their way.
   */
  state: z.enum(["copied", "adopted", "returned"]),
  /** Size and time of the old database when it was copied. Null: there was none. */
  database: z.string().nullable(),
  /** Of a home on its way back: the folder in it that what was ours goes to, and the old folder it is handed to. */
  returning: z.object({ archive: z.string(), to: z.string() }).optional(),
});
export type AdoptionRecord = z.infer<typeof Record>;

/** Undefined: this home was not adopted, or has been handed back. Throws HostError HOME_UNUSABLE where it cannot be read. */
export function readRecord(home: string): AdoptionRecord | undefined {
  const path = join(home, ADOPTION_FILE);
  if (!existsSync(path)) return undefined;
  try {
    return Record.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (cause) {
    throw new HostError("HOME_UNUSABLE", `${path} cannot be read: it is not as it was written.`, {
      cause,
      hint: "Put it back from a backup of the home.",
    });
  }
}

export function writeRecord(home: string, record: AdoptionRecord): void {
  writeDurably(join(home, ADOPTION_FILE), `${JSON.stringify(record, null, 2)}\n`);
}

/**
 * In place of the folder with WhatsApp's keys. NanoClaw makes that folder at its start if it is missing and cannot where a file has the
 * name, so it ends with an error that shows this path, before it can ask for new keys.
 */
export function writeNote(auth: string, { id, at }: AdoptionRecord, home: string): void {
  const text = `This household was moved to Hermit on ${at.slice(0, 10)}: ${home}

NanoClaw must not run here any more. WhatsApp's keys are over there, and two programs that use them destroy them.
This file stands where they were, so that NanoClaw cannot start.

To go back: hermit hand-back --home ${home}

adoption ${id}
`;
  writeDurably(auth, text, 0o444);
}

/** The adoption whose note this is; undefined: it is none. */
export function readNote(auth: string): string | undefined {
  if (!(statSync(auth, { throwIfNoEntry: false })?.isFile() ?? false)) return undefined;
  return /^adoption (\S+)$/m.exec(readFileSync(auth, "utf8"))?.[1];
}

function writeDurably(path: string, text: string, mode = 0o600): void {
  const written = `${path}.new`;
  rmSync(written, { force: true });
  const file = openSync(written, "wx", mode);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(written, path);
  syncFolder(dirname(path));
}
