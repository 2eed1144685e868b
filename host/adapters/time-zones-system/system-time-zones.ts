/**
 * The machine's own zone files, read when a zone is first asked for; Intl where it has none at all.
 * Names come from tasks and configuration: nothing but a plain path below the folder is ever opened.
 */
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Zone } from "../../domain/schedule-zone.ts";
import type { TimeZones } from "../../ports/time-zones.ts";
import { intlZone } from "./intl-zone.ts";
import { readZoneFile } from "./zone-file.ts";

const SYSTEM_FOLDER = "/usr/share/zoneinfo";
const SYSTEM_LINK = "/etc/localtime";
/** The largest known has under 4 KB. */
const MAX_FILE_BYTES = 64 * 1024;
/** Region, city, and one more level at most; no dot, so no way up and no hidden file. */
const NAME = /^[A-Za-z][A-Za-z0-9_+-]{0,31}(?:\/[A-Za-z0-9_+-]{1,31}){0,2}$/;
/** Copies of the tree that count leap seconds or say "none", and the machine's own setting. */
const NOT_A_ZONE = /^(?:right|posix)\/|^(?:posixrules|localtime|Factory)$/;

export interface SystemTimeZonesOptions {
  /** Folder of zone files; the system's by default. */
  readonly folder?: string;
  /** Link to the machine's zone file; the system's by default. */
  readonly localLink?: string;
}

export function systemTimeZones({ folder = SYSTEM_FOLDER, localLink = SYSTEM_LINK }: SystemTimeZonesOptions = {}): TimeZones {
  const hasFiles = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  const known = new Map<string, Zone>([["UTC", UTC]]);
  const find = (name: string): Zone | undefined => {
    const remembered = known.get(name);
    if (remembered !== undefined || !NAME.test(name) || NOT_A_ZONE.test(name)) return remembered;
    const zone = hasFiles ? readFromFile(folder, name) : intlZone(name);
    // Only what exists is remembered, so that invented names take no room.
    if (zone !== undefined) known.set(name, zone);
    return zone;
  };
  return { find, local: () => localName(localLink, find) };
}

const UTC: Zone = { name: "UTC", stretchAt: () => ({ from: -Infinity, until: Infinity, offset: 0, before: 0 }) };

function readFromFile(folder: string, name: string): Zone | undefined {
  const path = join(folder, name);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.size > MAX_FILE_BYTES) return undefined;
  return readZoneFile(name, readFileSync(path));
}

/** The link's target ends in the zone's name; a plain file in its place does not say which zone it is. */
function localName(link: string, find: TimeZones["find"]): string {
  let target: string;
  try {
    target = readlinkSync(link);
  } catch {
    return "UTC";
  }
  const name = target.split("/zoneinfo/").at(-1) ?? "";
  return find(name) === undefined ? "UTC" : name;
}
