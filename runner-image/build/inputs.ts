import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { checkPinned } from "./base-root.ts";
import { hostDistribution } from "./debian-sources.ts";
import { type PackageChoice, parsePackageList } from "./packages.ts";
import { BuildError } from "./report.ts";

const ROOM = join(import.meta.dirname, "..");
const PROJECT = join(ROOM, "..");
export const DIST = join(PROJECT, "dist");
const RUNNER_BUNDLE = join(DIST, "runner.cjs");

/** Files whose text decides the root file system; what only reports or transports is left out on purpose. */
const ROOT_FILES = ["build/trim.sh", "build/debian-root.ts", "build/debian-sources.ts", "build/base-root.ts", "build/tar.ts", "Dockerfile"];
const LAYER_FILES = ["build/layer.ts", "build/elf.ts"];

export interface ImageInputs {
  readonly way: "debian" | "base";
  readonly base: string | undefined;
  readonly mirror: string | undefined;
  readonly packages: PackageChoice;
  /** Debian's name for the processor. */
  readonly architecture: "amd64" | "arm64";
  readonly lockPath: string;
  readonly nodePackage: string;
  readonly nodeVersion: string;
  readonly runnerBundle: string;
  readonly runnerSha256: string;
  /** Names the root file system alone, so that a new runner finds the old root. */
  readonly rootHash: string;
  readonly hash: string;
}

export function readInputs(env: NodeJS.ProcessEnv): ImageInputs {
  const architecture = { x64: "amd64" as const, arm64: "arm64" as const }[process.arch as string];
  if (!architecture) throw new BuildError(`there is no runner image for ${process.arch} processors`, "use a 64-bit system (x64 or arm64)");
  const base = env["HERMIT_BASE_IMAGE"] || undefined;
  if (base) checkPinned(base);
  const mirror = env["HERMIT_DEBIAN_MIRROR"] || undefined;
  const nodePackage = join(PROJECT, "node_modules", `node-linux-${process.arch}`);
  const nodeVersion = readNodeVersion(nodePackage);
  const packageList = readFileSync(join(ROOM, "build", "packages.list"), "utf8");
  const packages = parsePackageList(packageList);
  const runnerSha256 = sha256(readRunner());
  // Of packages.list the names count, not its comments; of the sources the suite, because any mirror serves the same bytes.
  const origin = base ?? hostDistribution(mirror).suite;
  const rootHash = sha256(JSON.stringify([packages, origin, mirror, architecture, texts(ROOT_FILES)]));
  return {
    way: base ? "base" : "debian",
    base,
    mirror,
    packages,
    architecture,
    lockPath: join(ROOM, "build", `packages.${architecture}.lock`),
    nodePackage,
    nodeVersion,
    runnerBundle: RUNNER_BUNDLE,
    runnerSha256,
    rootHash: rootHash.slice(0, 16),
    hash: sha256(JSON.stringify([rootHash, nodeVersion, runnerSha256, texts(LAYER_FILES)])),
  };
}

function readRunner(): Buffer {
  if (existsSync(RUNNER_BUNDLE)) return readFileSync(RUNNER_BUNDLE);
  throw new BuildError("dist/runner.cjs is missing", "build it first: make build");
}

function readNodeVersion(folder: string): string {
  const manifest = join(folder, "package.json");
  if (!existsSync(manifest) || !existsSync(join(folder, "bin", "node"))) {
    throw new BuildError(`the Linux Node of the image is not in ${folder}`, "type: npm ci (on macOS add --os=linux), then try again");
  }
  return String(Object(JSON.parse(readFileSync(manifest, "utf8"))).version);
}

function texts(files: readonly string[]): string[] {
  return files.map((file) => readFileSync(join(ROOM, file), "utf8"));
}

function sha256(content: Buffer | string): string {
  return createHash("sha256").update(content).digest("hex");
}
