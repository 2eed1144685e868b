import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "./report.ts";

const DEFAULT_SUITE = "bookworm";

export interface HostDistribution {
  readonly suite: string;
  readonly isDebianFamily: boolean;
}

/** A mirror named by the user is Debian's: a relative with suites of its own then gets the default suite. */
export function hostDistribution(mirror: string | undefined, osReleasePath = "/etc/os-release"): HostDistribution {
  const text = existsSync(osReleasePath) ? readFileSync(osReleasePath, "utf8") : "";
  const value = (name: string) => new RegExp(`^${name}="?([^"\n]*)`, "m").exec(text)?.[1] ?? "";
  const isDebianFamily = /\b(debian|ubuntu|raspbian)\b/.test(`${value("ID")} ${value("ID_LIKE")}`);
  const hasOwnSuite = mirror ? /^(debian|raspbian)$/.test(value("ID")) : isDebianFamily;
  return { suite: (hasOwnSuite && value("VERSION_CODENAME")) || DEFAULT_SUITE, isDebianFamily };
}

/**
 * Where packages come from, as text for apt's sources: the named mirror, else those of the machine's own sources that
 * serve its distribution. Third-party sources are left out: what they add would make images differ between machines.
 */
export function packageSources(host: HostDistribution, mirror: string | undefined, aptFolder = "/etc/apt"): string {
  if (mirror) return `deb ${mirror} ${host.suite} main\n`;
  const folder = join(aptFolder, "sources.list.d");
  const extra = existsSync(folder) ? readdirSync(folder).sort() : [];
  const files = [join(aptFolder, "sources.list"), ...extra.map((name) => join(folder, name))].filter((path) => existsSync(path));
  const entries = files.flatMap((path) => {
    const text = readFileSync(path, "utf8");
    if (path.endsWith(".sources")) return deb822Entries(text, host.suite);
    return path.endsWith(".list") ? oneLineEntries(text, host.suite) : [];
  });
  if (host.isDebianFamily && entries.length > 0) return `${entries.join("\n\n")}\n`;
  throw new BuildError(
    `this machine's apt sources name no archive of ${host.suite}`,
    "set HERMIT_DEBIAN_MIRROR to the address of a Debian archive, or HERMIT_BASE_IMAGE to a base image pinned by digest",
  );
}

/** mmdebstrap pastes all sources into one file, and apt takes one style a file: single lines become stanzas too. */
function oneLineEntries(text: string, suite: string): string[] {
  return text.split("\n").flatMap((line) => {
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line.trim());
    if (!match) return [];
    const [, options = "", address = "", entrySuite = "", components = ""] = match;
    if (!serves(entrySuite, components, suite)) return [];
    const signedBy = /\bsigned-by=(\S+)/.exec(options)?.[1];
    const stanza = ["Types: deb", `URIs: ${address}`, `Suites: ${entrySuite}`, `Components: ${components.trim()}`];
    return [[...stanza, ...(signedBy ? [`Signed-By: ${signedBy}`] : [])].join("\n")];
  });
}

function deb822Entries(text: string, suite: string): string[] {
  return text
    .split(/\n\s*\n/)
    .map((stanza) => stanza.replace(/^#.*\n?/gm, "").trim())
    .filter((stanza) => {
      const value = (name: string) => new RegExp(`^${name}:(.*)$`, "im").exec(stanza)?.[1]?.trim() ?? "";
      const isOff = value("Enabled").toLowerCase() === "no";
      return !isOff && value("Types").split(/\s+/).includes("deb") && serves(value("Suites"), value("Components"), suite);
    });
}

/** Distributions keep their packages in "main"; others borrow the suite's name but rarely that component's. */
function serves(suites: string, components: string, suite: string): boolean {
  const known = new RegExp(`^(${suite}|stable|oldstable)(-updates|-security|/updates)?$`);
  return components.split(/\s+/).includes("main") && suites.split(/\s+/).every((name) => known.test(name));
}
