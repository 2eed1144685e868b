import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newSandboxId, openLinkFolder, sweepRuntimeDir } from "./link-folder.ts";

let runtimeDir: string;

beforeEach(() => {
  runtimeDir = mkdtempSync(join(tmpdir(), "links-"));
});
afterEach(() => rmSync(runtimeDir, { recursive: true, force: true }));

function mode(...path: string[]): string {
  return (statSync(join(...path)).mode & 0o777).toString(8);
}

async function refusal(socket: Socket): Promise<string> {
  const [error] = (await once(socket, "error").catch((error: unknown) => [error])) as [NodeJS.ErrnoException];
  return error.code ?? "";
}

describe("a sandbox's socket", () => {
  test.each(["0077", "0000"])("is open to every user in a folder open to nobody else, under the umask %s", async (umask) => {
    const outer = join(runtimeDir, "new", "s-0123456789ab");
    // In a process of its own: the umask belongs to all of a process. It is told to end by its input.
    const script = `
      const { openLinkFolder } = await import(${JSON.stringify(join(import.meta.dirname, "link-folder.ts"))});
      process.umask(0o${umask});
      const link = await openLinkFolder(${JSON.stringify(join(runtimeDir, "new"))}, "s-0123456789ab");
      console.log(link.mounted);
      process.stdin.once("data", () => link.close().then(() => process.exit(0)));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { timeout: 8_000, stdio: ["pipe", "pipe", "inherit"] });
    const [mounted] = (await once(child.stdout, "data")) as [Buffer];
    expect(mode(runtimeDir, "new")).toBe("700");
    expect(mode(outer)).toBe("700");
    expect(mode(outer, "l")).toBe("755");
    expect(mode(outer, "l", "link.sock")).toBe("666");
    expect(mounted.toString().trim()).toBe(join(outer, "l"));
    expect(readdirSync(join(outer, "l"))).toEqual(["link.sock"]);
    child.stdin.end("close\n");
    expect(await once(child, "exit")).toEqual([0, null]);
    expect(readdirSync(join(runtimeDir, "new"))).toEqual([]);
  });

  test("takes one connection, is gone from then on, and serves nobody who came at the same moment", async () => {
    const link = await openLinkFolder(runtimeDir, newSandboxId());
    const path = join(link.mounted, "link.sock");
    const crowd = [1, 2, 3, 4].map(() => connect(path));
    const endings = crowd.map((socket) => once(socket, "close").catch(() => {}));
    for (const socket of crowd) socket.on("error", () => {});
    const taken = await link.connected;
    expect(existsSync(path)).toBe(false);
    taken.write("hello");
    const greeted = await Promise.any(crowd.map((socket) => once(socket, "data").then(() => socket)));
    await Promise.all(endings.filter((_, n) => crowd[n] !== greeted));
    expect(greeted.destroyed).toBe(false);
    expect(await refusal(connect(path))).toBe("ENOENT");
    const ended = once(greeted, "close");
    await link.close();
    await ended;
  });

  test("whose path the kernel would cut is refused before anything is made, with the fix", async () => {
    const long = join(runtimeDir, "x".repeat(90 - runtimeDir.length));
    await expect(openLinkFolder(long, newSandboxId())).rejects.toMatchObject({
      code: "SANDBOX_START_FAILED",
      message: expect.stringContaining("bytes long"),
      hint: expect.stringContaining("shorter runtime folder"),
    });
    expect(readdirSync(runtimeDir)).toEqual([]);
  });

  test("never takes over a folder that exists", async () => {
    mkdirSync(join(runtimeDir, "s-0123456789ab", "l"), { recursive: true });
    await expect(openLinkFolder(runtimeDir, "s-0123456789ab")).rejects.toMatchObject({ code: "SANDBOX_START_FAILED", retryable: true });
  });

  test("may be closed twice, before and after a connection", async () => {
    const unused = await openLinkFolder(runtimeDir, newSandboxId());
    await unused.close();
    await unused.close();
    const used = await openLinkFolder(runtimeDir, newSandboxId());
    const socket = connect(join(used.mounted, "link.sock"));
    await used.connected;
    const ended = once(socket, "close");
    await used.close();
    await used.close();
    await ended;
    expect(readdirSync(runtimeDir)).toEqual([]);
  });
});

describe("sweeping the runtime folder", () => {
  test("removes what dead hosts left and nothing else", async () => {
    for (const name of ["s-0123456789ab", "s-ffffffffffff"]) mkdirSync(join(runtimeDir, name, "l"), { recursive: true });
    writeFileSync(join(runtimeDir, "s-0123456789ab", "l", "link.sock"), "");
    for (const name of ["keep", "s-0123", "s-0123456789abcd", "S-0123456789AB"]) mkdirSync(join(runtimeDir, name));
    writeFileSync(join(runtimeDir, "s-aaaaaaaaaaaa"), "a file of our naming");
    expect(await sweepRuntimeDir(runtimeDir)).toBe(2);
    expect(readdirSync(runtimeDir).sort()).toEqual(["S-0123456789AB", "keep", "s-0123", "s-0123456789abcd", "s-aaaaaaaaaaaa"]);
  });

  test("follows no link, neither as an entry nor below one nor as the folder itself", async () => {
    const treasure = mkdtempSync(join(tmpdir(), "treasure-"));
    writeFileSync(join(treasure, "gold"), "");
    mkdirSync(join(treasure, "s-0123456789ab"));
    symlinkSync(treasure, join(runtimeDir, "s-0123456789ab"));
    mkdirSync(join(runtimeDir, "s-bbbbbbbbbbbb"));
    symlinkSync(treasure, join(runtimeDir, "s-bbbbbbbbbbbb", "l"));
    expect(await sweepRuntimeDir(runtimeDir)).toBe(1);
    const detour = `${runtimeDir}-detour`;
    symlinkSync(treasure, detour);
    expect(await sweepRuntimeDir(detour)).toBe(0);
    expect(readdirSync(treasure).sort()).toEqual(["gold", "s-0123456789ab"]);
    rmSync(detour);
    rmSync(treasure, { recursive: true });
  });

  test("of a folder that does not exist is nothing to do", async () => {
    expect(await sweepRuntimeDir(join(runtimeDir, "never"))).toBe(0);
  });
});
