import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_RETRY } from "../domain/retry.ts";
import { describeConfig } from "./describe.ts";
import { checkConfig } from "./load.ts";
import { PAGE, renderPage } from "./reference.ts";
import { SETTING_NAMES, SETTINGS } from "./schema.ts";
import { useTestHome } from "./test-home.ts";

const home = useTestHome();

test("without any configuration the offline model answers, in milliseconds and bytes", async () => {
  const { config, warnings, file } = await home.load({ env: { DOCKER_HOST: "unix:///d.sock", PATH: "/bin", HOME: "/home/ann" } });
  expect([warnings, file]).toEqual([[], undefined]);
  expect(config).toEqual({
    home: home.path,
    assistantName: "Andy",
    timeZone: undefined,
    logLevel: "warn",
    model: { kind: "offline", firstTokenTimeoutMs: 60_000, timeoutMs: 600_000 },
    queue: { slots: 2, maxWaitingMessages: 10_000, maxMessageBytes: 262_144, maxBatchMessages: 16, maxBatchBytes: 262_144 },
    turn: {
      idleTimeoutMs: 300_000,
      hardTimeoutMs: 1_800_000,
      steps: 64,
      toolCalls: 256,
      toolOutputBytes: 32_768,
      toolTimeoutMs: 120_000,
      replyBytes: 65_536,
      historyBytes: 65_536,
    },
    retry: DEFAULT_RETRY,
    sandbox: {
      engineEnvironment: { HERMIT_ENGINE: undefined, DOCKER_HOST: "unix:///d.sock", XDG_RUNTIME_DIR: undefined },
      image: undefined,
      link: "socket",
      limits: { memoryBytes: 536_870_912, pids: 256, cpus: 1, tmpBytes: 67_108_864 },
      startTimeoutMs: 30_000,
      stopGraceMs: 2_000,
    },
    egress: {
      connections: 32,
      connectionsPerMinute: 600,
      turnBytes: 268_435_456,
      connectTimeoutMs: 15_000,
      idleTimeoutMs: 60_000,
      proxy: undefined,
    },
    secrets: { keyFile: "/home/ann/.config/hermit/seal.key", credentials: undefined, environment: new Map() },
    workspace: { maxBytes: 1_073_741_824, maxFiles: 100_000, freeBytes: 268_435_456 },
    audit: { maxBytes: 67_108_864 },
    mounts: {
      allowlist: "/home/ann/.config/hermit/mount-allowlist.json",
      ownersFolder: "/home/ann",
      never: ["/home/ann/.config/hermit/seal.key"],
    },
    tasks: { maxFailures: 5 },
    compatibility: undefined,
    shutdown: { graceMs: 10_000 },
  });
});

const numeric = SETTING_NAMES.filter((name) => SETTINGS[name].isNumber && name !== "queue.max_message_bytes");
test.each(numeric)("%s, doubled, changes the configuration: it is not read and then forgotten", async (name) => {
  const { config, values } = await home.load();
  expect((await home.load({ flags: { [name]: Number(values[name]) * 2 } })).config).not.toEqual(config);
});

test("the engine's socket loses its scheme, image and zone arrive as they are", async () => {
  const env = { HERMIT_ENGINE: "unix:///run/e.sock", HERMIT_SANDBOX_IMAGE: "i:1", HERMIT_TIME_ZONE: "Asia/Tokyo" };
  const { config } = await home.load({ env });
  expect([config.sandbox.engineEnvironment.HERMIT_ENGINE, config.sandbox.image, config.timeZone]).toEqual([
    "/run/e.sock",
    "i:1",
    "Asia/Tokyo",
  ]);
});

test("the configuration is frozen to its leaves", async () => {
  const { config } = await home.load({ env: { HERMIT_MODEL_BASE_URL: "http://127.0.0.1", HERMIT_MODEL_ID: "m", HERMIT_MODEL_KEY: "k" } });
  const isFrozen = (value: unknown): boolean =>
    typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));
  expect(isFrozen(config)).toBe(true);
});

test.each([
  [{ HERMIT_MODEL_KIND: "scripted" }, ["model.script"]],
  [{ HERMIT_MODEL_KIND: "openai-compatible" }, ["model.base_url", "model.id"]],
  [{ HERMIT_MODEL_BASE_URL: "http://127.0.0.1" }, ["model.id"]],
  [{ HERMIT_MODEL_KIND: "offline", HERMIT_MODEL_BASE_URL: "http://127.0.0.1" }, []],
  [{ HERMIT_MODEL_KIND: "gpt", HERMIT_MODEL_BASE_URL: "http://127.0.0.1" }, ["model.kind"]],
  [{ HERMIT_MODEL_BASE_URL: "nowhere", HERMIT_MODEL_KIND: "openai-compatible" }, ["model.base_url", "model.id"]],
])("the model of %o lacks %j", async (env, lacking) => {
  expect((await home.problems({ env })).map(({ key }) => key)).toEqual(lacking);
});

test.each(["Mars/Olympus", "+02:00", "../../etc/passwd", "Europe/Berlin ; rm", "", "x".repeat(100)])("%j is no time zone", async (zone) => {
  home.write(`time_zone = ${JSON.stringify(zone)}\n`);
  expect((await home.onlyProblem()).key).toBe("time_zone");
});

test.each(["docker.sock", "tcp://10.0.0.1:2375", "ssh://pi@board", "unix://relative", "/a\u0000b"])(
  "%j is no engine's socket",
  async (engine) => {
    expect((await home.onlyProblem({ flags: { "sandbox.engine": engine } })).key).toBe("sandbox.engine");
  },
);

test("the description lists the home, every setting and the key, each with who said so", async () => {
  const env = { HERMIT_MODEL_BASE_URL: "http://127.0.0.1", HERMIT_MODEL_ID: "m", HERMIT_MODEL_KEY: "hush-hush" };
  home.write("[queue]\nslots = 1\n");
  const rows = describeConfig(await home.load({ env, flags: { "turn.steps": 7 } }));
  expect(rows.map(({ key }) => key).sort()).toEqual(["home", "model.key", ...SETTING_NAMES].sort());
  const row = (key: string) => rows.find((one) => one.key === key);
  expect([row("home"), row("queue.slots"), row("turn.steps"), row("model.kind"), row("model.key"), row("time_zone")]).toEqual([
    { key: "home", value: home.path, source: "flag" },
    { key: "queue.slots", value: "1", source: "file" },
    { key: "turn.steps", value: "7", source: "flag" },
    { key: "model.kind", value: "openai-compatible", source: "default" },
    { key: "model.key", value: "set (hidden)", source: "environment" },
    { key: "time_zone", value: "the system's zone", source: "default" },
  ]);
  expect(describeConfig(await home.load()).find(({ key }) => key === "model.key")?.value).toBe("not set");
});

test("docs/configuration.md lists every setting as it is; `node host/config/reference.ts` writes it", () => {
  const page = readFileSync(PAGE, "utf8");
  expect(page).toBe(renderPage(page));
  for (const name of SETTING_NAMES) expect(page).toContain(`\`${SETTINGS[name].env}\``);
});

test("each setting has a variable of its own", () => {
  expect(new Set(SETTING_NAMES.map((name) => SETTINGS[name].env)).size).toBe(SETTING_NAMES.length);
});

test("any text at all is either a configuration or a list of problems", { timeout: 30_000 }, async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "[",
      "]",
      "{",
      "}",
      "=",
      ".",
      "\n",
      '"',
      "'",
      '"""',
      "#",
      ",",
      " ",
      "1",
      "-",
      "_",
      "1979-05-27",
      "true",
      "nan",
      "\\u00e9",
      "\r",
      "\u0000",
    ),
    fc.constantFrom("queue", "slots", "model", "base_url", "assistant_name", "[turn]\n", "steps = 3\n", "__proto__"),
    fc.string({ unit: "binary", maxLength: 4 }),
  );
  const texts = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(""));
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      home.write(text);
      const { problems, loaded } = await checkConfig({ env: {}, home: home.path });
      expect(problems.length > 0).toBe(loaded === undefined);
    }),
    { numRuns: 1_500 },
  );
});

test("without a file the TOML parser stays unloaded, and without a zone Intl untouched", { timeout: 20_000 }, () => {
  const program = `
    import { registerHooks } from "node:module";
    const resolved = [];
    registerHooks({ resolve: (name, context, next) => (resolved.push(name), next(name, context)) });
    let zones = 0;
    const { DateTimeFormat } = Intl;
    Intl.DateTimeFormat = function (...all) { zones++; return new DateTimeFormat(...all); };
    const { loadConfig } = await import(${JSON.stringify(new URL("load.ts", import.meta.url).href)});
    const look = async (env) => {
      const { config } = await loadConfig({ env, home: ${JSON.stringify(home.path)} });
      return [resolved.includes("toml-eslint-parser"), zones, config.queue.slots];
    };
    const seen = [await look({}), await look({ TZ: "Europe/Berlin" })];
    const { writeFileSync } = await import("node:fs");
    writeFileSync(${JSON.stringify(`${home.path}/hermit.toml`)}, "[queue]\\nslots = 1\\n");
    console.log(JSON.stringify([...seen, await look({})]));`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8", timeout: 20_000 });
  expect(JSON.parse(output)).toEqual([
    [false, 0, 2],
    [false, 1, 2],
    [true, 1, 1],
  ]);
});
