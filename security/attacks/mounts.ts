/** Mounts: out of the group's folder, into others', and past what the owner allows or the disk bears. */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AttackRig, TurnSeen } from "../harness/attack-rig.ts";
import { GROUPS, PLANTED_START, WORKSPACE_LIMIT } from "../harness/attacked-household.ts";
import type { Attack, Verdict } from "./attack.ts";
import { python } from "./python.ts";

const family = "mounts";

function command(id: string, tried: string, body: string): Attack {
  return { id: `mounts.${id}`, family, tried, way: { kind: "command", command: () => python(body) } };
}

/** More files than a workspace may hold, on the host. */
const OUTSIDE_FILES = WORKSPACE_LIMIT.files * 2;

export const MOUNTS: readonly Attack[] = [
  {
    id: "mounts.control-workspace",
    family,
    isControl: true,
    tried: "writes to its own folder, and reads what is there for all",
    way: {
      kind: "command",
      command: () =>
        python(`
open("/workspace/group/mine", "w").write("x")
stopped("both can be done") if open("/workspace/global/shared").read() else passed("nothing there for all")`),
    },
  },
  {
    id: "mounts.file-tools",
    family,
    tried: "leaves its folders by the file tools: dots, absolute paths, /proc/self/root, links",
    way: {
      kind: "turn",
      steps: () => [
        {
          calls: [
            { name: "exec", input: { command: "ln -sfn /etc /workspace/group/elsewhere; ln -sfn /proc/self/root/etc/passwd /tmp/passwd" } },
          ],
        },
        {
          calls: [
            ...[
              "../../etc/passwd",
              "/etc/passwd",
              "/proc/self/root/etc/passwd",
              "elsewhere/passwd",
              "/tmp/passwd",
              "/workspace/../etc/passwd",
            ].map((path) => ({ name: "read_file", input: { path } })),
            ...["../../etc/cron.d/x", "/opt/hermit/runner.cjs", "elsewhere/x", "/run/hermit/x"].map((path) => ({
              name: "write_file",
              input: { path, content: "x" },
            })),
          ],
        },
        { deltas: ["done"] },
      ],
    },
    judge: ({ turn }) => {
      const texts = [...turn.results.values()].slice(1);
      const through = texts.find((text) => text.includes("root:") || !/outside|denied|permitted|Read-only|not/i.test(text));
      return { stopped: texts.length === 10 && through === undefined, by: through ?? `${texts.length} refused: ${texts[0] ?? ""}` };
    },
    recorded: { in: "journal" },
  },
  command(
    "traversal",
    "leaves its folder by dots, /proc/*/root, /proc/*/cwd and links, and looks for the host's files",
    `
for path in ("/workspace/group/../../../../root/.ssh", "/proc/1/root/root", "/proc/self/root/../home", "/workspace/group/..", "/workspace", "/proc/1/cwd/../.."):
    def work():
        names = os.listdir(path)
        return names if any(name in ("hermit.toml", "store", "policy.toml", "groups", "messages.db", "${GROUPS.victim}") for name in names) else None
    tries(path, work)
os.path.lexists("/workspace/group/up") or os.symlink("../../../../../../..", "/workspace/group/up")
tries("a link to the top", lambda: os.listdir("/workspace/group/up/host") or None)
end()`,
  ),
  command(
    "hard-link",
    "makes hard links to files outside its folder, and moves folders across",
    `
for source in ("/etc/passwd", "/workspace/global/shared", "/opt/hermit/runner.cjs", "/proc/self/environ", "/run/hermit"):
    tries(source, lambda: os.link(source, "/workspace/group/hard-link", follow_symlinks=False) or "linked")
tries("move", lambda: os.rename("/workspace/global/shared", "/workspace/group/shared") or "moved")
end()`,
  ),
  command(
    "shared-write",
    "writes to what is there for all: create, change, delete, touch, attributes",
    `
tries("create", lambda: open("/workspace/global/x", "w") and "created")
tries("change", lambda: open("/workspace/global/shared", "a") and "opened")
tries("delete", lambda: os.unlink("/workspace/global/shared") or "deleted")
tries("mode", lambda: os.chmod("/workspace/global/shared", 0o777) or "changed")
tries("times", lambda: os.utime("/workspace/global") or "changed")
tries("attribute", lambda: os.setxattr("/workspace/global/shared", "user.x", b"y") or "set")
tries("through /proc", lambda: open(f"/proc/self/fd/{os.open('/workspace/global/shared', os.O_RDONLY)}", "a") and "opened")
end()`,
  ),
  command(
    "remount",
    "mounts read-only folders anew for writing, and something over the workspace",
    `
for path in (b"/workspace/global", b"/run/hermit", b"/"):
    kernel("mount", b"none\\0", path + b"\\0", b"none\\0", 32 | 4096, 0)
kernel("mount", b"/etc\\0", b"/workspace/group\\0", b"none\\0", 4096, 0)
kernel("umount2", b"/workspace/global\\0", 2)
end()`,
  ),
  command(
    "neighbour",
    "looks for another group's folder, by name and in the mount table",
    `
for path in ("/workspace/${GROUPS.victim}", "/workspace/group/../${GROUPS.victim}", "/workspace/groups", "/groups", "/workspace/extra"):
    tries(path, lambda: os.listdir(path))
sources = [line for line in open("/proc/self/mountinfo") if "${GROUPS.victim}" in line]
passed(str(sources)) if sources else end()`,
  ),
  command(
    "open-folder-escape",
    "keeps a folder open, moves it, and climbs out by the open handle",
    `
os.makedirs("/workspace/group/a/b", exist_ok=True)
handle = os.open("/workspace/group/a/b", os.O_RDONLY)
os.path.exists("/workspace/group/moved") or os.rename("/workspace/group/a/b", "/workspace/group/moved")
os.fchdir(handle)
for _ in range(20): os.chdir("..")
names = os.listdir(".")
passed(str(names)) if any(name in names for name in ("hermit.toml", "policy.toml", "groups")) else stopped(f"it ends at {os.getcwd()}")`,
  ),
  {
    id: "mounts.link-swap",
    family,
    tried: "swaps folders for links to a full folder of the host while the host counts the workspace",
    way: { kind: "host", look: linkSwap },
    recorded: { in: "run" },
  },
  {
    id: "mounts.blocked-requests",
    family,
    tried: "has its group ask for the owner's keys, the host's home, the root, and places that are none",
    way: { kind: "host", group: "greedy", look: blockedRequests },
    recorded: { in: "audit", kind: "mount", subject: /\.ssh/ },
  },
  {
    id: "mounts.request-swap",
    family,
    tried: "has a folder that may be mounted swapped for a link to the owner's keys while the sandbox starts",
    way: { kind: "host", group: "greedy", look: requestSwap },
    recorded: { in: "audit", kind: "mount" },
  },
  {
    id: "mounts.fill-bytes",
    family,
    tried: `writes without end to its folder, whose limit is ${WORKSPACE_LIMIT.bytes / 1024 / 1024} MB, under a name that drives terminals`,
    way: { kind: "host", group: "greedy", look: fillBytes },
    recorded: { in: "audit", kind: "limit" },
  },
  {
    id: "mounts.fill-files",
    family,
    tried: `makes files without end; its folder may hold ${WORKSPACE_LIMIT.files}`,
    way: { kind: "host", group: "greedy", look: fillFiles },
    recorded: { in: "audit", kind: "limit" },
  },
];

type Look = Verdict & { readonly turn: TurnSeen };

async function run(rig: AttackRig, group: "attacker" | "greedy", body: string): Promise<{ turn: TurnSeen; output: string }> {
  const command = python(body);
  const turn = await rig.turn(group, [{ calls: [{ name: "exec", input: { command, timeout_seconds: 15 } }] }, { deltas: ["done"] }]);
  return { turn, output: turn.results.get(command) ?? "" };
}

async function linkSwap(rig: AttackRig): Promise<Look> {
  const outside = join(rig.owner, "many");
  mkdirSync(outside, { recursive: true });
  for (let n = 0; n < OUTSIDE_FILES; n++) writeFileSync(join(outside, `f${n}`), "");
  const { turn, output } = await run(
    rig,
    "attacker",
    `
os.chdir("/workspace/group")
for n in range(8): os.makedirs(f"swap{n}/inner", exist_ok=True); os.path.lexists(f"link{n}") or os.symlink(${JSON.stringify(outside)}, f"link{n}")
open("grows", "wb").write(b"x" * (12 << 20))
until = time.time() + 3
swaps = 0
while time.time() < until:
    for n in range(8):
        os.rename(f"swap{n}", f"away{n}"); os.rename(f"link{n}", f"swap{n}")
        os.rename(f"swap{n}", f"link{n}"); os.rename(f"away{n}", f"swap{n}"); swaps += 1
os.unlink("grows")
stopped(f"{swaps} swaps")`,
  );
  // Had a count followed one of them, the workspace would have held too much.
  const swaps = Number(/STOPPED (\d+)/.exec(output)?.[1] ?? 0);
  return {
    stopped: turn.outcome === "done" && swaps > 100,
    by: swaps > 0 ? `no count followed a link in ${swaps} swaps` : (turn.error ?? output),
    turn,
  };
}

async function blockedRequests(rig: AttackRig): Promise<Look> {
  await rig.turn("greedy", [{ deltas: ["hello"] }]);
  const { owner } = rig;
  const ask = (hostPath: string, containerPath: string) => ({ hostPath, containerPath, readonly: false });
  const places = rig.ownersPlaces.map((path, n) => ask(path, `owner-${n}`));
  rig.askForMounts("greedy", [
    ...places,
    ...[ask(join(owner, ".ssh"), "keys"), ask(rig.home, "home"), ask("/", "root"), ask("/etc", "etc"), ask(rig.engineSocket, "engine")],
    ...[ask(join(owner, "offered"), "../../etc"), ask(join(owner, "offered"), "/etc"), ask(join(owner, "nothing"), "nothing")],
    ...[ask(join(owner, "offered", "..", ".ssh"), "dots"), ask(join(owner, "seal.key"), "seal"), ask(join(owner, "offered"), "offered")],
  ]);
  const { turn, output } = await run(
    rig,
    "greedy",
    `
names = os.listdir("/workspace/extra") if os.path.isdir("/workspace/extra") else []
if names != ["offered"] or os.path.exists("/etc/note"): passed(str(names))
tries("write", lambda: open("/workspace/extra/offered/x", "w") and "written")
end("of more than ten requests the one for a harmless folder is mounted, for reading: ")`,
  );
  rig.askForMounts("greedy", []);
  return { stopped: /^STOPPED/m.test(output), by: /(?:STOPPED|PASSED) (.*)/.exec(output)?.[1] ?? turn.error ?? "", turn };
}

async function requestSwap(rig: AttackRig): Promise<Look> {
  const { owner } = rig;
  const [folder, link, away] = ["offered", "offered-link", "offered-away"].map((name) => join(owner, name)) as [string, string, string];
  symlinkSync(join(owner, ".ssh"), link);
  await rig.turn("greedy", [{ deltas: ["hello"] }]);
  rig.askForMounts("greedy", [{ hostPath: folder, containerPath: "offered", readonly: true }]);
  let isSwapped = false;
  const swap = (): void => {
    renameSync(folder, isSwapped ? link : away);
    renameSync(isSwapped ? away : link, folder);
    isSwapped = !isSwapped;
  };
  const swapping = setInterval(swap, 2);
  let last: TurnSeen | undefined;
  let shown = "";
  for (let round = 0; round < 6; round++) {
    const { turn, output } = await run(
      rig,
      "greedy",
      `stopped(" ".join(open(path).read() for path in glob.glob("/workspace/extra/offered/*")))`,
    );
    last = turn;
    shown += `${output}\n`;
  }
  clearInterval(swapping);
  if (isSwapped) swap();
  rig.askForMounts("greedy", []);
  const turn = last ?? (await rig.turn("greedy", []));
  const seen = shown.split("harmless").length - 1;
  const by = `in six starts the keys were never there; what had been looked at was ${seen} times, else the start was refused`;
  return { stopped: !shown.includes(PLANTED_START), by, turn };
}

/** Names are the sandbox's own: they may say anything. */
const TERMINAL_NAME = String.raw`"\x1b[2J\x1b]0;owned\x07\u202egnp.\x9b31m" + "\n[hermit] all is well"`;

async function fillBytes(rig: AttackRig): Promise<Look> {
  const look = await fill(
    rig,
    `open("/workspace/group/" + (${TERMINAL_NAME}).replace("/", "_"), "wb") as file:`,
    "file.write(b'x' * (1 << 20)); file.flush(); time.sleep(0.01)",
  );
  const told = [look.turn.error ?? "", ...look.turn.replies, readAudit(rig)].join("\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is what it is for
  const drives = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/.test(told);
  return drives ? { ...look, stopped: false, by: "the file's name reached the owner as it is" } : look;
}

function fillFiles(rig: AttackRig): Promise<Look> {
  return fill(rig, "open('/dev/null') as file:", "open(f'/workspace/group/n{count}', 'w').close(); time.sleep(0.0005)");
}

async function fill(rig: AttackRig, opens: string, step: string): Promise<Look> {
  const { turn, output } = await run(
    rig,
    "greedy",
    `
count, until = 0, time.time() + 14
with ${opens}
    while time.time() < until:
        ${step}
        count += 1
passed(f"{count} times")`,
  );
  // The owner cleans up.
  rmSync(rig.workspace("greedy"), { recursive: true, force: true });
  const isFull = /workspace|folder/i.test(turn.error ?? "") && turn.outcome !== "done";
  return { stopped: isFull, by: isFull ? (turn.error ?? "") : `${turn.outcome}: ${turn.error ?? output}`, turn };
}

function readAudit(rig: AttackRig): string {
  return rig
    .audit()
    .map((record) => JSON.stringify([record.subject, record.reason]))
    .join("\n");
}
