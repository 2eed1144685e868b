/** The owner's hand on a running host: status, stop, and the signals a service manager sends. */
import { beforeAll, describe, expect, test } from "vitest";
import { Status, StopResult } from "../../contracts/wire/control.ts";
import { runningSandboxesOf, sandboxesOf } from "../harness/engine.ts";
import { buildHermit, type HermitProcess, runHermit, startHermit } from "../harness/hermit-process.ts";
import { TemporaryHome } from "../harness/temporary-home.ts";

const SECOND_MS = 1000;

function line(id: string, chat: string, text: string): string {
  return `${JSON.stringify({ id, chat, sender: "Sam", text })}\n`;
}

/** A host with a command at work in each chat; the command ends when the test lets it go. */
async function startBusy(home: TemporaryHome, chats: readonly string[], env: Record<string, string> = {}): Promise<HermitProcess> {
  for (const chat of chats) home.workspace(chat);
  const hermit = startHermit({ home: home.path, args: ["run", "--jsonl"], env: { HERMIT_SLOTS: String(chats.length), ...env } });
  for (const chat of chats) {
    hermit.stdin.write(
      line(`${chat}-1`, chat, `run: echo begun >> effects; touch begun; until test -e go; do sleep 0.05; done; echo ${chat} finished`),
    );
  }
  try {
    for (const chat of chats) await hermit.before(home.fileIn(chat, "begun"));
    return hermit;
  } catch (error) {
    await hermit[Symbol.asyncDispose]();
    throw error;
  }
}

const command = (home: TemporaryHome, ...args: string[]) => runHermit({ home: home.path, args, input: "" });
const texts = (home: TemporaryHome, chat: string) =>
  home
    .journal()
    .filter((reply) => reply.chat === chat)
    .map(({ text }) => text);

beforeAll(buildHermit);

describe("status", () => {
  test("says, for people and as JSON, what runs, for how long, in which sandbox, and what waits", async () => {
    await using home = new TemporaryHome();
    await using hermit = await startBusy(home, ["family", "flat"]);
    hermit.stdin.write(line("garden-1", "garden", "run: echo waiting"));

    const plain = await command(home, "status");
    expect(plain).toMatchObject({ code: 0, stderr: "" });
    expect(plain.stdout).toMatch(/^hermit \d\S+, up \d+\.\d s, pid \d+, home \S+$/m);
    expect(plain.stdout).toMatch(/^slots {3}2 of 2 in use$/m);
    expect(plain.stdout).toMatch(/^ {2}family +running for \d+\.\d s$/m);
    expect(plain.stdout).toMatch(/^ {2}garden +waiting, 1 waiting$/m);

    const json = await command(home, "status", "--json");
    const status = Status.parse(JSON.parse(json.stdout));
    expect(status).toMatchObject({ pid: hermit.pid, home: home.path, model: "offline", slots: { limit: 2, used: 2 }, inbox: 1 });
    const running = await runningSandboxesOf(home.instance() ?? "");
    expect(Object.fromEntries(status.groups.map(({ folder, sandbox }) => [folder, sandbox]))).toEqual({
      family: running.get("family"),
      flat: running.get("flat"),
      garden: null,
    });
  });

  test("and stop say clearly that no host runs on the home, and exit 1", async () => {
    await using home = new TemporaryHome();
    for (const args of [["status"], ["status", "--json"], ["stop", "main"], ["stop", "--all"]]) {
      const ending = await command(home, ...args);
      expect(ending).toMatchObject({ code: 1, stdout: "" });
      expect(ending.stderr).toMatch(/^hermit: No host is running on this home \(.*\)\.\n +Start one with `hermit run`/);
    }
  });
});

describe("stop", () => {
  test("ends one group's turn: its container stops running in under a second, its chat is told, other groups go on", async () => {
    await using home = new TemporaryHome();
    await using hermit = await startBusy(home, ["family", "flat"]);
    const instance = home.instance() ?? "";
    expect([...(await runningSandboxesOf(instance)).keys()].toSorted()).toEqual(["family", "flat"]);
    const asked = performance.now();
    const stop = await command(home, "stop", "family");
    const running = await runningSandboxesOf(instance);
    const ms = performance.now() - asked;
    process.stdout.write(`stop: ${Math.round(ms)} ms from typing the command to the engine's list without the container\n`);
    expect(stop.stdout).toMatch(/^family: turn 1 stopped in \d+ ms\n$/);
    expect(stop.code).toBe(0);
    expect([...running.keys()]).toEqual(["flat"]);
    expect(ms).toBeLessThan(SECOND_MS);
    expect(await sandboxesOf(instance)).toEqual([...running.values()]);

    await hermit.printed(/Stopped/);
    expect(texts(home, "family")).toEqual(["[hermit] Stopped."]);
    hermit.stdin.end(line("family-2", "family", "run: echo again"));
    home.letGo("flat", "go");
    expect((await hermit.ended).code).toBe(1);
    expect(texts(home, "family")).toEqual(["[hermit] Stopped.", "again"]);
    expect(texts(home, "flat")).toEqual(["flat finished"]);
    expect(
      home
        .runs()
        .map(({ group, outcome, turnState }) => `${group} ${outcome} ${turnState}`)
        .toSorted(),
    ).toEqual(["family done done", "family stopped failed", "flat done done"]);
  });

  test("--all ends every turn; asked again there is nothing to stop, and a group nobody knows is refused by name", async () => {
    await using home = new TemporaryHome();
    await using hermit = await startBusy(home, ["family", "flat", "garden"]);
    const instance = home.instance() ?? "";
    const stop = await command(home, "stop", "--all", "--json");
    expect(stop.code).toBe(0);
    const { stopped } = StopResult.parse(JSON.parse(stop.stdout));
    expect(stopped.map(({ folder }) => folder).toSorted()).toEqual(["family", "flat", "garden"]);
    for (const { ms } of stopped) expect(ms).toBeLessThan(SECOND_MS);
    expect(await sandboxesOf(instance)).toEqual([]);

    expect(await command(home, "stop", "--all")).toMatchObject({ code: 0, stdout: "Nothing was running.\n" });
    const unknown = await command(home, "stop", "nobody");
    expect(unknown).toMatchObject({ code: 1, stdout: "" });
    expect(unknown.stderr).toMatch(/No group nobody is registered/);
    const both = await command(home, "stop", "family", "--all");
    expect(both).toMatchObject({ code: 2, stdout: "" });

    hermit.stdin.end();
    await hermit.ended;
    expect(home.journal().map(({ text }) => text)).toEqual(["[hermit] Stopped.", "[hermit] Stopped.", "[hermit] Stopped."]);
  });
});

describe("SIGTERM", () => {
  test("lets a turn that ends within the grace period finish and deliver", async () => {
    await using home = new TemporaryHome();
    await using hermit = await startBusy(home, ["family"], { HERMIT_SHUTDOWN_GRACE_S: "20" });
    hermit.signal("SIGTERM");
    home.letGo("family", "go");
    const { code, signal, ms } = await hermit.ended;
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(ms).toBeLessThan(10 * SECOND_MS);
    expect(texts(home, "family")).toEqual(["family finished"]);
    expect(await sandboxesOf(home.instance() ?? "")).toEqual([]);
  });

  test("cuts off what takes longer; the next start goes on with it: one reply, no second run of the command, what waited is answered", async () => {
    await using home = new TemporaryHome();
    await using hermit = await startBusy(home, ["family"], { HERMIT_SHUTDOWN_GRACE_S: "0.3" });
    hermit.stdin.write(line("flat-1", "flat", "run: echo waited"));
    hermit.signal("SIGTERM");
    const { code, signal, stderr } = await hermit.ended;
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(stderr).toMatch(/^hermit: stopping; running turns have 0\.3 s to end, the next start goes on with the rest\./);
    expect(texts(home, "family")).toEqual([]);
    expect(await sandboxesOf(home.instance() ?? "")).toEqual([]);
    expect(home.runs()).toMatchObject([{ outcome: "interrupted", turnState: "running" }]);

    const input = line("family-1", "family", "run: echo this id was seen before") + line("flat-1", "flat", "run: echo waited");
    const next = await runHermit({ home: home.path, args: ["run", "--jsonl"], input });
    expect(next.code).toBe(0);
    expect(texts(home, "family")).toEqual([expect.stringMatching(/^Interrupted: /)]);
    expect(texts(home, "flat")).toEqual(["waited"]);
    const effects = await runHermit({ home: home.path, args: ["run", "--jsonl"], input: line("family-2", "family", "read effects") });
    expect(effects.code).toBe(0);
    expect(texts(home, "family").at(-1)).toBe("begun");
  });

  test("a second one ends the host at once, and the next start goes on as well", async () => {
    await using home = new TemporaryHome();
    await using hermit = await startBusy(home, ["family"], { HERMIT_SHUTDOWN_GRACE_S: "3600" });
    hermit.signal("SIGTERM");
    await hermit.complained(/^hermit: stopping; running turns have 3600 s to end/);
    hermit.signal("SIGTERM");
    expect(await hermit.ended).toMatchObject({ code: null, signal: "SIGTERM" });
    expect((await runHermit({ home: home.path, args: ["run", "--jsonl"], input: "" })).code).toBe(0);
    expect(texts(home, "family")).toEqual([expect.stringMatching(/^Interrupted: /)]);
    expect(await sandboxesOf(home.instance() ?? "")).toEqual([]);
  });
});
