/** What a hostile program finds inside a sandbox. Each script runs as the runner itself, on every engine there is. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type StartedSandbox, start } from "../../../contracts/suites/sandbox-conversation.ts";
import { type EngineHarness, makeEngineHarness, testEngines } from "./engine-harness.ts";

const TEST_MS = 60_000;
const MIB = 1024 * 1024;

for (const { name, socketPath } of await testEngines()) {
  describe(`attacks from inside a sandbox: ${name}`, { timeout: TEST_MS }, () => {
    let harness: EngineHarness;
    let up: StartedSandbox;
    beforeAll(async () => {
      harness = await makeEngineHarness(socketPath);
      up = await start(harness);
    }, TEST_MS);
    afterAll(async () => {
      expect(up && (await up.sandbox.stop(0))).toBeUndefined();
      expect(await harness.leftOver()).toEqual([]);
      await harness.close();
    }, TEST_MS);

    async function inside(body: string, sandbox: StartedSandbox = up): Promise<unknown> {
      return sandbox.run(`const fs = process.getBuiltinModule("fs"); ${body}`);
    }

    test("there is no network interface but loopback", async () => {
      expect(await inside(`return fs.readdirSync("/sys/class/net")`)).toEqual(["lo"]);
      expect(await inside(`return fs.readFileSync("/proc/net/route", "utf8").trim().split("\\n").length`)).toBe(1);
    });

    test("no address can be reached, by number or by name", async () => {
      const reach = (host: string) => `
        const net = process.getBuiltinModule("net");
        return new Promise((resolve) => {
          const socket = net.connect({ host: ${JSON.stringify(host)}, port: 80, autoSelectFamily: false });
          socket.once("connect", () => resolve("reached"));
          socket.once("error", (error) => resolve(error.code));
        });`;
      expect(await inside(reach("192.0.2.1"))).toBe("ENETUNREACH");
      expect(await inside(reach("2001:db8::1"))).toMatch(/^E(NETUNREACH|ADDRNOTAVAIL|AFNOSUPPORT)$/);
      expect(await inside(reach("172.17.0.1"))).toBe("ENETUNREACH");
      expect(await inside(reach("example.com"))).toMatch(/^E(AI_AGAIN|NOTFOUND)$/);
    });

    test("the runner is not root, and neither user nor group can become it", async () => {
      const { uid, gid } = harness.spec().user;
      expect(await inside(`return [process.getuid(), process.geteuid(), process.getgid(), process.getegid()]`)).toEqual([
        uid,
        uid,
        gid,
        gid,
      ]);
      expect(await inside(`return process.getgroups()`)).toEqual([gid]);
      expect(await inside(`process.setuid(0)`)).toEqual({ error: "EPERM" });
      expect(await inside(`process.setgid(0)`)).toEqual({ error: "EPERM" });
    });

    test("there is no capability to use, keep or regain, no way to new privileges, and a seccomp filter", async () => {
      const status = (await inside(`return fs.readFileSync("/proc/self/status", "utf8")`)) as string;
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) expect(status).toMatch(new RegExp(`^${set}:\\s*0+$`, "m"));
      expect(status).toMatch(/^NoNewPrivs:\s*1$/m);
      expect(status).toMatch(/^Seccomp:\s*2$/m);
    });

    test("the root file system and the link's folder cannot be written", async () => {
      const write = (path: string) => inside(`fs.writeFileSync(${JSON.stringify(path)}, "x")`);
      for (const path of ["/x", "/etc/x", "/usr/x", "/home/x", "/var/x", "/run/x", "/var/tmp/x"])
        expect([path, await write(path)]).toEqual([path, { error: expect.stringMatching(/^E(ROFS|ACCES|NOENT)$/) }]);
      expect(await write("/run/hermit/x")).toEqual({ error: "EROFS" });
      expect(await inside(`fs.unlinkSync("/run/hermit/link.sock")`)).toEqual({ error: expect.stringMatching(/^E(ROFS|NOENT)$/) });
      expect(await inside(`return fs.readdirSync("/run/hermit")`)).toEqual([]);
      expect(await inside(`fs.writeFileSync("/workspace/group/ok", "x"); fs.writeFileSync("/tmp/ok", "x"); return "written"`)).toBe(
        "written",
      );
    });

    test("what the temporary folder and shared memory hold is bounded", async () => {
      const fill = (folder: string) =>
        inside(`
          const file = fs.openSync("${folder}/fill", "w");
          const block = Buffer.alloc(1024 * 1024);
          let written = 0;
          try { for (;;) written += fs.writeSync(file, block); } catch (error) { return { code: error.code, written }; }
          finally { fs.closeSync(file); fs.unlinkSync("${folder}/fill"); }`);
      const tmp = (await fill("/tmp")) as { code: string; written: number };
      expect(tmp.code).toBe("ENOSPC");
      expect(tmp.written).toBeLessThanOrEqual(harness.spec().limits.tmpBytes);
      expect(tmp.written).toBeGreaterThan(harness.spec().limits.tmpBytes - 2 * MIB);
      const shm = (await fill("/dev/shm")) as { code: string; written: number };
      expect(shm.code).toBe("ENOSPC");
      expect(shm.written).toBeLessThanOrEqual(8 * MIB);
    });

    test("no other writable file system is there to fill", async () => {
      const writable = (await inside(`
        const mounts = fs.readFileSync("/proc/self/mounts", "utf8").trim().split("\\n").map((line) => line.split(" "));
        return mounts.map(([, path]) => path).filter((path) => {
          try { fs.accessSync(path, fs.constants.W_OK); return fs.statSync(path).isDirectory(); } catch { return false; }
        });`)) as string[];
      const bounded = ["/dev/shm", "/dev/mqueue", "/tmp", "/workspace/group"];
      expect(writable.filter((path) => !bounded.includes(path) && !path.startsWith("/proc"))).toEqual([]);
    });

    test("the environment holds the link's address and what engine and image always set", async () => {
      const names = (await inside(`return Object.keys(process.env)`)) as string[];
      const image = [
        "PATH",
        "HOME",
        "HOSTNAME",
        "LANG",
        "LC_ALL",
        "TERM",
        "container",
        "NODE_USE_ENV_PROXY",
        "NODE_EXTRA_CA_CERTS",
        "PWD",
        "SHLVL",
      ];
      expect(names.filter((variable) => variable !== "HERMIT_LINK" && !image.includes(variable))).toEqual([]);
      expect(await inside(`return process.env.HERMIT_LINK`)).toBe("/run/hermit/link.sock");
    });

    // Not asked of /proc/self/mountinfo: the kernel names the host folder of every bind mount there, and no engine hides it.
    test("neither host name, command line nor cgroup tells where on the host it runs", async () => {
      const told = (await inside(`
        const os = process.getBuiltinModule("os");
        return [os.hostname(), fs.readFileSync("/proc/1/cmdline", "utf8"), fs.readFileSync("/proc/self/cgroup", "utf8"), JSON.stringify(process.env)];
      `)) as string[];
      expect(told[0]).toBe("sandbox");
      for (const text of told) {
        expect(text).not.toContain(harness.options.runtimeDir);
        expect(text).not.toContain(harness.workspace);
      }
      // Podman 4.3 keeps the host's cgroup namespace on cgroup v1, which tells the container's own id.
      if (!name.startsWith("podman")) expect(told[2]).not.toContain(up.sandbox.id);
    });

    test("neither the engine's socket nor a device of the host is there", async () => {
      expect(
        await inside(`return ["/var/run/docker.sock", "/run/docker.sock", "/run/podman"].filter((path) => fs.existsSync(path))`),
      ).toEqual([]);
      const devices = (await inside(`return fs.readdirSync("/dev")`)) as string[];
      expect(devices.filter((device) => /^(sd|vd|nvme|mmcblk|mem$|kmsg$|kvm$|fuse$)/.test(device))).toEqual([]);
    });

    test("a link planted in the workspace does not lead out of it", async () => {
      symlinkSync("/etc/hostname", join(harness.workspace, "to-host"));
      expect(await inside(`return fs.readFileSync("/workspace/group/to-host", "utf8").trim()`)).toBe("sandbox");
      expect(await inside(`fs.symlinkSync("/", "/workspace/group/to-root"); fs.writeFileSync("/workspace/group/to-root/x", "")`)).toEqual({
        error: "EROFS",
      });
    });

    test("a fork bomb stops at the limit and leaves the rest of the machine alone", async () => {
      await using bomb = await start(harness);
      const spawned = (await inside(
        `
        const { spawn } = process.getBuiltinModule("child_process");
        const children = [];
        let refused = 0;
        for (let n = 0; n < 200; n++) {
          const child = spawn("/bin/sh", ["-c", "sleep 100"]);
          await new Promise((resolve) => { child.once("spawn", () => { children.push(child); resolve(); }); child.once("error", () => { refused++; resolve(); }); });
        }
        return [children.length, refused];`,
        bomb,
      )) as [number, number];
      expect(spawned[0]).toBeLessThan(harness.spec().limits.pids);
      expect(spawned[1]).toBeGreaterThan(100);
      expect((await bomb.sandbox.stats()).pids).toBeLessThanOrEqual(harness.spec().limits.pids);
      expect(await up.ask("echo unharmed")).toBe("unharmed");
    });

    test("a memory bomb is killed", async () => {
      await using bomb = await start(harness);
      void inside(`const hoard = []; for (;;) hoard.push(Buffer.alloc(16 * 1024 * 1024, 1));`, bomb).catch(() => {});
      const exit = await bomb.sandbox.exited;
      expect(exit.code).toBe(null);
      // Podman's monitor may lose the kernel's notice on cgroup v1, where it ends with the container it watches.
      if (!name.startsWith("podman")) expect(exit.outOfMemory).toBe(true);
      expect(await up.ask("echo unharmed")).toBe("unharmed");
    });

    test("a mount that must be read-only is", async () => {
      const folder = join(harness.workspace, "..", `${harness.workspace.split("/").at(-1)}-ro`);
      mkdirSync(folder, { mode: 0o777 });
      writeFileSync(join(folder, "note"), "keep");
      execFileSync("chmod", ["-R", "777", folder]);
      const base = harness.spec();
      const spec = { ...base, mounts: [...base.mounts, { hostPath: folder, containerPath: "/workspace/global", readOnly: true }] };
      await using reading = await start({ runtime: harness.runtime, spec: () => spec });
      expect(await inside(`return fs.readFileSync("/workspace/global/note", "utf8")`, reading)).toBe("keep");
      expect(await inside(`fs.writeFileSync("/workspace/global/note", "gone")`, reading)).toEqual({ error: "EROFS" });
      expect(existsSync(join(folder, "note"))).toBe(true);
      execFileSync("rm", ["-r", folder]);
    });
  });
}
