/**
 * What folders hold, counted while a sandbox may be changing them: bytes as the disk keeps them, and names.
 *
 * Bytes are allocated blocks, so a sparse file counts what it takes, and a file with several names counts once. Every name counts, because
 * every name is looked at: that bounds the work. What is moved about during the count may be missed, or counted twice.
 */
import type { BigIntStats } from "node:fs";
import type { Amount, WorkspaceCount } from "../../ports/workspace.ts";
import type { OpenFolder, RawName } from "./no-follow.ts";

/** Keeps Node's few threads for files busy; what they answer takes the event loop a fraction of a millisecond. */
const LOOKS_AT_ONCE = 32;
/** However deep it goes. A process may have 1,024. */
const MAX_OPEN = 32;
const BLOCK_BYTES = 512n;
const LARGEST = 3;

/** Not there any more, something else by now, or another's, which a sandbox cannot fill either. */
const PASSED_OVER = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ESTALE", "EACCES", "EPERM", "ENAMETOOLONG"]);

/** A folder on the way from the root to where the count is. The root and the last are open. */
interface Level {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Undefined: closed to make room, and found again from the one below. */
  folder: OpenFolder | undefined;
  /** What is still to be counted in it. */
  readonly below: RawName[];
}

export class Count {
  bytes = 0;
  names = 0;
  /** Directly in a root, with all that is below them; largest first. */
  largest: WorkspaceCount["largest"] = [];
  readonly #limit: Amount;
  readonly #signal: AbortSignal;
  /** Files with several names that were seen. */
  readonly #linked = new Set<string>();

  /** `signal`: the count rejects with its reason. */
  constructor(limit: Amount, signal: AbortSignal) {
    this.#limit = limit;
    this.#signal = signal;
  }

  /** Past the limit; there may be more. */
  get isOver(): boolean {
    return this.bytes > this.#limit.bytes || this.names > this.#limit.files;
  }

  /** Adds what is below `root`, which stays open. `prefix`: what its names are told with. */
  async add(root: OpenFolder, prefix: string): Promise<void> {
    const { dev, ino } = root;
    const mount = root.mount();
    const note = (name: RawName, bytes: number): void => this.#note(prefix + Buffer.from(name, "latin1").toString("utf8"), bytes);
    const levels: Level[] = [{ dev, ino, folder: root, below: await this.#list(root, note) }];
    try {
      let part: { readonly name: RawName; readonly from: number } | undefined;
      for (let level = levels.at(-1); level?.folder !== undefined && !this.isOver; level = levels.at(-1)) {
        if (level.folder === root && part !== undefined) {
          note(part.name, this.bytes - part.from);
          part = undefined;
        }
        const name = level.below.pop();
        if (name === undefined) {
          await leave(levels);
          continue;
        }
        const folder = await unlessGone(level.folder.folder(name));
        if (folder === undefined) continue;
        if (level.folder === root) part = { name, from: this.bytes };
        const below: RawName[] = [];
        levels.push({ dev: folder.dev, ino: folder.ino, folder, below });
        // What somebody mounted here is another disk's. A btrfs subvolume, which a sandbox can make, has its own device but is no mount.
        const isOurs = folder.dev === dev || (mount !== undefined && folder.mount() === mount);
        for (const one of (isOurs && (await unlessGone(this.#list(folder)))) || []) below.push(one);
        closeFurthest(levels);
      }
      if (part !== undefined) note(part.name, this.bytes - part.from);
    } finally {
      for (const { folder } of levels) if (folder !== root) folder?.close();
    }
  }

  /** Counts what is directly in a folder. Returns the folders among it. */
  async #list(folder: OpenFolder, note?: (name: RawName, bytes: number) => void): Promise<RawName[]> {
    const below: RawName[] = [];
    const look = async (names: readonly RawName[]): Promise<void> => {
      this.#signal.throwIfAborted();
      const stats = await Promise.all(names.map((name) => unlessGone(folder.look(name))));
      for (const [n, name] of names.entries()) {
        const stat = stats[n];
        if (stat === undefined) continue;
        const bytes = this.#bytesOf(stat);
        this.names++;
        this.bytes += bytes;
        if (stat.isDirectory()) below.push(name);
        else note?.(name, bytes);
      }
    };
    let names: RawName[] = [];
    for await (const name of folder.names()) {
      if (names.push(name) < LOOKS_AT_ONCE) continue;
      await look(names);
      if (this.isOver) return below;
      names = [];
    }
    await look(names);
    return below;
  }

  #bytesOf(stat: BigIntStats): number {
    if (stat.nlink > 1n && !stat.isDirectory()) {
      const file = `${stat.dev}:${stat.ino}`;
      if (this.#linked.has(file)) return 0;
      this.#linked.add(file);
    }
    return Number(stat.blocks * BLOCK_BYTES);
  }

  #note(path: string, bytes: number): void {
    const last = this.largest.at(-1);
    if (this.largest.length === LARGEST && last !== undefined && bytes <= last.bytes) return;
    this.largest = [...this.largest, { path, bytes }].toSorted((a, b) => b.bytes - a.bytes).slice(0, LARGEST);
  }
}

/** Goes up one level, or to the root where those between have been moved meanwhile: what was left to count there cannot be found. */
async function leave(levels: Level[]): Promise<void> {
  const left = levels.pop();
  const above = levels.at(-1);
  if (above === undefined) return;
  try {
    if (above.folder === undefined) {
      const found = left?.folder && (await unlessGone(left.folder.above()));
      if (found?.dev === above.dev && found.ino === above.ino) above.folder = found;
      else found?.close();
    }
  } finally {
    left?.folder?.close();
  }
  while (levels.at(-1)?.folder === undefined) levels.pop();
}

function closeFurthest(levels: readonly Level[]): void {
  const furthest = levels[levels.length - MAX_OPEN];
  if (furthest === undefined || furthest === levels[0]) return;
  const { folder } = furthest;
  furthest.folder = undefined;
  folder?.close();
}

/** Undefined where it is passed over; any other fault rejects. */
async function unlessGone<T>(looking: Promise<T>): Promise<T | undefined> {
  return looking.catch((error: unknown) => {
    if (PASSED_OVER.has(String(Object(error).code))) return undefined;
    throw error;
  });
}
