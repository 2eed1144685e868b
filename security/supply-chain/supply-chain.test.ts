/** Each finding on a small lockfile, answer or image made for it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { judgeAudit } from "./audit.ts";
import { tableOf, unchecked } from "./check.ts";
import { EXCEPTIONS, type Exceptions } from "./exceptions.ts";
import { type ImageFacts, imageChecks } from "./image.ts";
import { isAllowed } from "./licences.ts";
import { type LockedPackage, lockChecks } from "./lock.ts";

const INTEGRITY = `sha512-${"A".repeat(86)}==`;
const sound: LockedPackage = { version: "1.0.0", integrity: INTEGRITY, license: "MIT" };
const NPMRC = "ignore-scripts=true\n";
const NONE: Exceptions = { otherSystems: [], licences: {}, installScripts: [] };

interface Given {
  readonly npmrc?: string;
  readonly exceptions?: Partial<Exceptions>;
}

/** What one check finds in a lockfile of these packages. */
function found(check: string, packages: Record<string, LockedPackage>, { npmrc = NPMRC, exceptions = {} }: Given = {}): readonly string[] {
  const placed = Object.fromEntries(Object.entries(packages).map(([name, locked]) => [`node_modules/${name}`, locked]));
  const checks = lockChecks({ "": {}, ...placed }, npmrc, { ...NONE, ...exceptions });
  return checks.find(({ name }) => name === check)?.findings ?? ["no such check"];
}

describe("the lockfile", () => {
  test("sound packages pass every check, nested ones and those of a scope too", () => {
    const checks = lockChecks({ "": {}, "node_modules/a": sound, "node_modules/a/node_modules/@scope/b": sound }, NPMRC, NONE);
    expect(checks.map(({ name, looked, findings }) => [name, looked, findings.length])).toEqual([
      ["integrity", "2 packages", 0],
      ["addresses", "2 packages", 0],
      ["licences", "2 packages", 0],
      ["install scripts", "0 packages", 0],
    ]);
  });

  describe("integrity", () => {
    const { integrity: _, ...bare } = sound;
    const excepted: Given = { exceptions: { otherSystems: ["a"] } };

    test("a package without it, or with one of a weak kind, is found", () => {
      expect(found("integrity", { a: bare })).toEqual([expect.stringContaining("a has no integrity")]);
      expect(found("integrity", { a: { ...sound, integrity: "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=" } })).toEqual([
        expect.stringContaining("weak"),
      ]);
    });

    test("a package of another system may be excepted, by name", () => {
      const foreign = { ...bare, optional: true, os: ["darwin"], cpu: ["arm64"] };
      expect(found("integrity", { a: foreign }, excepted)).toEqual([]);
      expect(found("integrity", { a: foreign })).toHaveLength(1);
    });

    test.each<[string, Partial<LockedPackage>]>([
      ["is fetched on Linux", { optional: true, os: ["linux"], cpu: ["arm64"] }],
      ["is fetched on every system but one", { optional: true, os: ["!win32"] }],
      ["names its system in one word", { optional: true, os: "linux", cpu: "x64", libc: "glibc" }],
      ["is not optional", { os: ["darwin"] }],
    ])("the exception does not help a package that %s", (_what, changes) => {
      expect(found("integrity", { a: { ...bare, ...changes } }, excepted).join()).toContain("a has no integrity");
    });

    test("another C library, processor or system is what makes one foreign", () => {
      for (const changes of [{ libc: ["musl"] }, { cpu: ["riscv64"] }, { os: "openharmony" }, { cpu: ["!x64", "!arm64"] }])
        expect(found("integrity", { a: { ...bare, optional: true, ...changes } }, excepted)).toEqual([]);
    });

    test("an exception nothing needs any more is found", () => {
      expect(found("integrity", { a: sound }, excepted)).toEqual([expect.stringContaining("strike it")]);
    });
  });

  test("a package that names its own source is found: an address, or a folder beside", () => {
    expect(found("addresses", { a: { ...sound, resolved: "git+ssh://example.org/a.git" } })).toHaveLength(1);
    expect(found("addresses", { a: { ...sound, link: true } })).toHaveLength(1);
  });

  describe("licences", () => {
    test("one that is not on the list is found, as is none at all", () => {
      expect(found("licences", { a: { ...sound, license: "GPL-3.0-only" } })).toEqual([expect.stringContaining("GPL-3.0-only")]);
      const { license: _, ...unnamed } = sound;
      expect(found("licences", { a: unnamed })).toEqual(["a names no licence"]);
      expect(found("licences", { a: unnamed }, { exceptions: { licences: { a: "MIT" } } })).toEqual([]);
      expect(found("licences", { a: unnamed }, { exceptions: { licences: { a: "SSPL-1.0" } } })).toHaveLength(1);
      expect(found("licences", { a: sound }, { exceptions: { licences: { a: "MIT" } } })).toEqual([expect.stringContaining("strike it")]);
    });

    test("what asks for changes to be shown may be a tool, and may not be shipped", () => {
      expect(found("licences", { a: { ...sound, license: "MPL-2.0", dev: true } })).toEqual([]);
      expect(found("licences", { a: { ...sound, license: "MPL-2.0" } })).toEqual([expect.stringContaining("shipped")]);
    });

    test.each([
      ["MIT OR GPL-2.0-only", true],
      ["(AFL-2.1 OR BSD-3-Clause)", true],
      ["MIT AND GPL-2.0-only", false],
      ["MIT AND (ISC OR GPL-2.0-only)", true],
      ["GPL-2.0-only OR MIT AND SSPL-1.0", false],
      ["MIT OR", false],
      ["(MIT", false],
      ["MIT)", false],
      ["MIT WITH anything", false],
      ["SEE LICENSE IN LICENSE.md", false],
      ["UNLICENSED", false],
      ["", false],
    ])("%j is allowed: %s", (expression, verdict) => {
      expect(isAllowed(expression, false)).toBe(verdict);
    });
  });

  describe("install scripts", () => {
    const scripted = { ...sound, hasInstallScript: true };

    test("one nobody has looked at is found, and one that is gone is struck from the list", () => {
      expect(found("install scripts", { a: scripted })).toEqual([expect.stringContaining("a has an install script")]);
      expect(found("install scripts", { a: scripted }, { exceptions: { installScripts: ["a"] } })).toEqual([]);
      expect(found("install scripts", { a: sound }, { exceptions: { installScripts: ["a"] } })).toEqual([
        expect.stringContaining("strike it"),
      ]);
    });

    test("they must be turned off, however few there are", () => {
      for (const npmrc of ["", "ignore-scripts=false\n", "# ignore-scripts=true\n"])
        expect(found("install scripts", { a: sound }, { npmrc })).toEqual([expect.stringContaining("not turned off")]);
    });
  });

  test("every package of the project's own lockfile passes", () => {
    const root = join(import.meta.dirname, "..", "..");
    const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as { packages: Record<string, LockedPackage> };
    const checks = lockChecks(packages, readFileSync(join(root, ".npmrc"), "utf8"), EXCEPTIONS);
    expect(checks.flatMap(({ findings }) => findings)).toEqual([]);
  });
});

describe("the audit", () => {
  const packages = { "": {}, "node_modules/shipped": sound, "node_modules/tool": { ...sound, dev: true } };
  const report = (vulnerabilities: object): string => JSON.stringify({ auditReportVersion: 2, vulnerabilities });
  const advisory = (severity: string, ...places: string[]) => ({ severity, nodes: places.map((name) => `node_modules/${name}`) });

  test("without advisories it passes", () => {
    expect(judgeAudit(report({}), packages)).toEqual({ name: "npm audit", looked: "2 packages", findings: [], notes: [] });
  });

  test("any advisory of what is shipped is found; of tools the grave ones, and the others are told", () => {
    const low = judgeAudit(report({ shipped: advisory("low", "shipped"), tool: advisory("moderate", "tool") }), packages);
    expect(low.findings).toEqual(["shipped: a low advisory, in what is shipped"]);
    expect(low.notes).toEqual(["tool: a moderate advisory, in a tool"]);
    expect(judgeAudit(report({ tool: advisory("critical", "tool") }), packages).findings).toHaveLength(1);
    expect(judgeAudit(report({ both: advisory("low", "tool", "shipped") }), packages).findings).toHaveLength(1);
    expect(judgeAudit(report({ nowhere: advisory("low") }), packages).findings).toHaveLength(1);
  });

  test.each([
    ["a refusal", JSON.stringify({ message: "405 Method Not Allowed - POST https://registry.example/advisories", statusCode: 405 })],
    ["no network", JSON.stringify({ message: "request to https://registry.example/x failed, reason: getaddrinfo ENOTFOUND", error: {} })],
    ["nothing", ""],
    ["a page", "<html>"],
    ["null", "null"],
    ["an empty report", "{}"],
    ["a report of another kind", '{"vulnerabilities":"none"}'],
  ])("%s has not passed and has not failed, and the address is not repeated", (_what, answer) => {
    const check = judgeAudit(answer, packages);
    expect(check.unchecked).toEqual(expect.any(String));
    expect(check.unchecked).not.toContain("registry.example");
    expect(check.findings).toEqual([]);
  });
});

describe("the image", () => {
  const deb = (name: string, version: string) => ({ name, version, purl: `pkg:deb/debian/${name}@${version}?arch=amd64&distro=bookworm` });
  const facts = {
    record: { image: "hermit-runner:1", layer: "sha256:1" },
    bill: {
      metadata: { component: { name: "hermit-runner:1", version: "sha256:1" } },
      components: [
        { name: "node", version: "24.0.0", purl: "pkg:generic/node@24.0.0" },
        { name: "hermit-runner", hashes: [{ content: "abc" }] },
        deb("bash", "5.2"),
        deb("git", "2.39"),
      ],
    },
    lock: "# Packages\n# suite: bookworm\nbash=5.2\ngit=2.39\n",
    runnerSha256: "abc",
    nodeVersion: "24.0.0",
    stored: { layers: ["sha256:1"] },
  } satisfies ImageFacts;
  const findings = (changes: Partial<ImageFacts>) => imageChecks({ ...facts, ...changes }).flatMap((check) => check.findings);

  test("one that is what it says passes", () => {
    expect(imageChecks(facts)).toEqual([
      { name: "image", looked: "hermit-runner:1", findings: [], notes: [] },
      { name: "image's packages", looked: "2 packages", findings: [], notes: [] },
    ]);
  });

  test.each<[string, Partial<ImageFacts>]>([
    ["its bill of materials is of another image", { record: { image: "hermit-runner:2", layer: "sha256:1" } }],
    ["its runner is not the one built last", { runnerSha256: "def" }],
    ["its Node is not the pinned one", { nodeVersion: "24.0.1" }],
    ["the engine has lost it", { stored: "missing" }],
    ["the engine holds another under its name", { stored: { layers: ["sha256:2"] } }],
    ["somebody put a layer on top of it", { stored: { layers: ["sha256:1", "sha256:2"] } }],
    ["a package is in it that nobody recorded", { lock: "# suite: bookworm\nbash=5.2\n" }],
    ["a recorded package is not in it", { lock: `${facts.lock}curl=8\n` }],
  ])("it is found where %s", (_what, changes) => {
    expect(findings(changes).length).toBeGreaterThan(0);
  });

  test("a package of another version than recorded is told and is no finding: updates move versions", () => {
    const [, packages] = imageChecks({ ...facts, lock: facts.lock.replace("2.39", "2.38") });
    expect(packages).toMatchObject({ findings: [], notes: [expect.stringContaining("git")] });
  });

  test("what is not there cannot be checked, and is not called passed", () => {
    expect(imageChecks({ ...facts, record: undefined }).map((check) => check.unchecked)).toEqual([
      expect.stringContaining("make image"),
      expect.stringContaining("make image"),
    ]);
    expect(imageChecks({ ...facts, stored: undefined })[0]).toMatchObject({ findings: [], notes: [expect.stringContaining("no engine")] });
    expect(imageChecks({ ...facts, lock: "# suite: trixie\nbash=5.2\n" })[1]).toMatchObject({
      unchecked: expect.stringContaining("trixie"),
    });
  });
});

test("the table names every check with its outcome, what was found, and counts the rest", () => {
  const table = tableOf([
    { name: "licences", looked: "2 packages", findings: [] },
    { name: "integrity", looked: "2 packages", findings: ["a has no integrity"], notes: ["b is foreign"] },
    unchecked("npm audit", "no network"),
  ]);
  expect(table).toMatch(/licences +2 packages +passed\n/);
  expect(table).toMatch(/integrity +2 packages +1 found\n/);
  expect(table).toMatch(/npm audit +not checked: no network\n/);
  expect(table).toContain("! integrity: a has no integrity");
  expect(table).toContain("- integrity: b is foreign");
  expect(table.trimEnd().split("\n").at(-1)).toBe("supply chain: 2 checked, 1 not checked, 1 found");
});
