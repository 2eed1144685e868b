import { describe, expect, test } from "vitest";
import { SandboxError } from "../../domain/errors.ts";
import { assertCreatedAsAsked, assertEngineCanLimit, assertKernelHolds } from "./enforced-limits.ts";
import type { ContainerInspection } from "./engine-api.ts";

const FILTER = '{"defaultAction":"…"}';
const limits = { memoryBytes: 268_435_456, pids: 64, cpus: 1.5, tmpBytes: 1_048_576 };
const host = {
  Memory: 268_435_456,
  MemorySwap: 268_435_456,
  PidsLimit: 64,
  NanoCpus: 1_500_000_000,
  ReadonlyRootfs: true,
  NetworkMode: "none",
  Privileged: false,
  CapAdd: null,
  CapDrop: ["ALL"],
  SecurityOpt: ["no-new-privileges", `seccomp=${FILTER}`],
};
const podmanDropped =
  "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT";

function made(changes: Partial<ContainerInspection["HostConfig"]> = {}, env: readonly string[] = ["PATH=/bin"]): ContainerInspection {
  const state = { Running: false, Paused: false, OOMKilled: false, Status: "created", Pid: 0, ExitCode: 0 };
  return { State: state, Config: { Env: env }, HostConfig: { ...host, ...changes } };
}

function judge(inspection: ContainerInspection): readonly string[] {
  return assertCreatedAsAsked(inspection, limits, FILTER);
}

function refusal(check: () => unknown): SandboxError {
  try {
    check();
  } catch (error) {
    if (error instanceof SandboxError) return error;
  }
  throw new Error("was not refused");
}

describe("what the engine says it can do", () => {
  test("an engine that can do all of it passes, as does one that does not say", () => {
    assertEngineCanLimit({ ServerVersion: "1", MemoryLimit: true, PidsLimit: true, CpuCfsQuota: true });
    assertEngineCanLimit({ ServerVersion: "1" });
  });

  test.each(["MemoryLimit", "PidsLimit", "CpuCfsQuota"])("an engine without %s is refused, for good", (flag) => {
    expect(refusal(() => assertEngineCanLimit({ ServerVersion: "1", [flag]: false }))).toMatchObject({
      code: "LIMIT_NOT_ENFORCED",
      retryable: false,
      hint: expect.stringMatching(/cgroup/),
    });
  });

  test("an engine that cannot filter system calls is refused, in Docker's words and in Podman's; one that does not say is not", () => {
    const facts = (...SecurityOptions: string[]) => ({ ServerVersion: "1", SecurityOptions });
    expect(refusal(() => assertEngineCanLimit(facts("name=apparmor", "name=cgroupns")))).toMatchObject({
      code: "LIMIT_NOT_ENFORCED",
      retryable: false,
      message: expect.stringContaining("seccomp"),
      hint: expect.stringContaining("CONFIG_SECCOMP_FILTER"),
    });
    refusal(() => assertEngineCanLimit(facts()));
    assertEngineCanLimit(facts("name=apparmor", "name=seccomp,profile=default"));
    // Their own filter is off, and ours holds.
    assertEngineCanLimit(facts("name=seccomp,profile=unconfined"));
  });

  test("the refusal for memory says what to type on Raspberry Pi OS", () => {
    const { hint } = refusal(() => assertEngineCanLimit({ ServerVersion: "1", MemoryLimit: false }));
    expect(hint).toContain("cgroup_enable=memory cgroup_memory=1");
    expect(hint).toContain("reboot");
  });
});

describe("what the engine says it created", () => {
  test("a sandbox created as asked passes, in Docker's words and in Podman's", () => {
    expect(judge(made())).toEqual([]);
    expect(judge(made({ CapAdd: [], CapDrop: podmanDropped.split(" ") }))).toEqual([]);
    expect(judge(made({ SecurityOpt: ["no-new-privileges:true", `seccomp=${FILTER}`] }))).toEqual([]);
  });

  test("missing swap accounting alone is worth a warning, no refusal", () => {
    expect(judge(made({ MemorySwap: -1 }))).toEqual([expect.stringContaining("wap")]);
  });

  test.each<[string, Partial<ContainerInspection["HostConfig"]>]>([
    ["memory limit dropped", { Memory: 0 }],
    ["memory limit raised", { Memory: 1e12 }],
    ["pids limit dropped", { PidsLimit: null }],
    ["pids limit unlimited", { PidsLimit: -1 }],
    ["CPU limit dropped", { NanoCpus: 0 }],
    ["root writable", { ReadonlyRootfs: false }],
    ["network open", { NetworkMode: "bridge" }],
    ["network shared with the host", { NetworkMode: "host" }],
    ["privileged", { Privileged: true }],
    ["capabilities kept", { CapDrop: null }],
    ["one capability kept", { CapDrop: podmanDropped.split(" ").filter((name) => name !== "SETUID") }],
    ["a capability added", { CapAdd: ["NET_ADMIN"] }],
    ["new privileges allowed", { SecurityOpt: [`seccomp=${FILTER}`] }],
    ["new privileges allowed in so many words", { SecurityOpt: ["no-new-privileges:false", `seccomp=${FILTER}`] }],
    ["no system call filter of ours", { SecurityOpt: ["no-new-privileges"] }],
    ["another system call filter", { SecurityOpt: ["no-new-privileges", "seccomp={}"] }],
    ["system calls not filtered", { SecurityOpt: ["no-new-privileges", "seccomp=unconfined"] }],
    ["a second word on system calls", { SecurityOpt: ["no-new-privileges", `seccomp=${FILTER}`, "seccomp=unconfined"] }],
  ])("%s: refused, for good, with a hint", (_what, changes) => {
    const error = refusal(() => judge(made(changes)));
    expect(error).toMatchObject({ code: "LIMIT_NOT_ENFORCED", retryable: false });
    expect(error.hint).toBeTruthy();
  });

  test("a volume of the image's own is refused by its place: it would be disk without a bound", () => {
    const volume = { Type: "volume", Destination: "/data" };
    const error = refusal(() => judge({ ...made(), Mounts: [{ Type: "bind", Destination: "/workspace/group" }, volume] }));
    expect(error).toMatchObject({ code: "LIMIT_NOT_ENFORCED", retryable: false, message: expect.stringContaining("/data") });
    judge({ ...made(), Mounts: [{ Type: "bind", Destination: "/data" }] });
  });

  test("an engine that passes its proxy settings on is refused, without repeating the password in them", () => {
    const error = refusal(() => judge(made({}, ["https_proxy=http://user:geheim@proxy:3128"])));
    refusal(() => judge(made({}, ["HTTP_PROXY=http://127.0.0.1:80@proxy:3128"])));
    expect(error.message).toContain("https_proxy");
    expect(error.message).not.toContain("geheim");
    expect(error.hint).toContain("http_proxy = false");
  });
});

test("the image's own settings for the proxy in the sandbox are not the engine's", () => {
  const env = ["NODE_USE_ENV_PROXY=1", "HTTP_PROXY=http://127.0.0.1:8118", "https_proxy=http://localhost:8118/", "NO_PROXY=localhost"];
  expect(judge(made({}, env))).toEqual([]);
});

describe("what the kernel holds", () => {
  const user = { uid: 60_800, gid: 60_800 };
  const asked = { limits, user };

  test("equal, lower and unreadable values pass, as does what rounding to pages and periods makes of them", () => {
    assertKernelHolds({}, asked);
    assertKernelHolds(
      { memoryBytes: 268_435_456, pids: 64, cpus: 1.5, capabilities: false, newPrivileges: false, filtered: true, user },
      asked,
    );
    assertKernelHolds({ memoryBytes: 1e6, pids: 10, cpus: 0.5 }, asked);
    assertKernelHolds({ memoryBytes: 268_435_456 + 65_536, cpus: 1.505 }, asked);
  });

  test.each([
    { memoryBytes: Number.POSITIVE_INFINITY },
    { memoryBytes: 268_435_456 * 2 },
    { pids: Number.POSITIVE_INFINITY },
    { pids: 65 },
    { cpus: Number.POSITIVE_INFINITY },
    { cpus: 2 },
    { capabilities: true },
    { newPrivileges: true },
    { filtered: false },
    { user: { uid: 0, gid: 60_800 } },
    { user: { uid: 60_800, gid: 0 } },
  ])("%o is refused", (view) => {
    expect(refusal(() => assertKernelHolds(view, asked))).toMatchObject({ code: "LIMIT_NOT_ENFORCED", retryable: false });
  });

  test("an engine that gives the sandbox's user another number is refused by both: the workspace would be somebody else's", () => {
    const error = refusal(() => assertKernelHolds({ user: { uid: 226_336, gid: 226_336 } }, asked));
    expect(error.message).toContain("asked 60800:60800");
    expect(error.message).toContain("226336:226336");
  });
});
