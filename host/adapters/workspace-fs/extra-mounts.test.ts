/** Which folders of the machine a group gets to see, on real folders; what is recorded of it; and what a bad list comes to: nothing mounted. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { HostError } from "../../domain/errors.ts";
import type { MountRequest } from "../../domain/mount-allowlist.ts";
import type { AuditEntry } from "../../ports/audit.ts";
import { createExtraMounts } from "./extra-mounts.ts";
import { hasMountBelow } from "./mount-points.ts";
import { createWorkspaces } from "./workspaces.ts";

let owner: string;
let recorded: AuditEntry[];
let warned: object[];
beforeEach(() => {
  owner = realpathSync(mkdtempSync(join(tmpdir(), "extra-")));
  recorded = [];
  warned = [];
  for (const folder of ["projects/app", "hermit/home/groups", ".config/hermit"]) mkdirSync(join(owner, folder), { recursive: true });
});
afterEach(() => rmSync(owner, { recursive: true, force: true }));

const LIST = { allowedRoots: [{ path: "~/projects", allowReadWrite: true }], blockedPatterns: ["private"], nonMainReadOnly: true };
const listPath = (): string => join(owner, ".config/hermit/mount-allowlist.json");

/** As a host that starts now. */
function start({ list = LIST as unknown, audit = (entry: AuditEntry): void => void recorded.push(entry) } = {}) {
  if (list !== null) writeFileSync(listPath(), typeof list === "string" ? list : JSON.stringify(list));
  const extraMounts = createExtraMounts({
    allowlist: listPath(),
    ownersFolder: owner,
    own: [join(owner, "hermit/home")],
    audit: { record: audit },
    log: { debug() {}, info() {}, warn: (fields) => void warned.push(fields), error() {} },
  });
  return (folder: string, ...mounts: MountRequest[]) =>
    extraMounts({ chat: folder, name: folder, folder, trigger: "@Andy", requiresTrigger: false, mounts });
}

const app: MountRequest = { hostPath: "~/projects/app", readonly: false };
const mounted = (readOnly: boolean) => {
  const hostPath = join(owner, "projects/app");
  const { dev, ino } = statSync(hostPath, { bigint: true });
  return [{ hostPath, containerPath: "/workspace/extra/app", readOnly, identity: { dev, ino } }];
};

describe("an allowed folder", () => {
  test("is mounted with what it was when it was judged: to read and write for main, read-only for any other", () => {
    const mounts = start();
    expect(mounts("main", app)).toEqual(mounted(false));
    expect(mounts("fam", app)).toEqual(mounted(true));
  });

  test("is read-only where the group does not ask to write, for main too", () => {
    const mounts = start();
    for (const readonly of [undefined, true, "false", 0, null]) expect(mounts("main", { ...app, readonly })).toEqual(mounted(true));
  });

  test("may be a regular file", () => {
    writeFileSync(join(owner, "projects/list.txt"), "");
    expect(start()("fam", { hostPath: "~/projects/list.txt" })).toMatchObject([{ containerPath: "/workspace/extra/list.txt" }]);
  });

  test("is seen by our own runner beside the group's folders", () => {
    const mounts = start();
    const home = join(owner, "hermit/home");
    const group = { chat: "fam", name: "fam", folder: "fam", trigger: "@Andy", requiresTrigger: false, mounts: [app] };
    expect(createWorkspaces(home, 0, 0, () => mounts("fam", app)).prepare(group).mounts).toEqual([
      { hostPath: join(home, "groups/fam"), containerPath: "/workspace/group", readOnly: false },
      ...mounted(true),
    ]);
  });
});

describe("what is recorded", () => {
  test("an allowed folder once since the start, and again when its verdict is another", () => {
    const mounts = start();
    for (let turn = 0; turn < 3; turn++) mounts("fam", app);
    expect(recorded).toEqual([
      {
        kind: "mount",
        decision: "allowed",
        group: "fam",
        turn: null,
        subject: "~/projects/app",
        reason: `${join(owner, "projects/app")} is mounted at /workspace/extra/app, read-only`,
      },
    ]);
    rmSync(join(owner, "projects/app"), { recursive: true });
    for (let turn = 0; turn < 3; turn++) expect(mounts("fam", app)).toEqual([]);
    mkdirSync(join(owner, "projects/app"));
    mounts("fam", app);
    expect(recorded.map(({ decision }) => decision)).toEqual(["allowed", "denied", "allowed"]);
  });

  test("the same for each group by itself, and after each start", () => {
    for (const mounts of [start(), start()]) for (const folder of ["fam", "work"]) mounts(folder, app);
    expect(recorded.map(({ group }) => group)).toEqual(["fam", "work", "fam", "work"]);
  });

  test("a refused one, with its reason, there and in the log", () => {
    const mounts = start();
    for (let turn = 0; turn < 2; turn++) mounts("fam", { hostPath: "/etc" }, { hostPath: "~/projects/app", containerPath: "../up" });
    const denied = { kind: "mount", decision: "denied", group: "fam" };
    expect(recorded).toMatchObject([
      { ...denied, subject: "/etc", reason: "it is in none of the folders the owner lists" },
      { ...denied, subject: "~/projects/app", reason: expect.stringContaining("`..`") },
    ]);
    expect(warned).toHaveLength(2);
  });

  test("more requests than are looked at, once, in words", () => {
    const mounts = start();
    const many = Array.from({ length: 5_000 }, (_, n) => ({ hostPath: "~/nowhere", containerPath: `${n}` }));
    mounts("fam", ...many);
    expect(recorded.at(-1)).toMatchObject({ decision: "denied", subject: "5000 folders", reason: expect.stringContaining("32") });
  });

  test("what cannot be recorded is not mounted", () => {
    const broken = new HostError("AUDIT_BROKEN", "It cannot be written.");
    let isBroken = true;
    const mounts = start({
      audit: () => {
        if (isBroken) throw broken;
      },
    });
    expect(() => mounts("fam", app)).toThrow(broken);
    expect(() => mounts("fam", app)).toThrow(broken);
    isBroken = false;
    expect(mounts("fam", app)).toEqual(mounted(true));
  });

  test("a path of any length fits a record", () => {
    start()("fam", { hostPath: `~/${"x".repeat(10_000)}` });
    expect(recorded[0]?.subject).toHaveLength(300);
  });
});

describe("the owner's list", () => {
  const nothingMounted = (mounts: ReturnType<typeof start>): void => {
    expect(mounts("main", app)).toEqual([]);
    expect(recorded.at(-1)).toMatchObject({ decision: "denied", subject: "~/projects/app", reason: expect.stringContaining("no list") });
  };

  test.each([
    ["no JSON", "{"],
    ["empty", ""],
    ["no object", "[]"],
    ["without its fields", {}],
    ["with a root that is none", { ...LIST, allowedRoots: ["~/projects"] }],
    ["with a pattern that is none", { ...LIST, blockedPatterns: [1] }],
    ["undecided on who may write", { ...LIST, nonMainReadOnly: "no" }],
    ["far too long", `${JSON.stringify(LIST)}${" ".repeat(1024 * 1024)}`],
  ])("that is %s mounts nothing; log and audit say so at the start", (_, list) => {
    const mounts = start({ list });
    expect(recorded).toEqual([
      expect.objectContaining({
        kind: "mount",
        decision: "denied",
        group: null,
        subject: listPath(),
        reason: expect.stringMatching(/^nothing is mounted: /),
      }),
    ]);
    expect(warned).toEqual([expect.objectContaining({ file: listPath() })]);
    nothingMounted(mounts);
  });

  test("that is a folder mounts nothing, and says so", () => {
    mkdirSync(listPath());
    nothingMounted(start({ list: null }));
    expect(recorded[0]).toMatchObject({ group: null, decision: "denied" });
  });

  test("that others can write, or that is another user's, mounts nothing, and says what to type", () => {
    for (const mode of [0o666, 0o620]) {
      writeFileSync(listPath(), JSON.stringify(LIST));
      chmodSync(listPath(), mode);
      nothingMounted(start({ list: null }));
    }
    expect(recorded[0]?.reason).toContain("chmod 600");
    chmodSync(listPath(), 0o600);
    if (process.getuid?.() !== 0) return;
    chownSync(listPath(), 12_345, 12_345);
    nothingMounted(start({ list: null }));
  });

  test("that is a pipe nobody writes to keeps nobody waiting", () => {
    execFileSync("mkfifo", [listPath()]);
    nothingMounted(start({ list: null }));
  });

  test("that is not there mounts nothing; without requests nobody needs to hear of it", () => {
    const mounts = start({ list: null });
    mounts("fam");
    expect([recorded, warned]).toEqual([[], []]);
    nothingMounted(mounts);
  });

  test("is read at the start: what is added later counts after the next one", () => {
    const mounts = start({ list: null });
    writeFileSync(listPath(), JSON.stringify(LIST));
    nothingMounted(mounts);
    expect(start()("fam", app)).toEqual(mounted(true));
  });
});

describe("attacks", () => {
  const refusal = (...mounts: MountRequest[]): unknown => {
    recorded = [];
    expect(start({ list: { ...LIST, allowedRoots: [{ path: "~", allowReadWrite: true }] } })("main", ...mounts)).toEqual([]);
    return recorded.at(-1)?.reason;
  };

  test("a socket, a pipe and a device are refused, also where a link with an innocent name leads to one", async () => {
    const server = createServer().listen(join(owner, "projects/agent.sock"));
    await new Promise((resolve) => server.once("listening", resolve));
    onTestFinished(() => void server.close());
    execFileSync("mkfifo", [join(owner, "projects/pipe")]);
    symlinkSync("pipe", join(owner, "projects/notes"));
    for (const name of ["agent.sock", "pipe", "notes"]) {
      expect([name, refusal({ hostPath: `~/projects/${name}` })]).toEqual([name, "it is neither a folder nor a regular file"]);
    }
    symlinkSync("/dev/zero", join(owner, "projects/zero"));
    const list = { ...LIST, allowedRoots: [{ path: "/", allowReadWrite: true }] };
    expect(start({ list })("main", { hostPath: "~/projects/zero" })).toEqual([]);
    expect(recorded.at(-1)?.reason).toBe("it is neither a folder nor a regular file");
  });

  test("the host's own folders, and what holds them, are refused by every name they have", () => {
    symlinkSync("../hermit/home", join(owner, "projects/innocent"));
    for (const hostPath of [
      "~/hermit/home/groups",
      "~/hermit",
      "~",
      "~/.config/hermit",
      "~/projects/innocent",
      "~/projects/../hermit/home",
    ]) {
      expect([hostPath, refusal({ hostPath, containerPath: "x" })]).toEqual([hostPath, "it is the host's own, or holds something of it"]);
    }
  });

  test("where keys live, and what the owner blocks, is refused behind a link as well", () => {
    for (const folder of [".ssh", "private-notes"]) mkdirSync(join(owner, folder));
    symlinkSync("../.ssh", join(owner, "projects/a"));
    symlinkSync("../private-notes", join(owner, "projects/b"));
    for (const name of ["a", "b"]) expect(refusal({ hostPath: `~/projects/${name}` })).toContain("keys live in such places");
  });

  test("a path that is relative to wherever the host runs is nothing", () => {
    mkdirSync("/tmp/hermit-relative", { recursive: true });
    onTestFinished(() => rmSync("/tmp/hermit-relative", { recursive: true }));
    const hostPath = `${"../".repeat(20)}tmp/hermit-relative`;
    const list = { ...LIST, allowedRoots: [{ path: "/", allowReadWrite: true }] };
    expect(start({ list })("main", { hostPath })).toEqual([]);
    expect(recorded.at(-1)?.reason).toBe("there is nothing at that path");
  });

  test("a folder that becomes a link between two turns is judged as what the link leads to", () => {
    const mounts = start();
    expect(mounts("fam", app)).toHaveLength(1);
    renameSync(join(owner, "projects/app"), join(owner, "projects/was"));
    symlinkSync("/etc", join(owner, "projects/app"));
    expect(mounts("fam", app)).toEqual([]);
  });

  test("what nobody may read is not asked to be read: a shut folder is mounted as it is", () => {
    chmodSync(join(owner, "projects/app"), 0);
    expect(start()("fam", app)).toEqual(mounted(true));
  });
});

describe("a file system mounted below a folder", () => {
  const list = (...points: string[]): string => {
    const path = join(owner, "mountinfo");
    writeFileSync(path, points.map((point) => `36 35 98:0 / ${point} rw,noatime master:1 - ext4 /dev/root rw\n`).join(""));
    return path;
  };

  test("is found by the kernel's list, names with spaces too; beside it, above it and at it are not below it", () => {
    expect(hasMountBelow("/data", list("/", "/data", "/database", "/dat/a"))).toBe(false);
    expect(hasMountBelow("/data", list("/data/usb"))).toBe(true);
    expect(hasMountBelow("/my data", list("/my\\040data/usb"))).toBe(true);
    expect(hasMountBelow("/", list("/proc"))).toBe(true);
  });

  test("is taken to be there where there is no such list", () => {
    expect(hasMountBelow("/data", join(owner, "nothing"))).toBe(true);
  });
});
