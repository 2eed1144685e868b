/** What the lockfile says of every package it names. Pure: the text comes in, findings go out. */
import type { Check } from "./check.ts";
import type { Exceptions } from "./exceptions.ts";
import { isAllowed } from "./licences.ts";

export interface LockedPackage {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly os?: string | readonly string[];
  readonly cpu?: string | readonly string[];
  readonly libc?: string | readonly string[];
}

/** Place in `node_modules` → package. The project itself is under the empty place. */
export type LockedPackages = Readonly<Record<string, LockedPackage>>;

export function lockChecks(packages: LockedPackages, npmrc: string, exceptions: Exceptions): readonly Check[] {
  const entries = Object.entries(packages)
    .filter(([place]) => place !== "")
    .map(([place, locked]) => ({ name: nameOf(place), ...locked }));
  const looked = `${entries.length} packages`;
  return [
    { name: "integrity", looked, ...integrity(entries, exceptions) },
    { name: "addresses", looked, findings: addresses(entries) },
    { name: "licences", looked, findings: licences(entries, exceptions) },
    installScripts(entries, npmrc, exceptions),
  ];
}

type Entry = LockedPackage & { readonly name: string };

/** The systems Hermit is developed, tested and run on. */
const OURS = [
  { os: "linux", cpu: "x64", libc: "glibc" },
  { os: "linux", cpu: "arm64", libc: "glibc" },
];
const STRONG = /^sha(384|512)-[A-Za-z0-9+/]+={0,2}$/;

function integrity(entries: readonly Entry[], { otherSystems }: Exceptions): Pick<Check, "findings" | "notes"> {
  const bare = entries.filter((entry) => entry.integrity === undefined);
  const excused = bare.filter((entry) => otherSystems.includes(entry.name) && entry.optional === true && !isFetchedHere(entry));
  const findings = [
    ...bare.filter((entry) => !excused.includes(entry)).map(({ name }) => `${name} has no integrity: whatever is served would be taken`),
    ...entries
      .filter((entry) => entry.integrity !== undefined && !STRONG.test(entry.integrity))
      .map(({ name }) => `${name} has an integrity of a weak kind`),
    ...unneeded(otherSystems, excused, "a package of another system without integrity"),
  ];
  const notes = excused.length === 0 ? [] : [`${excused.length} packages of other systems have none; they are never fetched on Linux`];
  return { findings, notes };
}

function addresses(entries: readonly Entry[]): readonly string[] {
  return entries
    .filter(({ resolved, link }) => resolved !== undefined || link === true)
    .map(({ name }) => `${name} names where it comes from: only what any registry serves by name and version may be in the lock`);
}

function licences(entries: readonly Entry[], { otherSystems, licences: named }: Exceptions): readonly string[] {
  const findings: string[] = [];
  for (const entry of entries) {
    const licence = entry.license ?? named[entry.name];
    if (licence === undefined) {
      if (!otherSystems.includes(entry.name)) findings.push(`${entry.name} names no licence`);
    } else if (!isAllowed(licence, entry.dev === true)) {
      findings.push(
        `${entry.name} has the licence ${licence}, which is not on the list of those ${entry.dev === true ? "used" : "shipped"} here`,
      );
    }
  }
  const used = entries.filter((entry) => entry.license === undefined);
  return [...findings, ...unneeded(Object.keys(named), used, "a package whose licence is named by hand")];
}

function installScripts(entries: readonly Entry[], npmrc: string, { installScripts: known }: Exceptions): Check {
  const scripted = entries.filter(({ hasInstallScript }) => hasInstallScript === true);
  const off = /^ignore-scripts\s*=\s*true\s*$/m.test(npmrc);
  return {
    name: "install scripts",
    looked: `${scripted.length} packages`,
    findings: [
      ...(off ? [] : ["install scripts are not turned off: .npmrc must say ignore-scripts=true"]),
      ...scripted.filter(({ name }) => !known.includes(name)).map(({ name }) => `${name} has an install script nobody has looked at`),
      ...unneeded(known, scripted, "a package with an install script"),
    ],
  };
}

function unneeded(excused: readonly string[], used: readonly Entry[], as: string): readonly string[] {
  return excused
    .filter((name) => !used.some((entry) => entry.name === name))
    .map((name) => `${name} is excepted as ${as}, and is none: strike it from exceptions.ts`);
}

function isFetchedHere({ os, cpu, libc }: Entry): boolean {
  return OURS.some((system) => admits(os, system.os) && admits(cpu, system.cpu) && admits(libc, system.libc));
}

/** npm's rule: any of those named, none of those named with an exclamation mark. */
function admits(named: string | readonly string[] | undefined, system: string): boolean {
  const all = [named ?? []].flat();
  const wanted = all.filter((name) => !name.startsWith("!"));
  return !all.includes(`!${system}`) && (wanted.length === 0 || wanted.includes(system));
}

function nameOf(place: string): string {
  return place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length);
}
