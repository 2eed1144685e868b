/** What a workspace is said to hold, on real folders; and that nothing in one leads the look at it astray. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Amount } from "../../ports/workspace.ts";
import { openBelow } from "./no-follow.ts";
import { createWorkspaceMeter } from "./workspace-meter.ts";

const MIB = 1024 * 1024;
const NO_LIMIT: Amount = { bytes: Infinity, files: Infinity };
const NEVER = new AbortController().signal;

let home: string;
let workspace: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "meter-"));
  workspace = join(home, "groups/fam");
  mkdirSync(workspace, { recursive: true });
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const group = (folder: string) => ({ chat: folder, name: folder, folder, trigger: "@Andy", requiresTrigger: false });

async function count(limit = NO_LIMIT, folder = "fam", signal = NEVER) {
  const open = await createWorkspaceMeter(home).open(group(folder));
  try {
    return await open.count(limit, signal);
  } finally {
    open.close();
  }
}

/** Handles of folders this process has open below the home. */
const leftOpen = (): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(home);
    } catch {
      return false;
    }
  }).length;

const COUNT = `
  import { createWorkspaceMeter } from ${JSON.stringify(import.meta.resolve("./workspace-meter.ts"))};
  const open = await createWorkspaceMeter(process.argv[1]).open({ folder: "fam" });
  console.log(JSON.stringify(await open.count({ bytes: Infinity, files: Infinity }, new AbortController().signal)));
`;

/** Runs a script with the rights of a file's owner and no others, which root has as well. Returns what it prints. */
function asMereOwner(script: string, argument: string): string {
  const node = [process.execPath, "--input-type=module", "-e", script, argument];
  const [program = "", ...args] = process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-all", ...node] : node;
  return execFileSync(program, args, { encoding: "utf8", timeout: 10_000 });
}

describe("what is counted", () => {
  test("files, folders and links by their names; bytes by what the disk keeps, so that a sparse file counts what it takes", async () => {
    mkdirSync(join(workspace, "notes/old"), { recursive: true });
    writeFileSync(join(workspace, "notes/a"), Buffer.alloc(MIB, 1));
    writeFileSync(join(workspace, "notes/old/b"), Buffer.alloc(MIB, 1));
    symlinkSync("/etc", join(workspace, "etc"));
    const sparse = openSync(join(workspace, "sparse"), "w");
    ftruncateSync(sparse, 1024 * MIB);
    writeSync(sparse, Buffer.alloc(4096, 1), 0, 4096, 512 * MIB);
    closeSync(sparse);
    const { bytes, files, isWhole, largest } = await count();
    expect([files, isWhole]).toEqual([6, true]);
    expect(bytes).toBeGreaterThanOrEqual(2 * MIB + 4096);
    expect(bytes).toBeLessThan(2 * MIB + 256 * 1024);
    expect(largest[0]).toEqual({ path: "/workspace/group/notes", bytes: expect.any(Number) });
    expect(largest[0]?.bytes).toBeGreaterThanOrEqual(2 * MIB);
  });

  test("a file with several names counts its bytes once, its names each", async () => {
    writeFileSync(join(workspace, "one"), Buffer.alloc(MIB, 1));
    mkdirSync(join(workspace, "folder"));
    for (let n = 0; n < 50; n++) linkSync(join(workspace, "one"), join(workspace, "folder", `${n}`));
    const { bytes, files } = await count();
    expect(files).toBe(52);
    expect(bytes).toBeLessThan(1.5 * MIB);
  });

  test("for main the shared folder too, for all where the old agent keeps its conversations", async () => {
    for (const folder of ["groups/main", "groups/global", "data/sessions/main/.claude", "data/sessions/fam/.claude"]) {
      mkdirSync(join(home, folder), { recursive: true });
      writeFileSync(join(home, folder, "file"), Buffer.alloc(MIB, 1));
    }
    const main = await count(NO_LIMIT, "main");
    expect([main.files, main.largest.map(({ path }) => path).toSorted()]).toEqual([
      3,
      ["/home/node/.claude/file", "/workspace/global/file", "/workspace/group/file"],
    ]);
    expect((await count()).files).toBe(1);
  });

  test("no further than past the limit", async () => {
    for (let n = 0; n < 500; n++) {
      mkdirSync(join(workspace, `${n}`));
      writeFileSync(join(workspace, `${n}`, "file"), "");
    }
    const { files, isWhole } = await count({ bytes: Infinity, files: 600 });
    expect([isWhole, files > 600, files < 700]).toEqual([false, true, true]);
    expect(await count({ bytes: Infinity, files: 1_000 })).toMatchObject({ isWhole: true, files: 1_000 });
  });

  test("a count that is called off ends with the reason and leaves nothing open", async () => {
    writeFileSync(join(workspace, "file"), "");
    const reason = new Error("enough");
    await expect(count(NO_LIMIT, "fam", AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(leftOpen()).toBe(0);
  });

  test("the disk's free space is the workspace's own disk's", async () => {
    const open = await createWorkspaceMeter(home).open(group("fam"));
    const { bytes, files } = await open.free();
    expect([bytes > 0, files === undefined || files > 0]).toEqual([true, true]);
    open.close();
    expect(leftOpen()).toBe(0);
  });
});

describe("what is in its way", () => {
  test.each(["groups/fam", "groups", "data", "data/sessions/fam", "data/sessions/fam/.claude"])(
    "a link at %s is refused, whatever it leads to, and nothing stays open",
    async (place) => {
      mkdirSync(join(home, "data/sessions/fam/.claude"), { recursive: true });
      const elsewhere = mkdtempSync(join(tmpdir(), "elsewhere-"));
      for (const folder of ["fam", "fam/.claude", "sessions/fam/.claude", ".claude"])
        mkdirSync(join(elsewhere, folder), { recursive: true });
      renameSync(join(home, place), join(home, "moved"));
      symlinkSync(elsewhere, join(home, place));
      await expect(count()).rejects.toMatchObject({ code: "HOME_UNUSABLE", message: expect.stringContaining("fam") });
      expect(leftOpen()).toBe(0);
      rmSync(elsewhere, { recursive: true });
    },
  );

  test("a workspace that is not there is refused", async () => {
    await expect(count(NO_LIMIT, "nobody")).rejects.toMatchObject({ code: "HOME_UNUSABLE" });
  });

  test.each(["", ".", "..", "a/b", "a\0b"])("a name that is none is not opened: %j", async (name) => {
    await expect(openBelow(home, ["groups", name])).rejects.toThrow("no name of a folder");
    expect(leftOpen()).toBe(0);
  });

  test("pipes, sockets and links to them are looked at, never opened: nobody waits for a writer", async () => {
    execFileSync("mkfifo", [join(workspace, "pipe")]);
    symlinkSync("pipe", join(workspace, "link-to-pipe"));
    mkdirSync(join(workspace, "folder"));
    expect((await count()).files).toBe(3);
    await expect(openBelow(workspace, ["pipe"])).rejects.toMatchObject({ code: "ENOTDIR" });
    await expect(openBelow(workspace, ["link-to-pipe"])).rejects.toMatchObject({ code: "ENOTDIR" });
  });

  test("names are bytes: newlines, quotes and what is no text at all are counted and looked into like any other", async () => {
    const names = ["a\nb", "a b", "'\"`$(x)", "-rf", "ünï", "\u202e"].map((name) => Buffer.from(name));
    const all = [...names, Buffer.from([0xff, 0xfe, 0x80]), Buffer.from([0xc3, 0x28])];
    for (const name of all) {
      const folder = Buffer.concat([Buffer.from(`${workspace}/`), name]);
      mkdirSync(folder);
      writeFileSync(Buffer.concat([folder, Buffer.from("/"), name]), Buffer.alloc(MIB, 1));
    }
    const { files, bytes } = await count();
    expect(files).toBe(2 * all.length);
    expect(bytes).toBeGreaterThanOrEqual(all.length * MIB);
  });

  test("folders their owner has shut are opened and counted: nothing is hidden in one", () => {
    for (const mode of [0o000, 0o400, 0o100]) {
      const folders = [join(workspace, `${mode}`), join(workspace, `${mode}/inner`)];
      for (const folder of folders) {
        mkdirSync(folder);
        writeFileSync(join(folder, "file"), Buffer.alloc(MIB, 1));
      }
      for (const folder of folders.toReversed()) chmodSync(folder, mode);
    }
    const { files, bytes } = JSON.parse(asMereOwner(COUNT, home)) as Amount;
    expect([files, bytes >= 6 * MIB]).toEqual([12, true]);
    expect(statSync(join(workspace, `${0o100}/inner`)).mode & 0o777).toBe(0o700);
  });

  test("links in a circle, up, and to the workspace itself add nothing but themselves", async () => {
    mkdirSync(join(workspace, "folder"));
    for (const [name, target] of [
      ["self", "."],
      ["folder/up", ".."],
      ["folder/whole", workspace],
      ["circle", "circle"],
    ] as const) {
      symlinkSync(target, join(workspace, name));
    }
    expect((await count()).files).toBe(5);
  });
});

test("elsewhere than on Linux, where paths are all there is, the same is counted, and links are refused", async () => {
  mkdirSync(join(workspace, "notes/old"), { recursive: true });
  const folder = await openBelow(home, ["groups", "fam"], false);
  const below = await folder.folder("notes");
  const names = await Array.fromAsync(below.names());
  expect(names).toEqual(["old"]);
  const above = await below.above();
  expect([above.dev, above.ino]).toEqual([folder.dev, folder.ino]);
  for (const one of [folder, below, above]) one.close();
  symlinkSync("notes", join(workspace, "link"));
  await expect(openBelow(home, ["groups", "fam", "link"], false)).rejects.toMatchObject({ code: "ENOTDIR" });
});
