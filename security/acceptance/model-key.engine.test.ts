/** Promise 4 with a real provider's protocol on loopback: the host uses the model's key, and the sandbox cannot find it anywhere. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { LLMock } from "@copilotkit/aimock";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { imageRecords, inspectSandbox, runningSandboxesOf } from "../harness/engine.ts";
import { buildHermit, runHermit, startHermit } from "../harness/hermit-process.ts";
import { TemporaryHome } from "../harness/temporary-home.ts";

/** In two halves, so that the command that looks for it does not contain it. */
const KEY_HALVES = ["sk-acceptance-7Hq2", "vX9dLmT4wZ81kRb6"] as const;
const KEY = KEY_HALVES.join("");
/** What the same search must find, or it proves nothing: it stands in the command line, in a file and in an environment. */
const CANARY = "canary-in-the-sandbox";
const CHUNK_CHARACTERS = 4;
const STREAM_MS = 600;

const forms = [KEY, Buffer.from(KEY).toString("base64").replace(/=+$/, ""), Buffer.from(KEY).toString("hex")];

let provider: LLMock;
beforeAll(buildHermit);
beforeEach(async () => {
  provider = new LLMock({ port: 0, chunkSize: CHUNK_CHARACTERS, auth: { apiKeys: [KEY] } });
  await provider.start();
});
afterEach(() => provider.stop());

const toProvider = (): Record<string, string> => ({
  HERMIT_MODEL_BASE_URL: `${provider.url}/v1`,
  HERMIT_MODEL_KEY: KEY,
  HERMIT_MODEL_ID: "loopback-model",
  HERMIT_LOG_LEVEL: "debug",
});

function expectNoKey(text: string, where: string): void {
  for (const form of forms) expect(text.includes(form), `the key in ${where}`).toBe(false);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

/** The whole answer, headers included. */
function askControlSocket(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path: "/v1/status", agent: false }, (response) => {
      let text = JSON.stringify(response.headers);
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.once("end", () => resolve(text));
    });
    call.once("error", reject);
    call.end();
  });
}

test("a configured provider answers through the host, and its text reaches the turn while it is still being written", async () => {
  await using home = new TemporaryHome();
  const text = "Three things are on the list: milk, eggs and oats. Shall I add bread?";
  const chunks = Math.ceil(text.length / CHUNK_CHARACTERS);
  provider.onMessage("shopping list", { content: text }, { streamingProfile: { ttft: 1, tps: (chunks * 1000) / STREAM_MS } });
  const { code, stdout } = await runHermit({ home: home.path, env: toProvider(), input: "what is on the shopping list?\n" });
  expect(stdout).toBe(`${text}\n`);
  expect(code).toBe(0);
  expect(provider.getRequests().map(({ path, response }) => [path, response.status])).toEqual([["/v1/chat/completions", 200]]);
  expect(provider.getRequests()[0]?.body).toMatchObject({ model: "loopback-model", stream: true });
  const [run] = home.runs();
  expect(run?.outcome).toBe("done");
  expect((run?.endedAt ?? 0) - (run?.firstTokenAt ?? Infinity)).toBeGreaterThan(STREAM_MS / 2);
});

test("the provider's key is nowhere in the sandbox, in what the engine knows of it, in the log, in the home or on the control socket", async () => {
  await using home = new TemporaryHome();
  writeFileSync(join(home.workspace("main"), "canary.txt"), CANARY);
  const command = `
    hunt() {
      export CANARY=${CANARY}
      env | grep -F -f <(printf %s "$1") | sed 's/^/environment: /'
      grep -laF -f <(printf %s "$1") /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null
      grep -rlaF -f <(printf %s "$1") / --exclude-dir=proc --exclude-dir=sys 2>/dev/null
    }
    echo "== canary"; hunt ${CANARY}
    echo "== key"; hunt "$(printf %s%s ${KEY_HALVES[0]} ${KEY_HALVES[1]})"
    echo "== end"; touch hunted; until test -e go; do sleep 0.05; done`;
  provider.on(
    { userMessage: "find the key", hasToolResult: false },
    { toolCalls: [{ id: "call_hunt", name: "exec", arguments: JSON.stringify({ command }) }] },
  );
  provider.on({ hasToolResult: true }, { content: "I looked everywhere." });

  await using hermit = startHermit({ home: home.path, env: toProvider(), input: "find the key\n" });
  await hermit.before(home.fileIn("main", "hunted"));
  const [id = ""] = (await runningSandboxesOf(home.instance() ?? "")).values();
  const { text, parsed } = await inspectSandbox(id);
  expectNoKey(text, "what the engine says of the container");
  expectNoKey(await imageRecords(parsed.Image), "the image");
  expectNoKey(await askControlSocket(home.controlSocket), "the control socket's answer");
  expectNoKey(readFileSync(`/proc/${hermit.pid}/cmdline`, "utf8"), "the host's command line");
  for (const path of filesBelow(home.path)) expectNoKey(readFileSync(path, "latin1"), path);
  home.letGo("main", "go");

  const { code, stdout, stderr } = await hermit.ended;
  expect(stdout).toBe("I looked everywhere.\n");
  expect(code).toBe(0);
  expect(stderr).toContain('"level":20');
  expectNoKey(stderr, "the log");
  for (const path of filesBelow(home.path)) expectNoKey(readFileSync(path, "latin1"), path);

  const last = provider.getLastRequest();
  expect(last?.response.status, "the provider, which answers nobody without the key").toBe(200);
  const { messages = [] } = (last?.body ?? {}) as { messages?: readonly { role: string; content: string }[] };
  const found = messages.find(({ role }) => role === "tool")?.content ?? "";
  const [, canary = "", key] = /== canary\n([^]*)== key\n([^]*)== end/.exec(found) ?? [];
  expect(canary).toContain(`environment: CANARY=${CANARY}`);
  expect(canary).toMatch(/^\/proc\/\d+\/cmdline$/m);
  expect(canary).toMatch(/^\/workspace\/group\/canary\.txt$/m);
  expect(key).toBe("");
});

test("a provider that quotes the key in its refusal makes the turn fail in words that do not contain it", async () => {
  await using home = new TemporaryHome();
  provider.onMessage("hello", { error: { message: `Incorrect API key provided: ${KEY}.`, type: "invalid_request_error" }, status: 401 });
  const { code, stdout, stderr } = await runHermit({ home: home.path, env: toProvider(), input: "hello\n" });
  expect(code).toBe(1);
  expect(stdout).toMatch(/^\[hermit\] I could not finish this: .*Incorrect API key/);
  expectNoKey(stdout, "the reply");
  expectNoKey(stderr, "the log");
  for (const path of filesBelow(home.path)) expectNoKey(readFileSync(path, "latin1"), path);
});
