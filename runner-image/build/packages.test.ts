import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { compareWithLock, parsePackageList, parseRootContents } from "./packages.ts";

let folder: string;
let shown: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hermit-lock-"));
  shown = [];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => shown.push(String(text)) > 0);
});

afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const contents = (suite: string, versions: Record<string, string>) => ({
  distribution: "debian",
  suite,
  packages: Object.entries(versions).map(([name, version]) => ({ name, version })),
});

test("the list tells what to install from what to take out again", () => {
  expect(parsePackageList("# tools\ngit\n  jq # json\n\n-perl-modules-*\n")).toEqual({ install: ["git", "jq"], drop: ["perl-modules-*"] });
});

test("only installed packages count, in order of name", () => {
  const status = `Package: zip
Status: install ok installed
Version: 3.0-13

Package: perl
Status: deinstall ok config-files
Version: 5.36

Package: bash
Status: install ok installed
Version: 5.2.15-2+b2
`;
  expect(parseRootContents(status, 'ID=debian\nVERSION_CODENAME="bookworm"\n')).toEqual(
    contents("bookworm", { bash: "5.2.15-2+b2", zip: "3.0-13" }),
  );
});

test("drift from the lock is shown and the lock kept; asked to, it is rewritten", () => {
  const lock = join(folder, "packages.amd64.lock");
  compareWithLock(lock, contents("bookworm", { bash: "1", git: "1" }), false);
  const first = readFileSync(lock, "utf8");
  shown = [];
  compareWithLock(lock, contents("bookworm", { bash: "1", git: "2", jq: "1" }), false);
  expect(shown.join("")).toMatch(/differ from packages\.amd64\.lock.*\n.*- git=1\n.*\+ git=2\n.*\+ jq=1\n$/);
  expect(readFileSync(lock, "utf8")).toBe(first);
  compareWithLock(lock, contents("bookworm", { bash: "1", git: "2" }), true);
  expect(readFileSync(lock, "utf8")).toContain("\ngit=2\n");
});

test("nothing is shown without drift, and another suite is not compared", () => {
  const lock = join(folder, "packages.amd64.lock");
  compareWithLock(lock, contents("bookworm", { bash: "1" }), false);
  shown = [];
  compareWithLock(lock, contents("bookworm", { bash: "1" }), false);
  expect(shown).toEqual([]);
  compareWithLock(lock, contents("trixie", { bash: "2" }), false);
  expect(shown.join("")).toMatch(/records bookworm, this image is trixie/);
});
