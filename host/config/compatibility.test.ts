import { join } from "node:path";
import { expect, test } from "vitest";
import type { ConfigInput } from "./load.ts";
import { useTestHome } from "./test-home.ts";

const home = useTestHome();
const NOW = Date.UTC(2026, 2, 1, 12);
const SECTION = '[compatibility]\nimage = "nanoclaw-agent:latest"\n';

const load = (section: string, input: Partial<ConfigInput> = {}) => {
  home.write(section);
  return home.load({ now: NOW, env: { HOME: "/home/ann" }, ...input });
};
const problem = (section: string) => {
  home.write(section);
  return home.onlyProblem({ now: NOW });
};

test("without an image there is no compatibility runner, whatever else is set", async () => {
  const { config, warnings } = await load('[compatibility]\nuntil = "2026-03-31"\ngroups = "main"\n');
  expect([config.compatibility, warnings]).toEqual([undefined, []]);
});

test("it is on until the end of its last day, and every start says so with the date", async () => {
  const { config, warnings } = await load(`${SECTION}until = 2026-03-31\n`);
  expect(config.compatibility).toEqual({
    image: "nanoclaw-agent:latest",
    command: ["/app/entrypoint.sh"],
    until: "2026-03-31",
    endsAt: Date.UTC(2026, 3, 1),
    groups: undefined,
    baseUrl: "https://api.anthropic.com",
    key: undefined,
  });
  expect(warnings).toEqual([
    "Turns of all groups are played by the old agent in nanoclaw-agent:latest until 2026-03-31: the compatibility runner is on, and ends by itself.",
  ]);
});

test("command, groups and key are taken apart and read", async () => {
  const key = home.write("sk-test", "key");
  const more = `until = "2026-03-31"\ncommand = "node  /app/x.js"\ngroups = "main, fam"\nkey_file = "key"\n`;
  const { config, warnings } = await load(SECTION + more);
  expect(config.compatibility).toMatchObject({ command: ["node", "/app/x.js"], groups: ["main", "fam"] });
  expect([key, config.compatibility?.key?.reveal()]).toEqual([join(home.path, "key"), "sk-test"]);
  expect(warnings[0]).toMatch(/^Turns of main, fam are played/);
});

test("a last day is needed, and 90 days ahead at most", async () => {
  expect(await problem(SECTION)).toMatchObject({ key: "compatibility.until", message: expect.stringContaining("is missing") });
  await load(`${SECTION}until = "2026-05-30"\n`);
  expect(await problem(`${SECTION}until = "2026-05-31"\n`)).toMatchObject({
    key: "compatibility.until",
    message: "compatibility.until is 2026-05-31, more than 90 days ahead.",
    hint: "The latest day today is 2026-05-30.",
  });
  expect((await problem(`${SECTION}until = "2026-02-30x"\n`)).message).toContain("must be a date such as 2026-12-31");
});

test("past its last day the host starts all the same, and says that the section can go", async () => {
  const { config, warnings } = await load(`${SECTION}until = "2026-02-28"\n`);
  expect(config.compatibility?.endsAt).toBeLessThan(NOW);
  expect(warnings).toEqual([
    "The compatibility runner ended with 2026-02-28; Hermit's own runner is used. Take the [compatibility] section out.",
  ]);
});

test("what is no folder, and a key others can read, are refused by name", async () => {
  home.write("sk-test", "key", 0o644);
  expect(await problem(`${SECTION}until = "2026-03-31"\ngroups = "main,../etc"\n`)).toMatchObject({ key: "compatibility.groups" });
  expect(await problem(`${SECTION}until = "2026-03-31"\nkey_file = "key"\n`)).toMatchObject({ key: "compatibility.key_file" });
  expect(await problem(`${SECTION}until = "2026-03-31"\nkey_file = "none"\n`)).toMatchObject({
    source: "compatibility.key_file",
    hint: expect.stringContaining("compatibility.key_file"),
  });
});
