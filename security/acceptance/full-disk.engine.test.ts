/** A full disk under a running host: a clear end instead of a hang, and after freeing space nothing is missing and nothing twice. Needs root. */
import { openSync, writeSync, closeSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { buildHermit, runHermit } from "../harness/hermit-process.ts";
import { TemporaryHome } from "../harness/temporary-home.ts";

/** These disks are smaller than what is otherwise kept free. */
const NO_FLOOR = { HERMIT_WORKSPACE_FREE_MB: "0" };

const KIB = 1024;
const MIB = 1024 * KIB;
const MESSAGES = 40;
const CHATS = 3;
/** Long before a first retry would be due: a full disk ends the host, it is not waited out. */
const SOON_MS = 5_000;

const recording = Array.from({ length: MESSAGES }, (_, i) => {
  const text = `message ${i}. ${"x".repeat(900)}`;
  return `${JSON.stringify({ id: `m${i}`, chat: `chat${i % CHATS}`, sender: "Sam", text })}\n`;
}).join("");

/** Writes until only `leaveBytes` are free; the returned function frees the space again. */
function fill(folder: string, leaveBytes: number): () => void {
  const path = join(folder, "ballast");
  const file = openSync(path, "w");
  const { bavail, bsize } = statfsSync(folder);
  const block = Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes));
  let written = 0;
  while (written < block.length) written += writeSync(file, block, written);
  closeSync(file);
  return () => rmSync(path);
}

/** Numbers of the messages that were answered, in the order of the journal. */
function answered(home: TemporaryHome): number[] {
  return home.journal().map(({ text }) => Number(/message (\d+)\./.exec(text)?.[1]));
}

beforeAll(buildHermit);

describe("a disk that fills up", () => {
  const leftFree = [
    { when: "before anything can be stored", leave: 0 },
    { when: "while messages are being accepted", leave: 600 * KIB },
    { when: "while replies are going out", leave: 2200 * KIB },
  ];
  test.each(leftFree)(
    "$when ends the host at once and clearly; with space again every accepted message is answered once",
    async ({ leave }) => {
      await using home = new TemporaryHome();
      const folder = home.mountSmallDisk(16 * MIB);
      const free = fill(folder, leave);
      const feed = (input: string) => runHermit({ home: home.path, args: ["run", "--jsonl"], env: NO_FLOOR, input });

      const stopped = await feed(recording);
      expect(stopped.code).toBe(1);
      expect(stopped.stderr).toMatch(
        /^hermit: The disk is full: \S+ cannot be written\.\s+Free some space and start again; what was accepted is kept\.$/m,
      );
      expect(stopped.ms).toBeLessThan(SOON_MS);

      free();
      expect(await feed("")).toMatchObject({ code: 0, stderr: "" });
      const afterRestart = answered(home);
      expect(home.waiting()).toEqual([]);
      expect(await feed(recording)).toMatchObject({ code: 0, stderr: "" });
      expect(answered(home).slice(0, afterRestart.length)).toEqual(afterRestart);
      for (let chat = 0; chat < CHATS; chat++) {
        const own = answered(home).filter((n) => n % CHATS === chat);
        expect(own).toEqual(Array.from({ length: MESSAGES }, (_, i) => i).filter((n) => n % CHATS === chat));
      }
      expect(home.runs().filter(({ turnState }) => turnState !== "done")).toEqual([]);
    },
  );
});

test("where only the console's journal has no room, the reply is kept, the exit code says so, and the next start delivers it once", async () => {
  await using home = new TemporaryHome();
  const free = fill(home.mountSmallDisk(64 * KIB, "console"), 0);
  const run = () =>
    runHermit({
      home: home.path,
      args: ["run", "--jsonl"],
      env: { HERMIT_RETRY_BASE_S: "0.05", HERMIT_RETRY_MAX: "2" },
      input: `${JSON.stringify({ id: "1", chat: "flat", sender: "Sam", text: "run: echo kept" })}\n`,
    });
  const stopped = await run();
  expect(stopped).toMatchObject({ code: 1, stdout: "" });
  expect(stopped.stderr).toMatch(/A reply could not be written .*Free space/);
  expect(home.journal()).toEqual([]);
  free();
  const again = await run();
  expect(again).toMatchObject({ code: 0, stderr: "" });
  expect(home.journal().map(({ text }) => text)).toEqual(["kept"]);
});
