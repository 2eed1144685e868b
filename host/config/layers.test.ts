import { describe, expect, test } from "vitest";
import { DEFAULTS } from "./defaults.ts";
import type { ConfigInput, Flags } from "./load.ts";
import { SETTING_NAMES, SETTINGS, type SettingName } from "./schema.ts";
import type { Setting } from "./setting.ts";
import { asToml, useTestHome } from "./test-home.ts";

const home = useTestHome();

/** Four values a setting takes, each different from the default and from the others. */
const SAMPLES: Partial<Record<SettingName, readonly [string, string, string, string]>> = {
  assistant_name: ["Ada", "Bo", "Cy", "Di"],
  time_zone: ["Europe/Berlin", "Asia/Tokyo", "America/Lima", "UTC"],
  log_level: ["debug", "info", "error", "silent"],
  "model.kind": ["scripted", "openai-compatible", "scripted", "offline"],
  "model.base_url": ["http://a.test/v1", "http://b.test/v1", "https://c.test", "https://d.test/"],
  "model.id": ["a", "b", "c", "d"],
  "model.key_file": ["/keys/a", "/keys/b", "/keys/c", "/keys/d"],
  "model.script": ["/scripts/a", "/scripts/b", "/scripts/c", "/scripts/d"],
  "retry.jitter": ["0.1", "0.3", "0.4", "1"],
  "sandbox.engine": ["/run/a.sock", "/run/b.sock", "/run/c.sock", "unix:///run/d.sock"],
  "sandbox.image": ["a", "b:1", "c@sha256:0", "d/e:f"],
  "sandbox.link": ["stdio", "socket", "stdio", "socket"],
  "egress.proxy": ["http://a.test:3128", "http://b.test:3128", "https://c.test", "https://d.test/"],
  "secrets.key_file": ["/keys/a", "/keys/b", "/keys/c", "/keys/d"],
  "compatibility.image": ["a", "b:1", "c@sha256:0", "d/e:f"],
  "compatibility.until": ["2020-01-01", "2020-02-29", "2020-03-01", "2020-12-31"],
  "compatibility.base_url": ["http://a.test", "http://b.test", "https://c.test", "https://d.test/"],
  "compatibility.key_file": ["/keys/a", "/keys/b", "/keys/c", "/keys/d"],
};
const samplesOf = (name: SettingName): readonly [string, string, string, string] => {
  const number = Number(DEFAULTS[name]);
  const [a, b, c, d] = [number + 1, number + 2, number + 3, number + 4].map(String);
  return SAMPLES[name] ?? ([a, b, c, d] as [string, string, string, string]);
};

/** So that the setting under test is the only thing that can be wrong. */
const company = (name: SettingName): Record<string, string> => {
  const complete: Record<string, string> = {
    HERMIT_MODEL_KEY: "k",
    HERMIT_MODEL_BASE_URL: "http://127.0.0.1/v1",
    HERMIT_MODEL_ID: "m",
    HERMIT_MODEL_SCRIPT: "/s",
    HERMIT_QUEUE_MAX_BATCH_BYTES: "1048576",
  };
  if (name === "compatibility.image") return { HERMIT_COMPATIBILITY_UNTIL: "2020-01-01" };
  if (!name.startsWith("model.") && name !== "queue.max_message_bytes") return {};
  delete complete[SETTINGS[name].env];
  return complete;
};
describe.each(SETTING_NAMES)("%s", (name) => {
  const [inFile, inEnv, inFlag] = samplesOf(name);
  const read = async (input: Partial<ConfigInput>) => {
    const { values, sources } = await home.load(input);
    return [String(values[name]), sources.get(name)];
  };

  test("has its default when nothing sets it", async () => {
    const env = { ...company(name), HERMIT_MODEL_KIND: "offline" };
    const expected = [String(DEFAULTS[name]), "default"];
    expect(await read(name === "model.kind" ? {} : { env })).toEqual(expected);
  });

  test("the file beats the default, the environment the file, a flag the environment", async () => {
    home.write(asToml(name, inFile));
    const env = { ...company(name), [SETTINGS[name].env]: inEnv };
    expect(await read({ env: company(name) })).toEqual([inFile, "file"]);
    expect(await read({ env })).toEqual([inEnv, "environment"]);
    expect(await read({ env, flags: { [name]: inFlag } })).toEqual([inFlag, "flag"]);
    if (SETTINGS[name].isNumber) expect(await read({ env, flags: { [name]: Number(inFlag) } })).toEqual([inFlag, "flag"]);
  });

  test("a wrong value is refused by name in each layer", async () => {
    const wrong = SETTINGS[name].isNumber ? "five" : "\u0007";
    expect(await home.onlyProblem({ env: { ...company(name), [SETTINGS[name].env]: `x${wrong}x` } })).toMatchObject({
      source: SETTINGS[name].env,
      key: name,
    });
    expect(await home.onlyProblem({ env: company(name), flags: { [name]: wrong } as Flags })).toMatchObject({
      source: "command line",
      key: name,
    });
    const file = home.write(`${asToml(name, "1").replace(/= .*/, "= true")}`);
    const inTheFile = await home.onlyProblem({ env: company(name) });
    expect(inTheFile).toMatchObject({ source: file, key: name, position: { line: name.includes(".") ? 2 : 1, column: 1 } });
    expect(inTheFile.message).toContain(`${name} must be ${SETTINGS[name].expects}`);
  });
});

test.each(SETTING_NAMES.filter((name) => "alias" in SETTINGS[name]))(
  "%s: the variable shared with other programs is below the file, and only warned about when wrong",
  async (name) => {
    const { alias = "" }: Setting = SETTINGS[name];
    const [inFile, , , inAlias] = samplesOf(name);
    const read = async (env: Record<string, string>) => {
      const { values, sources, warnings } = await home.load({ env });
      return [values[name], sources.get(name), warnings.map((warning) => warning.split(":")[0])];
    };
    expect(await read({ [alias]: inAlias })).toEqual([inAlias, "environment", []]);
    expect(await read({ [alias]: ":/x\u0007x" })).toEqual([DEFAULTS[name], "default", [alias]]);
    home.write(asToml(name, inFile));
    expect(await read({ [alias]: inAlias })).toEqual([inFile, "file", []]);
  },
);

describe("bounds", () => {
  const numeric = SETTING_NAMES.filter((name) => SETTINGS[name].isNumber);
  test.each(numeric)("%s takes its least and its most, and refuses what lies beyond, naming the bound", async (name) => {
    const [, least, most] = / from ([\d.]+) to ([\d.]+)$/.exec(SETTINGS[name].expects) ?? expect.unreachable();
    const fits = async (value: number): Promise<string | undefined> =>
      (await home.problems({ env: company(name), flags: { [name]: value } })).find((problem) => problem.key === name)?.message;
    expect((await fits(Number(least))) ?? "").not.toContain("must be");
    expect((await fits(Number(most))) ?? "").not.toContain("must be");
    expect(await fits(Number(least) - 0.001)).toContain(`from ${least} to ${most}`);
    expect(await fits(Number(most) + 1)).toContain(`from ${least} to ${most}`);
    expect(await fits(Number.NaN)).toContain(name);
    expect(await fits(Number.POSITIVE_INFINITY)).toContain(name);
  });

  test("the longest retry and every timeout fit a timer of 31 bits", async () => {
    const { config } = await home.load({
      flags: { "retry.base_s": 600, "retry.max": 10, "retry.jitter": 1, "turn.hard_timeout_s": 86_400 },
    });
    const { baseMs, maxRetries, jitter } = config.retry;
    expect(baseMs * 2 ** (maxRetries - 1) * (1 + jitter)).toBeLessThan(2 ** 31);
    expect(config.turn.hardTimeoutMs).toBeLessThan(2 ** 31);
  });

  test.each(["1e3", "0x10", "5s", "1_000", "NaN", "Infinity", "5,5", "--5", "１", "9".repeat(400)])(
    "HERMIT_SLOTS=%s is no number",
    async (value) => {
      expect((await home.onlyProblem({ env: { HERMIT_SLOTS: value } })).message).toContain(
        "queue.slots must be a whole number of turns from 1 to 64",
      );
    },
  );

  test("a message that would not fit a batch is refused, unless one of the two is known to be wrong already", async () => {
    const env = { HERMIT_QUEUE_MAX_MESSAGE_BYTES: "300000" };
    expect((await home.onlyProblem({ env })).message).toContain("queue.max_batch_bytes (262144) is below queue.max_message_bytes (300000)");
    expect((await home.onlyProblem({ env: { ...env, HERMIT_QUEUE_MAX_BATCH_BYTES: "lots" } })).source).toBe("HERMIT_QUEUE_MAX_BATCH_BYTES");
  });
});
