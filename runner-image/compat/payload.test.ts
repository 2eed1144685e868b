/** The old agent as a real process. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { followPayload, type Payload, spawnPayload } from "./payload.ts";

const run = (script: string, input = ""): Payload =>
  spawnPayload({ command: [process.execPath, "-e", script], cwd: "/tmp", env: { PATH: "", MARK: "here" } }, input);

async function follow(payload: Payload) {
  const outputs: unknown[] = [];
  return { end: await followPayload(payload, (output) => void outputs.push(output)), outputs };
}

test("gets its input and its environment, and what it says last is heard before its end", async () => {
  const script = `
    let input = ""; process.stdin.on("data", (chunk) => input += chunk).on("end", () => {
      console.log("---NANOCLAW_OUTPUT_START---\\n" + JSON.stringify([input, process.env]) + "\\n---NANOCLAW_OUTPUT_END---");
      process.exit(4);
    });`;
  const { end, outputs } = await follow(run(script, "grün"));
  expect(outputs).toEqual([["grün", { PATH: "", MARK: "here" }]]);
  expect(end).toEqual({ code: 4, stderrTail: "" });
});

test("need not read what it is given; of its errors the end is kept", async () => {
  const { end } = await follow(run(`process.stderr.write("x".repeat(5000) + "why"); process.exitCode = 1`, "y".repeat(1_000_000)));
  expect([end.code, end.stderrTail.length, end.stderrTail.slice(-4)]).toEqual([1, 200, "xwhy"]);
});

test("is killed with all it started", async () => {
  const payload = run(`
    const child = require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" });
    console.error(child.pid);`);
  const pid = new Promise<number>((resolve) => payload.stderr.once("data", (text) => resolve(Number(text))));
  const followed = follow(payload);
  const child = await pid;
  payload.kill();
  expect((await followed).end.code).toBeNull();
  await expect.poll(() => runs(child)).toBe(false);
});

test("that cannot be started says so", async () => {
  const payload = spawnPayload({ command: ["/nowhere/agent"], cwd: "/tmp", env: {} }, "");
  await expect(follow(payload)).rejects.toThrow("The agent could not be started: spawn /nowhere/agent ENOENT.");
  payload.kill();
});

/** One that ended and that nobody has taken note of does not. */
function runs(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
