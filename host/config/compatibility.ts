/** The compatibility runner's section: off without an image, and never without a last day. */
import { isValidFolder } from "../domain/group.ts";
import type { CompatibilityConfig, Values } from "./config.ts";
import { type FoundKey, readKeyFile } from "./model-key.ts";
import { type Problem, quote } from "./problem.ts";
import type { SettingName } from "./schema.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** A judgement: a season is enough to move in, and a bridge nobody takes down stays for ever. */
const MOST_DAYS = 90;

export interface FoundCompatibility {
  /** Undefined: it is off, or something is wrong. */
  readonly compatibility: CompatibilityConfig | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

/** `whereIs` names the layer a setting came from. */
export function findCompatibility(values: Values, whereIs: (name: SettingName) => string, now: number): FoundCompatibility {
  const image = values["compatibility.image"];
  if (image === undefined) return { compatibility: undefined, problems: [], warnings: [] };
  const problems: Problem[] = [];
  const wrong = (key: SettingName, message: string, hint: string): void => void problems.push({ source: whereIs(key), key, message, hint });
  const until = values["compatibility.until"];
  const endsAt = until === undefined ? 0 : Date.parse(until) + DAY_MS;
  if (until === undefined) {
    wrong(
      "compatibility.until",
      "compatibility.until is missing: the compatibility runner ends by itself.",
      "Name its last day, such as 2026-12-31.",
    );
  } else if (endsAt > now + (MOST_DAYS + 1) * DAY_MS) {
    const latest = new Date(now + MOST_DAYS * DAY_MS).toISOString().slice(0, 10);
    wrong(
      "compatibility.until",
      `compatibility.until is ${until}, more than ${MOST_DAYS} days ahead.`,
      `The latest day today is ${latest}.`,
    );
  }
  const groups = values["compatibility.groups"]?.split(",").map((folder) => folder.trim());
  const noFolder = groups?.find((folder) => !isValidFolder(folder));
  if (noFolder !== undefined) {
    wrong(
      "compatibility.groups",
      `compatibility.groups names ${quote(noFolder)}, which is no group's folder.`,
      "Write folders with commas between them: main,family.",
    );
  }
  const file = values["compatibility.key_file"];
  const found = file === undefined ? undefined : readKeyFile(file);
  problems.push(...ofThisKey(found));
  if (problems.length > 0 || until === undefined) return { compatibility: undefined, problems, warnings: [] };
  const compatibility: CompatibilityConfig = {
    image,
    command: values["compatibility.command"].split(/\s+/),
    until,
    endsAt,
    groups,
    baseUrl: values["compatibility.base_url"],
    key: found?.key,
  };
  return { compatibility, problems, warnings: [warningOf(compatibility, now)] };
}

function warningOf({ image, until, endsAt, groups }: CompatibilityConfig, now: number): string {
  if (now >= endsAt) {
    return `The compatibility runner ended with ${until}; Hermit's own runner is used. Take the [compatibility] section out.`;
  }
  const whose = groups === undefined ? "Turns of all groups" : `Turns of ${groups.join(", ")}`;
  return `${whose} are played by the old agent in ${image} until ${until}: the compatibility runner is on, and ends by itself.`;
}

function ofThisKey(found: FoundKey | undefined): Problem[] {
  const own = (text: string): string => text.replaceAll("model.key_file", "compatibility.key_file");
  return (found?.problems ?? []).map((problem) => ({
    ...problem,
    source: own(problem.source),
    key: "compatibility.key_file",
    hint: own(problem.hint),
  }));
}
