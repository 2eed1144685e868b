/** Resources: memory, processors, processes, files, disk, time and words, taken without end. */
import { processesWith } from "../harness/engine.ts";
import type { Attack, Seen, Verdict } from "./attack.ts";
import { hostileRunner } from "./hostile-runner.ts";
import { python } from "./python.ts";

const family = "resources";
const CUT = /bytes cut …\]/;
const MIB = 1024 * 1024;

/** Killed for memory, alone or with its whole sandbox. */
function diedOfMemory({ output, turn }: Seen): Verdict {
  const told =
    /killed by SIGKILL|exit 137|MemoryError|Cannot allocate/.exec(output)?.[0] ??
    (/memory|killed/i.test(turn.error ?? "") ? turn.error : undefined);
  return /^PASSED/m.test(output) || told == null
    ? { stopped: false, by: output.slice(-200) || (turn.error ?? "") }
    : { stopped: true, by: `memory limit: ${told}` };
}

/** All it printed was taken, and little of it kept. */
function wasCut({ output, turn }: Seen, { config }: Parameters<NonNullable<Attack["judge"]>>[1]): Verdict {
  const bytes = Buffer.byteLength(output);
  const stopped = CUT.test(output) && bytes <= 2 * config.turn.toolOutputBytes && turn.outcome === "done";
  return { stopped, by: `${bytes} bytes are kept, with a mark: ${/\[… \d+ bytes cut …\]/.exec(output)?.[0] ?? output.slice(0, 100)}` };
}

function command(
  id: string,
  tried: string,
  script: string,
  more: Partial<Attack> & { readonly alone?: true; readonly seconds?: number } = {},
): Attack {
  const { alone, seconds, ...rest } = more;
  const own = { ...(alone === undefined ? {} : { alone: "attacker" as const }), ...(seconds === undefined ? {} : { seconds }) };
  return { id: `resources.${id}`, family, tried, way: { kind: "command", command: () => script, ...own }, ...rest };
}

export const RESOURCES: readonly Attack[] = [
  {
    id: "resources.memory-bomb",
    family,
    tried: "takes twice the memory it may have",
    way: {
      kind: "command",
      alone: "greedy",
      command: ({ config }) =>
        python(`
hoard = []
for _ in range(${Math.ceil((2 * config.sandbox.limits.memoryBytes) / (16 * MIB))}): hoard.append(bytearray(os.urandom(4096)) * 4096)
passed(f"{len(hoard) * 16} MB")`),
    },
    judge: diedOfMemory,
    recorded: { in: "run" },
  },
  {
    id: "resources.fork-bomb",
    family,
    tried: "multiplies without end",
    way: {
      kind: "command",
      alone: "greedy",
      command: ({ config: { sandbox } }) =>
        python(`
children = []
for n in range(${sandbox.limits.pids * 2}):
    try: pid = os.fork()
    except OSError as error:
        for child in children: os.kill(child, 9)
        stopped(f"{named(error.errno)} after {len(children)} processes; the limit is ${sandbox.limits.pids}") if len(children) <= ${sandbox.limits.pids} else passed(f"{len(children)}")
    if pid == 0: time.sleep(30); os._exit(0)
    children.append(pid)
for child in children: os.kill(child, 9)
passed(f"{len(children)} processes")`),
    },
  },
  {
    id: "resources.tmp-filler",
    family,
    tried: "fills /tmp and shared memory",
    way: {
      kind: "command",
      alone: "greedy",
      command: ({ config: { sandbox } }) =>
        python(`
for folder, bound in (("/tmp", ${sandbox.limits.tmpBytes}), ("/dev/shm", 8 << 20)):
    written = 0
    try:
        with open(folder + "/fill", "wb", buffering=0) as file:
            while written <= bound: written += file.write(b"x" * (1 << 20))
        code = "no error"
    except OSError as error: code = named(error.errno)
    os.unlink(folder + "/fill")
    if written > bound or code != "ENOSPC": passed(f"{folder}: {written} bytes, {code}")
    SEEN.append(f"{folder}: {code} after {written >> 20} MB")
end()`),
    },
    judge: (seen) => (/STOPPED/.test(seen.output) ? { stopped: true, by: seen.output.slice(8, 200) } : diedOfMemory(seen)),
    recorded: { in: "run" },
  },
  {
    id: "resources.other-disks",
    family,
    tried: "looks for other places to fill: any folder that can be written, message queues, shared segments",
    way: {
      kind: "command",
      command: () =>
        python(`
known = ("/tmp", "/dev/shm", "/workspace/group", "/dev/mqueue", "/proc", "/sys", "/dev")
for path in sorted({line.split()[1] for line in open("/proc/self/mounts")}):
    if path in known or path.startswith(("/proc/", "/sys/")) or not os.path.isdir(path): continue
    def work():
        with open(path + "/fill", "w") as file: return "written"
    tries(path, work)
tries("shmget", lambda: None if libc.shmget(0, 1 << 20, 0o1600) == -1 else "a segment")
end()`),
    },
  },
  {
    id: "resources.cpu-hog",
    family,
    tried: "takes more processors than it may have",
    way: {
      kind: "command",
      seconds: 15,
      command: ({ config: { sandbox } }) =>
        python(`
import resource
began = time.time()
for _ in range(6):
    if os.fork() == 0:
        while time.time() - began < 2: pass
        os._exit(0)
for _ in range(6): os.wait()
used, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.time() - began
cores = (used.ru_utime + used.ru_stime) / wall
(stopped if cores <= ${sandbox.limits.cpus} * 1.25 + 0.1 else passed)(f"{cores:.2f} cores of ${sandbox.limits.cpus} over {wall:.1f} s")`),
    },
  },
  command(
    "open-files",
    "opens files without end",
    python(`
held = []
try:
    for _ in range(100000): held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    count = len(held)
    stopped(f"{named(error.errno)} after {count}") if count <= 4096 else passed(str(count))
passed("100,000 files")`),
  ),
  command("output-flood", "prints 300 MB", "head -c 300000000 /dev/zero | tr '\\0' x", { judge: wasCut }),
  command(
    "compressed-flood",
    "unpacks 500 MB out of half a megabyte onto its output",
    "head -c 500000000 /dev/zero | gzip -1 | gunzip | tr '\\0' y",
    {
      judge: wasCut,
      seconds: 20,
    },
  ),
  command("sleeper", "sleeps for ever, deaf to every signal it may ignore", "trap '' TERM HUP INT; sleep 1111; sleep 1111", {
    seconds: 1,
    judge: ({ output }) => ({ stopped: /\[timed out after 1 s and was killed\]/.test(output), by: output.trim() }),
  }),
  {
    id: "resources.leftovers",
    family,
    tried: "leaves a program running behind, out of its group and session",
    way: {
      kind: "command",
      alone: "greedy",
      command: ({ instance }) =>
        `setsid nohup bash -c 'exec -a leftover-${instance} sleep 1111' >/dev/null 2>&1 & sleep 0.2; ps ax -o args= | grep -c '^leftover-'`,
    },
    judge: ({ output }, { instance }) => {
      const left = processesWith([`leftover-${instance}`]);
      return {
        stopped: output.startsWith("1") && left.length === 0,
        by: left.length === 0 ? "it ended with the turn's sandbox" : left.join(),
      };
    },
  },
  {
    id: "resources.log-flood",
    family,
    tried: "writes megabytes to the first process's output, for the engine's log and the host's",
    way: {
      kind: "command",
      command: () =>
        python(`
written = 0
for pid in [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]:
    for number in (1, 2):
        try:
            file = os.open(f"/proc/{pid}/fd/{number}", os.O_WRONLY | os.O_NONBLOCK)
            for _ in range(2000): written += os.write(file, b"flood " * 1000)
        except OSError as error: SEEN.append(f"{pid}/{number}: {named(error.errno)}")
print(f"WRITTEN {written} {' '.join(SEEN)}")`),
    },
    judge: ({ output }, rig) => {
      const kept = rig.kept().split("flood flood flood").length - 1;
      return {
        stopped: /WRITTEN/.test(output) && kept < 5_000,
        by: `no log keeps it: ${/WRITTEN (.*)/.exec(output)?.[1]?.slice(0, 150) ?? output.slice(-100)}`,
      };
    },
  },
  {
    id: "resources.endless-reply",
    family,
    tried: "answers with seven megabytes, in the runner's place",
    way: {
      kind: "runner",
      program: () =>
        hostileRunner(`
const client = session(await opened());
await beginOpen(client);
const answer = await post(client, "/v1/turn/finish", { text: "x".repeat(7 << 20) });
note("finish", String(answer.status));
stopped();
process.exit(0);`),
    },
    judge: ({ turn }, { config }) => {
      const bytes = Buffer.byteLength(turn.replies.join(""));
      return { stopped: bytes > 0 && bytes <= config.turn.replyBytes, by: `${bytes} bytes reached the chat` };
    },
  },
  {
    id: "resources.endless-turn",
    family,
    tried: "never comes to an answer: tool after tool, step after step",
    way: { kind: "turn", steps: () => Array.from({ length: 60 }, () => ({ calls: [{ name: "exec", input: { command: "true" } }] })) },
    judge: ({ turn }) => ({
      stopped: turn.replies.some((text) => /limit of \d+ model steps/.test(text)),
      by: turn.replies.join().slice(0, 200) || (turn.error ?? ""),
    }),
  },
  {
    id: "resources.message-flood",
    family,
    tried: "sends 400 messages in one step",
    way: {
      kind: "turn",
      steps: () => [
        { calls: Array.from({ length: 400 }, (_, n) => ({ name: "send_message", input: { text: `spam ${n}` } })) },
        { deltas: ["done"] },
      ],
    },
    judge: ({ turn }) => ({
      stopped: turn.replies.length <= 257 && turn.outcome === "done",
      by: `${turn.replies.length - 1} were sent; the limit of tool calls is 256`,
    }),
  },
  {
    id: "resources.kill-all",
    family,
    tried: "kills everything it can, the runner with it",
    way: { kind: "command", alone: "attacker", command: () => "kill -9 1; kill -9 -1; echo still here" },
    judge: ({ turn }) => ({ stopped: turn.outcome !== null, by: turn.error ?? "the first process cannot be killed; the turn went on" }),
    recorded: { in: "run" },
  },
  {
    id: "resources.control-host-lives",
    family,
    isControl: true,
    tried: "afterwards: the same group's next turn is answered",
    way: { kind: "turn", steps: () => [{ deltas: ["still here"] }] },
    judge: ({ turn }) => ({ stopped: turn.replies.includes("still here"), by: turn.replies.join() || (turn.error ?? "") }),
  },
];
