import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { say } from "./report.ts";

const SHOWN_DRIFT_LINES = 12;

/** What packages.list asks for. */
export interface PackageChoice {
  readonly install: readonly string[];
  /** Patterns taken out again, although a package that stays depends on them. */
  readonly drop: readonly string[];
}

interface InstalledPackage {
  readonly name: string;
  readonly version: string;
}

/** What a finished root file system says of itself. */
export interface RootContents {
  readonly distribution: string;
  readonly suite: string;
  readonly packages: readonly InstalledPackage[];
}

export function parsePackageList(text: string): PackageChoice {
  const lines = text.split("\n").map((line) => line.replace(/#.*/, "").trim());
  const names = lines.filter((line) => line !== "");
  return {
    install: names.filter((name) => !name.startsWith("-")),
    drop: names.filter((name) => name.startsWith("-")).map((name) => name.slice(1)),
  };
}

export function parseRootContents(dpkgStatus: string, osRelease: string): RootContents {
  const packages = dpkgStatus
    .split(/\n\n+/)
    .filter((paragraph) => /^Status: \S+ \S+ installed$/m.test(paragraph))
    .map((paragraph) => ({ name: field(paragraph, "Package: "), version: field(paragraph, "Version: ") }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return { distribution: field(osRelease, "ID="), suite: field(osRelease, "VERSION_CODENAME=") || "unknown", packages };
}

/**
 * Shows how the resolved versions differ from the recorded ones. Only shown: security updates move versions every
 * week, and an image with last month's holes is no improvement. A lock of another suite says nothing about this one.
 */
export function compareWithLock(lockPath: string, contents: RootContents, update: boolean): void {
  const lines = contents.packages.map(({ name, version }) => `${name}=${version}`);
  if (update || !existsSync(lockPath)) {
    const heading = "# Packages of the runner image as last resolved; rewrite with: image.ts --update-lock";
    writeFileSync(lockPath, [heading, `# suite: ${contents.suite}`, ...lines, ""].join("\n"));
    say(`${lines.length} package versions recorded in ${basename(lockPath)}`);
    return;
  }
  const lock = readFileSync(lockPath, "utf8").split("\n");
  const lockedSuite = field(lock.join("\n"), "# suite: ");
  if (lockedSuite !== contents.suite) {
    say(`${basename(lockPath)} records ${lockedSuite}, this image is ${contents.suite}: versions not compared`);
    return;
  }
  const locked = new Set(lock.filter((line) => line !== "" && !line.startsWith("#")));
  const drift = [
    ...[...locked].filter((line) => !lines.includes(line)).map((line) => `- ${line}`),
    ...lines.filter((line) => !locked.has(line)).map((line) => `+ ${line}`),
  ].sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1));
  if (drift.length === 0) return;
  say(`packages differ from ${basename(lockPath)} (nothing to do; --update-lock records them):`);
  for (const line of drift.slice(0, SHOWN_DRIFT_LINES)) say(`  ${line}`);
  if (drift.length > SHOWN_DRIFT_LINES) say(`  … and ${drift.length - SHOWN_DRIFT_LINES} more`);
}

function field(text: string, prefix: string): string {
  const line = text.split("\n").find((candidate) => candidate.startsWith(prefix));
  return line?.slice(prefix.length).trim().replace(/^"|"$/g, "") ?? "";
}
