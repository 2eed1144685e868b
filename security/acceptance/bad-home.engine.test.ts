/** What a person may find broken in a home, an old one above all: each is said clearly, with what to do, and nothing is lost by it. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { beforeAll, describe, expect, test } from "vitest";
import { buildHermit, runHermit } from "../harness/hermit-process.ts";
import { parseReplies, TemporaryHome } from "../harness/temporary-home.ts";

const RECORDED = join(import.meta.dirname, "..", "..", "fixtures", "golden", "databases", "nanoclaw-1.0.0.db");
const PAGE_BYTES = 4096;
const AT_ONCE_MS = 3_000;

beforeAll(buildHermit);

/** `<home>/data/<name>`, as NanoClaw and its set-up leave it. */
function put(home: TemporaryHome, name: string, content: object | string): string {
  const path = join(home.path, "data", name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

const group = (folder: string) => ({
  name: folder,
  folder,
  trigger: "@Andy",
  added_at: "2026-01-01T00:00:00.000Z",
  requiresTrigger: false,
});
const GROUPS = { "console:main": group("main"), "console:flat": group("flat") };

const converse = async (home: TemporaryHome, lines: readonly { chat: string; text: string }[] = [], env: Record<string, string> = {}) => {
  const input = lines.map((line, n) => `${JSON.stringify({ id: `m${n}`, sender: "Sam", ...line })}\n`).join("");
  const ending = await runHermit({ home: home.path, args: ["run", "--jsonl"], input, env });
  return { ...ending, said: parseReplies(ending.stdout).map(({ chat, text }) => `${chat}: ${text}`) };
};

describe("a damaged database", () => {
  const damages: readonly (readonly [string, (path: string) => void, RegExp])[] = [
    ["cut off in the middle", (path) => truncateSync(path, 6 * PAGE_BYTES - 100), /is damaged: database disk image is malformed/],
    ["begun with other bytes", (path) => writeAt(path, 0, 100), /is damaged: file is not a database/],
    ["with a page overwritten", (path) => writeAt(path, 4 * PAGE_BYTES, PAGE_BYTES), /is damaged: .*page 5/],
    ["emptied", (path) => truncateSync(path, 0), /is empty, and it was not when a host last ran here/],
  ];

  test.each(damages)("%s is named with what to do; it and what lies around it stay as they were", async (_how, damage, finding) => {
    await using home = new TemporaryHome();
    mkdirSync(dirname(home.database));
    copyFileSync(RECORDED, home.database);
    damage(home.database);
    const [bytes, state] = [readFileSync(home.database), put(home, "sessions.json", { main: "s-1" })];
    for (let start = 0; start < 2; start++) {
      const ending = await runHermit({ home: home.path, input: "hello\n" });
      expect(ending).toMatchObject({ code: 1, stdout: "" });
      expect(ending.ms).toBeLessThan(AT_ONCE_MS);
      expect(ending.stderr).toMatch(finding);
      expect(ending.stderr).toMatch(/^hermit: The database \/.*messages\.db is .*\n +Put a backup in its place\./);
      expect(ending.stderr.split("\n")).toHaveLength(3);
    }
    expect(readFileSync(home.database).equals(bytes)).toBe(true);
    expect(readdirSync(dirname(home.database))).toEqual(["messages.db"]);
    expect(existsSync(state)).toBe(true);
    // The clean-up would ask it for this home's sandboxes; there are none.
    rmSync(home.database);
  });
});

describe("half-written JSON state", () => {
  test("is left as it is, the log and the main group say so, the rest is taken over, and messages are answered", async () => {
    await using home = new TemporaryHome();
    put(home, "registered_groups.json", GROUPS);
    const sessions = put(home, "sessions.json", '{"main":"s-1","fl');
    const first = await converse(home, [{ chat: "flat", text: "run: echo served" }]);
    expect(first.code).toBe(0);
    expect(first.said.toSorted()).toEqual([
      "flat: served",
      expect.stringMatching(
        /^main: \[hermit\] data\/sessions\.json could not be taken over: it is not JSON, .* Mend it or delete it, then start the host again\.$/,
      ),
    ]);
    expect(JSON.parse(first.stderr)).toMatchObject({ level: 40, file: sessions, msg: expect.stringContaining("Mend it or delete it") });
    const second = await converse(home);
    expect(second).toMatchObject({ code: 0, said: [], stderr: expect.stringContaining("sessions.json") });
    expect(readFileSync(sessions, "utf8")).toBe('{"main":"s-1","fl');
    expect(existsSync(join(home.path, "data", "registered_groups.json.migrated"))).toBe(true);

    put(home, "sessions.json", { main: "s-1" });
    expect(await converse(home)).toMatchObject({ code: 0, said: [], stderr: "" });
    expect(readdirSync(join(home.path, "data")).toSorted()).toEqual(["registered_groups.json.migrated", "sessions.json.migrated"]);
  });
});

describe("stored tasks that cannot run as they are", () => {
  test("an unknown type, an unknown zone, no time at all, a group that is gone: each is said once, and the others run", async () => {
    await using home = new TemporaryHome();
    put(home, "registered_groups.json", GROUPS);
    expect(await converse(home)).toMatchObject({ code: 0, said: [] });
    const db = new Database(home.database);
    const task = db.prepare("INSERT INTO scheduled_tasks VALUES (?, ?, 'console:flat', ?, ?, ?, ?, NULL, NULL, 'active', '', 'isolated')");
    const due = "2026-01-01T09:00:00.000Z";
    task.run("typed", "flat", "run: echo typed", "hourly", "1", due);
    task.run("zoned", "flat", "run: echo zoned", "cron", "0 9 * * *", due);
    db.prepare("INSERT INTO hermit_tasks (task_id, time_zone) VALUES ('zoned', 'Mars/Olympus')").run();
    task.run("ghost", "gone", "run: echo ghost", "interval", "3600000", due);
    task.run("dated", "flat", "run: echo dated", "interval", "3600000", "soon");
    task.run("good", "flat", "run: echo good", "once", due, due);
    db.close();

    const { code, said, stderr } = await converse(home, [{ chat: "main", text: "run: echo served" }]);
    expect(code).toBe(0);
    expect(said.toSorted()).toEqual([
      'flat: [hermit] Task typed (“run: echo typed”) does not run again: The schedule type "hourly" is not known. Use cron, interval or once.',
      expect.stringMatching(/^flat: \[hermit\] Task zoned .* was paused: The time zone "Mars\/Olympus" is not known\. .*Resume it/),
      "flat: good",
      "flat: typed",
      "flat: zoned",
      expect.stringMatching(/^main: \[hermit\] Task dated .* was paused\. Its next run is stored as "soon", which is not a time/),
      expect.stringMatching(/^main: \[hermit\] Task ghost .* was paused: No group is registered in the folder gone\./),
      "main: served",
    ]);
    expect(stderr).toMatch(/Its next run is stored as/);
    expect(stderr).toMatch(/a task was paused: No group is registered in the folder gone\./);
    expect(await converse(home)).toMatchObject({ code: 0, said: [], stderr: "" });
  });
});

describe("a time zone nobody knows", () => {
  test("in the configuration is refused by its name before anything starts", async () => {
    await using home = new TemporaryHome();
    home.configure('time_zone = "Mars/Olympus"\n');
    const inFile = await runHermit({ home: home.path, input: "hello\n" });
    expect(inFile).toMatchObject({ code: 2, stdout: "" });
    expect(inFile.stderr).toMatch(/hermit\.toml:1:\d+: time_zone must be an IANA time zone such as Europe\/Berlin, and is "Mars\/Olympus"/);
    expect(existsSync(home.database)).toBe(false);
  });

  test("in TZ, which belongs to every program, is said and not used", async () => {
    await using home = new TemporaryHome();
    const { code, stdout, stderr } = await runHermit({ home: home.path, env: { TZ: "Mars/Olympus" }, input: "run: date +%Z\n" });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "UTC\n" });
    expect(stderr).toMatch(/TZ: .* is "Mars\/Olympus"\. It is not used\./);
  });
});

/** Bytes no page of a database begins with. */
function writeAt(path: string, from: number, length: number): void {
  const bytes = readFileSync(path);
  bytes.fill(0xa5, from, from + length);
  writeFileSync(path, bytes);
}
