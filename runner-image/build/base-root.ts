import type { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { EngineImages } from "./engine-images.ts";
import type { PackageChoice } from "./packages.ts";
import { BuildError } from "./report.ts";
import { END_OF_TAR, tarEntry } from "./tar.ts";

const PROXY_VARIABLES = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

export interface BaseRootOptions {
  readonly engine: EngineImages;
  readonly base: string;
  readonly packages: PackageChoice;
  readonly mirror: string | undefined;
  readonly detail: (text: string) => void;
}

/** A name can be moved to another image at any time; only a digest says which bytes the sandbox will run. */
export function checkPinned(base: string): void {
  if (/^(\S+@)?sha256:[0-9a-f]{64}$/.test(base)) return;
  throw new BuildError(
    `HERMIT_BASE_IMAGE=${base} is not pinned`,
    "write it as name@sha256:<64 hex digits> (inspect the image for its digest), or unset it to use the distribution's archive",
  );
}

/**
 * Installs the packages on a base image inside the engine and streams the outcome as a tar. The engine's own layers
 * carry the times of the build, so the result is exported and goes through the same normalising as the other way.
 */
export async function* baseRoot(options: BaseRootOptions): AsyncGenerator<Buffer> {
  const { engine, packages } = options;
  const image = `hermit-runner-root:${createHash("sha256").update(options.base).digest("hex").slice(0, 16)}`;
  const buildArguments: Record<string, string> = {
    HERMIT_BASE: options.base,
    HERMIT_INSTALL: packages.install.join(" "),
    HERMIT_DROP: packages.drop.join(" "),
    HERMIT_MIRROR: options.mirror ?? "",
  };
  for (const name of PROXY_VARIABLES) {
    const value = process.env[name];
    if (value) buildArguments[name] = value;
  }
  const query = {
    t: image,
    nocache: "true",
    rm: "true",
    forcerm: "true",
    // The engine's own network may have no way out where its firewall rules could not be set.
    networkmode: "host",
    labels: JSON.stringify({ "hermit.image": "runner-root" }),
    buildargs: JSON.stringify(buildArguments),
  };
  try {
    await engine.build(query, context(), (line) => {
      if (/^(Step|STEP) /.test(line)) options.detail(line.split("\n")[0]?.slice(0, 100) ?? "");
    });
  } catch (error) {
    throw baseFailed(options.base, error);
  }
  // Never started: only its file system is wanted.
  const container = await engine.createContainer(image, { Cmd: ["/bin/true"] });
  try {
    yield* await engine.exportContainer(container);
  } finally {
    await engine.removeContainer(container);
    await engine.remove(image);
  }
}

async function* context(): AsyncGenerator<Buffer> {
  const room = join(import.meta.dirname, "..");
  yield* tarEntry({ path: "Dockerfile", mode: 0o644, content: readFileSync(join(room, "Dockerfile")) });
  yield* tarEntry({ path: "trim.sh", mode: 0o755, content: readFileSync(join(room, "build", "trim.sh")) });
  yield END_OF_TAR;
}

function baseFailed(base: string, error: unknown): BuildError {
  const message = error instanceof Error ? error.message : String(error);
  const isUnreachable =
    /manifest unknown|not found|no such (host|image)|pull access|unauthorized|timeout|dial tcp|connection refused/i.test(message);
  const remedy = isUnreachable
    ? "check that the engine can pull it, or unset HERMIT_BASE_IMAGE to use the distribution's archive"
    : "the base must be of the Debian family and its apt sources reachable from here; or unset HERMIT_BASE_IMAGE";
  return new BuildError(`the build on ${base} failed: ${message}`, remedy, { cause: error });
}
