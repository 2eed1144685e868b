/**
 * A NanoClaw folder as it lies on disk (contract §1, §2, §7). Only looked at here.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  type Stats,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
} from "node:fs";
import { join, resolve, sep } from "node:path";
import { SessionId } from "../../contracts/wire/turn.ts";
import { HostError } from "../domain/errors.ts";
import { isValidFolder } from "../domain/group.ts";

export interface OldHome {
  /** Absolute, without links. */
  readonly path: string;
  /** Without links. Undefined: it was set up and never started; its state is in JSON files. */
  readonly database: string | undefined;
  readonly groups: string;
  /** WhatsApp's keys: a folder; a file is our note that they were moved. */
  readonly auth: string;
}

/** State that it reads at its start, and once only (contract §1). */
export const STATE_FILES = ["registered_groups.json", "router_state.json", "sessions.json"] as const;

const MAX_ENVIRONMENT_BYTES = 1024 * 1024;

/** Throws HostError OLD_HOME_UNUSABLE, naming what was looked for; HOME_UNUSABLE where it belongs to another user. */
export function openOldHome(folder: string): OldHome {
  const given = resolve(folder);
  if (!statSync(given, { throwIfNoEntry: false })?.isDirectory())
    throw unusable(`${given} is not a folder.`, "Name the folder NanoClaw runs in.");
  const path = realpathSync(given);
  const database = join(path, "store", "messages.db");
  const hasDatabase = statSync(database, { throwIfNoEntry: false })?.isFile() ?? false;
  if (!hasDatabase && !existsSync(join(path, "data", "registered_groups.json"))) {
    throw unusable(
      `${path} holds no NanoClaw household: neither store/messages.db nor data/registered_groups.json is there.`,
      "Name the folder NanoClaw runs in, the one with store/, groups/ and data/ in it.",
    );
  }
  const owner = statSync(hasDatabase ? database : path).uid;
  const user = process.getuid?.() ?? owner;
  // Whose files these are also decides whether a running host of theirs can be seen.
  if (user !== 0 && user !== owner) {
    throw new HostError("HOME_UNUSABLE", `${path} belongs to another user (uid ${owner}).`, { hint: "Run this as that user, or as root." });
  }
  return {
    path,
    database: hasDatabase ? realpathSync(database) : undefined,
    groups: join(path, "groups"),
    auth: join(path, "store", "auth"),
  };
}

/**
 * Throws HostError OLD_HOME_UNUSABLE where a link stands on the way to its database, its keys, its state or one of `trees`: each folder
 * below the home is looked at, as a link in the middle leads out as well as one at the end. Nothing needs to be there.
 */
export function refuseLinks(home: OldHome, trees: readonly string[]): void {
  for (const path of [join("store", "messages.db"), join("store", "auth"), "data", ...trees]) {
    const names = path.split(sep);
    for (let depth = 1; depth <= names.length; depth++) {
      const place = join(home.path, ...names.slice(0, depth));
      if (kindOf(place)?.isSymbolicLink())
        throw unusable(`${place} is a link, and links are not followed.`, "Put what it leads to in its place.");
    }
  }
}

export function unusable(message: string, hint: string): HostError {
  return new HostError("OLD_HOME_UNUSABLE", message, { hint });
}

/**
 * Claude Code's transcript of a session in a NanoClaw folder, or in a home that has its own copy of them, wherever below the group's
 * projects it lies (contract §7.6); undefined: there is none. Agents could write there, and name sessions: no link is followed.
 */
export function claudeTranscript(home: string, folder: string, session: string): string | undefined {
  if (!isValidFolder(folder) || !SessionId.safeParse(session).success) return undefined;
  let projects = join(home, "data", "sessions");
  for (const name of [folder, ".claude", "projects"]) {
    projects = join(projects, name);
    if (!kindOf(projects)?.isDirectory()) return undefined;
  }
  return namesIn(projects)
    .filter((project) => kindOf(join(projects, project))?.isDirectory())
    .map((project) => join(projects, project, `${session}.jsonl`))
    .find((path) => kindOf(path)?.isFile());
}

/** Not of what a link leads to. */
export function kindOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** Names set in its `.env`, never the values. */
export function environmentNames(home: OldHome): readonly string[] {
  try {
    const lines = environmentText(join(home.path, ".env")).split("\n");
    const names = lines.flatMap((line) => /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=/.exec(line)?.[1] ?? []);
    return [...new Set(names)];
  } catch {
    return [];
  }
}

/** Throws where it is no file, which opening must not wait for, or far longer than a list of settings. */
function environmentText(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size > MAX_ENVIRONMENT_BYTES) throw new Error(`${path} is no list of settings`);
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}

/** What its agents asked for and it has not read: files below `data/ipc/<folder>/messages` and `tasks` (contract §6.1). */
export function unreadRequests(home: OldHome): number {
  const ipc = join(home.path, "data", "ipc");
  const folders = namesIn(ipc).filter((name) => name !== "errors");
  const unread = folders.flatMap((folder) => ["messages", "tasks"].flatMap((kind) => namesIn(join(ipc, folder, kind))));
  return unread.filter((name) => name.endsWith(".json")).length;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
