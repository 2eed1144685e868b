/**
 * The tables of docs/configuration.md, made from the schema. A test compares; `node host/config/reference.ts` writes.
 * Not part of the host.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { DEFAULTS } from "./defaults.ts";
import { SECTIONS, SETTING_NAMES, SETTINGS, type SettingName } from "./schema.ts";
import type { Setting } from "./setting.ts";

export const PAGE = new URL("../../docs/configuration.md", import.meta.url);
const [BEGIN, END] = ["<!-- settings: made from host/config/schema.ts -->\n", "<!-- settings end -->\n"];

/** The page with its tables as they should be. Throws when the page has lost its marks. */
export function renderPage(page: string): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`docs/configuration.md needs the lines ${BEGIN.trim()} and ${END.trim()}`);
  return page.slice(0, from + BEGIN.length) + renderTables() + page.slice(to);
}

function renderTables(): string {
  const sections = [undefined, ...SECTIONS];
  return `\n${sections.map(renderSection).join("\n")}\n`;
}

function renderSection(section: string | undefined): string {
  const names = SETTING_NAMES.filter((name) => (name.includes(".") ? name.startsWith(`${section}.`) : section === undefined));
  const title = section === undefined ? "### Top of the file" : `### \`[${section}]\``;
  return `${[title, "", "| key | variable | default | must be | meaning |", "|---|---|---|---|---|", ...names.map(renderRow)].join("\n")}\n`;
}

function renderRow(name: SettingName): string {
  const setting: Setting = SETTINGS[name];
  const value: unknown = DEFAULTS[name];
  const shown = value === undefined ? setting.whenUnset : `\`${JSON.stringify(value)}\``;
  const variables = [setting.env, ...(setting.alias === undefined ? [] : [setting.alias])].map((variable) => `\`${variable}\``).join(", ");
  return `| \`${name.slice(name.indexOf(".") + 1)}\` | ${variables} | ${shown} | ${setting.expects} | ${setting.about} |`;
}

if (import.meta.main) writeFileSync(PAGE, renderPage(readFileSync(PAGE, "utf8")));
