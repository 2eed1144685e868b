/** Programs that speak the driver wire badly. One that speaks it well is in host/replay/external.test.ts. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { externalHost } from "./external-driver.ts";
import { againstRecording, replay } from "./replay.ts";
import { loadScenarios } from "./scenario.ts";

const SCENARIOS = join(import.meta.dirname, "../../fixtures/golden/scenarios");
const sides = { wanted: "the recording", got: "a program" };

/** Its body is run for each line; `n` counts the lines, `ask` is the line as it was read, `say` answers. */
function program(body: string): string {
  const source = `
    console.error("pid", process.pid);
    let n = 0;
    require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
      n++;
      const ask = JSON.parse(line);
      const say = (answer) => console.log(JSON.stringify({ id: ask.id, ...answer }));
      ${body}
    });`;
  return `"${process.execPath}" -e '${source.replaceAll("\n", " ").replaceAll("'", "")}'`;
}

/** The error of each of two scenarios played one after the other. */
async function errorsOf(command: string, callMs = 10_000): Promise<string[]> {
  await using host = externalHost(command, { callMs, answerBytes: 10_000 });
  const scenarios = loadScenarios(SCENARIOS, ["follow-ups-piped", "unregistered-chat"]);
  const { scenarios: reports } = await replay(scenarios, againstRecording(host.open), sides);
  return reports.map(({ outcome, error = "" }) => `${outcome}: ${error}`);
}

/** A process that was killed is a zombie until its new parent looks. */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

const OPENED = "if (ask.do === `open`) return say({ v: 1, lacks: [] });";

test.each([
  ["ends in the middle", `${OPENED} process.exit(7);`, /ended \(exit code 7\)/],
  ["is killed", `${OPENED} process.kill(process.pid, 9);`, /ended \((SIGKILL|exit code 137)\)/],
  ["logs to its standard output", "console.log(`Listening`);", /answered open with what is no JSON .*: Listening/],
  ["answers something else", "say({ v: 1, lacks: [], colour: `red` });", /what is no answer to it: .*colour/s],
  ["speaks another version", "say({ v: 2, lacks: [] });", /what is no answer to it/],
  ["answers another request", "console.log(JSON.stringify({ id: 99, v: 1, lacks: [] }));", /answered request 99 where 1, open, was asked/],
  ["answers twice", `${OPENED} say({ observed: [] }); say({ observed: [] });`, /said what nobody asked for|answered request 2 where 3/],
  ["answers without end", "process.stdout.write(`x`.repeat(20000));", /answered with more than 10000 bytes/],
  ["refuses", `${OPENED} say({ error: "no such zone" });`, /failed at start: no such zone/],
])("a program that %s fails its scenario in words, the next has a new one, and none is left", async (_what, body, message) => {
  await failedApart(await errorsOf(program(body)), message);
});

test("a program that never answers is given up after its time", async () => {
  await failedApart(await errorsOf(program("setInterval(() => {}, 1000);"), 1_000), /did not answer open within 1 s/);
});

async function failedApart(errors: readonly string[], message: RegExp): Promise<void> {
  for (const error of errors) expect(error).toMatch(message);
  const pids = errors.map((text) => Number(/pid (\d+)/.exec(text)?.[1]));
  expect(new Set(pids).size).toBe(2);
  await expect.poll(() => pids.filter(isRunning)).toEqual([]);
}

test("a program that cannot be started says so with the shell's own words", async () => {
  const [error] = await errorsOf("hermit-of-nowhere --drive");
  expect(error).toMatch(/The driver `hermit-of-nowhere --drive` ended \(exit code 127\)\.\nIts standard error ends with:\n.*not found/s);
});

test("a program that does not end with its input is killed, and what it started too", async () => {
  let pids: number[];
  {
    await using host = externalHost(
      program(`${OPENED} setInterval(() => {}, 1000);
      const { pid } = require("node:child_process").spawn("sleep", ["60"]);
      say(ask.do === "close" ? {} : ask.do === "dump" ? { error: "pids " + process.pid + " " + pid } : { observed: [] });`),
    );
    const { scenarios: reports } = await replay(loadScenarios(SCENARIOS, ["unregistered-chat"]), againstRecording(host.open), sides);
    pids = (/pids (\d+) (\d+)/.exec(reports[0]?.error ?? "") ?? []).slice(1).map(Number);
  }
  expect(pids).toHaveLength(2);
  await expect.poll(() => pids.filter(isRunning)).toEqual([]);
});
