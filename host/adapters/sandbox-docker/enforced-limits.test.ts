import { describe, expect, test } from "vitest";
import { SandboxError } from "../../domain/errors.ts";
import { assertCreatedAsAsked, assertEngineCanLimit, assertKernelHolds } from "./enforced-limits.ts";
import type { ContainerInspection } from "./engine-api.ts";

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
  SecurityOpt: ["no-new-privileges"],
};
const podmanDropped =
  "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT";

function made(changes: Partial<ContainerInspection["HostConfig"]> = {}, env: readonly string[] = ["PATH=/bin"]): ContainerInspection {
  const state = { Running: false, Paused: false, OOMKilled: false, Status: "created", Pid: 0, ExitCode: 0 };
  return { State: state, Config: { Env: env }, HostConfig: { ...host, ...changes } };
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

  test("the refusal for memory says what to type on Raspberry Pi OS", () => {
    const { hint } = refusal(() => assertEngineCanLimit({ ServerVersion: "1", MemoryLimit: false }));
    expect(hint).toContain("cgroup_enable=memory cgroup_memory=1");
    expect(hint).toContain("reboot");
  });
});

describe("what the engine says it created", () => {
  test("a sandbox created as asked passes, in Docker's words and in Podman's", () => {
    expect(assertCreatedAsAsked(made(), limits)).toEqual([]);
    expect(assertCreatedAsAsked(made({ CapAdd: [], CapDrop: podmanDropped.split(" ") }), limits)).toEqual([]);
    expect(assertCreatedAsAsked(made({ SecurityOpt: ["no-new-privileges:true"] }), limits)).toEqual([]);
  });

  test("missing swap accounting alone is worth a warning, no refusal", () => {
    expect(assertCreatedAsAsked(made({ MemorySwap: -1 }), limits)).toEqual([expect.stringContaining("wap")]);
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
    ["new privileges allowed", { SecurityOpt: [] }],
    ["new privileges allowed in so many words", { SecurityOpt: ["no-new-privileges:false"] }],
  ])("%s: refused, for good, with a hint", (_what, changes) => {
    const error = refusal(() => assertCreatedAsAsked(made(changes), limits));
    expect(error).toMatchObject({ code: "LIMIT_NOT_ENFORCED", retryable: false });
    expect(error.hint).toBeTruthy();
  });

  test("a volume of the image's own is refused by its place: it would be disk without a bound", () => {
    const volume = { Type: "volume", Destination: "/data" };
    const error = refusal(() =>
      assertCreatedAsAsked({ ...made(), Mounts: [{ Type: "bind", Destination: "/workspace/group" }, volume] }, limits),
    );
    expect(error).toMatchObject({ code: "LIMIT_NOT_ENFORCED", retryable: false, message: expect.stringContaining("/data") });
    assertCreatedAsAsked({ ...made(), Mounts: [{ Type: "bind", Destination: "/data" }] }, limits);
  });

  test("an engine that passes its proxy settings on is refused, without repeating the password in them", () => {
    const error = refusal(() => assertCreatedAsAsked(made({}, ["https_proxy=http://user:geheim@proxy:3128"]), limits));
    refusal(() => assertCreatedAsAsked(made({}, ["HTTP_PROXY=http://127.0.0.1:80@proxy:3128"]), limits));
    expect(error.message).toContain("https_proxy");
    expect(error.message).not.toContain("geheim");
    expect(error.hint).toContain("http_proxy = false");
  });
});

test("the image's own settings for the proxy in the sandbox are not the engine's", () => {
  const env = ["NODE_USE_ENV_PROXY=1", "HTTP_PROXY=http://127.0.0.1:8118", "https_proxy=http://localhost:8118/", "NO_PROXY=localhost"];
  expect(assertCreatedAsAsked(made({}, env), limits)).toEqual([]);
});

describe("what the kernel holds", () => {
  test("equal, lower and unreadable values pass, as does what rounding to pages and periods makes of them", () => {
    assertKernelHolds({}, limits);
    assertKernelHolds({ memoryBytes: 268_435_456, pids: 64, cpus: 1.5, capabilities: false, newPrivileges: false }, limits);
    assertKernelHolds({ memoryBytes: 1e6, pids: 10, cpus: 0.5 }, limits);
    assertKernelHolds({ memoryBytes: 268_435_456 + 65_536, cpus: 1.505 }, limits);
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
  ])("%o is refused", (view) => {
    expect(refusal(() => assertKernelHolds(view, limits))).toMatchObject({ code: "LIMIT_NOT_ENFORCED", retryable: false });
  });
});
