/** Reaps what earlier host processes of this home left behind: running, paused or ended. Returns how many. */
import type { Log } from "../ports/log.ts";
import type { SandboxRuntime } from "../ports/sandbox-runtime.ts";

export async function reapLeftovers(runtime: SandboxRuntime, instance: string, generation: number, log: Log): Promise<number> {
  const owned = await runtime.listOwned(instance);
  const leftovers = owned.filter((sandbox) => sandbox.generation < generation);
  for (const { id, folder } of leftovers) {
    await runtime.reap(id);
    log.info({ sandbox: id, group: folder }, "reaped a sandbox of an earlier host");
  }
  return leftovers.length;
}
