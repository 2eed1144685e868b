/** What is left in a sandbox, on a tree in the place of the kernel's. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type RestingContainer, readRest } from "./at-rest.ts";
import type { KernelRoots } from "./cgroup.ts";

const ID = "a".repeat(64);
const withInit: RestingContainer = { id: ID, pid: 12, init: true, scratch: [] };
let root: string;
let roots: KernelRoots;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "rest-"));
  roots = { proc: join(root, "proc"), cgroup: join(root, "cgroup") };
  write("proc/12/cgroup", `0::/docker/${ID}\n`);
  write(`cgroup/docker/${ID}/cgroup.procs`, "12\n13\n");
  for (const folder of ["tmp", "dev/shm", "dev/mqueue"]) mkdirSync(inside(folder), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function inside(path: string): string {
  return join(root, "proc/12/root", path);
}

test("init and runner alone are nothing left, as is a runner alone where the engine has no init", async () => {
  expect(await readRest(withInit, roots)).toEqual({ processes: 0, leftovers: [] });
  expect(await readRest({ ...withInit, init: false }, roots)).toEqual({ processes: 1, leftovers: [] });
});

test("every other process counts, wherever below the container's cgroup it was put, in both versions", async () => {
  write(`cgroup/docker/${ID}/cgroup.procs`, "");
  write(`cgroup/docker/${ID}/container/cgroup.procs`, "12\n13\n14\n");
  write(`cgroup/docker/${ID}/container/deeper/cgroup.procs`, "15\n");
  expect(await readRest(withInit, roots)).toEqual({ processes: 2, leftovers: [] });
  write("proc/12/cgroup", `5:memory:/docker/${ID}\n4:pids:/docker/${ID}\n0::/docker/${ID}\n`);
  write(`cgroup/pids/docker/${ID}/cgroup.procs`, "12\n13\n14\n");
  expect(await readRest(withInit, roots)).toEqual({ processes: 1, leftovers: [] });
});

test("files, folders and links are named, hidden ones and those of other folders in memory too", async () => {
  writeFileSync(inside("tmp/.hidden"), "");
  mkdirSync(inside("dev/shm/folder"));
  mkdirSync(inside("workspace/ipc"), { recursive: true });
  symlinkSync("/nowhere", inside("workspace/ipc/link"));
  expect(await readRest({ ...withInit, scratch: ["/workspace/ipc"] }, roots)).toEqual({
    processes: 0,
    leftovers: ["/tmp/.hidden", "/dev/shm/folder", "/workspace/ipc/link"],
  });
});

test("of a folder with many files a few are named", async () => {
  for (let n = 0; n < 50; n++) writeFileSync(inside(`tmp/${n}`), "");
  expect((await readRest(withInit, roots))?.leftovers).toHaveLength(5);
});

test.each<[string, () => void]>([
  ["a link stands in a folder's place and would lead into the machine's own", () => link("tmp", "/")],
  ["a link stands on the way to one", () => link("dev", "/dev")],
  ["a folder cannot be read", () => rmSync(inside("dev/mqueue"), { recursive: true })],
  ["the process is another's", () => write("proc/12/cgroup", "0::/user.slice\n")],
  ["the process has ended", () => write(`cgroup/docker/${ID}/cgroup.procs`, "")],
  ["its runner has ended", () => write(`cgroup/docker/${ID}/cgroup.procs`, "12\n")],
  ["the machine has no cgroups to look at", () => rmSync(join(root, "cgroup"), { recursive: true })],
])("nothing is said where %s", async (_why, change) => {
  change();
  expect(await readRest(withInit, roots)).toBe(undefined);
});

function link(path: string, target: string): void {
  rmSync(inside(path), { recursive: true });
  symlinkSync(target, inside(path));
}
