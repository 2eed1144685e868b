/**
 * Our system call filter in real sandboxes, on every engine there is: it is the one in force, each call it refuses fails as it says, and
 * the agent's tools do not notice it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type StartedSandbox, start } from "../../contracts/suites/sandbox-conversation.ts";
import { connectEngine } from "../../host/adapters/sandbox-docker/engine-api.ts";
import { type EngineHarness, makeEngineHarness, testEngines } from "../../host/adapters/sandbox-docker/engine-harness.ts";
import { MISSING, REFUSED } from "./seccomp.ts";

const TEST_MS = 60_000;
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;
/** What matches no rule: Docker before 23 knows no default answer but the first. */
const DEFAULT_ANSWERS = [EPERM, ENOSYS];

/** Name, number on x64, number on arm64. */
const NUMBERS = `
  acct 163 89, add_key 248 217, adjtimex 159 171, bpf 321 280, chroot 161 51, clock_adjtime 305 266, clock_settime 227 112,
  clone3 435 435, delete_module 176 106, fanotify_init 300 262, fanotify_mark 301 263, finit_module 313 273, fsconfig 431 431,
  fsmount 432 432, fsopen 430 430, fspick 433 433, get_mempolicy 239 236, init_module 175 105, io_cancel 210 3, io_destroy 207 1,
  io_getevents 208 4, io_pgetevents 333 292, io_setup 206 0, io_submit 209 2, io_uring_enter 426 426, io_uring_register 427 427,
  io_uring_setup 425 425, ioperm 173 -, iopl 172 -, kcmp 312 272, kexec_file_load 320 294, kexec_load 246 104, keyctl 250 219,
  mbind 237 235, memfd_secret 447 447, migrate_pages 256 238, modify_ldt 154 -, mount 165 40, mount_setattr 442 442,
  move_mount 429 429, move_pages 279 239, msgctl 71 187, msgget 68 186, msgrcv 70 188, msgsnd 69 189, name_to_handle_at 303 264,
  open_by_handle_at 304 265, open_tree 428 428, perf_event_open 298 241, pidfd_getfd 438 438, pivot_root 155 41,
  process_madvise 440 440, process_mrelease 448 448, process_vm_readv 310 270, process_vm_writev 311 271, ptrace 101 117,
  quotactl 179 60, quotactl_fd 443 443, reboot 169 142, remap_file_pages 216 234, request_key 249 218, semctl 66 191, semget 64 190,
  semop 65 193, semtimedop 220 192, set_mempolicy 238 237, set_mempolicy_home_node 450 450, setdomainname 171 162,
  sethostname 170 161, setns 308 268, settimeofday 164 170, shmat 30 196, shmctl 31 195, shmdt 67 197, shmget 29 194,
  swapoff 168 225, swapon 167 224, syslog 103 116, umount2 166 39, unshare 272 97, userfaultfd 323 282, vhangup 153 58,
  vmsplice 278 75, clone 56 220, socket 41 198, personality 135 92`;

const numbers = new Map(
  NUMBERS.trim()
    .split(/,\s*/)
    .map((entry) => entry.split(" "))
    .map(([name = "", x64, arm64]) => [name, process.arch === "x64" ? x64 : arm64] as const)
    .filter((entry): entry is readonly [string, string] => entry[1] !== "-"),
);

function names(groups: Readonly<Record<string, string>>): readonly string[] {
  return Object.values(groups)
    .flatMap((group) => group.trim().split(/\s+/))
    .filter((name) => numbers.has(name) || process.arch === "x64");
}

/** One call of the kernel, past every library: name, then arguments. */
type Call = readonly [string, ...number[]];

/** Makes the calls one after the other and says what each came to: the error's number, or 0 where there was none. */
const MAKE_CALLS = `
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
answers = []
for number, *arguments in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(value) for value in (arguments + [0] * 6)[:6]])
    answers.append(ctypes.get_errno() if done == -1 else 0)
    if done == 0 and number == int(sys.argv[2]):
        os._exit(0)
print(json.dumps(answers))`;

for (const { name, socketPath } of await testEngines()) {
  describe(`the system call filter on ${name}`, { timeout: TEST_MS }, () => {
    let harness: EngineHarness;
    let up: StartedSandbox;
    beforeAll(async () => {
      harness = await makeEngineHarness(socketPath);
      const npm = join(realpathSync(execFileSync("which", ["npm"], { encoding: "utf8" }).trim()), "..", "..");
      const base = harness.spec();
      const spec = {
        ...base,
        limits: { ...base.limits, pids: 256, memoryBytes: 2 * base.limits.memoryBytes, tmpBytes: 4 * base.limits.tmpBytes },
        mounts: [
          ...base.mounts,
          { hostPath: npm, containerPath: "/workspace/npm", readOnly: true },
          { hostPath: join(import.meta.dirname, "tools"), containerPath: "/workspace/tools", readOnly: true },
        ],
      };
      up = await start({ runtime: harness.runtime, spec: () => spec });
    }, TEST_MS);
    afterAll(async () => {
      await up?.sandbox.stop(0);
      await harness.close();
    }, TEST_MS);

    /** Resolves with the program's output; one that fails answers `{ error }`. */
    const program = (command: string, ...rest: readonly string[]): Promise<unknown> =>
      up.run(`
        const { execFile } = process.getBuiltinModule("child_process");
        return new Promise((resolve) => {
          const options = { cwd: "/tmp", env: { ...process.env, HOME: "/tmp" }, maxBuffer: 1e6 };
          execFile(${JSON.stringify(command)}, ${JSON.stringify(rest)}, options, (error, stdout, stderr) =>
            resolve(error ? { error: error.signal ?? error.code, stderr: stderr.slice(-1000) } : stdout.trim()));
        });`);
    const bash = (script: string): Promise<unknown> => program("bash", "--norc", "-euo", "pipefail", `/workspace/tools/${script}`);
    async function calls(made: readonly Call[]): Promise<readonly number[]> {
      const numbered = made.map(([call, ...rest]) => [Number(numbers.get(call)), ...rest]);
      const answer = await program("python3", "-c", MAKE_CALLS, JSON.stringify(numbered), numbers.get("clone") ?? "");
      if (typeof answer !== "string") throw new Error(JSON.stringify(answer));
      return JSON.parse(answer) as number[];
    }

    describe("what it refuses", () => {
      test("the runner itself is under a filter", async () => {
        const status = (await up.run(`return process.getBuiltinModule("fs").readFileSync("/proc/self/status", "utf8")`)) as string;
        expect(status).toMatch(/^Seccomp:\s*2$/m);
      });

      test("it is ours and not the engine's own, which lets these through", async () => {
        // PTRACE_TRACEME, nothing to unshare, a queue of one's own, and one's own process: each succeeds under the engine's own filter or none.
        const own: readonly Call[] = [
          ["ptrace", 0],
          ["unshare", 0],
          ["msgget", 0, 0o600],
          ["semget", 0, 1, 0o600],
          ["shmget", 0, 4096, 0o600],
        ];
        expect(await calls(own)).toEqual([EPERM, EPERM, ENOSYS, ENOSYS, ENOSYS]);
      });

      test("every call refused by name is answered with EPERM", async () => {
        const refused = names(REFUSED);
        const answers = await calls(refused.map((call) => [call]));
        expect(refused.map((call, at) => [call, answers[at]])).toEqual(refused.map((call) => [call, EPERM]));
      });

      test("every call that is to look missing is answered with ENOSYS", async () => {
        const missing = names(MISSING);
        const answers = await calls(missing.map((call) => [call]));
        expect(missing.map((call, at) => [call, answers[at]])).toEqual(missing.map((call) => [call, ENOSYS]));
      });

      test("a call newer than the filter is answered with ENOSYS, so that programs fall back", async () => {
        const [answer] = JSON.parse(String(await program("python3", "-c", MAKE_CALLS, "[[499]]", "0"))) as number[];
        expect(answer).toBe(ENOSYS);
      });

      test("no kind of namespace can be made, nor with flags beyond what a kernel reads", async () => {
        const SIGCHLD = 17;
        const kinds = [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
        const made = kinds.map((flag): Call => ["clone", flag | SIGCHLD]);
        const above = kinds.map((flag): Call => ["clone", 2 ** 40 + (flag | SIGCHLD)]);
        for (const answer of await calls([...made, ...above])) expect(DEFAULT_ANSWERS).toContain(answer);
      });

      test("of all socket families, types and protocols only those of ordinary programs are there", async () => {
        const TYPES = [1, 2, 3, 4, 5, 6, 10];
        const tried = Array.from({ length: 50 }, (_, family) => TYPES.map((type): Call => ["socket", family, type, 0])).flat();
        const answers = await calls(tried);
        const open = tried.filter((_, at) => answers[at] === 0).map(([, family, type]) => `${family}:${type}`);
        // Unix, IPv4, IPv6, and netlink for the question which interfaces there are.
        expect(open).toEqual(["1:1", "1:2", "1:5", "2:1", "2:2", "10:1", "10:2", "16:2", "16:3"]);
        const vsock: Call = ["socket", 40, 1, 0];
        const cipher: Call = ["socket", 38, 5, 0];
        const packet: Call = ["socket", 17, 3, 0x0300];
        expect(await calls([vsock, cipher, packet])).toEqual([EAFNOSUPPORT, EAFNOSUPPORT, EAFNOSUPPORT]);
        expect(
          await calls([
            ["socket", 2, 3, 255],
            ["socket", 10, 3, 58],
            ["socket", 2, 3 | 0o2000000, 1],
          ]),
        ).toEqual([EPERM, EPERM, EPERM]);
      });

      test("neither ping, nor SCTP, nor multipath TCP, nor another netlink than routing can be had", async () => {
        const [ICMP, SCTP, MPTCP, NETFILTER] = [1, 132, 262, 12];
        const tried: readonly Call[] = [
          ["socket", 2, 2, ICMP],
          ["socket", 2, 1, SCTP],
          ["socket", 2, 1, MPTCP],
          ["socket", 16, 3, NETFILTER],
        ];
        for (const answer of await calls(tried)) expect(DEFAULT_ANSWERS).toContain(answer);
      });

      test("a family hidden behind bits the kernel does not read is no way round", async () => {
        const hidden: readonly Call[] = [17, 38, 40].map((family): Call => ["socket", 2 ** 32 + family, 3, 0]);
        for (const answer of await calls(hidden)) expect([EAFNOSUPPORT, ...DEFAULT_ANSWERS]).toContain(answer);
      });

      test("the personality can be asked for and not changed", async () => {
        const [asked, fixedAddresses, executable] = await calls([
          ["personality", 0xffff_ffff],
          ["personality", 0x004_0000],
          ["personality", 0x040_0000],
        ]);
        expect(asked).toBe(0);
        expect(DEFAULT_ANSWERS).toContain(fixedAddresses);
        expect(DEFAULT_ANSWERS).toContain(executable);
      });

      test.runIf(process.arch === "x64")("a call through the 32-bit table kills the program that makes it", async () => {
        // mov eax, 20 (getpid); int 0x80; ret
        const made = await program(
          "python3",
          "-c",
          `
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("b814000000cd80c3"))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()`,
        );
        expect(made).toMatchObject({ error: "SIGSYS" });
      });

      test("an engine that does not take the filter, or adds another, starts nothing", async () => {
        const engine = connectEngine(socketPath);
        for (const options of [["no-new-privileges"], ["no-new-privileges", "seccomp=unconfined"]]) {
          const forgetful = await makeEngineHarness(socketPath, {
            engine: {
              ...engine,
              create: (container, body) => engine.create(container, { ...body, HostConfig: { ...body.HostConfig, SecurityOpt: options } }),
            },
          });
          await expect(forgetful.runtime.start(forgetful.spec(), new AbortController().signal)).rejects.toMatchObject({
            code: "LIMIT_NOT_ENFORCED",
            message: expect.stringContaining("system call filter"),
          });
          expect(await forgetful.leftOver()).toEqual([]);
          await forgetful.close();
        }
      });
    });

    describe("what does not notice it", () => {
      test("Node: threads, children, timers, WebAssembly, watching files, servers, compression, keys", async () => {
        expect(await program("node", "/workspace/tools/node.mjs")).toBe("thread child\n42\nfile\nserved\nlo\nzip 8 public\nforked");
      });

      test("npm: packing, installing from a file, running a script", async () => {
        expect(await bash("npm.sh")).toBe("installed");
      });

      test("Python: subprocesses, pools of processes and threads, queues, shared memory, TLS, databases, async, zones", async () => {
        const said = "sub\n[2, 4]\nqueued\nshared 7\n[6]\nasync\n(7,)\nTrue Asia/Tokyo sandbox";
        expect(await program("python3", "/workspace/tools/python.py")).toBe(said);
      });

      test("git: commits, a merge, a worktree, a clone, packing", async () => {
        expect(await bash("git.sh")).toBe("4");
      });

      test("the shell and its friends: pipes, jobs, curl, ripgrep, jq, tar, zip, xz", async () => {
        expect(await bash("shell.sh")).toBe("[1,2]\n1\na.json\na.json\na.zip\nfifo\n1024\n1970");
      });
    });
  });
}

test("an OCI runtime takes its form of the filter, and holds it", () => {
  const bundle = mkdtempSync(join(tmpdir(), "bundle-"));
  onTestFinished(() => rmSync(bundle, { recursive: true }));
  const folders = ["bin", "lib", "lib64", "usr", "proc"];
  for (const folder of folders) mkdirSync(join(bundle, "root", folder), { recursive: true });
  const shown = folders.filter((folder) => folder !== "proc" && existsSync(`/${folder}`));
  const config = {
    ociVersion: "1.0.2",
    root: { path: "root", readonly: true },
    process: {
      user: { uid: 61_234, gid: 61_234 },
      cwd: "/",
      env: ["PATH=/usr/bin:/bin"],
      noNewPrivileges: true,
      args: ["/bin/sh", "-c", "grep Seccomp: /proc/self/status; unshare --user true 2>&1; ipcmk --queue 2>&1; echo ran"],
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      ...shown.map((folder) => ({ destination: `/${folder}`, type: "bind", source: `/${folder}`, options: ["rbind", "ro"] })),
    ],
    linux: {
      namespaces: ["pid", "mount", "ipc", "uts", "network"].map((type) => ({ type })),
      seccomp: JSON.parse(readFileSync(join(import.meta.dirname, "seccomp.oci.json"), "utf8")) as unknown,
    },
  };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  const id = `hermit-filter-${process.pid}`;
  const said = execFileSync("runc", ["--root", join(bundle, "state"), "run", "--bundle", bundle, id], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  expect(said).toMatch(/^Seccomp:\s*2\n.*unshare failed: Operation not permitted\n.*failed: Function not implemented\nran\n$/s);
});
