import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { moveFolder } from "./move-folder.ts";

let root: string;
let from: string;
let to: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hermit-move-"));
  for (const name of ["here", "there"]) mkdirSync(join(root, name));
  [from, to] = [join(root, "here", "keys"), join(root, "there", "keys")];
  mkdirSync(from);
  writeFileSync(join(from, "creds.json"), "{}");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** As the system answers where the two are on different disks. */
const otherDisk = (): never => {
  throw Object.assign(new Error("EXDEV: cross-device link not permitted"), { code: "EXDEV" });
};
const places = () => Object.fromEntries(["here", "there"].map((name) => [name, readdirSync(join(root, name)).toSorted()]));

test.each([
  ["on one disk", renameSync],
  ["from one disk to another", otherDisk],
])("a folder is moved %s, and nothing of it stays behind", (_where, rename) => {
  moveFolder(from, to, rename);
  expect(places()).toEqual({ here: [], there: ["keys"] });
  expect(readdirSync(to)).toEqual(["creds.json"]);
  moveFolder(from, to, rename);
  expect(places()).toEqual({ here: [], there: ["keys"] });
});

describe("cut off between two disks", () => {
  test("while it is copied, it is copied again", () => {
    mkdirSync(`${to}.coming`);
    writeFileSync(join(`${to}.coming`, "creds.json"), "half");
    writeFileSync(join(`${to}.coming`, "stray"), "");
    moveFolder(from, to, otherDisk);
    expect(readdirSync(to)).toEqual(["creds.json"]);
    expect(places()).toEqual({ here: [], there: ["keys"] });
  });

  test("after the original lost its name, the original is moved, whole copy or half of one", () => {
    mkdirSync(`${to}.coming`);
    writeFileSync(join(`${to}.coming`, "creds.json"), "half");
    renameSync(from, `${from}.going`);
    moveFolder(from, to, otherDisk);
    expect(readFileSync(join(to, "creds.json"), "utf8")).toBe("{}");
    expect(places()).toEqual({ here: [], there: ["keys"] });
  });

  test.each([
    ["the same disk", renameSync],
    ["another disk", otherDisk],
  ])("after which its copy was thrown away with its place, the original is moved to a place on %s", (_where, rename) => {
    renameSync(from, `${from}.going`);
    moveFolder(from, to, rename);
    expect(readFileSync(join(to, "creds.json"), "utf8")).toBe("{}");
    expect(places()).toEqual({ here: [], there: ["keys"] });
  });

  test("and another one made in its old place, neither is touched", () => {
    mkdirSync(`${from}.going`);
    expect(() => moveFolder(from, to, otherDisk)).toThrow(/there is .*here\/keys\.going already/);
    expect(places()).toEqual({ here: ["keys", "keys.going"], there: [] });
  });

  test("before the original was deleted, it is deleted", () => {
    renameSync(from, `${from}.going`);
    mkdirSync(to);
    moveFolder(from, to, otherDisk);
    expect(places()).toEqual({ here: [], there: ["keys"] });
  });
});

test("a folder that cannot be copied whole stays where it is", () => {
  symlinkSync("/etc/passwd", join(from, "link"));
  expect(() => moveFolder(from, to, otherDisk)).toThrow(/cannot be moved whole: link: it leads out of its folder/);
  expect(existsSync(join(from, "creds.json"))).toBe(true);
  expect(existsSync(to)).toBe(false);
});

test("two folders of one name are not made one", () => {
  mkdirSync(to);
  expect(() => moveFolder(from, to)).toThrow(/there is .*there\/keys already/);
  expect(places()).toEqual({ here: ["keys"], there: ["keys"] });
});
