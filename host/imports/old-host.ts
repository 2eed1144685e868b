/**
 * Whether NanoClaw runs on a folder. It leaves no lock and no pid file, so the system is asked who has its database open, which it has
 * from its start to its end, and who was started from its program.
 */
import { spawnSync } from "node:child_process";
import { type BigIntStats, existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { HostError } from "../domain/errors.ts";
import type { OldHome } from "./old-home.ts";

/** What `npm start`, its service and `npm run dev` run. */
const PROGRAMS = ["dist/index.js", "src/index.ts"];
const BESIDE_DATABASE = ["", "-journal", "-wal", "-shm"];
const LSOF_MS = 15_000;

/** Throws HostError OLD_HOST_RUNNING, naming the process. `proc`: where the system shows its processes; without that, `lsof` is asked. */
export function refuseRunning(home: OldHome, proc = "/proc"): void {
  const files = home.database === undefined ? [] : BESIDE_DATABASE.map((end) => `${home.database}${end}`);
  const programs = PROGRAMS.map((program) => join(home.path, program));
  const found = existsSync(join(proc, "self")) ? lookInProc(proc, files, programs) : askLsof(files);
  if (found === undefined) return;
  throw new HostError("OLD_HOST_RUNNING", `NanoClaw still runs on ${home.path}: ${found}.`, {
    hint: "Stop it, and its service if it has one (`launchctl unload ~/Library/LaunchAgents/com.nanoclaw.plist`, `systemctl --user stop nanoclaw`), then try again.",
  });
}

function lookInProc(proc: string, files: readonly string[], programs: readonly string[]): string | undefined {
  // By what they are, not by name: in a container, or over another mount, the same files have other paths.
  const known = new Map(files.flatMap((file) => idsOf(file).map((id) => [id, file])));
  for (const pid of readdirSync(proc)) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const own = join(proc, pid);
    const args = orNothing(() => readFileSync(join(own, "cmdline"), "utf8"), "").split("\0");
    // The kernel's own have no command.
    if (args.length < 2) continue;
    const name = basename(args[0] ?? "");
    const open = orNothing(() => readdirSync(join(own, "fd")), []);
    const id = open.flatMap((fd) => idsOf(join(own, "fd", fd))).find((found) => known.has(found));
    const file = id === undefined ? undefined : known.get(id);
    if (file !== undefined) return `process ${pid} (${name}) has ${file} open`;
    const cwd = orNothing(() => readlinkSync(join(own, "cwd")), "/");
    if (args.slice(1).some((arg) => programs.includes(resolve(cwd, arg)))) return `process ${pid} (${name}) was started from it`;
  }
  return undefined;
}

/** One, or none where it is not there. */
function idsOf(path: string): readonly string[] {
  const stat = orNothing<BigIntStats | undefined>(() => statSync(path, { bigint: true }), undefined);
  return stat === undefined ? [] : [`${stat.dev}:${stat.ino}`];
}

function askLsof(files: readonly string[]): string | undefined {
  const there = files.filter((file) => existsSync(file));
  if (there.length === 0) return undefined;
  const { stdout, error } = spawnSync("lsof", ["-t", "--", ...there], { encoding: "utf8", timeout: LSOF_MS });
  if (error !== undefined) {
    throw new HostError(
      "OLD_HOST_RUNNING",
      `Whether NanoClaw runs cannot be told: \`lsof\`, which knows who has ${there[0]} open, does not run (${error.message}).`,
      {
        hint: "Install lsof.",
      },
    );
  }
  const pid = stdout.split("\n").find((line) => line !== "" && Number(line) !== process.pid);
  return pid === undefined ? undefined : `process ${pid} has its database open`;
}

/** Processes end while they are looked at, and other users' keep their files to themselves. */
function orNothing<Value>(read: () => Value, nothing: Value): Value {
  try {
    return read();
  } catch {
    return nothing;
  }
}
