/** `hermit replay` as a program: what it prints, and what it exits with. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { ReplayReport } from "../../contracts/replay/report.ts";

const ROOT = join(import.meta.dirname, "../..");
const SCENARIOS = join(ROOT, "fixtures/golden/scenarios");
const EXTERNAL = `"${process.execPath}" "${join(import.meta.dirname, "external.ts")}"`;

function hermitReplay(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [join(ROOT, "host/main.ts"), "replay", ...args], { encoding: "utf8" });
}

/** A copy of some recorded scenarios, to be altered; all of them if none is named. */
function copyOf(...names: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "recorded-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  if (names.length === 0) cpSync(SCENARIOS, folder, { recursive: true });
  for (const name of names) cpSync(join(SCENARIOS, name), join(folder, name), { recursive: true });
  return folder;
}

function alter(path: string, from: string, to: string): void {
  const text = readFileSync(path, "utf8");
  expect(text).toContain(from);
  writeFileSync(path, text.replace(from, to));
}

test("of all recordings with one byte of one expected text altered, exactly that one fails, and the byte can be seen", () => {
  const folder = copyOf();
  alter(join(folder, "two-groups-interleaved", "expected.jsonl"), "Andy: fam run 1 turn 1", "Andy: fam run 1 turn 7");
  const { status, stdout, stderr } = hermitReplay("--dir", folder);
  expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
  const failed = stdout.split("\n").filter((line) => line.startsWith("failed "));
  expect(failed).toEqual(["failed  §3.3      keep    two-groups-interleaved"]);
  expect(stdout).toContain(
    [
      "- the recording",
      "+ this host",
      "",
      "two-groups-interleaved: Messages of two groups stay apart (§3.3)",
      "  sends to fam@g.us",
      "    - Andy: fam run 1 turn 7",
      "    + Andy: fam run 1 turn 1",
    ].join("\n"),
  );
  expect(stdout).toMatch(/\d+ passed, 1 failed; \d+ ms\n$/);
});

test("named scenarios are played alone; --json prints one document", () => {
  const { status, stdout } = hermitReplay("--json", "unicode-end-to-end", "trigger-forms");
  expect(status).toBe(0);
  const { scenarios, ...sums } = JSON.parse(stdout) as ReplayReport;
  expect(sums).toMatchObject({ wanted: "the recording", got: "this host", passed: 2, failed: 0 });
  expect(scenarios).toMatchObject([
    { name: "trigger-forms", section: "3.3", verdict: "keep", outcome: "passed", differences: [] },
    { name: "unicode-end-to-end" },
  ]);
});

test("another host is a command: --driver plays it, --diff compares it with this one", () => {
  const scenario = "batch-of-several-messages";
  expect(hermitReplay("--driver", EXTERNAL, scenario)).toMatchObject({ status: 0, stderr: "" });
  expect(hermitReplay("--diff", EXTERNAL, scenario)).toMatchObject({ status: 0, stderr: "" });
  const broken = hermitReplay("--diff", "echo ready", scenario);
  expect(broken).toMatchObject({ status: 1, stderr: "" });
  expect(broken.stdout).toContain(
    "The driver `echo ready` answered open with what is no JSON (standard output is for answers alone): ready.",
  );
});

test("what cannot be read exits with 2, all of it said by file, line and field, and nothing is played", () => {
  const folder = copyOf("trigger-forms", "unicode-end-to-end", "follow-ups-piped");
  alter(join(folder, "trigger-forms/timeline.jsonl"), '"op":"end"', '"op":"ende"');
  alter(join(folder, "unicode-end-to-end/expected.jsonl"), '"obs":"run"', '"obs":"run","mood":"fine"');
  mkdirSync(join(folder, "of-somebody-else"));
  const { status, stdout, stderr } = hermitReplay("--dir", folder);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toMatch(/trigger-forms\/timeline\.jsonl, line \d+: .*\n.*at op/);
  expect(stderr).toMatch(/unicode-end-to-end\/expected\.jsonl, line \d+: .*"mood"/);
  expect(stderr).toContain("of-somebody-else/meta.json: cannot be read (ENOENT)");
  expect(stderr).not.toContain("follow-ups-piped");
  expect(stderr).toMatch(/\n {2}--dir names a folder of scenarios/);
});

test("an unknown option exits with 2 as well", () => {
  expect(hermitReplay("--folder", SCENARIOS)).toMatchObject({ status: 2, stderr: expect.stringContaining("unknown option '--folder'") });
});
