/** What may be tried on a machine of one's own: nothing is killed here. The rest is tried in a sandbox (../tools/clean-hands.engine.test.ts). */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { emptyFolder, isAlone } from "./clean-hands.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "scratch-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const SOON = (): number => performance.now() + 5_000;

test("on a machine where anything else runs, nothing may be killed", () => {
  expect(isAlone()).toBe(false);
});

test("a folder is emptied of files, of folders closed to their owner, of names that are no text, and keeps itself", () => {
  writeFileSync(join(folder, "file"), "");
  mkdirSync(join(folder, "closed", "below"), { recursive: true });
  writeFileSync(join(folder, "closed", "below", "file"), "");
  chmodSync(join(folder, "closed", "below"), 0);
  chmodSync(join(folder, "closed"), 0);
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe])]), "");
  mkdirSync(Buffer.concat([Buffer.from(`${folder}/d`), Buffer.from([0xff])]));
  emptyFolder(folder, SOON());
  expect(readdirSync(folder)).toEqual([]);
});

test("links are removed, and what they lead to stays", () => {
  const elsewhere = mkdtempSync(join(tmpdir(), "elsewhere-"));
  writeFileSync(join(elsewhere, "kept"), "");
  mkdirSync(join(folder, "inner"));
  symlinkSync(elsewhere, join(folder, "linked"));
  symlinkSync(elsewhere, join(folder, "inner", "linked"));
  emptyFolder(folder, SOON());
  expect(readdirSync(folder)).toEqual([]);
  expect(existsSync(join(elsewhere, "kept"))).toBe(true);
  rmSync(elsewhere, { recursive: true });
});

test("no depth is too deep, also where the path is longer than the kernel takes", () => {
  const name = "x".repeat(200);
  let top = join(folder, "first");
  mkdirSync(top);
  // Built from below: each folder goes into a new one, until their path together has 6,000 characters.
  for (let level = 0; level < 30; level++) {
    const outer = join(folder, `outer-${level}`);
    mkdirSync(outer);
    renameSync(top, join(outer, name));
    top = outer;
  }
  emptyFolder(folder, SOON());
  expect(readdirSync(folder)).toEqual([]);
});

test("when its time is up it stops", () => {
  writeFileSync(join(folder, "file"), "");
  emptyFolder(folder, performance.now() - 1);
  expect(readdirSync(folder)).toEqual(["file"]);
});
