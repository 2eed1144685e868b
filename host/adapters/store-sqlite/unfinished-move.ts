/** A home whose household is still on its way in or out is no host's: what it took in now would be missing at the other end. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { StoreError } from "../../domain/errors.ts";

/** In the home: where its household came from, and how far it has come. */
export const ADOPTION_FILE = "adoption.json";
const Adoption = z.object({ state: z.enum(["copied", "adopted", "returned"]), from: z.string() });

/** Throws StoreError HOME_UNUSABLE, naming the command that finishes the move. */
export function refuseUnfinishedMove(home: string): void {
  const path = join(home, ADOPTION_FILE);
  if (!existsSync(path)) return;
  const { state, from } = read(path);
  if (state === "adopted") return;
  const [what, command] = state === "copied" ? ["adoption", `adopt ${from}`] : ["hand-back", "hand-back"];
  throw new StoreError("HOME_UNUSABLE", `The household of ${home} is on its way: its ${what} was interrupted.`, {
    hint: `Finish it with \`hermit ${command} --home ${home}\`.`,
  });
}

function read(path: string): z.infer<typeof Adoption> {
  try {
    return Adoption.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (cause) {
    throw new StoreError("HOME_UNUSABLE", `${path} cannot be read: whether its household is whole cannot be told.`, {
      cause,
      hint: "Put it back from a backup of the home.",
    });
  }
}
