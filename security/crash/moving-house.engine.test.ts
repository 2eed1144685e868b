/** `hermit adopt` and `hermit hand-back`, killed at random moments: WhatsApp's keys are whole in one place, and the same command does the rest. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { OldHousehold, RECORDED, tablesOf } from "../../host/imports/old-household-harness.ts";
import { buildHermit, type Ending, runHermit, startHermit } from "../harness/hermit-process.ts";

const ROUNDS = 6;
const KEYS = ["creds.json", "session-1.json"];
/** Enough that copying takes a while. */
const FILES = 400;

beforeAll(buildHermit);

function household(): OldHousehold {
  const old = new OldHousehold();
  onTestFinished(() => old[Symbol.dispose]());
  for (let n = 0; n < FILES; n++) old.write(`groups/fam/notes/${n}.txt`, `note ${n}\n`.repeat(50));
  return old;
}

const commandLine = (old: OldHousehold, verb: string) => ({ home: old.home, args: verb === "adopt" ? ["adopt", old.path] : ["hand-back"] });
const runs = (old: OldHousehold, verb: string): Promise<Ending> => runHermit({ ...commandLine(old, verb), input: "" });

/** Where WhatsApp's keys lie, whole and under the name their program looks for. */
function keysIn(old: OldHousehold): readonly string[] {
  const places = [old.auth, ...homes(old).map((home) => join(home, "store", "auth"))];
  return places.filter((place) => KEYS.every((name) => existsSync(join(place, name))));
}

/** The home, and what of it was put away. */
function homes(old: OldHousehold): readonly string[] {
  if (!existsSync(old.home)) return [];
  const archives = readdirSync(old.home).filter((name) => name.startsWith("handed-back-"));
  return [old.home, ...archives.map((name) => join(old.home, name))];
}

async function killed(old: OldHousehold, verb: string, afterMs: number): Promise<boolean> {
  await using hermit = startHermit(commandLine(old, verb));
  await pause(afterMs);
  hermit.signal("SIGKILL");
  return (await hermit.ended).signal === "SIGKILL";
}

describe(`${ROUNDS} times at random moments`, () => {
  test.each(["adopt", "hand-back"])("%s leaves one whole household, and run again finishes", async (verb) => {
    const first = household();
    if (verb === "hand-back") await runs(first, "adopt");
    const { code, ms } = await runs(first, verb);
    expect(code).toBe(0);

    let cut = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const old = household();
      if (verb === "hand-back") expect(await runs(old, "adopt")).toMatchObject({ code: 0 });
      // Before that the program is being loaded.
      if (await killed(old, verb, ms * (0.3 + 0.7 * Math.random()))) cut++;
      const between = keysIn(old);
      // Between two names for a moment; never twice.
      expect(between.length).toBeLessThanOrEqual(1);

      const again = await runs(old, verb);
      if (again.code !== 0) expect(again.stderr).toMatch(/has taken over .* already|has no household of NanoClaw's to hand back/);
      expect(keysIn(old)).toEqual([verb === "adopt" ? join(old.home, "store", "auth") : old.auth]);
      const there = verb === "adopt" ? old.home : old.path;
      const { sessions, ...rest } = tablesOf(join(there, "store", "messages.db"));
      const { sessions: recorded, ...recordedRest } = tablesOf(RECORDED);
      expect(rest).toEqual(recordedRest);
      expect(sessions).toEqual(verb === "adopt" ? recorded : recorded.filter(({ group_folder }) => group_folder === "fam"));
      expect(readdirSync(join(there, "groups", "fam", "notes"))).toHaveLength(FILES);
      expect(readdirSync(old.home).filter((name) => name === "adopting")).toEqual([]);
      expect(readdirSync(old.path).filter((name) => name.includes("returning"))).toEqual([]);
    }
    expect(cut).toBeGreaterThan(0);
  });
});
