/** What a mount is inside is what it was outside, or there is no sandbox: on a tree in the place of the kernel's. */
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { assertMounted, identifyMounts } from "./mount-identity.ts";

const PID = 42;
const CONTAINER = "c0ffee";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mount-"));
  for (const name of ["shown", "secret", "proc/42/root/workspace/extra"]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, "proc/42/cgroup"), `0::/docker/${CONTAINER}\n`);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Mounts `shown`; `mounted` is what the process sees there. */
async function look({ mounted, isJudged, id = CONTAINER }: { mounted: string | undefined; isJudged: boolean; id?: string }): Promise<void> {
  const hostPath = join(folder, "shown");
  const mount = { hostPath, containerPath: "/workspace/extra/shown", readOnly: true };
  const mounts = await identifyMounts([isJudged ? { ...mount, identity: statSync(hostPath, { bigint: true }) } : mount]);
  if (mounted !== undefined) symlinkSync(join(folder, mounted), join(folder, "proc/42/root/workspace/extra/shown"));
  await assertMounted(mounts, PID, id, { proc: join(folder, "proc"), cgroup: folder });
}

test.each([true, false])("the same passes, another does not (judged before: %s)", async (isJudged) => {
  await look({ mounted: "shown", isJudged });
  rmSync(join(folder, "proc/42/root/workspace/extra/shown"));
  await expect(look({ mounted: "secret", isJudged })).rejects.toThrow("is not what");
});

test("what cannot be seen passes only where nothing was judged before, and says what to do", async () => {
  await look({ mounted: undefined, isJudged: false });
  for (const id of [CONTAINER, "another"]) {
    await expect(look({ mounted: undefined, isJudged: true, id })).rejects.toMatchObject({
      code: "SANDBOX_START_FAILED",
      message: expect.stringContaining("cannot be seen from here"),
      hint: expect.stringContaining("additional mounts"),
    });
  }
});
