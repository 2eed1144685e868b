/**
 * NanoClaw's old agent in a real sandbox: its protocol is spoken, its files are done as its link allows, its model answers through the
 * host, whose key is nowhere inside, and after its last day it is gone. The agent is a puppet, in our own image; the protocol is the old one.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LLMock } from "@copilotkit/aimock";
import Database from "better-sqlite3";
import { afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import type { PayloadAction } from "../../contracts/suites/scripted-payload.ts";
import { inspectSandbox, runningSandboxesOf, sandboxesOf } from "../harness/engine.ts";
import { buildHermit, runHermit, startHermit } from "../harness/hermit-process.ts";
import { TemporaryHome } from "../harness/temporary-home.ts";

const ROOT = join(import.meta.dirname, "../..");
const DAY_MS = 86_400_000;
/** In two halves, so that the command that looks for it does not contain it. */
const KEY_HALVES = ["sk-ant-acceptance-4Jt8", "pW2xQmRz6Yv19LcB"] as const;
const KEY = KEY_HALVES.join("");
const CANARY = "canary-of-the-old-agent";
const forms = [KEY, Buffer.from(KEY).toString("base64").replace(/=+$/, ""), Buffer.from(KEY).toString("hex")];

let service: LLMock;
beforeAll(buildHermit);
beforeEach(async () => {
  service = new LLMock({ port: 0, auth: { apiKeys: [KEY] } });
  await service.start();
});
afterEach(() => service.stop());

const image = (JSON.parse(readFileSync(join(ROOT, "dist/image.json"), "utf8")) as { image: string }).image;
const dayFromNow = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 10);

/** A home whose groups have the puppet in their workspace. */
function prepare(home: TemporaryHome, groups: readonly string[], until: string): Record<string, string> {
  for (const group of groups) copyFileSync(join(ROOT, "contracts/suites/scripted-payload.ts"), join(home.workspace(group), "agent.mts"));
  const keyFile = join(home.path, "key");
  writeFileSync(keyFile, KEY, { mode: 0o600 });
  return {
    HERMIT_COMPATIBILITY_IMAGE: image,
    HERMIT_COMPATIBILITY_COMMAND: "node /workspace/group/agent.mts",
    HERMIT_COMPATIBILITY_UNTIL: until,
    HERMIT_COMPATIBILITY_BASE_URL: service.url,
    HERMIT_COMPATIBILITY_KEY_FILE: keyFile,
    HERMIT_LOG_LEVEL: "debug",
  };
}

const script = (...actions: readonly PayloadAction[]): string => `do: ${JSON.stringify(actions)}`;

function expectNoKey(text: string, where: string): void {
  for (const form of forms) expect(text.includes(form), `the key in ${where}`).toBe(false);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

test("a turn of the old agent: files, follow-up, model and answer, in a sandbox as sealed as any and without the key", {
  timeout: 120_000,
}, async () => {
  await using home = new TemporaryHome();
  const env = prepare(home, ["main"], dayFromNow(30));
  service.onMessage("what shall I say?", { content: "Say good morning." });
  const hunt = `
    hunt() {
      export CANARY=${CANARY}
      env | grep -F -f <(printf %s "$1") | sed 's/^/environment: /'
      grep -laF -f <(printf %s "$1") /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null
      grep -rlaF -f <(printf %s "$1") / --exclude-dir=proc --exclude-dir=sys 2>/dev/null
    }
    ls /sys/class/net; id -u; grep CapBnd /proc/self/status; touch /usr/x 2>&1 || echo read-only root; echo kept > /home/node/.claude/kept
    echo "== canary"; hunt ${CANARY}; echo "== key"; hunt "$(printf %s%s ${KEY_HALVES[0]} ${KEY_HALVES[1]})"; echo "== end"`;
  await using hermit = startHermit({ home: home.path, env });
  const due = new Date(Date.now() + 3_600_000).toISOString();
  const task = { type: "schedule_task", prompt: "p", schedule_type: "once", schedule_value: due, targetJid: "console:main" };
  const first = script(
    { file: "messages/1.json", body: { type: "message", chatJid: "console:main", text: "on it" } },
    { file: "tasks/1.json", body: task },
    { make: "/workspace/group/busy" },
    { await: "/workspace/group/go" },
    { ask: "what shall I say?" },
  );
  hermit.stdin.write(`${first}\n`);
  await hermit.before(home.fileIn("main", "busy"));
  await hermit.printed(/on it\n/);
  const [id = ""] = (await runningSandboxesOf(home.instance() ?? "")).values();
  const { text, parsed } = await inspectSandbox(id);
  expectNoKey(text, "what the engine says of the container");
  expect(parsed.HostConfig).toMatchObject({ NetworkMode: "none", ReadonlyRootfs: true, CapDrop: ["ALL"] });
  expect(
    parsed.Mounts.filter(({ Type }) => Type === "bind")
      .map(({ Destination, RW }) => `${Destination} ${RW ? "rw" : "ro"}`)
      .toSorted(),
  ).toEqual(["/home/node/.claude rw", "/opt/hermit/compat.cjs ro", "/run/hermit ro", "/workspace/group rw"]);
  hermit.stdin.write(`${script({ shell: hunt })}\n`);
  await expect.poll(() => home.waiting().length, { timeout: 10_000 }).toBe(1);
  home.letGo("main", "go");
  hermit.stdin.end();
  const { code, stdout, stderr } = await hermit.ended;
  expect(code).toBe(0);
  expect(stdout.startsWith("on it\nSay good morning.\nlo\n60800\nCapBnd:\t0000000000000000\n")).toBe(true);
  expect(stdout).toContain("read-only root\n");
  const [, canary = "", key] = /== canary\n([^]*)== key\n([^]*)== end/.exec(stdout) ?? [];
  expect(canary).toContain(`environment: CANARY=${CANARY}`);
  expect(canary).toMatch(/^\/proc\/\d+\/cmdline$/m);
  expect(key).toBe("");
  expect(home.runs()).toMatchObject([{ outcome: "done", attempt: 1 }]);
  expect(stderr).toMatch(new RegExp(`^hermit: Turns of all groups are played by the old agent in ${image} until ${dayFromNow(30)}`));
  expectNoKey(stderr, "the log");
  expect(readFileSync(join(home.path, "data/sessions/main/.claude/kept"), "utf8")).toBe("kept\n");
  for (const path of filesBelow(home.path)) if (path !== join(home.path, "key")) expectNoKey(readFileSync(path, "latin1"), path);
  expect(service.getRequests().map(({ path, response }) => [path, response.status])).toEqual([["/v1/messages", 200]]);
  expect(await sandboxesOf(home.instance() ?? "")).toEqual([]);
});

test("who asks is known from the link: a group's file for another chat does nothing, main's does", { timeout: 120_000 }, async () => {
  await using home = new TemporaryHome();
  const env = prepare(home, ["main", "fam"], dayFromNow(1));
  const line = (id: string, chat: string, text: string): string => JSON.stringify({ id, chat, sender: "Ada", text });
  const to = (chatJid: string, text: string): PayloadAction => ({
    file: `messages/${text}.json`,
    body: { type: "message", chatJid, text, groupFolder: "main" },
  });
  const input = [
    line("1", "main", script(to("console:fam", "from-main"), { reply: "main done" })),
    line("2", "fam", script(to("console:main", "from-fam"), { reply: "fam done" })),
  ];
  const { code, stdout } = await runHermit({ home: home.path, args: ["run", "--jsonl"], env, input: `${input.join("\n")}\n` });
  const replies = stdout
    .trimEnd()
    .split("\n")
    .map((reply) => JSON.parse(reply) as { chat: string; text: string });
  expect(code).toBe(0);
  expect(new Set(replies.map(({ chat, text }) => `${chat}: ${text}`))).toEqual(
    new Set(["fam: from-main", "main: main done", "fam: fam done"]),
  );
});

test("after its last day our own runner answers, and main is told once", { timeout: 120_000 }, async () => {
  await using home = new TemporaryHome();
  const env = prepare(home, ["main"], dayFromNow(0));
  const said = async (until: string, input: string) => {
    const { stdout, stderr } = await runHermit({ home: home.path, env: { ...env, HERMIT_COMPATIBILITY_UNTIL: until }, input });
    return { lines: stdout.trimEnd().split("\n"), stderr };
  };
  expect((await said(dayFromNow(0), "hello\n")).lines).toEqual(["heard hello"]);
  const ended = await said(dayFromNow(-1), "run: echo own runner\n");
  expect(new Set(ended.lines)).toEqual(
    new Set([
      `[hermit] The compatibility runner ended with ${dayFromNow(-1)}, as it was set up to. My own runner answers from now on.`,
      "own runner",
    ]),
  );
  expect(ended.stderr).toContain(`The compatibility runner ended with ${dayFromNow(-1)}`);
  expect((await said(dayFromNow(-1), "run: echo again\n")).lines).toEqual(["again"]);
});

test("a folder the owner's list allows is there; the home and the list's folder are not, though the list allows all", {
  timeout: 120_000,
}, async () => {
  await using home = new TemporaryHome();
  const owner = mkdtempSync(join(tmpdir(), "hermit-owner-"));
  onTestFinished(() => rmSync(owner, { recursive: true }));
  for (const folder of ["notes", ".config/hermit"]) mkdirSync(join(owner, folder), { recursive: true });
  writeFileSync(join(owner, "notes/shopping"), "milk");
  const list = { allowedRoots: [{ path: "/", allowReadWrite: true }], blockedPatterns: [], nonMainReadOnly: false };
  writeFileSync(join(owner, ".config/hermit/mount-allowlist.json"), JSON.stringify(list));
  const env = { ...prepare(home, ["main"], dayFromNow(1)), HOME: owner };
  const say = (input: string) => runHermit({ home: home.path, env, input: `${input}\n` });
  expect((await say("hello")).stdout).toBe("heard hello\n");
  const asked = [{ hostPath: "~/notes" }, { hostPath: "~/.config", readonly: false }, { hostPath: home.path, containerPath: "home" }];
  const database = new Database(home.database);
  database.prepare("UPDATE registered_groups SET container_config = ?").run(JSON.stringify({ additionalMounts: asked }));
  database.close();
  const { stdout } = await say(script({ shell: "cd /workspace/extra; ls -A; cat notes/shopping; touch notes/x 2>&1" }));
  expect(stdout).toMatch(/^notes\nmilk.*Read-only file system/);
});
