import { inspect } from "node:util";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { describeConfig } from "./describe.ts";
import { checkConfig, type ConfigInput, type Flags, type LoadedConfig } from "./load.ts";
import { findModelKey } from "./model-key.ts";
import { ConfigError } from "./problem.ts";
import { SETTING_NAMES, SETTINGS } from "./schema.ts";
import { Secret } from "./secret.ts";
import { asToml, useTestHome } from "./test-home.ts";

const home = useTestHome();
const KEY = "sk-live-0123456789abcdefghijklmnopqrstuvwxyz";
const SERVICE = { HERMIT_MODEL_BASE_URL: "http://127.0.0.1:11434/v1", HERMIT_MODEL_ID: "llama" };
const keyOf = ({ config: { model } }: LoadedConfig) => (model.kind === "openai-compatible" ? model.key?.reveal() : undefined);

/** Everything a person or a log could get to see. */
async function everythingSaid(input: Partial<ConfigInput>): Promise<string> {
  const checked = await checkConfig({ env: {}, home: home.path, ...input });
  const { loaded, problems, warnings } = checked;
  const error = new ConfigError(problems);
  const rows = loaded === undefined ? [] : describeConfig(loaded);
  const model = loaded?.config.model;
  const spoken = [JSON.stringify([problems, warnings, error, rows, model]), inspect([error, rows, model], { depth: 9, showHidden: true })];
  return [...spoken, error.message, error.hint, error.stack, model?.kind === "openai-compatible" ? `${model.key}` : ""].join("\n");
}

describe("where the key comes from", () => {
  test("the variable, with a warning", async () => {
    const loaded = await home.load({ env: { ...SERVICE, HERMIT_MODEL_KEY: ` ${KEY}\n` } });
    expect([keyOf(loaded), loaded.sources.get("model.key"), loaded.warnings.length]).toEqual([KEY, "environment", 1]);
  });

  test("a private file, with its final newline taken off", async () => {
    home.write(`${KEY}\n`, "key");
    home.write('[model]\nkey_file = "key"\nbase_url = "https://models.test/v1"\nid = "m"\n');
    const loaded = await home.load();
    expect([keyOf(loaded), loaded.sources.get("model.key"), loaded.warnings]).toEqual([KEY, "file", []]);
  });

  test("a private file through a link", async () => {
    home.write(KEY, "key");
    symlinkSync("key", join(home.path, "link"));
    expect(keyOf(await home.load({ env: { ...SERVICE, HERMIT_MODEL_KEY_FILE: join(home.path, "link") } }))).toBe(KEY);
  });

  test("the systemd credential, whose folder shows as readable by the group", async () => {
    mkdirSync(join(home.path, "credentials"));
    const env = { ...SERVICE, CREDENTIALS_DIRECTORY: join(home.path, "credentials") };
    expect(keyOf(await home.load({ env }))).toBeUndefined();
    home.write(KEY, "credentials/model-key", 0o440);
    expect(keyOf(await home.load({ env }))).toBe(KEY);
  });

  test("the variable beats the file, which is then not even opened, and the file beats the credential", async () => {
    const env = { ...SERVICE, CREDENTIALS_DIRECTORY: home.path, HERMIT_MODEL_KEY_FILE: home.write("from-file", "key") };
    home.write("from-credential", "model-key");
    expect(keyOf(await home.load({ env }))).toBe("from-file");
    chmodSync(join(home.path, "key"), 0o644);
    const loaded = await home.load({ env: { ...env, HERMIT_MODEL_KEY: "from-variable" } });
    expect(keyOf(loaded)).toBe("from-variable");
    expect(loaded.warnings[0]).toContain("model.key_file is not used");
  });

  test("none is fine: a service on this machine asks for none", async () => {
    const { config, warnings } = await home.load({ env: SERVICE });
    expect(config.model).toMatchObject({ kind: "openai-compatible", id: "llama", key: undefined });
    expect(warnings).toEqual([]);
  });

  test("a key without a service is warned about, since the offline model answers", async () => {
    const { config, warnings } = await home.load({ env: { HERMIT_MODEL_KEY: KEY } });
    expect(config.model.kind).toBe("offline");
    expect(warnings.join()).toContain("the offline model answers");
  });

  test.each([
    ["http://models.test/v1", true],
    ["http://192.168.1.9:8080", true],
    ["https://models.test/v1", false],
    ["http://localhost:1/v1", false],
    ["http://[::1]:1/v1", false],
  ])("over %s a key on an open wire is warned about: %s", async (url, isWarned) => {
    const { warnings } = await home.load({ env: { ...SERVICE, HERMIT_MODEL_BASE_URL: url, HERMIT_MODEL_KEY: KEY } });
    expect(warnings.some((warning) => warning.includes("plain http"))).toBe(isWarned);
  });
});

describe("what is refused", () => {
  test.each([0o644, 0o640, 0o604, 0o660, 0o601])("a key file with mode %o", async (mode) => {
    const file = home.write(KEY, "key");
    chmodSync(file, mode);
    expect(await home.onlyProblem({ env: { ...SERVICE, HERMIT_MODEL_KEY_FILE: file } })).toMatchObject({
      source: file,
      message: `The model's key can be read by others than its owner (mode ${mode.toString(8)}).`,
      hint: "Run chmod 600 on it.",
    });
  });

  test("a key file of another user, who could read and replace it", () => {
    const file = home.write(KEY, "key");
    // Root's own files pass everywhere, so where the tests run as root the file is given away first.
    if (process.getuid?.() === 0) chownSync(file, 12_345, 12_345);
    const { key, problems } = findModelKey({}, file, 54_321);
    expect([key, problems[0]?.message]).toEqual([undefined, "The model's key belongs to another user."]);
  });

  test.each(["", " \n", "two words", "two\nlines", "naïve", "a\u0000b", "x".repeat(20_000)])(
    "a key file that holds %j",
    async (content) => {
      const file = home.write(content, "key");
      expect(await home.onlyProblem({ env: { ...SERVICE, HERMIT_MODEL_KEY_FILE: file } })).toMatchObject({
        source: file,
        key: "model.key",
      });
    },
  );

  test("a key that would break out of its header line", async () => {
    expect((await home.onlyProblem({ env: { ...SERVICE, HERMIT_MODEL_KEY: "a\r\nX-Other: b" } })).message).toContain("holds no usable key");
  });

  test("a folder, a device, and a pipe nobody writes to, without waiting for it", { timeout: 2_000 }, async () => {
    const pipe = join(home.path, "pipe");
    execFileSync("/bin/sh", ["-c", 'mkfifo -m 600 "$0"', pipe], { timeout: 2_000 });
    for (const file of [home.path, "/dev/zero", pipe]) {
      expect((await home.onlyProblem({ env: { ...SERVICE, HERMIT_MODEL_KEY_FILE: file } })).message).toContain("is not a regular file");
    }
  });

  test("a key file that is not there, without naming it: it may be the key itself", async () => {
    const problem = await home.onlyProblem({ env: { ...SERVICE, HERMIT_MODEL_KEY_FILE: KEY } });
    expect(problem).toMatchObject({ source: "model.key_file", message: expect.stringContaining("does not exist") });
  });

  test.each(["[model]\nkey", "[model]\napi_key", "[model]\napiKey", "model_token", "[secrets]\nx_password", "key"])(
    "a secret in the file as %j, with the reason",
    async (place) => {
      home.write(`${place} = "${KEY}"\n`);
      const said = JSON.stringify(await home.problems());
      expect(said).not.toContain(KEY);
      if (!place.startsWith("[secrets]")) expect(said).toContain("this file takes none");
    },
  );

  test.each([
    `http://me:${KEY}@models.test/v1`,
    `http://${KEY}@models.test`,
    `http://models.test/v1?key=${KEY}`,
    `http://models.test/#${KEY}`,
  ])("a base URL with a key in it: %s", async (url) => {
    const problem = await home.onlyProblem({ env: { ...SERVICE, HERMIT_MODEL_BASE_URL: url } });
    expect(problem.source).toBe("HERMIT_MODEL_BASE_URL");
    expect(JSON.stringify(problem)).not.toContain(KEY);
  });

  test.each([
    "models.test/v1",
    "file:///etc/passwd",
    "ftp://models.test",
    "http://",
    "http:models.test",
    "javascript:alert(1)",
    "http://a b/",
  ])("%s is no address of a service", async (url) => {
    expect((await home.onlyProblem({ env: { ...SERVICE, HERMIT_MODEL_BASE_URL: url } })).key).toBe("model.base_url");
  });
});

describe("the key is never said", () => {
  test("when it is where it belongs", async () => {
    expect(await everythingSaid({ env: { ...SERVICE, HERMIT_MODEL_KEY: KEY } })).not.toContain(KEY);
    expect(await everythingSaid({ env: { ...SERVICE, HERMIT_MODEL_KEY_FILE: home.write(KEY, "key") } })).not.toContain(KEY);
  });

  test("when other things are wrong", async () => {
    home.write("[queue]\nslots = 99\n");
    expect(await everythingSaid({ env: { HERMIT_MODEL_KEY: KEY, HERMIT_MODEL_KIND: "openai-compatible" } })).not.toContain(KEY);
  });

  const refusing = SETTING_NAMES.filter(
    (name) =>
      !["assistant_name", "model.id", "model.key_file", "model.script", "sandbox.image", "secrets.key_file"].includes(name) &&
      !/^compatibility\.(image|command|groups|key_file)$/.test(name),
  );
  test.each(refusing)("when it was pasted into %s, which refuses it", async (name) => {
    home.write(asToml(name, JSON.stringify(KEY).slice(1, -1)).replace(/= .*/, `= "${KEY}"`));
    expect(await everythingSaid({})).not.toContain(KEY);
    expect(await everythingSaid({ configFile: home.write("", "empty"), env: { [SETTINGS[name].env]: KEY } })).not.toContain(KEY);
    expect(await everythingSaid({ configFile: join(home.path, "empty"), flags: { [name]: KEY } as Flags })).not.toContain(KEY);
  });

  test.each([
    `key = ${KEY}`,
    `key = "${KEY}`,
    `"${KEY}`,
    `[model]\nkey: "${KEY}"`,
    `export HERMIT_MODEL_KEY="${KEY}"`,
    `key = ["${KEY}"]`,
    `key = { a = "${KEY}" }`,
  ])("when the file is %j", async (text) => {
    home.write(text);
    expect((await home.problems()).length).toBeGreaterThan(0);
    expect(await everythingSaid({})).not.toContain(KEY);
  });

  test("a secret gives its mark to everything but reveal", () => {
    const secret = new Secret(KEY);
    const said = [
      `${secret}`,
      String(secret),
      secret + "",
      JSON.stringify({ secret }),
      inspect(secret, { showHidden: true, depth: 9 }),
      inspect({ a: [secret] }),
    ];
    for (const text of said) expect(text).toContain("[redacted]");
    expect(JSON.stringify([said, Object.entries(secret), { ...secret }, structuredClone(secret)])).not.toContain(KEY);
    expect(secret.reveal()).toBe(KEY);
  });
});
