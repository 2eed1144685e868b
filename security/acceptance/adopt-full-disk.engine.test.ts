/** A household that moves to a disk without room for it stays where it is. The home is a disk of its own, as on a board with an external one. */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { listing, OldHousehold, RECORDED, tablesOf } from "../../host/imports/old-household-harness.ts";
import { buildHermit, runHermit } from "../harness/hermit-process.ts";
import { TemporaryHome } from "../harness/temporary-home.ts";

const MIB = 1024 * 1024;

beforeAll(buildHermit);

function household(): OldHousehold {
  const old = new OldHousehold();
  onTestFinished(() => old[Symbol.dispose]());
  return old;
}

const adopt = (home: TemporaryHome, old: OldHousehold) => runHermit({ home: home.path, args: ["adopt", old.path], input: "" });

test("that has too little to begin with is refused before anything is copied", async () => {
  await using home = new TemporaryHome();
  home.mountSmallDisk(MIB);
  const old = household();
  const before = listing(old.path);
  expect(await adopt(home, old)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/The disk of .* has .* free, and taking .* over needs .*\n {2}Free some space/),
  });
  expect(listing(old.path)).toEqual(before);
  expect(readdirSync(home.path)).toEqual([]);
});

test("that fills up while it is copied ends it clearly and leaves nothing behind; with room it moves in", async () => {
  await using home = new TemporaryHome();
  home.mountSmallDisk(36 * MIB);
  const old = household();
  // A block each: far more room than their bytes.
  for (let n = 0; n < 10_000; n++) old.write(`groups/fam/notes/${n}`, "x");
  const before = listing(join(old.path, "store"));
  expect(await adopt(home, old)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^hermit: The disk is full: .*\n {2}Free some space/m),
  });
  expect(listing(join(old.path, "store"))).toEqual(before);
  expect(readdirSync(home.path).filter((name) => name !== "lock.db")).toEqual([]);

  execFileSync("mount", ["-o", `remount,size=${128 * MIB}`, home.path]);
  expect(await adopt(home, old)).toMatchObject({ code: 0 });
  expect(tablesOf(home.database)).toEqual(tablesOf(RECORDED));
  expect(readdirSync(join(home.path, "groups", "fam", "notes"))).toHaveLength(10_000);
});
