/** Our host as a program of its own, over the driver wire: it must come to the same, and where it does not that must be seen. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { externalHost } from "../../contracts/replay/external-driver.ts";
import { againstEachOther, againstRecording, replay } from "../../contracts/replay/replay.ts";
import { renderReport } from "../../contracts/replay/report.ts";
import { loadScenarios } from "../../contracts/replay/scenario.ts";
import { openHermit } from "./hermit-driver.ts";

const ROOT = join(import.meta.dirname, "../..");
const SCENARIOS = join(ROOT, "fixtures/golden/scenarios");
const EXTERNAL = `"${process.execPath}" "${join(import.meta.dirname, "external.ts")}"`;
const sides = { wanted: "this host", got: "a program" };

test("our host as a program does in all 86 scenarios what it does here", { timeout: 60_000 }, async () => {
  await using program = externalHost(EXTERNAL);
  const report = await replay(loadScenarios(SCENARIOS), againstEachOther(openHermit, program.open), sides);
  expect(report.failed === 0 ? "" : renderReport(report)).toBe("");
  expect(report.passed).toBe(86);
});

test("a program is held against the recording as we are: replies, follow-ups, restarts, tasks and the tables", async () => {
  await using program = externalHost(EXTERNAL);
  const names = ["follow-ups-piped", "kill-during-task", "graceful-stop-mid-run", "ipc-malformed-files", "disconnect-queues-outbound"];
  const report = await replay(loadScenarios(SCENARIOS, names), againstRecording(program.open), sides);
  expect(report.failed === 0 ? "" : renderReport(report)).toBe("");
  expect(report.passed).toBe(names.length);
});

/** Our host, with one text replaced by another wherever it is said on the wire. */
function lyingProgram(truth: string, lie: string): string {
  const folder = mkdtempSync(join(tmpdir(), "lying-host-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "lying-host.mjs");
  writeFileSync(
    path,
    `import { Writable } from "node:stream";
     import { serveDriver } from "${ROOT}/contracts/replay/serve-driver.ts";
     import { openHermit } from "${ROOT}/host/replay/hermit-driver.ts";
     const lying = new Writable({
       write(line, _encoding, done) {
         process.stdout.write(String(line).replaceAll(${JSON.stringify(truth)}, ${JSON.stringify(lie)}), done);
       },
     });
     await serveDriver(openHermit, process.stdin, lying);`,
  );
  return `"${process.execPath}" "${path}"`;
}

test.each([
  [
    "says another word",
    ["main run 1 turn 2", "main run 1 turn 3"],
    ["sends to 15550001@s.whatsapp.net", "      1 the same", "- Andy: main run 1 turn 2", "+ Andy: main run 1 turn 3"],
  ],
  [
    "keeps a message its own way",
    [
      '"id":"m2","chat_jid":"15550001@s.whatsapp.net","sender":"15550001',
      '"id":"m2","chat_jid":"15550001@s.whatsapp.net","sender":"15550002',
    ],
    [
      "table messages",
      '- {"id":"m2","chat_jid":"15550001@s.whatsapp.net","sender":"15550001',
      '+ {"id":"m2","chat_jid":"15550001@s.whatsapp.net","sender":"15550002',
    ],
  ],
])("a program that %s is found out, against the recording and against us", async (_what, [truth = "", lie = ""], shown) => {
  await using program = externalHost(lyingProgram(truth, lie));
  const scenarios = loadScenarios(SCENARIOS, ["follow-ups-piped", "unregistered-chat"]);
  for (const judge of [againstRecording(program.open), againstEachOther(openHermit, program.open)]) {
    const report = await replay(scenarios, judge, sides);
    expect(report).toMatchObject({ passed: 1, failed: 1 });
    expect(report.scenarios[0]?.differences).toHaveLength(1);
    for (const line of shown) expect(renderReport(report)).toContain(line);
  }
});
