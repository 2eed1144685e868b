/** One layer against the schema: what it sets, and everything wrong with it in words. */
import type * as z from "zod";
import { nearest } from "./nearest.ts";
import type { Position, Problem } from "./problem.ts";
import { quote, quoteName } from "./problem.ts";
import { ConfigFile, isSettingName, type Layer, SECTIONS, SETTING_NAMES, SETTINGS, type SettingName } from "./schema.ts";
import type { Setting } from "./setting.ts";

export interface Nested {
  readonly [key: string]: unknown;
}

/** Where a path of the layer was written: a variable's name, or a file and a place in it. */
export type Locate = (path: readonly PropertyKey[]) => { readonly source: string; readonly position?: Position | undefined };

export interface CheckedLayer {
  /** What of it is right, also where other things are not: so that checks on top can go on. */
  readonly layer: Layer;
  readonly problems: readonly Problem[];
}

export function checkLayer(nested: Nested, locate: Locate): CheckedLayer {
  const parsed = ConfigFile.safeParse(nested);
  if (parsed.success) return { layer: flatten(parsed.data), problems: [] };
  const problems = parsed.error.issues.flatMap((issue) => explainIssue(issue, nested, locate));
  return { layer: flatten(validPart(nested)), problems: problems.sort(byPosition) };
}

export function nest(flat: Readonly<Record<string, unknown>>): Nested {
  const nested: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(flat)) {
    const [key, section] = name.split(".").reverse();
    if (key === undefined) continue;
    if (section === undefined) nested[key] = value;
    else nested[section] = { ...Object(nested[section]), [key]: value };
  }
  return nested;
}

function validPart(nested: Nested): Nested {
  const valid = SETTING_NAMES.map((name) => [name, valueAt(nested, name.split("."))] as const);
  return nest(Object.fromEntries(valid.filter(([name, value]) => value !== undefined && SETTINGS[name].schema.safeParse(value).success)));
}

function flatten(nested: Nested): Layer {
  const flat: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(nested)) {
    if (value === undefined) continue;
    if (!SECTIONS.includes(key)) flat[key] = value;
    else
      for (const [inner, innerValue] of Object.entries(Object(value))) if (innerValue !== undefined) flat[`${key}.${inner}`] = innerValue;
  }
  return flat as Layer;
}

function explainIssue(issue: z.core.$ZodIssue, nested: Nested, locate: Locate): Problem[] {
  if (issue.code === "unrecognized_keys") {
    const paths = issue.keys.map((key) => [...issue.path, key]);
    return paths.map((path) => unknownKey(path.map(String), valueAt(nested, path), located(locate(path))));
  }
  const name = issue.path.join(".");
  const place = located(locate(issue.path));
  if (isSettingName(name)) return [wrongValue(name, valueAt(nested, issue.path), place)];
  return [
    {
      ...place,
      key: name,
      message: `${quoteName(name)} is a section and must be a table.`,
      hint: `Write [${quoteName(name)}] on a line of its own, once, with its keys below it.`,
    },
  ];
}

type Place = Pick<Problem, "source" | "position">;

function located({ source, position }: ReturnType<Locate>): Place {
  return position === undefined ? { source } : { source, position };
}

export function wrongValue(name: SettingName, value: unknown, place: Place): Problem {
  const setting: Setting = SETTINGS[name];
  const shown = setting.isQuotable ? `, and is ${describeValue(value)}` : "";
  return {
    ...place,
    key: name,
    message: `${name} must be ${setting.expects}${shown}.`,
    hint: `Correct it, or remove it for the default; docs/configuration.md describes ${name}.`,
  };
}

/** Shorter than any key in use, so that one pasted into the wrong place is not repeated; longer than any word we take. */
const MAX_QUOTED_LENGTH = 18;

function describeValue(value: unknown): string {
  if (value === "") return "empty";
  if (typeof value === "string") return value.length <= MAX_QUOTED_LENGTH ? quote(value) : `a text of ${value.length} characters`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  return "a table";
}

/** A key is refused before its name is looked at any further: `model.key` is near `model.kind`, and must not be "corrected" to it. */
const SOUNDS_SECRET = /^(.*[_-])?(key|token|secret|password|passwd|apikey|credential)s?$/i;

function unknownKey(path: readonly string[], value: unknown, place: Place): Problem {
  const name = path.join(".");
  const shown = quoteName(name);
  const leaf = path.at(-1) ?? name;
  if (typeof value === "string" && SOUNDS_SECRET.test(leaf)) {
    return {
      ...place,
      key: name,
      message: `${shown} looks like a secret, and this file takes none: it ends up in backups, and in what people show when they ask for help.`,
      hint: "Put the key alone into a file only you can read (chmod 600) and name that in model.key_file, or set HERMIT_MODEL_KEY.",
    };
  }
  const meant = nearestSetting(name, leaf);
  return {
    ...place,
    key: name,
    message: `${shown} is not a setting${meant === undefined ? "" : `; did you mean ${meant}?`}${meant === undefined ? "." : ""}`,
    hint: meant === undefined ? "Remove it; docs/configuration.md lists all settings." : "Rename or remove it.",
  };
}

/** In its own section first; then the same word in another one; then with the section misspelt too, or instead. */
function nearestSetting(name: string, leaf: string): string | undefined {
  const prefix = name.slice(0, name.length - leaf.length);
  const beside = SETTING_NAMES.filter((setting) => setting.startsWith(prefix)).map((setting) => setting.slice(prefix.length));
  const near = nearest(leaf, beside);
  if (near !== undefined) return prefix + near;
  const elsewhere = SETTING_NAMES.find((setting) => setting.endsWith(`.${leaf}`));
  if (elsewhere !== undefined) return elsewhere;
  if (prefix !== "") return undefined;
  const section = nearest(name, SECTIONS);
  return section === undefined ? undefined : `[${section}]`;
}

function valueAt(nested: Nested, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, step) => (typeof value === "object" ? (value as Nested | null)?.[String(step)] : undefined), nested);
}

function byPosition(a: Problem, b: Problem): number {
  return (a.position?.line ?? 0) - (b.position?.line ?? 0) || (a.position?.column ?? 0) - (b.position?.column ?? 0);
}
