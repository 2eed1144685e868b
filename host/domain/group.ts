import type { MountRequest } from "./mount-allowlist.ts";

/** A group: a chat we serve. The folder is its identity everywhere except in message rows (contract §1). */
export interface Group {
  /** Chat id on its platform, NanoClaw's `jid`. */
  readonly chat: string;
  readonly name: string;
  /** Unique; directory name under `groups/`. */
  readonly folder: string;
  readonly trigger: string;
  /** Whether a message must match the trigger to start a turn. Main never needs one. */
  readonly requiresTrigger: boolean;
  /** Longest run of a turn, in milliseconds; absent: the host's. NanoClaw's `container_config.timeout`. */
  readonly timeoutMs?: number;
  /** Folders of the machine it asks to see, NanoClaw's `container_config.additionalMounts`; absent: none. mount-allowlist.ts decides. */
  readonly mounts?: readonly MountRequest[];
}

export const MAIN_FOLDER = "main";

/** Letters, digits, `_`, `-`; no leading dash or dot: safe as a directory name and in a container name. */
const FOLDER = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const RESERVED = new Set(["global"]);

export function isValidFolder(folder: string): boolean {
  return FOLDER.test(folder) && !RESERVED.has(folder);
}

export function isMain(group: Pick<Group, "folder">): boolean {
  return group.folder === MAIN_FOLDER;
}

/**
 * A folder name for a chat met for the first time: readable part, then, where that is taken or lossy, a hash of the chat id.
 * Deterministic, so that a refed recording lands in the same folders.
 */
export function folderForChat(chat: string, isTaken: (folder: string) => boolean): string {
  const readable = chat
    .normalize("NFKD")
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^[-_]+|-+$/g, "")
    .slice(0, 48);
  if (isValidFolder(readable) && !isTaken(readable)) return readable;
  const hashed = `${readable === "" ? "chat" : readable}-${fnv1a(chat)}`;
  if (!isTaken(hashed)) return hashed;
  for (let n = 2; ; n++) {
    const numbered = `${hashed}-${n}`;
    if (!isTaken(numbered)) return numbered;
  }
}

/** 32-bit FNV-1a in base 36: short, stable, no security meaning. */
function fnv1a(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193) >>> 0;
  }
  return hash.toString(36);
}
