/**
 * Folders and files of the machine a group's sandbox sees beside its own: what the group asks for, as far as the owner's list allows it
 * (domain/mount-allowlist.ts). Each comes with what it was when it was judged, and the sandbox is held to that.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { dirname, isAbsolute } from "node:path";
import { firstCharacters } from "../../domain/bounded-text.ts";
import { type Group, isMain } from "../../domain/group.ts";
import {
  decideMounts,
  MAX_MOUNTS,
  MOUNT_REFUSALS,
  type MountAllowlist,
  type MountVerdict,
  parseMountAllowlist,
} from "../../domain/mount-allowlist.ts";
import type { Audit } from "../../ports/audit.ts";
import type { Log } from "../../ports/log.ts";
import type { FileIdentity, SandboxMount } from "../../ports/sandbox-runtime.ts";
import { hasMountBelow } from "./mount-points.ts";
import { HANDLE_ONLY } from "./no-follow.ts";

export interface ExtraMountsOptions {
  /** The owner's list, absolute; undefined: the owner has none. Its folder is the host's own. */
  readonly allowlist: string | undefined;
  /** What `~` means; undefined: the owner has no folder. */
  readonly ownersFolder: string | undefined;
  /** Absolute paths that are never shown, nor anything in or around one: home, program, the engine's socket, keys. */
  readonly own: readonly string[];
  readonly audit: Audit;
  readonly log: Log;
}

/** What is mounted for this group's next run. Throws HostError AUDIT_BROKEN: what cannot be recorded is not mounted. */
export type ExtraMounts = (group: Group) => readonly SandboxMount[];

/** Far above any list a person writes. */
const MAX_LIST_BYTES = 1024 * 1024;
const SUBJECT_CHARACTERS = 300;
const WRITABLE_BY_OTHERS = 0o022;

/** The list is read here and never again, as the old host did (contract §7.7): to change what is seen, start again. */
export function createExtraMounts(options: ExtraMountsOptions): ExtraMounts {
  const { allowlist: path, ownersFolder = "/", audit, log } = options;
  const ownPaths = path === undefined ? options.own : [...options.own, dirname(path)];
  const allowlist = path === undefined ? undefined : readAllowlist(path, options);
  /** Group → what was decided for its last run. Every turn decides anew; what is as it was then is not recorded again. */
  const decidedBefore = new Map<string, readonly string[]>();

  return (group) => {
    const { folder, mounts: requests = [] } = group;
    const own = ownPaths.flatMap((one) => [one, realPath(one) ?? one]);
    const decisions = decideMounts(requests, allowlist, { isMain: isMain(group), home: ownersFolder, own, resolve: realPath }).map(
      ({ request, verdict }): Decision => ({ asked: request.hostPath, ...holdTo(verdict) }),
    );
    if (requests.length > MAX_MOUNTS) decisions.push({ asked: `${requests.length} folders`, reason: TOO_MANY });
    const before = decidedBefore.get(folder);
    for (const { asked, mount, reason } of decisions) {
      if (before?.includes(`${asked}: ${reason}`)) continue;
      const subject = firstCharacters(asked, SUBJECT_CHARACTERS);
      audit.record({ kind: "mount", decision: mount === undefined ? "denied" : "allowed", group: folder, turn: null, subject, reason });
      if (mount === undefined) log.warn({ group: folder, mount: asked, reason }, "a folder the group asks for is not mounted");
    }
    const decided = decisions.map(({ asked, reason }) => `${asked}: ${reason}`);
    decidedBefore.set(folder, decided);
    return decisions.flatMap(({ mount }) => mount ?? []);
  };
}

interface Decision {
  readonly asked: string;
  /** Absent: refused. */
  readonly mount?: SandboxMount;
  readonly reason: string;
}

const TOO_MANY = `a group may see ${MAX_MOUNTS} folders; those after are not mounted`;

function holdTo(verdict: MountVerdict): Omit<Decision, "asked"> {
  if (verdict.verdict !== "allowed") return { reason: MOUNT_REFUSALS[verdict.verdict] };
  const { hostPath, containerPath, readOnly } = verdict;
  const identity = identityOf(hostPath);
  if (identity === "changed") return { reason: "what is there now is not what was judged, or this system cannot tell" };
  if (identity === "special") return { reason: "it is neither a folder nor a regular file" };
  if (readOnly && hasMountBelow(hostPath)) return { reason: "another file system is mounted in it, which engines may leave writable" };
  const mount = { hostPath, containerPath, readOnly, identity };
  return { mount, reason: `${hostPath} is mounted at ${containerPath}, ${readOnly ? "read-only" : "to read and write"}` };
}

function readAllowlist(path: string, { audit, log }: ExtraMountsOptions): MountAllowlist | undefined {
  let reason: string;
  try {
    const stat = statSync(path);
    // A pipe would keep the host waiting for whoever writes to it.
    if (!stat.isFile()) reason = "it is not a file";
    else if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) reason = "others can write it; chmod 600 mends that";
    else if (!isTrusted(stat.uid)) reason = "it belongs to another user";
    else if (stat.size > MAX_LIST_BYTES) reason = "it is far too long";
    else {
      const allowlist = parseMountAllowlist(readFileSync(path, "utf8"));
      if (allowlist !== undefined) return allowlist;
      reason = "it is not a list of allowed roots, blocked patterns and nonMainReadOnly, in JSON";
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    reason = (cause as Error).message;
  }
  const subject = firstCharacters(path, SUBJECT_CHARACTERS);
  audit.record({ kind: "mount", decision: "denied", group: null, turn: null, subject, reason: `nothing is mounted: ${reason}` });
  log.warn({ file: path, reason }, "the list of folders groups may see cannot be read; none is mounted");
  return undefined;
}

/** Ours, or root's, who may change anything anyway. */
function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.();
}

/** A relative path would mean another place in another folder, so there is nothing at it. */
function realPath(path: string): string | undefined {
  try {
    return isAbsolute(path) ? realpathSync(path) : undefined;
  } catch {
    return undefined;
  }
}

/** Of what lies at a path that has no links in it; "changed" where a link has come in since, or without Linux's /proc. */
function identityOf(path: string): FileIdentity | "changed" | "special" {
  let handle: number | undefined;
  try {
    if (process.platform !== "linux") return "changed";
    // Waits for no FIFO and needs no right to read.
    handle = openSync(path, HANDLE_ONLY | constants.O_NOFOLLOW);
    if (readlinkSync(`/proc/self/fd/${handle}`) !== path) return "changed";
    const stat = fstatSync(handle, { bigint: true });
    return stat.isDirectory() || stat.isFile() ? { dev: stat.dev, ino: stat.ino } : "special";
  } catch {
    return "changed";
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}
