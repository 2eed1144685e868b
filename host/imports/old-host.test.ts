import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, linkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { type OldHome, openOldHome } from "./old-home.ts";
import { refuseRunning } from "./old-host.ts";
import { OldHousehold } from "./old-household-harness.ts";

let old: OldHousehold;
let home: OldHome;
const started: ChildProcess[] = [];
beforeEach(() => {
  old = new OldHousehold();
  home = openOldHome(old.path);
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill();
  old[Symbol.dispose]();
});

/** A shell with these arguments that says when it runs, and ends with its input. */
async function run(script: string, args: readonly string[] = [], cwd?: string): Promise<number | undefined> {
  const child = spawn("sh", ["-c", script, ...args], { stdio: ["pipe", "pipe", "ignore"], ...(cwd === undefined ? {} : { cwd }) });
  started.push(child);
  await once(child.stdout, "data");
  return child.pid;
}
const WAIT = "echo running; read -r _";

describe("NanoClaw counts as running where", () => {
  test.each(["messages.db", "messages.db-wal", "messages.db-journal"])("a process has its %s open", async (name) => {
    old.write(`store/${name}`, "");
    const pid = await run(`exec 3<"$1"; ${WAIT}`, ["holder", join(old.path, "store", name)]);
    expect(() => refuseRunning(home)).toThrow(`process ${pid} (sh) has ${join(home.path, "store", name)} open`);
  });

  test("a process was started from its program, by its path or from its folder", async () => {
    expect(() => refuseRunning(home)).not.toThrow();
    const absolute = await run(WAIT, [join(home.path, "dist", "index.js")]);
    expect(() => refuseRunning(home)).toThrow(`process ${absolute} (sh) was started from it`);
    started[0]?.kill();
    await once(started[0] as ChildProcess, "exit");
    const relative = await run(WAIT, ["src/index.ts"], old.path);
    expect(() => refuseRunning(home)).toThrow(`process ${relative} (sh) was started from it`);
  });

  test("the system has no list of processes, and lsof names one that has the database open", () => {
    const nowhere = join(old.root, "no-proc");
    const lsof = (script: string): void => {
      old.write("bin/lsof", `#!/bin/sh\n${script}\n`);
      chmodSync(join(old.path, "bin", "lsof"), 0o755);
    };
    vi.stubEnv("PATH", join(old.path, "bin"));
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(() => refuseRunning(home, nowhere)).toThrow(/Whether NanoClaw runs cannot be told: `lsof`/);
    // It lists this process too where we look at the file ourselves, and exits with 1 where it finds nobody.
    lsof(`echo ${process.pid}; exit 1`);
    expect(() => refuseRunning(home, nowhere)).not.toThrow();
    lsof(`[ "$1 $2 $3" = "-t -- ${old.database}" ] && echo 4711`);
    expect(() => refuseRunning(home, nowhere)).toThrow("process 4711 has its database open");
  });
});

test("a shell or an editor in its folder is not NanoClaw, nor is another household's", async () => {
  using other = new OldHousehold();
  await run(WAIT, [], old.path);
  await run(WAIT, ["dist/index.js"], other.path);
  await run(`exec 3<"$1"; ${WAIT}`, ["holder", other.database]);
  expect(() => refuseRunning(home)).not.toThrow();
});

test("the refusal says how to stop its service", async () => {
  await run(`exec 3<"$1"; ${WAIT}`, ["holder", old.database]);
  expect(() => refuseRunning(home)).toThrow(
    expect.objectContaining({ code: "OLD_HOST_RUNNING", hint: expect.stringContaining("systemctl --user stop") }),
  );
});

test("a process that has the database open under another path, as in a container, is NanoClaw too", async () => {
  // Another name of the same file, as a bind mount is; that needs rights a test has not everywhere.
  const other = join(old.root, "elsewhere.db");
  linkSync(old.database, other);
  const pid = await run(`exec 3<"$1"; ${WAIT}`, ["holder", other]);
  expect(() => refuseRunning(home)).toThrow(`process ${pid} (sh) has ${home.database} open`);
});
