import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { copyTree, measureTree } from "./copy-tree.ts";

let root: string;
let from: string;
let to: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hermit-tree-"));
  [from, to] = [join(root, "from"), join(root, "to")];
  mkdirSync(join(from, "fam", "deep"), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("files come with content, mode and time, but without the rights of who they run as", () => {
  const script = join(from, "fam", "deep", "run.sh");
  writeFileSync(script, "#!/bin/sh\n");
  chmodSync(script, 0o4755);
  utimesSync(script, 1_000_000, 2_000_000);
  writeFileSync(join(from, "fam", "big"), Buffer.alloc(2_500_000, 7));
  expect(copyTree(from, to)).toEqual({ folders: 2, files: 2, bytes: 2_500_010, leftOut: [] });
  expect(lstatSync(join(to, "fam", "deep", "run.sh"))).toMatchObject({ mode: 0o100755, mtimeMs: 2_000_000_000 });
  expect(readFileSync(join(to, "fam", "big")).equals(Buffer.alloc(2_500_000, 7))).toBe(true);
});

test("a link stays a link where it leads to its own entry of the top, and is left out everywhere else", () => {
  const links: [string, string][] = [
    ["fam/sibling", "deep/file"],
    ["fam/deep/up", "../top"],
    ["fam/loop", "."],
    ["fam/absolute", join(from, "fam")],
    ["fam/out", "../.."],
    ["fam/neighbour", "../main/secret"],
    ["fam/deep/round", "../../fam/../../../etc/passwd"],
    ["top", "fam"],
  ];
  mkdirSync(join(from, "main"));
  writeFileSync(join(from, "main", "secret"), "s");
  for (const [path, target] of links) symlinkSync(target, join(from, path));
  const { leftOut } = copyTree(from, to);
  expect(leftOut.toSorted()).toEqual(
    ["fam/absolute", "fam/deep/round", "fam/neighbour", "fam/out", "top"].map((path) => `${path}: it leads out of its folder`),
  );
  expect(readdirSync(join(to, "fam")).toSorted()).toEqual(["deep", "loop", "sibling"]);
  expect(readlinkSync(join(to, "fam", "deep", "up"))).toBe("../top");
});

test("what is no file is left out, and a file with two names comes twice", () => {
  execFileSync("mkfifo", [join(from, "fam", "pipe")]);
  writeFileSync(join(from, "fam", "a"), "a");
  linkSync(join(from, "fam", "a"), join(from, "fam", "b"));
  expect(copyTree(from, to)).toEqual({ folders: 2, files: 2, bytes: 2, leftOut: ["fam/pipe: it is no file"] });
});

test("what is ignored is not measured, not copied and not spoken of", () => {
  mkdirSync(join(from, "fam", "logs"));
  writeFileSync(join(from, "fam", "logs", "run.log"), "x".repeat(1000));
  const ignores = (path: string): boolean => path === "fam/logs";
  const facts = { folders: 2, files: 0, bytes: 0, leftOut: [] };
  expect(measureTree(from, { ignores })).toEqual(facts);
  expect(copyTree(from, to, { ignores })).toEqual(facts);
});

test("a folder that is not there is an empty one", () => {
  expect(copyTree(join(root, "nowhere"), to)).toEqual({ folders: 0, files: 0, bytes: 0, leftOut: [] });
  expect(readdirSync(to)).toEqual([]);
});

test("nothing that is there already is written over", () => {
  mkdirSync(to);
  expect(() => copyTree(from, to)).toThrow(/EEXIST/);
});
