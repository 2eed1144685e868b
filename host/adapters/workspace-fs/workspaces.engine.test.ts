/** What real sandboxes see of the machine beside their own folders, and how much they may leave on its disk. Needs root, to mount small disks. */
import { execFileSync } from "node:child_process";
import { chownSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type StartedSandbox, start } from "../../../contracts/suites/sandbox-conversation.ts";
import type { MountRequest } from "../../domain/mount-allowlist.ts";
import type { Amount } from "../../ports/workspace.ts";
import { LeaseKeeper } from "../../sandboxes/lease-keeper.ts";
import { WorkspaceWatch } from "../../sandboxes/workspace-watch.ts";
import { systemClock } from "../clock-system/index.ts";
import { type EngineHarness, makeEngineHarness, testEngines } from "../sandbox-docker/engine-harness.ts";
import { createExtraMounts, createWorkspaceMeter, createWorkspaces } from "./index.ts";

const TEST_MS = 60_000;
const MIB = 1024 * 1024;
const NEVER = new AbortController().signal;
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const DISK: Amount = { bytes: 256 * MIB, files: 100_000 };

for (const { name, socketPath } of await testEngines()) {
  describe(`workspaces of sandboxes on ${name}`, { timeout: TEST_MS }, () => {
    let harness: EngineHarness;
    let owner: string;
    let mounted: string[];
    beforeAll(async () => {
      harness = await makeEngineHarness(socketPath);
    }, TEST_MS);
    afterAll(() => harness.close(), TEST_MS);
    beforeEach(() => {
      owner = realpathSync(mkdtempSync(join(tmpdir(), "hwo-")));
      mounted = [];
      for (const folder of ["projects/app", "projects/secret", "home/groups", ".config"])
        mkdirSync(join(owner, folder), { recursive: true });
      writeFileSync(join(owner, "projects/app/note"), "as it was");
      writeFileSync(join(owner, "projects/secret/note"), "secret");
      const list = { allowedRoots: [{ path: "~/projects", allowReadWrite: true }], blockedPatterns: ["secret"], nonMainReadOnly: true };
      writeFileSync(join(owner, ".config/list.json"), JSON.stringify(list));
      execFileSync("chown", ["-R", `${harness.spec().user.uid}`, join(owner, "projects")]);
      execFileSync("chmod", ["755", owner]);
    });
    afterEach(async () => {
      for (const path of mounted.toReversed()) execFileSync("umount", ["--lazy", path]);
      rmSync(owner, { recursive: true, force: true });
      expect(await harness.leftOver()).toEqual([]);
    }, TEST_MS);

    const mountDisk = (path: string, bytes: number): void => {
      mkdirSync(path, { recursive: true });
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes},mode=755`, "tmpfs", path]);
      mounted.push(path);
    };

    /** The harness's runner and limits, our own mounts. */
    const prepare = (folder: string, ...mounts: MountRequest[]) => {
      const home = join(owner, "home");
      const extraMounts = createExtraMounts({
        allowlist: join(owner, ".config/list.json"),
        ownersFolder: owner,
        own: [home],
        audit: { record: () => {} },
        log: silent,
      });
      const spec = harness.spec({ folder });
      const [, suite] = spec.mounts;
      const workspaces = createWorkspaces(home, spec.user.uid, spec.user.gid, extraMounts);
      const group = { chat: folder, name: folder, folder, trigger: "@Andy", requiresTrigger: false, mounts };
      const own = workspaces.prepare(group).mounts;
      chownSync(join(home, "groups", folder), spec.user.uid, spec.user.gid);
      return { group, own, spec: { ...spec, mounts: [...own, ...(suite === undefined ? [] : [suite])] } };
    };

    const inside = async (sandbox: StartedSandbox, body: string): Promise<unknown> => {
      const script = `const fs = process.getBuiltinModule("fs"); ${body}`;
      return JSON.parse(await sandbox.ask(`run ${Buffer.from(script).toString("base64")}`));
    };

    const app: MountRequest = { hostPath: "~/projects/app", readonly: false };
    const OVERWRITE = `fs.writeFileSync("/workspace/extra/app/note", "changed"); return "written"`;

    test("a folder the owner allows is seen by an ordinary group read-only, and written by main", async () => {
      await using fam = await start({ runtime: harness.runtime, spec: () => prepare("fam", app).spec });
      expect(await inside(fam, `return fs.readFileSync("/workspace/extra/app/note", "utf8")`)).toBe("as it was");
      expect(await inside(fam, OVERWRITE)).toEqual({ error: "EROFS" });
      expect(await inside(fam, `fs.chmodSync("/workspace/extra/app/note", 0o777)`)).toEqual({ error: "EROFS" });
      await using main = await start({ runtime: harness.runtime, spec: () => prepare("main", app).spec });
      expect(await inside(main, OVERWRITE)).toBe("written");
      expect(readFileSync(join(owner, "projects/app/note"), "utf8")).toBe("changed");
    });

    test("what the owner does not allow is not there", async () => {
      const spec = prepare("main", { hostPath: "~/projects/secret" }, { hostPath: "/etc" }, { hostPath: "~/home" }, app).spec;
      await using main = await start({ runtime: harness.runtime, spec: () => spec });
      expect(await inside(main, `return fs.readdirSync("/workspace/extra")`)).toEqual(["app"]);
    });

    test("a folder swapped for a link after it was judged kills the sandbox before it is spoken to", async () => {
      const { spec } = prepare("main", app);
      renameSync(join(owner, "projects/app"), join(owner, "projects/was"));
      symlinkSync("secret", join(owner, "projects/app"));
      await expect(harness.runtime.start(spec, NEVER)).rejects.toMatchObject({
        code: "SANDBOX_START_FAILED",
        message: expect.stringContaining("is not what"),
      });
    });

    test("a folder another file system is mounted in is not shown read-only: the engine would leave that one writable", async () => {
      mountDisk(join(owner, "projects/app/stick"), MIB);
      const isShown = (folder: string): boolean => prepare(folder, app).own.some(({ containerPath }) => containerPath.endsWith("/app"));
      expect([isShown("fam"), isShown("main")]).toEqual([false, true]);
    });

    test("what somebody mounted in a workspace is not counted as the group's", async () => {
      const { group } = prepare("fam");
      const stick = join(owner, "home/groups/fam/stick");
      mountDisk(stick, 8 * MIB);
      for (let n = 0; n < 10; n++) writeFileSync(join(stick, `${n}`), Buffer.alloc(MIB / 2, 1));
      const workspace = await createWorkspaceMeter(join(owner, "home")).open(group);
      expect(await workspace.count(DISK, NEVER)).toMatchObject({ files: 1 });
      workspace.close();
    });

    describe("a program that fills its workspace", () => {
      /** 1 MiB every 20 ms: what a fast card takes. */
      const FILL = `
        const file = fs.openSync("/workspace/group/filler", "w");
        const block = Buffer.alloc(1024 * 1024, 1);
        for (;;) { fs.writeSync(file, block); await new Promise((resolve) => setTimeout(resolve, 20)); }`;

      const keeper = (limit: Amount, freeBytes: number) => {
        mountDisk(join(owner, "home"), DISK.bytes);
        const { group, spec } = prepare("fam");
        const workspaces = { prepare: () => ({ mounts: spec.mounts, user: spec.user }) };
        const { owner: labels, limits, startTimeoutMs } = spec;
        const recorded: unknown[] = [];
        const watch = new WorkspaceWatch({
          meter: createWorkspaceMeter(join(owner, "home")),
          clock: systemClock,
          audit: { record: (entry) => void recorded.push(entry) },
          log: silent,
          limit,
          freeBytes,
        });
        const leases = new LeaseKeeper({ ...labels, runtime: harness.runtime, workspaces, watch, limits, startTimeoutMs });
        const acquire = async () => {
          const over = Promise.withResolvers<unknown>();
          const lease = await leases.acquire(group, NEVER, over.resolve);
          const up = await start({ runtime: { ...harness.runtime, start: async () => lease.sandbox }, spec: () => spec });
          return { lease, up, over: over.promise };
        };
        return { acquire, recorded };
      };

      test("is stopped long before the disk is full, while other sandboxes and the host work on; the next turn can clean up", async () => {
        const { acquire, recorded } = keeper({ bytes: 64 * MIB, files: 1_000 }, MIB);
        await using other = await start(harness);
        const filling = await acquire();
        expect(filling.lease.warning).toBeUndefined();
        const fill = inside(filling.up, FILL).catch((error: Error) => error.message);
        let echoes = 0;
        let isOver = false;
        const reason = filling.over.finally(() => (isOver = true));
        while (!isOver) expect(await other.ask(`echo ${echoes++}`)).toBe(`${echoes - 1}`);
        expect(await reason).toMatchObject({ code: "WORKSPACE_FULL", hint: expect.stringContaining("“/workspace/group/filler”") });
        await filling.lease.release(0);
        // It never got as far as an error of the disk's.
        expect(await fill).toBe("the link ended");
        expect(echoes).toBeGreaterThan(100);
        expect(recorded).toEqual([expect.objectContaining({ kind: "limit", decision: "denied", group: "fam", subject: "workspace" })]);

        const cleaning = await acquire();
        expect(cleaning.lease.warning).toContain("of 64 MiB");
        expect(await inside(cleaning.up, `fs.unlinkSync("/workspace/group/filler"); return "clean"`)).toBe("clean");
        await cleaning.lease.release(0);
        const next = await acquire();
        expect(next.lease.warning).toBeUndefined();
        await next.lease.release(0);
      });

      test("is stopped when the disk has less left than is kept free, whatever its limit; no turn begins then", async () => {
        const { acquire } = keeper({ bytes: 1024 * MIB, files: 1_000 }, 128 * MIB);
        const filling = await acquire();
        const fill = inside(filling.up, FILL).catch((error: Error) => error.message);
        expect(await filling.over).toMatchObject({ code: "DISK_LOW" });
        await filling.lease.release(0);
        expect(await fill).toBe("the link ended");
        await expect(acquire()).rejects.toMatchObject({ code: "DISK_LOW" });
      });

      test("with a hundred thousand empty files is stopped as well", async () => {
        const { acquire } = keeper({ bytes: 64 * MIB, files: 1_000 }, MIB);
        const filling = await acquire();
        const fill = inside(
          filling.up,
          `for (let n = 0; n < 100_000; n++) { fs.writeFileSync("/workspace/group/" + n, ""); if (n % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 20)); }`,
        ).catch((error: Error) => error.message);
        expect(await filling.over).toMatchObject({ code: "WORKSPACE_FULL", message: expect.stringContaining("1000 files and folders") });
        await filling.lease.release(0);
        expect(await fill).toBe("the link ended");
      });
    });
  });
}
