import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { withoutSections } from "./elf.ts";
import { END_OF_TAR, tarEntry } from "./tar.ts";

export const RUNNER_IN_IMAGE = "/opt/hermit/runner.cjs";
export const NODE_IN_IMAGE = "/usr/local/bin/node";

/** Empty folders that sandboxes mount onto: with a read-only root the engine cannot make them. */
const MOUNT_POINTS = ["workspace", "workspace/group", "workspace/global", "run/hermit"];

const HOSTS = "127.0.0.1 localhost\n::1 localhost\n";

/** What the engine sets for every container; the rest is decided where a sandbox is created. */
export function imageChanges(labels: Readonly<Record<string, string>>): readonly string[] {
  return [
    "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "ENV HOME=/workspace/group",
    "ENV LANG=C.UTF-8",
    "WORKDIR /workspace/group",
    // Whoever forgets to name a user must not get root.
    "USER 65534:65534",
    `ENTRYPOINT ${JSON.stringify([NODE_IN_IMAGE, RUNNER_IN_IMAGE])}`,
    ...Object.entries(labels).map(([name, value]) => `LABEL ${name}=${value}`),
  ];
}

/** The image's only layer: the root file system, then Node, then the runner. */
export async function* layerTar(root: AsyncIterable<Buffer>, nodePackage: string, runnerBundle: string): AsyncGenerator<Buffer> {
  yield* root;
  for (const path of MOUNT_POINTS) yield* tarEntry({ path, mode: 0o755 });
  const node = withoutSections(readFileSync(join(nodePackage, "bin", "node")));
  // To be run and not read: the kernel then keeps the runner's memory and environment from the commands, which run as the same user.
  yield* tarEntry({ path: NODE_IN_IMAGE.slice(1), mode: 0o711, content: node });
  // Engines write one only for a container with a network.
  yield* tarEntry({ path: "etc/hosts", mode: 0o644, content: Buffer.from(HOSTS) });
  const license = join(nodePackage, "LICENSE");
  if (existsSync(license)) {
    yield* tarEntry({ path: "usr/share/doc/node", mode: 0o755 });
    yield* tarEntry({ path: "usr/share/doc/node/copyright", mode: 0o644, content: readFileSync(license) });
  }
  yield* tarEntry({ path: "opt/hermit", mode: 0o755 });
  yield* tarEntry({ path: RUNNER_IN_IMAGE.slice(1), mode: 0o644, content: readFileSync(runnerBundle) });
  yield END_OF_TAR;
}

/** Passes bytes through and knows, once they are all gone by, how many there were and their digest. */
export class Counted {
  readonly #hash = createHash("sha256");
  readonly #source: AsyncIterable<Buffer>;
  bytes = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source;
  }

  async *stream(): AsyncGenerator<Buffer> {
    for await (const chunk of this.#source) {
      this.#hash.update(chunk);
      this.bytes += chunk.length;
      yield chunk;
    }
  }

  digest(): string {
    return `sha256:${this.#hash.digest("hex")}`;
  }
}
