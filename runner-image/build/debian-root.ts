import type { Buffer } from "node:buffer";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { hostDistribution, packageSources } from "./debian-sources.ts";
import type { PackageChoice } from "./packages.ts";
import { BuildError } from "./report.ts";
import { IMAGE_EPOCH } from "./tar.ts";

// Not /tmp: on small boards it lies in memory, and the unpacked root would not fit.
const DEFAULT_WORK_FOLDER = "/var/tmp";
const NEEDED_BYTES = 900e6;
const REMEMBERED_LINES = 6;

export interface DebianRootOptions {
  readonly packages: PackageChoice;
  readonly mirror: string | undefined;
  readonly detail: (text: string) => void;
}

/** Makes a root file system from the distribution's own archive and streams it as a tar, trimmed but not normalised. */
export async function* debianRoot(options: DebianRootOptions): AsyncGenerator<Buffer> {
  ensureMmdebstrap(options.detail);
  const workFolder = process.env["TMPDIR"] || DEFAULT_WORK_FOLDER;
  checkSpace(workFolder);
  const host = hostDistribution(options.mirror);
  const sources = packageSources(host, options.mirror);
  const child = spawn("mmdebstrap", mmdebstrapArguments(options.packages, host.suite), {
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...process.env,
      TMPDIR: workFolder,
      SOURCE_DATE_EPOCH: String(IMAGE_EPOCH),
      HERMIT_TRIM: readFileSync(join(import.meta.dirname, "trim.sh"), "utf8"),
      HERMIT_DROP: options.packages.drop.join(" "),
    },
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  const lastLines = followLines(child.stderr, options.detail);
  child.stdin.on("error", () => undefined);
  child.stdin.end(sources);
  try {
    yield* child.stdout;
    const code = await ended;
    if (code !== 0) {
      for (const line of lastLines) options.detail(line);
      throw mmdebstrapFailed(lastLines);
    }
  } finally {
    if (child.exitCode === null) child.kill("SIGTERM");
  }
}

function mmdebstrapArguments(packages: PackageChoice, suite: string): string[] {
  return [
    "--variant=essential",
    "--format=tar",
    `--include=${packages.install.join(",")}`,
    ...aptSettings().map((setting) => `--aptopt=${setting}`),
    // The script travels in the environment: an unprivileged build runs as a mapped user who may not read our files.
    // Its own cleaning needs apt's folders, which the hook has just removed together with all it would clean.
    "--skip=cleanup",
    '--customize-hook=sh -c "$HERMIT_TRIM" trim "$1"',
    suite,
    "-",
    "-",
  ];
}

/** mmdebstrap starts apt with empty settings; how this machine reaches and checks its archive must carry over. */
function aptSettings(): string[] {
  const dump = spawnSync("apt-config", ["dump", "--no-empty", "Acquire"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const wanted = /^Acquire::(https?|ftp|Check-Valid-Until|Check-Date|ForceIPv[46]|Retries|Proxy-Auto-Detect)\b.*;$/;
  return (dump.stdout ?? "").split("\n").filter((line) => wanted.test(line));
}

function ensureMmdebstrap(detail: (text: string) => void): void {
  if (spawnSync("mmdebstrap", ["--version"], { stdio: "ignore" }).status === 0) return;
  const install = "apt-get install -y --no-install-recommends mmdebstrap";
  if (!hostDistribution(undefined).isDebianFamily) {
    throw new BuildError(
      "mmdebstrap is missing",
      "install it with your system's package manager, or set HERMIT_BASE_IMAGE to a base image pinned by digest",
    );
  }
  if (process.getuid?.() !== 0) throw new BuildError("mmdebstrap is missing", `type: sudo ${install}`);
  detail("installing mmdebstrap");
  const shell = `apt-get update -q; ${install} -q -o DPkg::Lock::Timeout=120`;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const run = spawnSync("sh", ["-c", shell], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env });
  if (run.status !== 0) throw new BuildError(`mmdebstrap could not be installed: ${lastLine(run.stderr)}`, `type: ${install}`);
}

function checkSpace(folder: string): void {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= NEEDED_BYTES) return;
  throw new BuildError(
    `${folder} has only ${Math.round((bavail * bsize) / 1e6)} MB free, a root file system needs ${NEEDED_BYTES / 1e6} MB while it is made`,
    "free some space there or set TMPDIR to a folder on a larger disk",
  );
}

function followLines(stream: NodeJS.ReadableStream, detail: (text: string) => void): string[] {
  const last: string[] = [];
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (/^I: .*(apt|downloading|installing|extracting|creating)/.test(line)) detail(line.slice(3));
      last.push(line);
      if (last.length > REMEMBERED_LINES) last.shift();
    }
  });
  return last;
}

function mmdebstrapFailed(lines: readonly string[]): BuildError {
  const telling = lines.find((line) => /^E: |error|fail|no space/i.test(line)) ?? lines.at(-1) ?? "it said nothing";
  const all = lines.join("\n");
  const cause = /no space left/i.test(all) ? "no space left on device" : telling.replace(/^E: /, "");
  return new BuildError(`mmdebstrap failed: ${cause}`, remedyFor(all));
}

function remedyFor(report: string): string {
  if (/NO_PUBKEY|is not signed/.test(report))
    return "install the keyring of that archive (Debian's: debian-archive-keyring), then try again";
  if (
    /could not resolve|failed to fetch|connection (failed|refused|timed out)|unable to connect|does not have a release file/i.test(report)
  ) {
    return "check that `apt-get update` works on this machine, or set HERMIT_DEBIAN_MIRROR to an archive it can reach";
  }
  return "run `mmdebstrap --verbose` with this suite to see its full report, or set HERMIT_BASE_IMAGE to a base image pinned by digest";
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
