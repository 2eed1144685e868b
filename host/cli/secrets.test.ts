import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isHostError } from "../domain/errors.ts";
import type { SecretStreams } from "./secret-input.ts";
import { listSecrets, removeSecret, rotateSecret, setSecret } from "./secrets.ts";

const VALUE = "Hunter2-0123456789-abcdefghij";
const TRACES = [VALUE, Buffer.from(VALUE).toString("base64"), Buffer.from(VALUE).toString("hex"), VALUE.slice(0, 12)];

let root = "";
let home = "";
const said: string[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hermit-secrets-cli-"));
  home = join(root, "home");
  vi.stubEnv("HOME", root);
  vi.stubEnv("CREDENTIALS_DIRECTORY", "");
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    said.push(String(text));
    return true;
  });
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  said.length = 0;
  rmSync(root, { recursive: true });
});

interface Told {
  readonly code: number | undefined;
  readonly out: string;
  /** What was refused, and what stood on standard error. */
  readonly err: string;
}

type Verb = (streams: SecretStreams) => Promise<number>;

/** Runs a verb with these streams and keeps all that it says. */
async function run(verb: Verb, input: PassThrough): Promise<Told> {
  const [output, errors] = [new PassThrough(), new PassThrough()];
  let code: number | undefined;
  let err = "";
  try {
    code = await verb({ input, output, errors });
  } catch (error) {
    if (!isHostError(error)) throw error;
    err = `${error.code} ${error.message} ${error.hint ?? ""} ${error.stack ?? ""}`;
  }
  const text = (stream: PassThrough): string => ((stream.read() as Buffer | null) ?? Buffer.alloc(0)).toString();
  const told = { code, out: text(output), err: `${text(errors)}${err}` };
  for (const trace of TRACES) expect(JSON.stringify([told, said])).not.toContain(trace);
  return told;
}

async function piped(verb: Verb, ...chunks: (string | Buffer)[]): Promise<Told> {
  const input = new PassThrough();
  for (const chunk of chunks) input.write(chunk);
  input.end();
  return await run(verb, input);
}

/** A terminal at which these keys are pressed, the moment something is asked. `modes`: what became of its echo. */
async function typed(verb: Verb, ...presses: (string | Buffer)[]): Promise<Told & { modes: boolean[] }> {
  const modes: boolean[] = [];
  const input = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (on: boolean) => void modes.push(on),
  });
  for (const press of presses) input.write(press);
  return { ...(await run(verb, input)), modes };
}

const set =
  (name: string, ...extra: string[]): Verb =>
  (streams) =>
    setSecret(name, extra, { home }, streams);
const list: Verb = (streams) => listSecrets({ home }, streams);
const inJson =
  (verb: (options: { home: string; json: boolean }, streams: SecretStreams) => Promise<number>) => async (): Promise<unknown> =>
    JSON.parse((await piped((streams) => verb({ home, json: true }, streams), VALUE)).out);

describe("set", () => {
  test("takes all of standard input, makes the key and says where, and shows nothing of the value anywhere", async () => {
    const told = await piped(set("github-token"), VALUE.slice(0, 5), VALUE.slice(5), "\n");
    expect(told).toMatchObject({ code: 0, out: "Stored: github-token\n" });
    expect(told.err).toBe(
      `hermit: A sealing key was made: ${root}/.config/hermit/seal.key. Keep a copy of it apart from copies of the home.\n`,
    );
    expect(await piped(set("github-token"), VALUE)).toMatchObject({ code: 0, out: "Changed: github-token\n", err: "" });
    const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => /\.[a-z]+$/.test(path));
    expect(files).toContain("home/secrets.sealed");
    for (const file of files.filter((path) => !path.endsWith(".config")))
      for (const trace of [...TRACES, "github-token"]) expect(readFileSync(join(root, file), "latin1"), file).not.toContain(trace);
  });

  test("asks twice at a terminal, echoes nothing, and gives the echo back", async () => {
    const told = await typed(set("github-token"), `${VALUE}\r`, `${VALUE}\r`);
    expect(told).toMatchObject({ code: 0, out: "Stored: github-token\n", modes: [true, false] });
    expect(told.err).toContain("Value of github-token (not shown): \nThe same again: \n");
  });

  test.each([
    ["Ctrl-C", "\u0003"],
    ["Ctrl-C after some of the value", `${VALUE.slice(0, 14)}\u0003`],
    ["Ctrl-C at the second question", `${VALUE}\r${VALUE}\u0003`],
    ["Ctrl-D", "\u0004"],
  ])("%s at a terminal stores nothing and gives the echo back", async (_key, keys) => {
    const told = await typed(set("token"), keys);
    expect(told).toMatchObject({ code: 1, out: "", modes: [true, false] });
    expect(told.err).toContain("Nothing was stored.");
    expect(existsSync(home)).toBe(false);
  });

  test("a terminal that is gone stores nothing", async () => {
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => undefined });
    input.end(VALUE);
    expect(await run(set("token"), input)).toMatchObject({ code: 1, out: "" });
  });

  test("what is typed can be mended: backspace takes a whole character, Ctrl-U all of them", async () => {
    const typing = Buffer.from("wrong\u0015ünï\u007f\u007fxy\u0008🦀\u007fz");
    // A byte at a time, as a slow line brings it.
    const bytes = [...typing].map((byte) => Buffer.from([byte]));
    expect(await typed(set("token"), ...bytes, "\r", "üxz\r")).toMatchObject({ code: 0 });
  });

  test.each<[string, string | Buffer, RegExp]>([
    ["two that differ", `${VALUE}\r${VALUE}x\r`, /The two were not the same\. Nothing was stored/],
    ["several pasted lines", `${VALUE}\nsecond\n`, /not the same.*A value of several lines comes through standard input/],
    ["an arrow key", `${VALUE}\u001b[D\r`, /Keys were pressed that are no characters/],
    ["nothing", "\r\r", /The value is empty/],
    ["too much", `${"x".repeat(17_000)}\r${"x".repeat(17_000)}\r`, /longer than 16 KiB/],
  ])("%s at a terminal is refused, and the echo comes back", async (_what, keys, words) => {
    const told = await typed(set("token"), keys);
    expect(told).toMatchObject({ code: undefined, out: "", modes: [true, false] });
    expect(told.err).toMatch(words);
    expect(existsSync(home)).toBe(false);
  });

  test.each<[string, (string | Buffer)[], RegExp]>([
    ["nothing", [], /^INPUT_MALFORMED The value is empty\. Nothing was stored\. A secret is UTF-8 text of 1 byte to 16 KiB/],
    ["a newline", ["\n"], /The value is empty/],
    ["a NUL", [`${VALUE}\0`], /holds a NUL/],
    ["what is no UTF-8", [Buffer.from([0xc3, 0x28])], /is not UTF-8/],
    ["too much", ["x".repeat(16_385)], /is longer than 16 KiB/],
    ["endlessly much", Array<string>(1_000).fill("x".repeat(10_000)), /is longer than 16 KiB/],
  ])("%s on standard input is refused, with nothing made", async (_what, chunks, words) => {
    expect((await piped(set("token"), ...chunks)).err).toMatch(words);
    expect(existsSync(home)).toBe(false);
  });

  test("a value given as an argument is refused with the reason, and not said again", async () => {
    const { err, out } = await piped(set("token", VALUE), "x");
    expect(err).toMatch(/^CONFIG_INVALID A secret's value is no argument: everybody on this machine sees those/);
    expect([out, existsSync(home)]).toEqual(["", false]);
  });

  test.each([VALUE, "Token", "9lives", "", "a_b", "../x", "a".repeat(64), "token\n", "__proto__"])(
    "the name %j is refused and not said again",
    async (name) => {
      const { err } = await piped(set(name), "value");
      expect(err).toMatch(/^CONFIG_INVALID That is no name of a secret: lower-case letters/);
      expect(existsSync(home)).toBe(false);
    },
  );

  test("a store that cannot be used is said before anybody types", async () => {
    await piped(set("token"), VALUE);
    writeFileSync(join(home, "secrets.sealed"), "garbage");
    const told = await typed(set("token"), VALUE);
    expect(told.err).toMatch(/^SECRET_STORE_UNUSABLE .*is damaged/);
    expect(told.modes).toEqual([]);
  });

  test("a value that something else goes before, and one too short to be found again, are stored with a word of warning", async () => {
    const credentials = join(root, "credentials");
    mkdirSync(credentials);
    writeFileSync(join(credentials, "hermit-secret-token"), "theirs");
    vi.stubEnv("CREDENTIALS_DIRECTORY", credentials);
    const { code, err } = await piped(set("token"), "short");
    expect(code).toBe(0);
    expect(err).toContain("token comes from a systemd credential, which goes before the sealed store: the value just stored is not used.");
    expect(err).toContain("shorter than 16 characters");
  });
});

describe("list", () => {
  test("says where each comes from and when it was changed, and neither value nor length", async () => {
    vi.stubEnv("HERMIT_SECRET_OLD", VALUE);
    vi.stubEnv("HERMIT_SECRET_GITHUB_TOKEN", VALUE);
    await piped(set("github-token"), VALUE);
    const { code, out } = await piped(list);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^github-token {2}the sealed store, changed 20\S+Z; the environment has one too, which is not used\nold {11}the environment\n$/,
    );
    expect(out.replace(/20\S+Z/, "")).not.toContain(String(VALUE.length));
    expect(await inJson(listSecrets)()).toEqual({
      secrets: [
        { name: "github-token", source: "sealed", changedAt: expect.stringMatching(/^20/), shadowed: ["environment"] },
        { name: "old", source: "environment", changedAt: null, shadowed: [] },
      ],
    });
  });

  test("of nothing says so, and makes nothing", async () => {
    expect((await piped(list)).out).toBe("No secrets are kept. `hermit secrets set <name>` keeps one.\n");
    expect(existsSync(home)).toBe(false);
  });
});

describe("rm", () => {
  const remove =
    (name: string): Verb =>
    (streams) =>
      removeSecret(name, { home }, streams);

  test("removes one, and says what takes its place", async () => {
    vi.stubEnv("HERMIT_SECRET_TOKEN", "from-outside");
    await piped(set("token"), VALUE);
    expect((await piped(remove("token"))).out).toMatch(/^Removed: token\. It comes from the environment now\./);
    const { err } = await piped(remove("token"));
    expect(err).toMatch(/^SECRET_UNKNOWN token is not in the sealed store: it comes from the environment\. Change it there/);
    expect((await piped(remove("other"))).err).toMatch(/^SECRET_UNKNOWN No secret other is in the sealed store/);
  });
});

describe("rotate", () => {
  const rotate =
    (name: string | undefined, key?: boolean): Verb =>
    (streams) =>
      rotateSecret(name, [], { home, ...(key === undefined ? {} : { key }) }, streams);

  test("changes one that is there, and no other", async () => {
    await piped(set("token"), "first value");
    expect(await piped(rotate("token"), VALUE)).toMatchObject({ code: 0, out: "Changed: token\n" });
    const told = await typed(rotate("other"), VALUE);
    expect(told.err).toMatch(/^SECRET_UNKNOWN/);
    expect(told.modes).toEqual([]);
  });

  test("--key seals everything with a new one", async () => {
    await piped(set("token"), VALUE);
    const keyFile = join(root, ".config", "hermit", "seal.key");
    const before = readFileSync(keyFile, "utf8");
    const { code, out } = await piped(rotate(undefined, true));
    expect([code, out]).toEqual([0, expect.stringContaining(`All secrets are sealed with a new key, ${keyFile}.`)]);
    expect(readFileSync(keyFile, "utf8")).not.toBe(before);
    expect((await piped(list)).out).toContain("token");
  });

  test.each([
    [undefined, undefined],
    ["token", true],
  ])("%j with --key %j is one too few or too many", async (name, key) => {
    expect((await piped(rotate(name, key))).err).toMatch(/^CONFIG_INVALID Name one secret, or use --key/);
  });
});

test("each verb answers in JSON, without values", async () => {
  expect(await inJson((options, streams) => setSecret("token", [], options, streams))()).toEqual({
    stored: "token",
    isNew: true,
    keyMade: join(root, ".config", "hermit", "seal.key"),
    usedFrom: "sealed",
  });
  expect(await inJson((options, streams) => rotateSecret("token", [], options, streams))()).toMatchObject({
    stored: "token",
    isNew: false,
  });
  expect(await inJson((options, streams) => rotateSecret(undefined, [], { ...options, key: true }, streams))()).toMatchObject({
    rotated: "key",
    isOldKeyGone: true,
  });
  expect(await inJson((options, streams) => removeSecret("token", options, streams))()).toEqual({ removed: "token", nowFrom: null });
});
