import { RefusedError } from "../../domain/errors.ts";
import type { Group } from "../../domain/group.ts";
import type { MountRequest } from "../../domain/mount-allowlist.ts";
import type { Sqlite } from "./open.ts";

interface GroupRow {
  jid: string;
  name: string;
  folder: string;
  trigger_pattern: string;
  requires_trigger: number | null;
  container_config: string | null;
}

/** NanoClaw's registered_groups. A null `requires_trigger` means required (contract §1). */
export function groupTable(db: Sqlite) {
  const all = db.prepare("SELECT * FROM registered_groups ORDER BY added_at, jid");
  const byFolder = db.prepare("SELECT * FROM registered_groups WHERE folder = ?");
  const byChat = db.prepare("SELECT * FROM registered_groups WHERE jid = ?");
  const insert = db.prepare(
    "INSERT INTO registered_groups (jid, name, folder, trigger_pattern, added_at, requires_trigger) VALUES (?, ?, ?, ?, ?, ?)",
  );
  const update = db.prepare("UPDATE registered_groups SET name = ?, trigger_pattern = ?, requires_trigger = ? WHERE jid = ?");
  const parse = (row: unknown): Group | undefined => {
    if (row === undefined) return undefined;
    const { jid, name, folder, trigger_pattern, requires_trigger, container_config } = row as GroupRow;
    const config = configOf(container_config);
    return {
      chat: jid,
      name,
      folder,
      trigger: trigger_pattern,
      requiresTrigger: requires_trigger !== 0,
      ...groupTimeout(config),
      ...groupMounts(config),
    };
  };

  return {
    list: (): readonly Group[] => all.all().map((row) => parse(row) as Group),
    byFolder: (folder: string) => parse(byFolder.get(folder)),
    byChat: (chat: string) => parse(byChat.get(chat)),
    /** The baseline replaces the other row on a clash; losing a chat that way is a defect, so we refuse. */
    register(group: Group, now: number): void {
      const clash = parse(byChat.get(group.chat)) ?? parse(byFolder.get(group.folder));
      if (clash !== undefined) {
        throw new RefusedError(
          "GROUP_TAKEN",
          `Cannot register ${group.chat} as ${group.folder}: ${clash.chat} is registered as ${clash.folder}.`,
          {
            hint: "Choose another folder name.",
          },
        );
      }
      insert.run(group.chat, group.name, group.folder, group.trigger, new Date(now).toISOString(), group.requiresTrigger ? 1 : 0);
    },
    change: ({ chat, name, trigger, requiresTrigger }: Group): void => void update.run(name, trigger, requiresTrigger ? 1 : 0, chat),
  };
}
export type GroupTable = ReturnType<typeof groupTable>;

/** What the old program stored for a group; what cannot be read counts as not set. */
function configOf(json: string | null): { readonly timeout?: unknown; readonly additionalMounts?: unknown } {
  try {
    return Object(JSON.parse(json ?? "{}")) as object;
  } catch {
    return {};
  }
}

function groupTimeout({ timeout }: ReturnType<typeof configOf>): Pick<Group, "timeoutMs"> {
  return typeof timeout === "number" && timeout > 0 && Number.isFinite(timeout) ? { timeoutMs: timeout } : {};
}

function groupMounts({ additionalMounts }: ReturnType<typeof configOf>): Pick<Group, "mounts"> {
  const mounts = (Array.isArray(additionalMounts) ? additionalMounts : []).filter((mount): mount is MountRequest => {
    const { hostPath, containerPath } = Object(mount) as Record<string, unknown>;
    return typeof hostPath === "string" && (containerPath === undefined || typeof containerPath === "string");
  });
  return mounts.length === 0 ? {} : { mounts };
}
