/** The pages say only what the tree holds: links and paths lead somewhere, named tests and make targets exist. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const PAGES = [...globSync("*.md", { cwd: ROOT }), ...globSync("docs/**/*.md", { cwd: ROOT })].sort();
const ROOM = /^(?:host|runner-image|contracts|security|bench|fixtures|docs)\//;

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const isThere = (path: string): boolean => existsSync(join(ROOT, path));

/** Without fenced blocks: what stands in them is an example. */
function prose(text: string): string {
  return text.replace(/^```[\s\S]*?^```/gm, "");
}

/** GitHub's name for a heading. */
function anchorsOf(text: string): string[] {
  const headings = prose(text).matchAll(/^#{1,6} (.+)$/gm);
  return [...headings].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replace(/ /g, "-"),
  );
}

function deadLinks(page: string): string[] {
  const targets = [...prose(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return targets.filter((target) => {
    if (/^https?:/.test(target)) return false;
    const [file = "", anchor] = target.split("#");
    const path = file === "" ? page : join(dirname(page), file);
    return !isThere(path) || (anchor !== undefined && !anchorsOf(read(path)).includes(anchor));
  });
}

/** Paths in backticks from the top of the tree; patterns and placeholders are left out. */
function deadPaths(page: string): string[] {
  const spans = [...prose(read(page)).matchAll(/`([^`\s]+)`/g)].map(([, span = ""]) => span);
  return spans.filter((span) => ROOM.test(span) && !/[*<>…{}$]/.test(span) && !isThere(span));
}

interface Claim {
  readonly file: string;
  readonly title: string;
}

/** In a row a title belongs to the file named before it. */
function claimsOf(row: string): Claim[] {
  const claims: Claim[] = [];
  let file = "";
  for (const [, path, title] of row.matchAll(/`([^`]+\.test\.ts)`|“([^”]+)”/g)) {
    if (path !== undefined) file = path;
    if (title !== undefined) claims.push({ file, title });
  }
  return claims;
}

function isTestOf({ file, title }: Claim): boolean {
  return (
    isThere(file) &&
    read(file)
      .split("\n")
      .some((line) => /\btest\b/.test(line) && line.includes(title))
  );
}

test.each(PAGES)("every link and every path in %s leads somewhere", (page) => {
  expect({ links: deadLinks(page), paths: deadPaths(page) }).toEqual({ links: [], paths: [] });
});

test("every make target the pages name exists", () => {
  const targets = new Set([...read("Makefile").matchAll(/^([a-z-]+):/gm)].map(([, name]) => name));
  const named = PAGES.flatMap((page) => [...read(page).matchAll(/(?:`|^)make ([a-z][a-z-]*)/gm)].map(([, name]) => name));
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter((name) => !targets.has(name))).toEqual([]);
});

test("every page of docs is in its index, decisions by their folder", () => {
  const index = read("docs/README.md");
  const pages = globSync("docs/*.md", { cwd: ROOT }).map((page) => page.slice("docs/".length));
  expect(pages.filter((page) => page !== "README.md" && !index.includes(`(${page}`))).toEqual([]);
});

describe("docs/specification.md", () => {
  const rows = read("docs/specification.md")
    .split("\n")
    .filter((line) => /^\| (?!part \| test|what \| goal)/.test(line));
  const promises = rows.filter((row) => row.split(" | ").length === 2);

  test("has a section for each of the eight promises", () => {
    const numbers = [...read("docs/specification.md").matchAll(/^## (\d)\. /gm)].map(([, number]) => number);
    expect(numbers).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
    expect(promises.flatMap(claimsOf).length).toBeGreaterThan(40);
  });

  test("names only tests that exist, by file and title", () => {
    expect(promises.flatMap(claimsOf).filter((claim) => !isTestOf(claim))).toEqual([]);
  });

  test("has for each promised part a test, or says pending", () => {
    const figures = read("docs/specification.md").split("## Figures")[1] ?? "";
    const bare = promises.filter((row) => !figures.includes(row) && claimsOf(row).length === 0 && !row.includes("pending"));
    expect(bare).toEqual([]);
  });
});

test("docs/threat-model.md names only tests that exist, and one for each attempt", () => {
  const rows = read("docs/threat-model.md")
    .split("\n")
    .filter((line) => /^\| (?!attempt|zone)/.test(line) && line.split(" | ").length === 3 && line.includes(".test.ts"));
  const attempts =
    read("docs/threat-model.md")
      .split("## What stops what")[1]
      ?.match(/^\| (?!attempt).*$/gm) ?? [];
  expect(rows.length).toBeGreaterThan(20);
  expect(attempts).toEqual(rows);
  expect(rows.flatMap(claimsOf).filter((claim) => !isTestOf(claim))).toEqual([]);
});
