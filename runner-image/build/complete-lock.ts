/**
 * Completes package-lock.json with the platform packages a registry mirror does not carry, so that `npm ci` finds the lockfile in
 * step with the manifests. They are for other systems than the ones a mirror serves: named, versioned, never fetched where
 * `os`, `cpu` or `libc` differ. Their integrity is unknown here; every package Linux on x64 and arm64 installs has its own.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface LockedPackage {
  version?: string;
  optionalDependencies?: Record<string, string>;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
}

const SYSTEMS = ["android", "darwin", "freebsd", "linux", "openharmony", "win32", "aix", "netbsd", "openbsd", "sunos"];
const LIBC: Record<string, string> = { musl: "musl", musleabihf: "musl", gnu: "glibc", gnueabihf: "glibc" };

const path = join(import.meta.dirname, "..", "..", "package-lock.json");
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, LockedPackage> };
let added = 0;
for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    const platform = platformOf(name);
    if (key in lock.packages || platform === undefined) continue;
    lock.packages[key] = { version, ...(parent.dev === true ? { dev: true } : {}), optional: true, ...platform };
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`);
process.stderr.write(`lock: ${added} packages of other platforms added\n`);

/** `@scope/binding-linux-arm64-musl` → Linux, arm64, musl. Undefined: the name tells no platform. */
function platformOf(name: string): Pick<LockedPackage, "os" | "cpu" | "libc"> | undefined {
  const words = name.slice(name.lastIndexOf("/") + 1).split("-");
  const at = words.findIndex((word) => SYSTEMS.includes(word));
  const [system, cpu, abi] = words.slice(at < 0 ? words.length : at);
  if (system === undefined || cpu === undefined) return undefined;
  const libc = system === "linux" && abi !== undefined ? LIBC[abi] : undefined;
  return { cpu: [cpu], os: [system], ...(libc === undefined ? {} : { libc: [libc] }) };
}
