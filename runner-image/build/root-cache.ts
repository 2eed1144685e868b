import type { Buffer } from "node:buffer";
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { parseRootContents, type RootContents } from "./packages.ts";
import { normalised } from "./tar.ts";

const KEPT_ROOTS = 2;
const STALE_PART_MS = 6 * 3600 * 1000;
const STATUS = "var/lib/dpkg/status";
const OS_RELEASE = "usr/lib/os-release";

/**
 * Normalised root file systems, kept so that a new runner bundle costs seconds and not a trip to the archive. Each is
 * a compressed tar without its end mark, beside it what is inside. The newest few stay.
 */
export class RootCache {
  readonly #folder: string;

  constructor(folder = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "hermit")) {
    this.#folder = folder;
  }

  contents(key: string): RootContents | undefined {
    if (!existsSync(this.#path(key, "tar.zst")) || !existsSync(this.#path(key, "json"))) return undefined;
    return JSON.parse(readFileSync(this.#path(key, "json"), "utf8"));
  }

  read(key: string): AsyncIterable<Buffer> {
    const packed = createReadStream(this.#path(key, "tar.zst"));
    const plain = createZstdDecompress();
    packed.once("error", (error) => plain.destroy(error));
    return packed.pipe(plain);
  }

  async store(key: string, root: AsyncIterable<Buffer>): Promise<RootContents> {
    mkdirSync(this.#folder, { recursive: true });
    this.#prune();
    const part = this.#path(key, `${process.pid}.part`);
    const found = new Map<string, string>();
    const tar = normalised(root, new Set([STATUS, OS_RELEASE]), (path, content) => found.set(path, content.toString("utf8")));
    const compress = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 } });
    try {
      await pipeline(Readable.from(tar, { objectMode: false }), compress, createWriteStream(part));
      const contents = parseRootContents(found.get(STATUS) ?? "", found.get(OS_RELEASE) ?? "");
      if (contents.packages.length === 0) throw new Error("the root file system lists no packages");
      writeFileSync(this.#path(key, "json"), JSON.stringify(contents));
      renameSync(part, this.#path(key, "tar.zst"));
      this.#prune();
      return contents;
    } finally {
      rmSync(part, { force: true });
    }
  }

  #path(key: string, extension: string): string {
    return join(this.#folder, `root-${key}.${extension}`);
  }

  #prune(): void {
    const files = readdirSync(this.#folder).filter((name) => name.startsWith("root-"));
    const age = (name: string) => statSync(join(this.#folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    const roots = files.filter((name) => name.endsWith(".tar.zst")).sort((a, b) => age(b) - age(a));
    const kept = new Set(roots.slice(0, KEPT_ROOTS).map((name) => name.split(".")[0]));
    for (const name of files) {
      const isDropped = name.endsWith(".part") ? age(name) < Date.now() - STALE_PART_MS : !kept.has(name.split(".")[0]);
      if (isDropped) rmSync(join(this.#folder, name), { force: true });
    }
  }
}
