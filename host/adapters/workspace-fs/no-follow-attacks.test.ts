/** What a sandbox can do to a count of its workspace while it goes on: nothing but be counted wrongly itself. */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Amount } from "../../ports/workspace.ts";
import { createWorkspaceMeter } from "./workspace-meter.ts";

const NO_LIMIT: Amount = { bytes: Infinity, files: Infinity };
const NEVER = new AbortController().signal;
const TEST_MS = 60_000;
/** Of what nobody may be led to. */
const OUTSIDE = 1_000;

let root: string;
let workspace: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "attack-"));
  workspace = join(root, "home/groups/fam");
  mkdirSync(workspace, { recursive: true });
});
// Deeper than Node's own removal goes.
afterEach(() => void execFileSync("rm", ["-rf", root]));

async function count(limit = NO_LIMIT) {
  const open = await createWorkspaceMeter(join(root, "home")).open({
    chat: "fam",
    name: "fam",
    folder: "fam",
    trigger: "@Andy",
    requiresTrigger: false,
  });
  try {
    return await open.count(limit, NEVER);
  } finally {
    open.close();
  }
}

/** Runs beside this thread, over and over, until disposed. */
async function meanwhile(script: string, data: Record<string, string>): Promise<AsyncDisposable> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(
    `const { workerData: { data, stop }, parentPort } = require("node:worker_threads");
     const fs = require("node:fs");
     parentPort.postMessage("begun");
     while (Atomics.load(stop, 0) === 0) { ${script} }`,
    { eval: true, workerData: { data, stop } },
  );
  await new Promise((resolve) => worker.once("message", resolve));
  const ended = new Promise<void>((resolve, reject) => {
    worker.once("error", reject);
    worker.once("exit", () => resolve());
  });
  return {
    [Symbol.asyncDispose]: () => {
      Atomics.store(stop, 0, 1);
      return ended;
    },
  };
}

/** A count as it must not be: looked up by path, with a check before. */
async function naiveCount(folder: string): Promise<number> {
  let names = 0;
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    names++;
    const path = join(folder, entry.name);
    if (entry.isDirectory() && (await stat(path).catch(() => undefined))?.isDirectory() === true) names += await naiveCount(path);
  }
  return names;
}

test(
  "a folder swapped for a link to another, over and over, never leads out of the workspace; a count by paths is led out",
  async () => {
    const outside = join(root, "outside/inner");
    mkdirSync(outside, { recursive: true });
    for (let n = 0; n < OUTSIDE; n++) writeFileSync(join(outside, `${n}`), "");
    const folder = join(workspace, "folder");
    mkdirSync(join(folder, "inner"), { recursive: true });
    writeFileSync(join(folder, "inner/file"), "");
    await using _swapping = await meanwhile(
      `fs.renameSync(data.folder, data.moved); fs.symlinkSync(data.outside, data.folder);
       for (const at = performance.now() + Math.random() / 5; performance.now() < at; );
       fs.unlinkSync(data.folder); fs.renameSync(data.moved, data.folder);
       for (const at = performance.now() + Math.random() / 5; performance.now() < at; );`,
      { folder, moved: join(workspace, "moved"), outside: join(root, "outside") },
    );
    let naiveMost = 0;
    let most = 0;
    const giveUpAt = performance.now() + TEST_MS / 2;
    for (let rounds = 0; rounds < 1_000 || (naiveMost < OUTSIDE && performance.now() < giveUpAt); rounds++) {
      naiveMost = Math.max(naiveMost, await naiveCount(workspace));
      most = Math.max(most, (await count()).files);
    }
    expect(naiveMost).toBeGreaterThanOrEqual(OUTSIDE);
    // The folder under both of its names, its content twice, and the link.
    expect(most).toBeLessThanOrEqual(7);
  },
  TEST_MS,
);

test(
  "files swapped for pipes, folders and links make no count wait and none fail",
  async () => {
    const place = join(workspace, "place");
    await using _swapping = await meanwhile(
      `fs.mkdirSync(data.place); fs.writeFileSync(data.place + "/x", ""); fs.rmSync(data.place, { recursive: true });
       fs.symlinkSync("/", data.place); fs.unlinkSync(data.place);
       fs.linkSync(data.pipe, data.place); fs.unlinkSync(data.place);
       fs.writeFileSync(data.place, "x"); fs.unlinkSync(data.place);`,
      { place, pipe: pipeIn(root) },
    );
    for (let round = 0; round < 1_000; round++) expect((await count()).files).toBeLessThanOrEqual(3);
  },
  TEST_MS,
);

function pipeIn(folder: string): string {
  execFileSync("mkfifo", [join(folder, "pipe")]);
  return join(folder, "pipe");
}

/** Folders in folders, the next between two others whatever way they are listed. The paths are longer than any call takes. */
function nest(levels: number): void {
  let at = openSync(workspace, constants.O_RDONLY);
  for (let n = 0; n < levels; n++) {
    const here = `/proc/self/fd/${at}`;
    for (const name of ["before", "next", "after"]) mkdirSync(`${here}/${name}`);
    const below = openSync(`${here}/next`, constants.O_RDONLY);
    closeSync(at);
    at = below;
  }
  closeSync(at);
}

const open = (): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(root);
    } catch {
      return false;
    }
  }).length;

const COUNT = `
  import { createWorkspaceMeter } from ${JSON.stringify(import.meta.resolve("./workspace-meter.ts"))};
  const open = await createWorkspaceMeter(process.argv[1]).open({ folder: "fam" });
  console.log(JSON.stringify(await open.count({ bytes: Infinity, files: Infinity }, new AbortController().signal)));
`;

test(
  "5,000 levels of folders are counted to the last by a process that may have a hundred files open",
  () => {
    nest(5_000);
    const limited = ["-c", 'ulimit -n 100; exec "$@"', "sh", process.execPath, "--input-type=module", "-e", COUNT, join(root, "home")];
    expect(JSON.parse(execFileSync("sh", limited, { encoding: "utf8" }))).toMatchObject({ files: 3 * 5_000, isWhole: true });
  },
  TEST_MS,
);

test(
  "a branch torn off and put elsewhere while it is counted ends that branch, not the count, and leads nowhere else",
  async () => {
    nest(300);
    for (const name of ["before", "after"]) {
      mkdirSync(join(root, "elsewhere", name), { recursive: true });
      for (let n = 0; n < OUTSIDE; n++) writeFileSync(join(root, "elsewhere", name, `${n}`), "");
    }
    const middle = Array(50).fill("next").join("/");
    const startedAt = performance.now();
    await count();
    const wholeMs = performance.now() - startedAt;
    for (let round = 0; round < 40; round++) {
      const counting = count();
      const tearAt = performance.now() + (round / 40) * wholeMs;
      while (performance.now() < tearAt) await new Promise((resolve) => setImmediate(resolve));
      renameSync(join(workspace, middle), join(root, "elsewhere/torn"));
      expect((await counting).files).toBeLessThanOrEqual(900);
      renameSync(join(root, "elsewhere/torn"), join(workspace, middle));
      // Listed by age on some disks: the branch is between the two again.
      renameSync(join(workspace, middle, "../after"), join(root, "after"));
      renameSync(join(root, "after"), join(workspace, middle, "../after"));
    }
    expect((await count()).files).toBe(900);
    expect(open()).toBe(0);
  },
  TEST_MS,
);

test(
  "100,000 names in one folder leave the event loop room every few dozen, and a limit ends the look at them early",
  async () => {
    const folder = join(workspace, "many");
    mkdirSync(folder);
    let file = "";
    for (let n = 0; n < 100_000; n++) {
      const path = join(folder, `${n}`);
      // A file may have 65,000 names on ext4.
      if (n % 50_000 === 0) writeFileSync((file = path), "x");
      else linkSync(file, path);
    }
    let turns = 0;
    let isOver = false;
    const watching = (async () => {
      for (; !isOver; await new Promise((resolve) => setImmediate(resolve))) turns++;
    })();
    expect(await count()).toMatchObject({ files: 100_001, isWhole: true });
    isOver = true;
    await watching;
    expect(turns).toBeGreaterThan(100_000 / 64);
    const limited = await count({ bytes: Infinity, files: 1_000 });
    expect([limited.isWhole, limited.files < 1_100]).toEqual([false, true]);
  },
  TEST_MS,
);
