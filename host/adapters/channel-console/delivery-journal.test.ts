import { execFile } from "node:child_process";
import { appendFile, chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { DeliveryJournal, MAX_KNOWN_IDS } from "./delivery-journal.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function newPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "hermit-journal-"));
  folders.push(folder);
  return join(folder, "delivery.jsonl");
}

const REPLIES = [
  { id: "a", chat: "main", text: "first\nwith two lines" },
  { id: "b", chat: "main", text: "größer 🦀\u2028" },
  { id: 'c"\\', chat: "family", text: "" },
];

async function deliverAll(path: string, replies: readonly { id: string; chat: string; text: string }[]): Promise<DeliveryJournal> {
  const journal = await DeliveryJournal.open(path);
  for (const reply of replies) if (!journal.has(reply.id)) await journal.append(reply);
  await journal.close();
  return journal;
}

test("cut at any byte, as by a crash, the journal is repaired and ends up with every reply once", async () => {
  const path = await newPath();
  await deliverAll(path, REPLIES);
  const whole = await readFile(path);
  expect(whole.toString().split("\n")).toHaveLength(REPLIES.length + 1);
  for (let offset = 0; offset <= whole.length; offset++) {
    await writeFile(path, whole.subarray(0, offset));
    const { cutBytes } = await deliverAll(path, REPLIES);
    expect(cutBytes).toBe(offset - (whole.subarray(0, offset).lastIndexOf("\n") + 1));
    expect(await readFile(path)).toEqual(whole);
  }
});

test("a last line that is no JSON is cut off though it has a newline, as where a page was never written", async () => {
  const path = await newPath();
  await deliverAll(path, REPLIES);
  const whole = await readFile(path);
  for (const tail of [Buffer.concat([Buffer.alloc(5000), Buffer.from('"}\n')]), Buffer.from("\n"), Buffer.alloc(70_000)]) {
    await appendFile(path, tail);
    const { cutBytes } = await deliverAll(path, REPLIES);
    expect(cutBytes).toBe(tail.length);
    expect(await readFile(path)).toEqual(whole);
  }
});

test("a line in the middle that is no reply is left alone and hides no other", async () => {
  const path = await newPath();
  await deliverAll(path, REPLIES.slice(0, 1));
  await appendFile(path, '???\n{"note":"mine"}\n');
  await deliverAll(path, REPLIES.slice(1));
  const before = await readFile(path);
  await deliverAll(path, REPLIES);
  expect(await readFile(path)).toEqual(before);
});

test("lines of any length are found again, across all block borders", async () => {
  const path = await newPath();
  const lengths = [0, 1, 65_000, 65_536, 65_500, 200_000, 3, 131_072];
  const replies = lengths.map((length, n) => ({ id: `r${n}`, chat: "main", text: "é".repeat(length) }));
  await deliverAll(path, replies);
  const before = await stat(path);
  await deliverAll(path, replies);
  expect((await stat(path)).size).toBe(before.size);
});

test("the last 65,536 ids are known after a start, an older one is forgotten, and no more are ever held", async () => {
  const path = await newPath();
  const total = MAX_KNOWN_IDS + 1;
  const lines: string[] = [];
  for (let n = 0; n < total; n++) lines.push(`{"id":"r${n}","chat":"main","text":"t"}\n`);
  await writeFile(path, lines.join(""));
  const journal = await DeliveryJournal.open(path);
  expect([0, 1, 2, total - 1].map((n) => journal.has(`r${n}`))).toEqual([false, true, true, true]);
  await journal.append({ id: "new", chat: "main", text: "t" });
  expect([1, 2, total - 1].map((n) => journal.has(`r${n}`))).toEqual([false, true, true]);
  expect(journal.has("new")).toBe(true);
  await journal.close();
});

test("a journal others may read is closed to them", async () => {
  const path = await newPath();
  await writeFile(path, "");
  await chmod(path, 0o666);
  await deliverAll(path, []);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("a reply that no longer fits on the disk is refused for now, leaves no half line, and a smaller one still goes in", async () => {
  const path = await newPath();
  // A limit on the size of files stands in for the full disk: the kernel too writes what fits, then fails.
  const program = `
    import { readFileSync } from "node:fs";
    import { DeliveryJournal } from ${JSON.stringify(import.meta.resolve("./delivery-journal.ts"))};
    const journal = await DeliveryJournal.open(${JSON.stringify(path)});
    await journal.append({ id: "1", chat: "main", text: "x".repeat(300) });
    const error = await journal.append({ id: "2", chat: "main", text: "x".repeat(5000) }).catch((error) => error);
    const whole = readFileSync(${JSON.stringify(path)}, "utf8").endsWith('"}\\n');
    console.log(JSON.stringify({ whole, code: error.code, retryable: error.retryable, hint: error.hint, known: journal.has("2"), cause: error.cause.code }));
    await journal.append({ id: "3", chat: "main", text: "small" });
    await journal.close();`;
  const { stdout } = await promisify(execFile)(
    "sh",
    ["-c", 'ulimit -f 2; exec "$0" --input-type=module -e "$1"', process.execPath, program],
    {
      timeout: 10_000,
    },
  );
  expect(JSON.parse(stdout)).toEqual({
    whole: true,
    code: "DELIVERY_FAILED",
    retryable: true,
    hint: expect.stringContaining("Free space"),
    known: false,
    cause: "EFBIG",
  });
  const ids = (await readFile(path, "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).id);
  expect(ids).toEqual(["1", "3"]);
});
