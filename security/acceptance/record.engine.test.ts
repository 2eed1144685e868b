/** `hermit record` as its user runs it: what happened on a real engine is played again without one, and must come to the same. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { Observation } from "../../contracts/replay/scenario.ts";
import { ConsoleLine } from "../../contracts/wire/console.ts";
import { buildHermit, type Ending, runHermit, startHermit } from "../harness/hermit-process.ts";
import { parseReplies, TemporaryHome } from "../harness/temporary-home.ts";

const CHATS = join(import.meta.dirname, "..", "..", "fixtures", "chats", "five-chats.jsonl");

beforeAll(buildHermit);

function recorded(home: TemporaryHome): { readonly parent: string; readonly folder: string } {
  const parent = join(home.path, "recordings");
  return { parent, folder: join(parent, "one") };
}

function replay(home: TemporaryHome, parent: string): Promise<Ending> {
  return runHermit({ home: home.path, args: ["replay", "--dir", parent], input: "" });
}

function seen(folder: string): readonly Observation[] {
  const lines = readFileSync(join(folder, "expected.jsonl"), "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Observation);
}

test("two recorded chats are answered as by `hermit run`, and the recording passes until one byte of it is changed", async () => {
  await using home = new TemporaryHome();
  const { parent, folder } = recorded(home);
  const feed = readFileSync(CHATS, "utf8").trimEnd().split("\n").slice(0, 40);
  const messages = feed.map((line) => ConsoleLine.parse(JSON.parse(line))).filter(({ chat }) => chat === "family" || chat === "flat");
  const run = await runHermit({
    home: home.path,
    args: ["record", "--jsonl", folder],
    env: { HERMIT_QUEUE_MAX_BATCH_MESSAGES: "4", HERMIT_TURN_STEPS: "16" },
    input: messages.map((message) => `${JSON.stringify(message)}\n`).join(""),
  });
  expect(run.stderr).toMatch(/^hermit: recorded \d+ runs into \S+; `hermit replay --dir \S+ one` plays them\.\n$/);
  expect(run.code).toBe(0);
  expect(parseReplies(run.stdout)).toHaveLength(messages.length);
  expect(readdirSync(folder).toSorted()).toEqual(["db.after.json", "expected.jsonl", "files.after.json", "meta.json", "timeline.jsonl"]);

  const played = await replay(home, parent);
  expect(played.stdout).toMatch(/^passed .* one\n1 passed, 0 failed/);
  expect(played.code).toBe(0);

  const path = join(folder, "expected.jsonl");
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replace(/("obs":"send","chat":"console:flat","text":")./, "$1#"));
  const altered = await replay(home, parent);
  expect(altered.code).toBe(1);
  expect(altered.stdout).toContain("sends to console:flat");
});

test("a reminder that fell due, what was said meanwhile, and a SIGTERM in the middle of a turn are all in it", async () => {
  await using home = new TemporaryHome();
  const { parent, folder } = recorded(home);
  mkdirSync(folder, { recursive: true });
  await using hermit = startHermit({ home: home.path, args: ["record", folder], env: { HERMIT_SHUTDOWN_GRACE_S: "0" } });
  hermit.stdin.write("run: touch there; until [ -e go ]; do sleep 0.02; done; echo went\n");
  await hermit.before(home.fileIn("main", "there"));
  hermit.stdin.write("remind me in 1 second to stretch\n");
  home.letGo("main", "go");
  await hermit.printed(/^stretch$/m);
  hermit.stdin.write("run: touch again; sleep 60\n");
  await hermit.before(home.fileIn("main", "again"));
  hermit.signal("SIGTERM");
  expect(await hermit.ended).toMatchObject({ code: 0 });
  const inputs = seen(folder).flatMap((one) =>
    one.obs === "run" ? [one.scheduled ? "task" : "messages"] : one.obs === "followup" ? ["follow-up"] : [],
  );
  expect(inputs).toEqual(["messages", "follow-up", "task", "messages"]);
  const played = await replay(home, parent);
  expect(played.stdout).toMatch(/^passed .* one\n1 passed, 0 failed/);
});

test("a turn that fails is recorded with its failure, and the exit code is the run's", async () => {
  await using home = new TemporaryHome();
  const { parent, folder } = recorded(home);
  const steps = [
    { when: { lastUserContains: "both", step: 0 }, text: "<internal>now</internal> Both of you." },
    { when: { lastUserContains: "no", step: 0 }, error: { status: 400, message: "I will not" } },
  ];
  writeFileSync(join(home.path, "script.json"), JSON.stringify(steps));
  await using hermit = startHermit({
    home: home.path,
    args: ["record", folder],
    env: { HERMIT_MODEL_KIND: "scripted", HERMIT_MODEL_SCRIPT: join(home.path, "script.json") },
  });
  hermit.stdin.write("no\n");
  await hermit.printed(/I could not finish this/);
  hermit.stdin.end("and both?\n");
  expect(await hermit.ended).toMatchObject({ code: 1, stdout: expect.stringMatching(/\nBoth of you\.\n$/) });
  const prompts = seen(folder).flatMap((one) => (one.obs === "run" ? [one.prompt.split("<message ").length - 1] : []));
  expect(prompts).toEqual([1, 2]);
  expect((await replay(home, parent)).stdout).toMatch(/^passed .* one\n1 passed, 0 failed/);
});

test("a folder with something in it is refused before anything runs", async () => {
  await using home = new TemporaryHome();
  const folder = join(home.path, "mine");
  mkdirSync(folder);
  writeFileSync(join(folder, "notes.txt"), "mine");
  const { code, stdout, stderr } = await runHermit({ home: home.path, args: ["record", folder], input: "hello\n" });
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toBe(`hermit: ${folder} is not empty.\n  Name a new folder, or an empty one.\n`);
  expect(readFileSync(join(folder, "notes.txt"), "utf8")).toBe("mine");
  expect(home.instance()).toBeUndefined();
});
