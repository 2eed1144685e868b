/** Commands that flood, hang, multiply or eat memory: each is bounded and told, the host stays small and answers the next message. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { processesWith, sandboxesOf } from "../harness/engine.ts";
import { buildHermit, type HermitProcess, runHermit, startHermit } from "../harness/hermit-process.ts";
import { TemporaryHome } from "../harness/temporary-home.ts";

const MIB = 1024 * 1024;
const SECOND_MS = 1000;
/** What a host may grow by while a sandbox floods it: some link buffers, nothing that follows the size of the output. */
const MAX_GROWTH = 48 * MIB;

/** The largest amount of memory a process has held so far. */
function peakBytes(pid: number): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) * 1024;
}

async function say(hermit: HermitProcess, message: string, answer: RegExp): Promise<number> {
  const from = performance.now();
  hermit.stdin.write(`${message}\n`);
  await hermit.printed(answer);
  return performance.now() - from;
}

beforeAll(buildHermit);

describe("a command that prints without end", () => {
  test("a gigabyte reaches the chat as its head, its tail and a mark that says how much was cut, and costs the host no memory", async () => {
    await using home = new TemporaryHome();
    await using hermit = startHermit({ home: home.path });
    await say(hermit, "run: echo warm", /^warm\n/);
    const before = peakBytes(hermit.pid);
    const ms = await say(hermit, String.raw`run: head -c 1000000000 /dev/zero | tr "\0" x`, /bytes cut …\]\nx+\n/);
    const grown = peakBytes(hermit.pid) - before;
    process.stdout.write(`1 GB of output: ${Math.round(ms)} ms, host grew by ${Math.round(grown / MIB)} MiB\n`);
    expect(hermit.stdout()).toMatch(/\nx+\n\[… 99\d{7} bytes cut …\]\nx+\n$/);
    expect(hermit.stdout().length).toBeLessThan(40_000);
    expect(grown).toBeLessThan(MAX_GROWTH);
    hermit.stdin.end();
    expect((await hermit.ended).code).toBe(0);
  });

  test("yes is ended at the tool's time limit, with both marks, and the next message is answered", async () => {
    await using home = new TemporaryHome();
    await using hermit = startHermit({ home: home.path, env: { HERMIT_TURN_TOOL_TIMEOUT_S: "2" } });
    await say(hermit, "run: echo warm", /^warm\n/);
    const before = peakBytes(hermit.pid);
    await say(hermit, "run: yes", /bytes cut …\]\n(y\n)+\[timed out after 2 s and was killed\]\n/);
    expect(peakBytes(hermit.pid) - before).toBeLessThan(MAX_GROWTH);
    await say(hermit, "run: echo next", /killed\]\nnext\n$/);
    hermit.stdin.end();
    expect((await hermit.ended).code).toBe(0);
  });
});

describe("a command that never ends", () => {
  test("is killed at the tool's time limit with everything it started, and said to be", async () => {
    await using home = new TemporaryHome();
    const { code, stdout, ms } = await runHermit({
      home: home.path,
      env: { HERMIT_TURN_TOOL_TIMEOUT_S: "1" },
      input: "run: trap '' TERM HUP INT; sleep 1111 & echo begun; sleep 1111; sleep 1111\nrun: echo next; ps ax | grep -c '[s]leep 1111'\n",
    });
    expect(stdout).toBe("begun\n[timed out after 1 s and was killed]\nnext\n0\n[exit 1]\n");
    expect(code).toBe(0);
    expect(ms).toBeLessThan(10 * SECOND_MS);
  });

  test("what it left in the background, out of its group and session, is gone with the turn's sandbox", async () => {
    await using home = new TemporaryHome();
    const mark = `leftover-${process.pid}-${Date.now()}`;
    const { code, stdout } = await runHermit({
      home: home.path,
      input: `run: setsid nohup bash -c 'exec -a ${mark} sleep 1111' > /dev/null 2>&1 & sleep 0.2; ps ax -o args= | grep -c '^leftover-'\n`,
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "1\n" });
    expect(processesWith([mark])).toEqual([]);
    expect(await sandboxesOf(home.instance() ?? "")).toEqual([]);
  });

  test("where the tool limit lets it run, the turn ends at its own silence limit, and the chat is told", async () => {
    await using home = new TemporaryHome();
    const { code, stdout } = await runHermit({
      home: home.path,
      env: { HERMIT_TURN_IDLE_TIMEOUT_S: "1.5", HERMIT_TURN_TOOL_TIMEOUT_S: "60", HERMIT_RETRY_MAX: "0" },
      input: "run: sleep 1111\n",
    });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^\[hermit\] I could not finish this: The runner was silent for 1\.5 s\.\n$/);
    expect(home.runs()).toMatchObject([{ outcome: "timeout", turnState: "failed" }]);
    expect(await sandboxesOf(home.instance() ?? "")).toEqual([]);
  });
});

describe("a command that attacks the sandbox it runs in", () => {
  test("cannot kill the first process; killing all others is said and not repeated, and the next message is answered", async () => {
    await using home = new TemporaryHome();
    await using hermit = startHermit({ home: home.path, env: { HERMIT_RETRY_BASE_S: "0.1" } });
    await say(hermit, "run: kill -9 1; echo alive", /^alive\n/);
    // The runner is among the killed where the engine puts an init before it, and survives where it is the first process itself.
    await say(
      hermit,
      "run: echo x >> effects; kill -9 -1; echo survived",
      /\n(Interrupted: .* it was not run again\.|survived|\(no output\))\n$/,
    );
    await say(hermit, "run: cat effects", /\nx\n$/);
    hermit.stdin.end();
    expect((await hermit.ended).code).toBe(0);
    const runs = home.runs().map(({ outcome, turnState, attempt }) => `${outcome} ${turnState} ${attempt}`);
    const second = hermit.stdout().includes("Interrupted") ? ["failed done 1", "done done 2"] : ["done done 1"];
    expect(runs).toEqual(["done done 1", ...second, "done done 1"]);
  });

  test("a fork bomb runs into the process limit while the host goes on serving others", async () => {
    await using home = new TemporaryHome();
    home.workspace("bombed");
    const line = (id: string, chat: string, text: string): string => `${JSON.stringify({ id, chat, sender: "Sam", text })}\n`;
    await using hermit = startHermit({
      home: home.path,
      args: ["run", "--jsonl"],
      env: { HERMIT_SANDBOX_PIDS: "48", HERMIT_TURN_TOOL_TIMEOUT_S: "3" },
    });
    hermit.stdin.write(line("1", "bombed", "run: touch begun; b() { b | b & }; b; sleep 1111"));
    await hermit.before(home.fileIn("bombed", "begun"));
    hermit.stdin.write(line("2", "other", "run: echo undisturbed"));
    await hermit.printed(/undisturbed/);
    expect(hermit.stdout()).not.toContain('"bombed"');
    await hermit.printed(/"bombed"/);
    hermit.stdin.write(line("3", "bombed", "run: echo recovered"));
    await hermit.printed(/recovered/);
    hermit.stdin.end();
    expect((await hermit.ended).code).toBe(0);
    const texts = home.journal().map(({ chat, text }) => `${chat}: ${text}`);
    expect(texts.filter((text) => /timed out after 3 s|killed|Resource temporarily unavailable/.test(text))).toHaveLength(1);
  });

  test("a command that eats all memory is killed and says so; where it takes the runner along, the chat is told, and the next message is not dragged into it", async () => {
    await using home = new TemporaryHome();
    await using hermit = startHermit({
      home: home.path,
      env: { HERMIT_SANDBOX_MEMORY_MB: "96", HERMIT_SANDBOX_TMP_MB: "96", HERMIT_RETRY_MAX: "0" },
    });
    await say(hermit, "run: a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done", /\[killed by SIGKILL\]\n$/);
    await say(
      hermit,
      "run: head -c 95M /dev/zero > /tmp/x; sleep 1111",
      /\n\[hermit\] .*The sandbox (ran out of memory.*sandbox\.memory_mb|was killed.*)\.\n$/,
    );
    await say(hermit, "run: echo next", /\nnext\n$/);
    hermit.stdin.end();
    expect((await hermit.ended).code).toBe(1);
    expect(home.runs().map(({ outcome, turnState }) => `${outcome} ${turnState}`)).toEqual(["done done", "failed failed", "done done"]);
  });
});
