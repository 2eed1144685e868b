/**
 * Are the limits real? Engines drop what the kernel lacks with a warning nobody reads; a sandbox without its limits is refused.
 *
 * Three looks: what the engine says it can do, what it says it created, and where this machine can see them, the values the kernel
 * holds for the running container (kernel-limits.ts). Warnings are logged, never parsed: their words change with every version.
 */
import { SandboxError } from "../../domain/errors.ts";
import type { SandboxLimits, SandboxSpec } from "../../ports/sandbox-runtime.ts";
import { type ContainerInspection, type EngineFacts, hasSecurityOption } from "./engine-api.ts";
import type { KernelView } from "./kernel-limits.ts";

const MEMORY_HINT =
  "Turn the kernel's memory cgroup on. Raspberry Pi OS: add `cgroup_enable=memory cgroup_memory=1` to the one line of /boot/firmware/cmdline.txt and reboot.";
const CGROUP_HINT =
  "Boot a kernel with the pids and cpu cgroup controllers; a rootless engine needs them delegated to its user (cgroup v2).";
const ISOLATION_HINT = "Use Docker 20.10 or later, or Podman 4.3 or later, without options that weaken containers.";

const SECCOMP_HINT = "Boot a kernel with CONFIG_SECCOMP_FILTER, and use an engine that was built with seccomp.";
const USER_HINT =
  "Use an engine that runs as root, or Podman without root: others give a sandbox's user another number, and it could not read its workspace.";

/** The kernel keeps memory limits in whole pages; the largest in use are 64 KiB. */
const PAGE_SLACK_BYTES = 64 * 1024;
/** The kernel keeps CPU limits as microseconds a period. */
const CPU_SLACK = 0.01;
const NANO = 1e9;

export function assertEngineCanLimit(facts: EngineFacts): void {
  if (facts.MemoryLimit === false) throw notEnforced("The container engine cannot limit memory.", MEMORY_HINT);
  if (facts.PidsLimit === false) throw notEnforced("The container engine cannot limit the number of processes.", CGROUP_HINT);
  if (facts.CpuCfsQuota === false) throw notEnforced("The container engine cannot limit CPU time.", CGROUP_HINT);
  if (facts.SecurityOptions !== undefined && !hasSecurityOption(facts, "seccomp"))
    throw notEnforced("The container engine cannot filter system calls (seccomp).", SECCOMP_HINT);
}

/**
 * What the engine says it made, against what every sandbox must have; `seccomp` as it was asked for. Returns what is worth a warning but no
 * refusal.
 */
export function assertCreatedAsAsked(made: ContainerInspection, limits: SandboxLimits, seccomp: string): readonly string[] {
  const host = made.HostConfig;
  if (host.Memory !== limits.memoryBytes) throw dropped("the memory limit", limits.memoryBytes, host.Memory, MEMORY_HINT);
  if (host.PidsLimit !== limits.pids) throw dropped("the limit on processes", limits.pids, host.PidsLimit, CGROUP_HINT);
  const nanoCpus = Math.round(limits.cpus * NANO);
  if (host.NanoCpus !== nanoCpus) throw dropped("the CPU limit", nanoCpus, host.NanoCpus, CGROUP_HINT);
  if (host.ReadonlyRootfs !== true) throw dropped("the read-only root", true, host.ReadonlyRootfs, ISOLATION_HINT);
  if (host.NetworkMode !== "none") throw dropped("the closed network", "none", host.NetworkMode, ISOLATION_HINT);
  if (host.Privileged !== false) throw dropped("the missing privileges", false, host.Privileged, ISOLATION_HINT);
  if (!capabilitiesAreGone(host)) throw dropped("the dropped capabilities", "ALL", host.CapDrop, ISOLATION_HINT);
  if (!host.SecurityOpt?.some((option) => /^no-new-privileges(?:[:=]true)?$/.test(option)))
    throw dropped("no-new-privileges", "no-new-privileges", host.SecurityOpt, ISOLATION_HINT);
  const filters = host.SecurityOpt.filter((option) => option.startsWith("seccomp"));
  if (filters.length !== 1 || filters[0] !== `seccomp=${seccomp}`)
    throw notEnforced("The container engine does not hold our system call filter.", SECCOMP_HINT);
  const volume = made.Mounts?.find(({ Type }) => Type === "volume");
  // An image's own volumes are writable and on the machine's disk, whatever the root is.
  if (volume !== undefined)
    throw notEnforced(
      `The image declares a volume at ${volume.Destination}, which would be disk without a bound.`,
      "Take VOLUME out of the image's Dockerfile and build it again.",
    );
  const proxy = made.Config.Env?.find((entry) => FOREIGN_PROXY.test(entry));
  // Podman hands its own proxy settings on, and they may hold a password.
  if (proxy !== undefined)
    throw notEnforced(
      `The container engine adds ${proxy.split("=")[0]} to every sandbox's environment.`,
      "Podman: set `http_proxy = false` under [containers] in containers.conf.",
    );
  return host.MemorySwap === limits.memoryBytes ? [] : ["Swap is not accounted for: a sandbox is limited in memory, not in swap."];
}

/** What the kernel holds, against what was asked. Lower is fine: an outer limit binds too. */
export function assertKernelHolds(view: KernelView, { limits, user }: Pick<SandboxSpec, "limits" | "user">): void {
  if (view.memoryBytes !== undefined && view.memoryBytes > limits.memoryBytes + PAGE_SLACK_BYTES)
    throw dropped("the memory limit", limits.memoryBytes, view.memoryBytes, MEMORY_HINT);
  if (view.pids !== undefined && view.pids > limits.pids) throw dropped("the limit on processes", limits.pids, view.pids, CGROUP_HINT);
  if (view.cpus !== undefined && view.cpus > limits.cpus + CPU_SLACK) throw dropped("the CPU limit", limits.cpus, view.cpus, CGROUP_HINT);
  if (view.capabilities === true) throw dropped("the dropped capabilities", "none", "some", ISOLATION_HINT);
  if (view.newPrivileges === true) throw dropped("no-new-privileges", 1, 0, ISOLATION_HINT);
  if (view.filtered === false) throw dropped("the system call filter", 1, 0, SECCOMP_HINT);
  if (view.user !== undefined && (view.user.uid !== user.uid || view.user.gid !== user.gid))
    throw dropped("the sandbox's user", `${user.uid}:${user.gid}`, `${view.user.uid}:${view.user.gid}`, USER_HINT);
}

/** Docker repeats `ALL`; Podman names each capability the default set would have had. */
function capabilitiesAreGone(host: ContainerInspection["HostConfig"]): boolean {
  const dropped = (host.CapDrop ?? []).map((name) => name.toUpperCase().replace(/^CAP_/, ""));
  const added = host.CapAdd ?? [];
  return added.length === 0 && (dropped.includes("ALL") || DEFAULT_CAPABILITIES.every((name) => dropped.includes(name)));
}

/** A proxy on the sandbox's own loopback is the runner's. */
const FOREIGN_PROXY = /^(https?|ftp|all)_proxy=(?!http:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?\/?$)/i;

/** The least both engines would grant. */
const DEFAULT_CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
];

function dropped(what: string, asked: unknown, found: unknown, hint: string): SandboxError {
  return notEnforced(`The container engine does not hold ${what}: asked ${String(asked)}, found ${JSON.stringify(found) ?? "none"}.`, hint);
}

function notEnforced(message: string, hint: string): SandboxError {
  return new SandboxError("LIMIT_NOT_ENFORCED", message, { hint, retryable: false });
}
