import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hostDistribution, packageSources } from "./debian-sources.ts";

const host = { suite: "bookworm", isDebianFamily: true };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hermit-sources-"));
  mkdirSync(join(folder, "sources.list.d"));
});

afterEach(() => rmSync(folder, { recursive: true }));

test("both styles of source become stanzas; third-party, switched-off and source-code entries are left out", () => {
  writeFileSync(
    join(folder, "sources.list"),
    `# comment
deb [signed-by=/k.gpg arch=arm64] http://a.example/debian bookworm main contrib # here
deb-src http://a.example/debian bookworm main
deb http://tools.example/apt bookworm stable
deb http://other.example/repo cloud-bookworm main
`,
  );
  writeFileSync(
    join(folder, "sources.list.d", "debian.sources"),
    `Types: deb
# a note
URIs: http://b.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://c.example/debian
Suites: bookworm-security
Components: main
Enabled: no
`,
  );
  expect(packageSources(host, undefined, folder)).toBe(`Types: deb
URIs: http://a.example/debian
Suites: bookworm
Components: main contrib
Signed-By: /k.gpg

Types: deb
URIs: http://b.example/debian
Suites: bookworm bookworm-updates
Components: main
`);
});

test("a named mirror is used alone", () => {
  expect(packageSources(host, "http://m.example/debian", folder)).toBe("deb http://m.example/debian bookworm main\n");
});

test("a machine without a usable source is told what to set", () => {
  expect(() => packageSources(host, undefined, folder)).toThrow(/name no archive of bookworm/);
  expect(() => packageSources({ ...host, isDebianFamily: false }, undefined, folder)).toThrow(/name no archive/);
});

test("the suite is the host's own, and Debian's default where the host has none or the mirror is not the host's", () => {
  const release = join(folder, "os-release");
  const suiteOf = (text: string, mirror?: string) => {
    writeFileSync(release, text);
    return hostDistribution(mirror, release);
  };
  expect(suiteOf('ID=debian\nVERSION_CODENAME="trixie"\n')).toEqual({ suite: "trixie", isDebianFamily: true });
  expect(suiteOf("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n")).toEqual({ suite: "noble", isDebianFamily: true });
  expect(suiteOf("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", "http://m.example").suite).toBe("bookworm");
  expect(suiteOf("ID=fedora\nVERSION_CODENAME=\n")).toEqual({ suite: "bookworm", isDebianFamily: false });
  expect(hostDistribution(undefined, join(folder, "absent"))).toEqual({ suite: "bookworm", isDebianFamily: false });
});
