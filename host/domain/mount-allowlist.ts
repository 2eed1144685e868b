/**
 * Which folders of the machine a group's sandbox may see beside its own.
 *
 * The owner lists roots in a file outside the home, so that no agent can write it; without a readable list nothing is mounted. The
 * order of the checks and the built-in patterns are NanoClaw's (contract §7.7), and its file is read as it is.
 */
export interface MountRequest {
  /** `~` is the owner's home folder. */
  readonly hostPath: string;
  /** Where it appears below `/workspace/extra/`. Default: the last part of `hostPath`. */
  readonly containerPath?: string | undefined;
  /** Anything but `false` means read-only. */
  readonly readonly?: unknown;
}

export interface MountAllowlist {
  readonly allowedRoots: readonly { readonly path: string; readonly allowReadWrite: boolean }[];
  readonly blockedPatterns: readonly string[];
  readonly nonMainReadOnly: boolean;
}

export type MountVerdict =
  | { readonly verdict: "allowed"; readonly hostPath: string; readonly containerPath: string; readonly readOnly: boolean }
  | { readonly verdict: keyof typeof MOUNT_REFUSALS };

/** Why not, for people. */
export const MOUNT_REFUSALS = {
  "no-allowlist": "the owner has no list of folders that may be seen, or none that can be read",
  "bad-container-path": "its place in the sandbox is empty, absolute or has `..` in it",
  missing: "there is nothing at that path",
  blocked: "keys live in such places, or the owner blocks them",
  "outside-roots": "it is in none of the folders the owner lists",
  "hermits-own": "it is the host's own, or holds something of it",
  "unclear-place": "its place in the sandbox has an empty part, a part that is a dot, a control character or a part too long for a name",
  "taken-place": "its place in the sandbox is another's, or lies in one, or around one",
} as const;

/** Never mounted, whatever the owner lists: places where keys live. A path is blocked where one occurs anywhere in it. */
const ALWAYS_BLOCKED = [
  ...[".ssh", ".gnupg", ".gpg", ".aws", ".azure", ".gcloud", ".kube", ".docker"],
  ...["credentials", ".env", ".netrc", ".npmrc", ".pypirc", "id_rsa", "id_ed25519", "private_key", ".secret"],
];

const EXTRA = "/workspace/extra/";

/** Of a name on any file system Linux has. */
const LONGEST_PART_BYTES = 255;
/** Half of what Linux takes for a path, which the engine puts its own folders before. */
const LONGEST_PLACE_BYTES = 2_048;

/** Of one group, in the order they are written; no more are looked at. A judgement: each is looked up on the disk before every run. */
export const MAX_MOUNTS = 32;

/** The owner's list, or undefined where the text is not one. */
export function parseMountAllowlist(json: string): MountAllowlist | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return undefined;
  }
  const { allowedRoots, blockedPatterns, nonMainReadOnly } = Object(parsed) as Record<string, unknown>;
  if (!Array.isArray(allowedRoots) || !Array.isArray(blockedPatterns) || typeof nonMainReadOnly !== "boolean") return undefined;
  const roots: MountAllowlist["allowedRoots"][number][] = [];
  for (const root of allowedRoots) {
    const { path, allowReadWrite } = Object(root) as Record<string, unknown>;
    if (typeof path !== "string") return undefined;
    roots.push({ path, allowReadWrite: allowReadWrite === true });
  }
  if (!blockedPatterns.every((pattern) => typeof pattern === "string")) return undefined;
  return { allowedRoots: roots, blockedPatterns, nonMainReadOnly };
}

export interface MountSurroundings {
  readonly isMain: boolean;
  /** What `~` means. */
  readonly home: string;
  /** Resolved paths of the host's own things; what lies in one or contains one is never mounted, whatever the owner lists. */
  readonly own: readonly string[];
  /** Makes a path absolute and follows every link; undefined: there is nothing there. */
  readonly resolve: (path: string) => string | undefined;
}

export interface MountDecision {
  readonly request: MountRequest;
  readonly verdict: MountVerdict;
}

/**
 * Which of a group's requests are mounted and how: a decision for each of the first MAX_MOUNTS, in their order. Beyond what is recorded,
 * each has a place of its own: one that could stand for two paths, or would hide another mount, is refused.
 */
export function decideMounts(
  requests: readonly MountRequest[],
  allowlist: MountAllowlist | undefined,
  surroundings: MountSurroundings,
): readonly MountDecision[] {
  const taken: string[] = [];
  return requests.slice(0, MAX_MOUNTS).map((request) => {
    const verdict = judgeMount(request, allowlist, surroundings);
    if (verdict.verdict !== "allowed") return { request, verdict };
    const { containerPath } = verdict;
    if (!isClearPlace(containerPath)) return { request, verdict: { verdict: "unclear-place" } };
    if (taken.some((other) => isUnder(other, containerPath) || isUnder(containerPath, other))) {
      return { request, verdict: { verdict: "taken-place" } };
    }
    taken.push(containerPath);
    return { request, verdict };
  });
}

function isClearPlace(containerPath: string): boolean {
  if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(containerPath) || Buffer.byteLength(containerPath) > LONGEST_PLACE_BYTES) return false;
  const parts = containerPath.slice(EXTRA.length).split("/");
  return parts.every((part) => part !== "" && part !== "." && part !== ".." && Buffer.byteLength(part) <= LONGEST_PART_BYTES);
}

/**
 * NanoClaw's own rules, row by row as recorded (contract §7.7). This judges a path. An engine follows links once more when it mounts, so
 * the caller must see to it that what was judged is what is mounted (SandboxMount.identity).
 */
export function judgeMount(request: MountRequest, allowlist: MountAllowlist | undefined, surroundings: MountSurroundings): MountVerdict {
  if (allowlist === undefined) return { verdict: "no-allowlist" };
  const { isMain, home, own, resolve } = surroundings;
  const name = request.containerPath === undefined || request.containerPath === "" ? lastPart(request.hostPath) : request.containerPath;
  if (name.trim() === "" || name.includes("..") || name.startsWith("/")) return { verdict: "bad-container-path" };
  const hostPath = resolve(expandHome(request.hostPath, home));
  if (hostPath === undefined) return { verdict: "missing" };
  const blocked = [...ALWAYS_BLOCKED, ...allowlist.blockedPatterns];
  if (blocked.some((pattern) => hostPath.includes(pattern))) return { verdict: "blocked" };
  const root = allowlist.allowedRoots.find(({ path }) => isUnder(hostPath, resolve(expandHome(path, home))));
  if (root === undefined) return { verdict: "outside-roots" };
  if (own.some((path) => isUnder(hostPath, path) || isUnder(path, hostPath))) return { verdict: "hermits-own" };
  const mayWrite = root.allowReadWrite && (isMain || !allowlist.nonMainReadOnly);
  return { verdict: "allowed", hostPath, containerPath: `${EXTRA}${name}`, readOnly: !(request.readonly === false && mayWrite) };
}

function expandHome(path: string, home: string): string {
  return path === "~" || path.startsWith("~/") ? home + path.slice(1) : path;
}

function lastPart(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) ?? "";
}

/** A root that is not there holds nothing. */
function isUnder(path: string, root: string | undefined): boolean {
  return root !== undefined && (path === root || path.startsWith(root.endsWith("/") ? root : `${root}/`));
}
