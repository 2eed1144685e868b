/**
 * On a Docker that renumbers its containers' users (userns-remap) a sandbox still is the workspace's owner, or there is none.
 *
 * The tests start a Docker of their own beside the machine's, with everything it keeps in a folder of theirs. The ranges it takes its users
 * from stand in /etc/subuid and /etc/subgid, which it alone sees changed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { start } from "../../../contracts/suites/sandbox-conversation.ts";
import { connectEngine } from "./engine-api.ts";
import { type EngineHarness, makeEngineHarness } from "./engine-harness.ts";
import { findEngine } from "./find-engine.ts";

const START_MS = 30_000;
const FIRST_RENUMBERED = 165_536;
const NEVER = new AbortController().signal;

const folder = mkdtempSync(join(tmpdir(), "remap-"));
const socketPath = join(folder, "docker.sock");
let docker: ChildProcess;

const STARTER = `
mount --make-rprivate /
mount --bind "$0/ids" /etc/subuid
mount --bind "$0/ids" /etc/subgid
exec dockerd --userns-remap=nobody:nogroup --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" --host "unix://$0/docker.sock" \\
  --iptables=false --ip6tables=false --bridge=none --log-level=error`;

beforeAll(async () => {
  writeFileSync(join(folder, "ids"), ["nobody", "nogroup"].map((name) => `${name}:${FIRST_RENUMBERED}:65536\n`).join(""));
  // Its containers' root, who is nobody here, must get through.
  chmodSync(folder, 0o711);
  docker = spawn("unshare", ["--mount", "sh", "-euc", STARTER, folder], { stdio: ["ignore", "ignore", "pipe"] });
  let words = "";
  docker.stderr?.on("data", (chunk: Buffer) => (words = (words + chunk.toString()).slice(-2_000)));
  const gone = once(docker, "exit").then(() => {
    throw new Error(`The second Docker, which needs root, dockerd and unshare, ended: ${words}`);
  });
  gone.catch(() => {});
  await Promise.race([gone, appears(socketPath)]);
  // The socket is there before anybody answers.
  while ((await Promise.race([gone, findEngine([socketPath])])) === undefined);
}, START_MS);

afterAll(async () => {
  if (docker.exitCode === null) {
    const exited = once(docker, "exit");
    docker.kill("SIGTERM");
    await exited;
  }
  rmSync(folder, { recursive: true, force: true });
}, START_MS);

async function appears(path: string): Promise<void> {
  const changes = watch(folder);
  while (!existsSync(path)) await once(changes, "change");
  changes.close();
}

/** Its engine forgets what a sandbox is asked to be in the way of users. */
function forgetfulHarness(): Promise<EngineHarness> {
  const engine = connectEngine(socketPath);
  return makeEngineHarness(socketPath, {
    engine: {
      ...engine,
      create: (name, body) => engine.create(name, { ...body, HostConfig: { ...body.HostConfig, UsernsMode: "" as "host" } }),
    },
  });
}

test("it renumbers, and a sandbox is left out of it: what it writes belongs to its user, and the owner is told", async () => {
  const harness = await makeEngineHarness(socketPath);
  const { SecurityOptions } = await connectEngine(socketPath).info({ abortSignal: NEVER });
  expect(SecurityOptions).toContain("name=userns");
  await harness.runtime.check();
  expect(harness.logged).toContainEqual(expect.objectContaining({ level: "warn", message: expect.stringContaining("userns-remap") }));
  await using up = await start(harness);
  await up.run(`process.getBuiltinModule("fs").writeFileSync("/workspace/group/mine", "x")`);
  const written = statSync(join(harness.workspace, "mine"));
  const { uid, gid } = harness.spec().user;
  expect([written.uid, written.gid]).toEqual([uid, gid]);
  const { State } = await connectEngine(socketPath).container(up.sandbox.id).inspect({ abortSignal: NEVER });
  expect(readFileSync(`/proc/${State.Pid}/uid_map`, "utf8").trim().split(/\s+/)).toEqual(["0", "0", "4294967295"]);
  await up.sandbox.stop(0);
  await harness.close();
});

test("were it renumbered all the same, it is refused by who it is on this machine, and nothing is left", async () => {
  const harness = await forgetfulHarness();
  // Else the engine itself fails on it, in words of its own.
  chmodSync(harness.workspace, 0o777);
  const { uid } = harness.spec().user;
  await expect(harness.runtime.start(harness.spec(), NEVER)).rejects.toMatchObject({
    code: "LIMIT_NOT_ENFORCED",
    retryable: false,
    message: expect.stringContaining(`${FIRST_RENUMBERED + uid}:${FIRST_RENUMBERED + uid}`),
  });
  expect(await harness.leftOver()).toEqual([]);
  await harness.close();
});
