import { performance } from "node:perf_hooks";

/** A failure the reader can act on: what went wrong in one line, and what to do about it. */
export class BuildError extends Error {
  readonly remedy: string;

  constructor(message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.remedy = remedy;
  }
}

export function say(text: string): void {
  process.stderr.write(`image: ${text}\n`);
}

/** Runs one named step and says how long it took; the name goes out first, because some steps last minutes. */
export async function phase<T>(name: string, work: (detail: (text: string) => void) => Promise<T>): Promise<T> {
  const begun = performance.now();
  const elapsed = () => `${((performance.now() - begun) / 1000).toFixed(1)} s`;
  say(`${name}…`);
  const result = await work((text) => say(`  ${elapsed().padStart(7)}  ${text}`));
  say(`${name}: done in ${elapsed()}`);
  return result;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Turns what the system threw into the same two lines; a full disk hides behind many messages. */
export function explain(error: unknown): BuildError {
  if (isFullDisk(error)) {
    return new BuildError("the disk is full", "free about 2 GB (or point TMPDIR and XDG_CACHE_HOME at a larger disk), then try again");
  }
  if (error instanceof BuildError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new BuildError(message, "try again; if it stays, run the image step with --no-cache");
}

function isFullDisk(error: unknown): boolean {
  const { code, message } = Object(error);
  return code === "ENOSPC" || (typeof message === "string" && /no space left on device|ENOSPC/i.test(message));
}
