import type { Buffer } from "node:buffer";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hostDistribution, packageSources } from "./debian-sources.ts";
import type { PackageChoice } from "./packages.ts";
import { BuildError } from "./report.ts";
import { IMAGE_EPOCH } from "./tar.ts";
import { makeWorkFolder, removeWorkFolder } from "./work-folder.ts";

const REMEMBERED_LINES = 6;

export interface DebianRootOptions {
  readonly packages: PackageChoice;
  readonly mirror: string | undefined;
  readonly detail: (text: string) => void;
}

/** Makes a root file system from the distribution's own archive and streams it as a tar, trimmed but not normalised. */
export async function* debianRoot(options: DebianRootOptions): AsyncGenerator<Buffer> {
  ensureMmdebstrap(options.detail);
  const host = hostDistribution(options.mirror);
  const sources = packageSources(host, options.mirror);
  const workFolder = makeWorkFolder();
  const child = spawn("mmdebstrap", mmdebstrapArguments(options.packages, host.suite), {
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own: when told to end, mmdebstrap hangs up on its whole group, which would be us.
    detached: true,
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
  ended.catch(() => undefined);
  const onSignal = () => {
    endGroup(child);
    void ended.finally(() => {
      removeWorkFolder(workFolder);
      process.exit(1);
    });
  };
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
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
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    if (child.exitCode === null) endGroup(child);
    await ended.catch(() => undefined);
    removeWorkFolder(workFolder);
  }
}

/** The whole group: mmdebstrap alone would first let the running apt or dpkg finish, which can take minutes. */
function endGroup(leader: ChildProcess): void {
  if (leader.pid === undefined) return;
  try {
    process.kill(-leader.pid, "SIGTERM");
  } catch {
    // Already gone.
  }
}

function mmdebstrapArguments(packages: PackageChoice, suite: string): string[] {
  return [
    "--variant=essential",
    "--format=tar",
    `--include=${packages.install.join(",")}`,
    ...aptSettings().map((setting) => `--aptopt=${setting}`),
    // Its own cleaning needs apt's folders, which the hook below has removed together with all it would clean.
    "--skip=cleanup",
    // The script travels in the environment: an unprivileged build runs as a mapped user who may not read our files.
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
  if (/mode automatically|newuidmap|subuid|unprivileged/i.test(report)) {
    return "an unprivileged build needs the package uidmap and a line for this user in /etc/subuid; or run the image step once as root";
  }
  return "run `mmdebstrap --verbose` with this suite to see its full report, or set HERMIT_BASE_IMAGE to a base image pinned by digest";
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
