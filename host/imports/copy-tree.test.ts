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
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
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

/** As an agent in a sandbox that was not stopped does it, between any two steps. */
test.each([
  ["is held open", undefined],
  ["is compared, where the system does not show what is open", "/nowhere"],
])("a folder that becomes a link while it is copied is not followed: each %s", (_how, open) => {
  mkdirSync(join(root, "private"));
  for (const name of ["secret", "file"]) writeFileSync(join(root, "private", name), "secret");
  writeFileSync(join(from, "fam", "deep", "file"), "own");
  const swap = (path: string): void => {
    renameSync(path, join(root, "aside"));
    symlinkSync(join(root, "private"), path);
  };
  // Before it is opened, and after it was listed, also above.
  for (const [n, after, path] of [
    [1, "fam/deep", "fam/deep"],
    [2, "fam/deep/file", "fam/deep"],
    [3, "fam/deep", "fam"],
  ] as const) {
    mkdirSync(join(from, "fam", "deep", "below"), { recursive: true });
    writeFileSync(join(from, "fam", "deep", "below", "file"), "own");
    const target = `${to}-${n}`;
    const onBytes = (_bytes: number, done: string): void => {
      if (done === after) swap(join(from, path));
    };
    copyTree(from, target, { onBytes, ...(open === undefined ? {} : { open }) });
    const names = readdirSync(target, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const { parentPath, name } of names) expect(readFileSync(join(parentPath, name), "utf8")).toBe("own");
    expect(names.map(({ name }) => name)).not.toContain("secret");
    expect(lstatSync(join(from, path)).isSymbolicLink()).toBe(true);
    rmSync(join(from, path));
    renameSync(join(root, "aside"), join(from, path));
  }
});

test("what lies deeper than a path may be long is left out by name, the rest is copied", () => {
  const nest = 'for n in $(seq 25); do mkdir "$1" && cd -P "$1" || exit 1; done';
  execFileSync("sh", ["-c", nest, "nest", "d".repeat(200)], { cwd: join(from, "fam") });
  onTestFinished(() => void execFileSync("rm", ["-rf", join(from, "fam")]));
  writeFileSync(join(from, "fam", "file"), "x");
  const { leftOut, files } = copyTree(from, to);
  expect(files).toBe(1);
  expect(leftOut).toEqual([`fam/${"d".repeat(96)}…: it lies too deep`]);
  expect(measureTree(from).leftOut).toEqual(leftOut);
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
