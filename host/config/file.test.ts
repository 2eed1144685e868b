import { chmodSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DEFAULTS } from "./defaults.ts";
import { type ConfigInput, loadConfig } from "./load.ts";
import { ConfigError } from "./problem.ts";
import { useTestHome } from "./test-home.ts";

const home = useTestHome();

describe("the home.path and the file", () => {
  test("--home beats HERMIT_HOME beats ~/.hermit", async () => {
    const env = { HOME: home.path, HERMIT_HOME: join(home.path, "b") };
    expect((await home.load({ env, home: join(home.path, "a") })).config.home).toBe(join(home.path, "a"));
    expect((await loadConfig({ env })).config.home).toBe(join(home.path, "b"));
    const { config, sources } = await loadConfig({ env: { HOME: home.path } });
    expect([config.home, sources.get("home")]).toEqual([join(home.path, ".hermit"), "default"]);
    expect((await loadConfig({ env: { HOME: home.path, HERMIT_HOME: "~/c" } })).config.home).toBe(join(home.path, "c"));
  });

  test("an empty --home or --config, as an unset shell variable gives, never means the working folder", async () => {
    expect((await home.onlyProblem({ home: "" })).message).toContain("--home is empty");
    expect((await home.onlyProblem({ configFile: "" })).message).toContain("--config is empty");
    expect((await loadConfig({ env: { HOME: home.path, HERMIT_HOME: " " } })).config.home).toBe(join(home.path, ".hermit"));
  });

  test("no file is fine, a file asked for by name must exist", async () => {
    expect((await home.load()).file).toBeUndefined();
    expect((await loadConfig({ env: {}, home: join(home.path, "not", "there") })).file).toBeUndefined();
    const missing = join(home.path, "other.toml");
    expect(await home.onlyProblem({ configFile: missing })).toMatchObject({
      source: missing,
      message: "The configuration file does not exist.",
    });
  });

  test("a file named with --config is read instead of the one in the home", async () => {
    home.write("[queue]\nslots = 9\n");
    const { config, file } = await home.load({ configFile: home.write("[queue]\nslots = 3\n", "other.toml") });
    expect([config.queue.slots, file]).toEqual([3, join(home.path, "other.toml")]);
  });

  test.each(["", "\n\n", "# nothing\n", "\ufeff", "[queue]\n"])("%j sets nothing and is fine", async (text) => {
    home.write(text);
    expect((await home.load()).config.queue.slots).toBe(DEFAULTS["queue.slots"]);
  });

  test("byte order mark, CRLF, inline tables and dotted keys are read", async () => {
    home.write(
      '\ufeffassistant_name = "Robin"\r\nretry = { base_s = 1.5, max = 2 }\r\nqueue.slots = 1\r\n["shutdown"]\r\n\'grace_s\' = 0\r\n',
    );
    const { config } = await home.load();
    expect([config.assistantName, config.retry.baseMs, config.retry.maxRetries, config.queue.slots, config.shutdown.graceMs]).toEqual([
      "Robin",
      1500,
      2,
      1,
      0,
    ]);
  });

  test("paths start at the file that names them, or at the working folder, or at the owner's home", async () => {
    home.write('[model]\nkind = "scripted"\nscript = "steps.json"\n');
    const scriptOf = async (input: Partial<ConfigInput>) => ((await home.load(input)).config.model as { script?: string }).script;
    expect(await scriptOf({})).toBe(join(home.path, "steps.json"));
    expect(await scriptOf({ env: { HERMIT_MODEL_SCRIPT: "s.json" } })).toBe(join(process.cwd(), "s.json"));
    expect(await scriptOf({ env: { HOME: "/h" }, flags: { "model.script": "~/s.json" } })).toBe("/h/s.json");
  });

  test("a file every user can change is used with a warning", async () => {
    chmodSync(home.write("[queue]\nslots = 1\n"), 0o646);
    const { warnings, config } = await home.load();
    expect([config.queue.slots, warnings.length]).toEqual([1, 1]);
    expect(warnings[0]).toContain("chmod o-w");
  });
});

describe("broken files", () => {
  test.each([
    ['key = "sk-live-1', 1, /Unterminated string/],
    ["assistant_name = sk-live-1\n", 1, /Unexpected character/],
    ["[queue]\nslots = 1\n\n[queue]\nslots = 2\n", 4, /multiple times/],
    ["[queue]\nslots = 1\nslots = 2\n", 3, /multiple times/],
    ["[queue]\nslots = 1\n\n[turn\n", 5, /Unterminated/], // where it noticed
    ["[queue]\nslots = \u0000\n", 2, /./],
    ["just words here\n", 1, /equal/],
    ["<html>\n", 1, /./],
  ])("%j is refused with its place and without its text", async (text, line, reason) => {
    const file = home.write(text);
    const problem = await home.onlyProblem();
    expect(problem).toMatchObject({ source: file, position: { line }, message: expect.stringMatching(reason) });
    expect(JSON.stringify(problem)).not.toContain("sk-live-1");
  });

  test("what is no text, no file, or too large is refused before it is parsed", async () => {
    home.write(Buffer.from([0x61, 0xff, 0xfe]));
    expect((await home.onlyProblem()).message).toContain("not UTF-8");
    home.write(`# ${"x".repeat(1024 * 1024)}\n`);
    expect((await home.onlyProblem()).message).toContain("too large");
    home.write(`# ${"x".repeat(64 * 1024)}\n`);
    expect((await home.onlyProblem()).message).toContain("too large");
    expect((await home.onlyProblem({ configFile: home.path })).message).toContain("not a regular file");
    expect((await home.onlyProblem({ configFile: "/dev/zero" })).message).toContain("not a regular file");
    symlinkSync("loop", join(home.path, "loop"));
    expect((await home.onlyProblem({ configFile: join(home.path, "loop") })).message).toContain("cannot be read");
  });

  const DEEP = 30_000;
  test.each([
    ["lists", `a = ${"[".repeat(DEEP)}${"]".repeat(DEEP)}`],
    ["open lists", `a = ${"[".repeat(60_000)}`],
    ["inline tables", `a = ${"{a=".repeat(DEEP / 2)}1${"}".repeat(DEEP / 2)}`],
    ["dotted keys", `a${".a".repeat(DEEP)} = 1`],
    ["a deep section", `[queue${".a".repeat(DEEP)}]\nb = 1`],
    ["many keys", Array.from({ length: 6_000 }, (_, i) => `k${i} = 1`).join("\n")],
    ["many sections", Array.from({ length: 6_000 }, (_, i) => `[k${i}]`).join("\n")],
  ])("a bomb of %s is refused within two seconds of processor time and with a short message", { timeout: 30_000 }, async (_, text) => {
    home.write(text);
    const before = process.cpuUsage();
    const error = await home.load().catch((thrown: unknown) => thrown);
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(2_000_000);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).message.length).toBeLessThan(20_000);
  });

  test("names that mean something to the language are ordinary unknown names", async () => {
    home.write('__proto__ = { slots = 3 }\nconstructor = 1\n[queue]\n__proto__.slots = 1\ntoString = 1\n["hasOwnProperty"]\na = 1\n');
    expect((await home.problems()).map(({ key }) => key)).toEqual([
      "__proto__",
      "constructor",
      "queue.__proto__",
      "queue.toString",
      "hasOwnProperty",
    ]);
    expect(Object.hasOwn(Object.prototype, "slots")).toBe(false);
  });
});
