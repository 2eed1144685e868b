/** `hermit incident export`, the verb: what it writes, beside a host that runs and without one, and that `hermit replay` plays it. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { exportIncident, type ExportOptions } from "../cli/incident-export.ts";
import { replayScenarios } from "../cli/replay.ts";
import { call, RecordedHome } from "../recorded-home-harness.ts";

const KEY = "hk-7f3a&9c<2e>51d0b6_live";

let said = "";
beforeEach(() => {
  said = "";
  vi.stubEnv("HERMIT_MODEL_KEY", KEY);
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    said += String(text);
    return true;
  });
  return () => {
    write.mockRestore();
    vi.unstubAllEnvs();
  };
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "incident-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** Everything since the fake clock's day. */
function options(home: RecordedHome, over: Partial<ExportOptions> = {}): ExportOptions {
  return { home: home.path, since: "2026-05-04T00:00:00Z", out: folder(), bench: join(home.path, "bench.json"), ...over };
}

async function spoken(home: RecordedHome): Promise<void> {
  await home.start();
  home.answer = (text, step) => (text.includes("file") && step === 0 ? call("exec", { command: `touch ${KEY}` }) : `of course: ${KEY}`);
  await home.says(`keep ${KEY}`);
  await home.says("in a file");
}

function allOf(path: string): string {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" });
  return names.map((name) => `${name}\n${statSync(join(path, name)).isFile() ? readFileSync(join(path, name), "utf8") : ""}`).join("\n");
}

test("beside a running host and after it, the same folder: private, without keys, and it passes as it is", async () => {
  await using home = new RecordedHome();
  await spoken(home);
  const log = join(home.path, "host.log");
  writeFileSync(
    log,
    `{"level":40,"time":"2026-05-04T09:00:00.100Z","msg":"sent ${KEY} to ${home.path}/run"}\n{"level":20,"time":"2026-05-04T09:00:00.100Z","msg":"debug"}\n`,
  );
  writeFileSync(join(home.path, "bench.json"), '{"seconds":117}');
  const [during, after] = [options(home, { log }), options(home, { log })];
  await exportIncident(during);
  await home.host.close();
  await exportIncident(after);
  expect(readdirSync(after.out ?? "", { recursive: true, encoding: "utf8" }).toSorted()).toEqual(
    [
      ...["about.json", "bench.json", "config.json", "log.txt", "scenarios", "store", "scenarios/incident"],
      ...["db.after.json", "expected.jsonl", "files.after.json", "meta.json", "timeline.jsonl"].map((name) => `scenarios/incident/${name}`),
      ...["inbox", "journal", "occurrences", "outbox", "runs", "turns"].map((name) => `store/${name}.jsonl`),
    ].toSorted(),
  );
  for (const name of ["scenarios/incident/timeline.jsonl", "store/journal.jsonl", "log.txt"]) {
    expect(readFileSync(join(during.out ?? "", name), "utf8")).toBe(readFileSync(join(after.out ?? "", name), "utf8"));
    expect(statSync(join(after.out ?? "", name)).mode & 0o777).toBe(0o600);
  }
  const all = allOf(after.out ?? "");
  expect(["hk-7f3a", "51d0b6", encodeURIComponent(KEY).slice(0, 12), "of course"].filter((text) => all.includes(text))).toEqual([]);
  expect(readFileSync(join(after.out ?? "", "log.txt"), "utf8")).toBe(
    '{"level":40,"time":"2026-05-04T09:00:00.100Z","msg":"sent [key] to <home>/run"}\n',
  );
  expect(JSON.parse(readFileSync(join(after.out ?? "", "about.json"), "utf8"))).toMatchObject({
    counts: { turns: 2, inbox: 2 },
    node: process.version,
  });
  expect(said).toContain(`hermit replay --dir ${join(after.out ?? "", "scenarios")}\n`);
  expect(said).toMatch(/tar -czf incident-\w+\.tar\.gz -C \S+ incident-\w+\n$/);

  expect(await replayScenarios([], { dir: join(after.out ?? "", "scenarios") })).toBe(0);
  expect(said).toContain("1 passed, 0 failed");
});

test("with --json it says what it wrote; without a log it says so; of a time in which nothing was, nothing is there", async () => {
  await using home = new RecordedHome();
  await spoken(home);
  const given = options(home, { json: true, since: "2026-05-05T00:00:00Z", until: "2026-05-06T00:00:00Z" });
  await exportIncident(given);
  expect(JSON.parse(said)).toEqual({
    folder: given.out,
    from: "2026-05-05T00:00:00.000Z",
    until: "2026-05-06T00:00:00.000Z",
    withTexts: false,
    counts: { turns: 0, runs: 0, journal: 0, outbox: 0, inbox: 0, occurrences: 0 },
    notTakenOut: [],
  });
  expect(readFileSync(join(given.out ?? "", "log.txt"), "utf8")).toMatch(/^No log: /);
  expect(await replayScenarios([], { dir: join(given.out ?? "", "scenarios") })).toBe(0);
});

describe("is refused, and nothing is written:", () => {
  test.each([
    ["a time that is none", { since: "yesterday" }, "--since yesterday is no point in time."],
    ["times the wrong way round", { until: "2026-05-03T00:00:00Z" }, "--since is later than --until."],
    ["a log that is not there", { log: "/nowhere.log" }, "--log /nowhere.log cannot be read"],
    ["a group nobody registered", { group: "aunts" }, "No group aunts is registered."],
  ])("%s", async (_what, over, message) => {
    await using home = new RecordedHome();
    await spoken(home);
    const given = options(home, over);
    await expect(exportIncident(given)).rejects.toThrow(message);
    expect(readdirSync(given.out ?? "")).toEqual([]);
  });

  test("a folder with something in it", async () => {
    await using home = new RecordedHome();
    await spoken(home);
    await expect(exportIncident(options(home, { out: home.path }))).rejects.toThrow(`${home.path} is not empty.`);
  });

  test("a home where no host has been", async () => {
    const home = folder();
    mkdirSync(join(home, "store"));
    const given = { home, out: folder(), bench: "" };
    await expect(exportIncident(given)).rejects.toThrow("no host of this version has run");
    expect([readdirSync(given.out), readdirSync(join(home, "store"))]).toEqual([[], []]);
  });
});
