/** What a sandbox is to the engine: the whole of the create request, from the spec alone. */
import type { SandboxOwner, SandboxSpec } from "../../ports/sandbox-runtime.ts";

export const LABELS = {
  instance: "hermit.instance",
  generation: "hermit.generation",
  folder: "hermit.folder",
  role: "hermit.role",
} as const;
export const ROLE = "sandbox";

/** Where the link's folder appears inside. */
const LINK_FOLDER = "/run/hermit";
export const LINK_SOCKET = "link.sock";

const MIB = 1024 * 1024;
/** Shared memory is for programs that insist on it (browsers, Python's multiprocessing); 8 MiB fits a 512 MB board. */
const SHM_BYTES = 8 * MIB;
/** Enough for package managers and git, far below what costs the kernel memory. */
const OPEN_FILES = 4_096;
/**
 * Counted per user over all sandboxes, so it is wide; the pids limit is the real bound. It is set at all because Podman otherwise
 * asks for 1,048,576 of each, which a service without CAP_SYS_RESOURCE may not give.
 */
const PROCESSES_PER_USER = 4_096;
/**
 * Bytes. Not 0: a machine that hands crashed programs to a collector (`core_pattern` with a pipe) does so at any limit but 1, and what a
 * sandbox had in memory would lie on the host.
 */
const CORE_DUMP = 1;
/** Where memory runs out on the whole machine, a sandbox goes before the host does. */
const OOM_SCORE_ADJUSTMENT = 500;
const NANO = 1e9;

export interface BodyOptions {
  readonly image: string;
  readonly link: "socket" | "stdio";
  /** The folder to mount for the link; undefined over stdio. */
  readonly linkFolder: string | undefined;
  readonly init: boolean;
  readonly podman: boolean;
  /** The engine runs as an ordinary user of the machine. */
  readonly rootless: boolean;
  /** The system call filter, as the engine takes it: see seccomp-profile.ts. */
  readonly seccomp: string;
  readonly entrypoint: readonly string[] | undefined;
  /** Further folders in memory, made as `/tmp` is. */
  readonly scratch: readonly string[];
}

export type ContainerBody = ReturnType<typeof containerBody>;

export function containerBody(spec: SandboxSpec, options: BodyOptions) {
  const { memoryBytes, pids, cpus, tmpBytes } = spec.limits;
  const mounts = spec.mounts.map((mount) => bind(mount.hostPath, mount.containerPath, mount.readOnly));
  if (options.linkFolder !== undefined) mounts.push(bind(options.linkFolder, LINK_FOLDER, true));
  const stdio = options.link === "stdio";
  return {
    Image: options.image,
    ...(options.entrypoint === undefined ? {} : { Entrypoint: [...options.entrypoint], Cmd: [] }),
    User: `${spec.user.uid}:${spec.user.gid}`,
    WorkingDir: "/workspace/group",
    Hostname: "sandbox",
    Env: [`HERMIT_LINK=${stdio ? "stdio" : `${LINK_FOLDER}/${LINK_SOCKET}`}`],
    Labels: ownerLabels(spec.owner),
    NetworkDisabled: true,
    Tty: false,
    OpenStdin: stdio,
    // The runner reads end-of-file when we close our end, and exits.
    StdinOnce: stdio,
    AttachStdin: stdio,
    AttachStdout: stdio,
    AttachStderr: true,
    HostConfig: {
      NetworkMode: "none",
      ReadonlyRootfs: true,
      Privileged: false,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges", `seccomp=${options.seccomp}`],
      UsernsMode: userNamespace(options),
      Memory: memoryBytes,
      // Equal to Memory: no swap at all.
      MemorySwap: memoryBytes,
      PidsLimit: pids,
      NanoCpus: Math.round(cpus * NANO),
      Tmpfs: temporaryFolders(tmpBytes, options),
      ShmSize: SHM_BYTES,
      Ulimits: [ulimit("core", CORE_DUMP), ulimit("nofile", OPEN_FILES), ulimit("nproc", PROCESSES_PER_USER)],
      OomScoreAdj: OOM_SCORE_ADJUSTMENT,
      IpcMode: "private",
      CgroupnsMode: "private",
      LogConfig: { Type: "none", Config: {} },
      Init: options.init,
      // The exit is read first, then we remove.
      AutoRemove: false,
      // Not `Binds`: those split at colons and create missing folders as root.
      Mounts: mounts,
    },
  };
}

/**
 * Who is who inside as outside, whatever the engine does for other containers: a workspace belongs to one user of the machine, and under
 * another number it could neither be read nor written. A rootless Podman numbers its containers' users anew unless told to keep its own.
 */
function userNamespace({ podman, rootless }: BodyOptions): "host" | "keep-id" {
  return podman && rootless ? "keep-id" : "host";
}

function ownerLabels(owner: SandboxOwner): Record<string, string> {
  return {
    [LABELS.role]: ROLE,
    [LABELS.instance]: owner.instance,
    [LABELS.generation]: String(owner.generation),
    [LABELS.folder]: owner.folder,
  };
}

/** `exec`: the workspace can run programs anyway, and without it builds in /tmp break. */
function temporaryFolders(tmpBytes: number, { podman, scratch }: BodyOptions): Record<string, string> {
  const tmp = `rw,exec,nosuid,nodev,size=${tmpBytes},mode=1777`;
  const writable = Object.fromEntries(["/tmp", ...scratch].map((path) => [path, tmp]));
  // With a read-only root Podman adds a writable tmpfs without a size on /run and /var/tmp; named here, they are empty and closed.
  const closed = "ro,noexec,nosuid,nodev,size=65536,mode=755,notmpcopyup";
  return podman ? { ...writable, "/run": closed, "/var/tmp": closed } : writable;
}

function bind(source: string, target: string, readOnly: boolean) {
  return { Type: "bind", Source: source, Target: target, ReadOnly: readOnly, BindOptions: { Propagation: "rprivate" } };
}

function ulimit(name: string, bound: number) {
  return { Name: name, Soft: bound, Hard: bound };
}
