/** What an adoption did, or would do, in words. Names of settings are said, their values never. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isValidFolder } from "../domain/group.ts";
import { allowlistNotes, allowlistSteps } from "./adopt-allowlist.ts";
import type { AdoptedDatabase } from "./adopt-database.ts";
import { readNote } from "./adoption-record.ts";
import type { TreeFacts } from "./copy-tree.ts";
import type { HouseholdTree } from "./household-trees.ts";
import { isMovable } from "./move-folder.ts";
import { environmentNames, type OldHome, STATE_FILES, unreadRequests } from "./old-home.ts";

export interface AdoptionStep {
  readonly action: "copy" | "import" | "move" | "write";
  readonly what: string;
}

export interface AdoptionReport {
  readonly from: string;
  readonly home: string;
  readonly steps: readonly AdoptionStep[];
  /** What is not taken over, or needs somebody's hand. */
  readonly notes: readonly string[];
}

export interface SessionFacts {
  readonly folder: string;
  readonly session: string;
  /** Undefined: there is no transcript of it. */
  readonly turns: number | undefined;
  readonly damaged: number;
  readonly isCut: boolean;
}

const NO_WHATSAPP = "There is no WhatsApp channel here yet: until there is, these chats get no answer.";
const NAMED_LEFT_OUT = 10;

export interface AdoptedParts {
  readonly database: AdoptedDatabase;
  readonly sessions: readonly SessionFacts[];
  readonly trees: readonly CopiedTree[];
}

export interface CopiedTree {
  readonly tree: HouseholdTree;
  readonly facts: TreeFacts;
}

interface Places {
  readonly home: string;
  readonly ownersFolder: string;
  readonly assistantName: string;
}

export function authSteps(old: OldHome, home: string): AdoptionStep[] {
  if (readNote(old.auth) !== undefined) return [];
  const moved: AdoptionStep[] = isMovable(old.auth)
    ? [{ action: "move", what: `WhatsApp's keys: ${old.auth} → ${join(home, "store", "auth")}` }]
    : [];
  return [...moved, { action: "write", what: `a note in place of ${old.auth}, so that NanoClaw cannot start` }];
}

export function report(old: OldHome, places: Places, { database, sessions, trees }: AdoptedParts): AdoptionReport {
  const { home, ownersFolder } = places;
  const rows = Object.entries(database.rows).map(([table, n]) => `${table} ${n}`);
  const read = sessions.filter(({ turns }) => turns !== undefined);
  const state = STATE_FILES.filter((name) => existsSync(join(old.path, "data", name)));
  return {
    from: old.path,
    home,
    steps: [
      { action: "copy", what: `the database (${rows.join(", ") || "it begins empty"})` },
      ...state.map((name): AdoptionStep => ({ action: "import", what: `data/${name}, which NanoClaw reads at its start` })),
      ...trees.map(
        ({ tree, facts }): AdoptionStep => ({
          action: "copy",
          what: `${tree.what} (${counted(facts.files, "file")}, ${size(facts.bytes)})`,
        }),
      ),
      ...read.map(
        ({ folder, session, turns }): AdoptionStep => ({
          action: "import",
          what: `the conversation of ${folder} (${session}, ${counted(turns ?? 0, "turn")})`,
        }),
      ),
      ...allowlistSteps(ownersFolder),
      ...authSteps(old, home),
    ],
    notes: [...notesOf(database, sessions, places), ...leftOutNotes(trees), ...oldHomeNotes(old)],
  };
}

export function leftOutNotes(trees: readonly CopiedTree[]): string[] {
  const all = trees.flatMap(({ tree, facts }) => facts.leftOut.map((text) => `Left out: ${tree.path}/${text}.`));
  return all.length <= NAMED_LEFT_OUT ? all : [...all.slice(0, NAMED_LEFT_OUT), `Left out as well: ${all.length - NAMED_LEFT_OUT} more.`];
}

function notesOf(database: AdoptedDatabase, sessions: readonly SessionFacts[], places: Places): string[] {
  const { assistantName, ownersFolder } = places;
  const lost = sessions.filter(({ turns }) => turns === undefined).map(({ folder }) => folder);
  const waiting = [...database.waiting].map(([folder, n]) => `${folder} ${n}`);
  const words = new Set(database.groups.map(({ trigger }) => trigger.trim()).filter((word) => word !== ""));
  const isCalledOtherwise = words.size > 0 && ![...words].some((word) => word.toLowerCase() === `@${assistantName.toLowerCase()}`);
  const misnamed = database.groups.filter(({ folder }) => !isValidFolder(folder)).map(({ folder }) => JSON.stringify(folder));
  return [
    ...(waiting.length > 0 ? [`Messages that wait for an answer: ${waiting.join(", ")}.`] : []),
    ...(isCalledOtherwise
      ? [
          `The groups are called with ${[...words].join(", ")}, and the assistant's name here is ${assistantName}: set assistant_name before this, ` +
            `or what it wrote itself counts as written by people.`,
        ]
      : []),
    ...(lost.length > 0 ? [`Conversations whose transcript was not found begin anew, and the chats are told: ${lost.join(", ")}.`] : []),
    ...sessions
      .filter(({ damaged }) => damaged > 0)
      .map(({ folder, damaged }) => `${counted(damaged, "line")} of the conversation of ${folder} cannot be read: passed over.`),
    ...sessions.filter(({ isCut }) => isCut).map(({ folder }) => `Of the conversation of ${folder} only the newest part is taken over.`),
    ...(misnamed.length > 0
      ? [`Groups with a folder name that is not allowed here are not served until it is changed: ${misnamed.join(", ")}.`]
      : []),
    ...database.warnings,
    ...allowlistNotes(ownersFolder),
  ];
}

/** What each name in NanoClaw's `.env` is here. */
const SETTINGS: Readonly<Record<string, string>> = {
  ANTHROPIC_API_KEY: "a model's key: HERMIT_MODEL_KEY or model.key_file",
  CLAUDE_CODE_OAUTH_TOKEN: "of no use here: it opens Claude Code only",
  ASSISTANT_NAME: "assistant_name",
  TZ: "time_zone",
  LOG_LEVEL: "log_level",
  MAX_CONCURRENT_CONTAINERS: "queue.slots",
  CONTAINER_TIMEOUT: "turn.hard_timeout_s",
  IDLE_TIMEOUT: "turn.idle_timeout_s",
};

function oldHomeNotes(old: OldHome): string[] {
  const [names, unread] = [environmentNames(old), unreadRequests(old)];
  return [
    ...names.map((name) => `.env is not copied. ${name} is ${SETTINGS[name] ?? "not known here"}.`),
    ...(existsSync(join(old.auth, "creds.json")) ? [NO_WHATSAPP] : []),
    ...(unread > 0 ? [`Not taken over: ${counted(unread, "request")} that its agents left in data/ipc.`] : []),
  ];
}

export function counted(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

export function size(bytes: number): string {
  return bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KB` : `${Math.round(bytes / 1024 / 1024)} MB`;
}
