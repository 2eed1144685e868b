/** A fresh home folder for each test, and the ways tests ask about it. Imported by tests only. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect } from "vitest";
import { type ConfigInput, checkConfig, type LoadedConfig, loadConfig } from "./load.ts";
import type { Problem } from "./problem.ts";
import { SETTINGS, type SettingName } from "./schema.ts";

export interface TestHome {
  /** This test's folder. */
  readonly path: string;
  write(text: string | Buffer, name?: string, mode?: number): string;
  load(input?: Partial<ConfigInput>): Promise<LoadedConfig>;
  problems(input?: Partial<ConfigInput>): Promise<readonly Problem[]>;
  onlyProblem(input?: Partial<ConfigInput>): Promise<Problem>;
}

export function useTestHome(): TestHome {
  const root = mkdtempSync(join(tmpdir(), "hermit-config-"));
  let count = 0;
  let path = "";
  beforeEach(() => {
    path = join(root, String(count++));
    mkdirSync(path);
  });
  afterAll(() => rmSync(root, { recursive: true }));
  const problems = async (input: Partial<ConfigInput> = {}) => (await checkConfig({ env: {}, home: path, ...input })).problems;
  return {
    get path() {
      return path;
    },
    write(text, name = "hermit.toml", mode = 0o600) {
      writeFileSync(join(path, name), text, { mode });
      return join(path, name);
    },
    load: (input = {}) => loadConfig({ env: {}, home: path, ...input }),
    problems,
    async onlyProblem(input = {}) {
      const [problem, ...others] = await problems(input);
      expect(others).toEqual([]);
      return problem ?? expect.unreachable("no problem was found");
    },
  };
}

/** One line of a file that sets it. */
export function asToml(name: SettingName, value: string): string {
  const [key, section] = name.split(".").reverse();
  return `${section === undefined ? "" : `[${section}]\n`}${key} = ${SETTINGS[name].isNumber ? value : JSON.stringify(value)}\n`;
}
