/** What a person does wrong, or finds broken: each is said clearly, with what to do, and harms nothing else. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { sandboxesOf, tagImage, untagImage } from "../harness/engine.ts";
import { buildHermit, runHermit, startHermit } from "../harness/hermit-process.ts";
import { parseReplies, TemporaryHome } from "../harness/temporary-home.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** Nothing was started: no engine call, no store; an answer at once. */
const AT_ONCE_MS = 3_000;
const MB = 1_000_000;

function line(id: string, chat: string, text: string): string {
  return `${JSON.stringify({ id, chat, sender: "Sam", text })}\n`;
}

beforeAll(buildHermit);

describe("a configuration that is wrong", () => {
  const run = async (home: TemporaryHome, toml: string) => {
    home.configure(toml);
    const ending = await runHermit({ home: home.path, input: "hello\n" });
    expect(ending).toMatchObject({ code: 2, stdout: "" });
    expect(ending.ms).toBeLessThan(AT_ONCE_MS);
    expect(existsSync(home.database)).toBe(false);
    return ending.stderr;
  };

  test("is named with file and line where it is not even TOML, and nothing starts", async () => {
    await using home = new TemporaryHome();
    const stderr = await run(home, '[model]\nkind = "offline\n');
    expect(stderr).toContain(`${home.path}/hermit.toml:2:`);
    expect(stderr).toMatch(/not TOML/);
  });

  test("is refused for unknown keys and values out of range, all of them at once, each with a remedy", async () => {
    await using home = new TemporaryHome();
    const stderr = await run(home, "[queue]\nslotz = 3\nslots = 0\n\n[turns]\nsteps = 1\n");
    const problems = stderr.trimEnd().split("\n").slice(0, 3);
    expect(problems[0]).toMatch(/hermit\.toml:2:\d+: queue\.slotz is not a setting; did you mean queue\.slots\?/);
    expect(problems[1]).toMatch(/hermit\.toml:3:\d+: queue\.slots must be a whole number of turns from 1 to 64, and is 0\. Correct it/);
    expect(problems[2]).toMatch(/hermit\.toml:5:\d+: turns is not a setting; did you mean \[turn\]\?/);
  });

  test("is refused where an environment variable is out of range, by its name", async () => {
    await using home = new TemporaryHome();
    const ending = await runHermit({ home: home.path, env: { HERMIT_SLOTS: "many" }, input: "hello\n" });
    expect(ending).toMatchObject({ code: 2, stdout: "" });
    expect(ending.stderr).toMatch(/HERMIT_SLOTS.*whole number/);
  });
});

describe("something the host needs is missing", () => {
  test("no container engine: it says what to type, exits 1, and leaves the home as it was", async () => {
    await using home = new TemporaryHome();
    const ending = await runHermit({ home: home.path, env: { HERMIT_ENGINE: "/nonexistent.sock" }, input: "hello\n" });
    expect(ending).toMatchObject({ code: 1, stdout: "" });
    expect(ending.stderr).toMatch(/No container engine answers \(tried \/nonexistent\.sock\)\.\n +Run `make engine`/);
    expect(ending.ms).toBeLessThan(AT_ONCE_MS);
    expect(existsSync(home.database)).toBe(false);
  });

  test("no runner image at the start: it says to run make image, exits 1, and takes no message", async () => {
    await using home = new TemporaryHome();
    const ending = await runHermit({ home: home.path, env: { HERMIT_SANDBOX_IMAGE: "hermit-runner:is-not-there" }, input: "hello\n" });
    expect(ending).toMatchObject({ code: 1, stdout: "" });
    expect(ending.stderr).toMatch(/no image hermit-runner:is-not-there\. Run `make image`/);
    expect(ending.ms).toBeLessThan(AT_ONCE_MS);
    expect(home.waiting()).toEqual([]);
  });

  test("room for a socket: a home whose path is too long for one is refused at the start, and takes no message", async () => {
    await using home = new TemporaryHome();
    const path = join(home.path, "x".repeat(70 - home.path.length - 1));
    const ending = await runHermit({ home: path, input: "hello\n" });
    expect(ending).toMatchObject({ code: 1, stdout: "" });
    expect(ending.stderr).toMatch(/socket is \d{3} bytes long: .*Choose a shorter/);
  });

  test("an image that disappears while the host runs: the chat is told to run make image, once, and nothing is tried again", async () => {
    await using home = new TemporaryHome();
    const { image } = JSON.parse(readFileSync(join(ROOT, "dist", "image.json"), "utf8")) as { image: string };
    const [repository, tag] = ["hermit-acceptance", randomBytes(6).toString("hex")];
    const name = `${repository}:${tag}`;
    await tagImage(image, repository, tag);
    let isTagged = true;
    const untag = async (): Promise<void> => {
      if (isTagged) await untagImage(name);
      isTagged = false;
    };
    try {
      await using hermit = startHermit({ home: home.path, env: { HERMIT_SANDBOX_IMAGE: name } });
      hermit.stdin.write("run: echo first\n");
      await hermit.printed(/^first\n/);
      await untag();
      hermit.stdin.end("run: echo second\n");
      const { code, stdout } = await hermit.ended;
      expect(code).toBe(1);
      const notice = home.journal()[1]?.text;
      expect(notice).toMatch(/^\[hermit\] I could not finish this: .*no image .*Run `make image`\.$/);
      expect(stdout).toBe(`first\n${notice}\n`);
      expect(home.runs().map(({ outcome, attempt }) => [outcome, attempt])).toEqual([
        ["done", 1],
        ["failed", 1],
      ]);
      expect(await sandboxesOf(home.instance() ?? "")).toEqual([]);
    } finally {
      await untag();
    }
  });
});

describe("input that is wrong", () => {
  test("broken JSONL lines are reported by number and cost the exit code; every other line is answered", async () => {
    await using home = new TemporaryHome();
    const input = [
      line("1", "flat", "run: echo one"),
      '{"id":"2","chat":"flat"\n',
      "\n",
      `{"id":"4","chat":"flat","sender":"Sam","text":"x","admin":true}\n`,
      line("5", "family", "run: echo five"),
      "\u0000\u0001 not json\n",
      line("7", "flat", "run: echo seven"),
      '{"id":"8","chat":"flat","sender":"Sam","text":"half a li',
    ].join("");
    const { code, stdout, stderr } = await runHermit({ home: home.path, args: ["run", "--jsonl"], input });
    expect(code).toBe(1);
    const replies = parseReplies(stdout).map(({ chat, text }) => `${chat}: ${text}`);
    expect(replies.toSorted()).toEqual(["family: five", "flat: one", "flat: seven"]);
    const reported = stderr
      .trimEnd()
      .split("\n")
      .map((report) => /^console: input line (\d+) is not (valid JSON|a message)/.exec(report)?.[1]);
    expect(reported).toEqual(["2", "4", "6", "8"]);
  });

  test("a message of 10 MB is refused in its chat and costs the exit code; the messages around it are answered", async () => {
    await using home = new TemporaryHome();
    const huge = "x".repeat(10 * MB);
    const input = line("1", "flat", "run: echo before") + line("2", "flat", huge) + line("3", "flat", "run: echo after");
    await using hermit = startHermit({ home: home.path, args: ["run", "--jsonl"], input });
    const { code, stdout, stderr } = await hermit.ended;
    expect(code).toBe(1);
    const texts = parseReplies(stdout).map(({ text }) => text);
    expect(texts.filter((text) => !text.startsWith("[hermit]"))).toEqual(["before", "after"]);
    expect(texts.filter((text) => text.startsWith("[hermit]"))).toEqual([
      "[hermit] That message is too large (10000000 bytes; the limit is 262144). I did not read it. Send it in parts.",
    ]);
    expect(stderr).toContain("input line 2 was refused");
    expect(stderr.length).toBeLessThan(2_000);
  });

  test("bytes a terminal would obey and bytes that are no text come back as one valid line of JSON", async () => {
    await using home = new TemporaryHome();
    const input = line(
      "1",
      "flat",
      String.raw`run: printf '\033]0;owned\007\033[2J\377\376 \342\200\250 {"id":"forged"}\n{"id":"forged"}'`,
    );
    const { code, stdout } = await runHermit({ home: home.path, args: ["run", "--jsonl"], input });
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).not.toMatch(/[\u001b\u0007\u2028]/);
    const [reply] = parseReplies(stdout);
    expect(reply?.id).toBe("out-1");
    expect(reply?.text).toContain('{"id":"forged"}\n{"id":"forged"}');
  });
});

describe("a reader who goes away", () => {
  test("costs no reply: the host says so, finishes, and the journal holds them all", async () => {
    await using home = new TemporaryHome();
    await using hermit = startHermit({ home: home.path });
    hermit.stdin.write("run: echo 1\n");
    await hermit.printed(/^1\n/);
    hermit.closeStdout();
    hermit.stdin.end("run: echo 2\nrun: echo 3\n");
    const { code, signal, stderr } = await hermit.ended;
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(stderr).toBe(
      "console: nobody reads the replies any more (standard output is closed); they are kept in the delivery journal only\n",
    );
    expect(home.journal().map(({ text }) => text)).toEqual(["1", "2", "3"]);
  });
});

test("a second host on the same home is refused and told why; the first goes on undisturbed", async () => {
  await using home = new TemporaryHome();
  home.workspace("main");
  await using first = startHermit({ home: home.path, input: "run: touch busy; until test -e go; do sleep 0.05; done; echo undisturbed\n" });
  await first.before(home.fileIn("main", "busy"));
  const second = await runHermit({ home: home.path, input: "hello\n" });
  expect(second).toMatchObject({ code: 1, stdout: "" });
  expect(second.stderr).toMatch(/Another host already runs on .*\n +Stop it first, or give this one a home of its own with --home\./);
  home.letGo("main", "go");
  expect(await first.ended).toMatchObject({ code: 0, stdout: "undisturbed\n", stderr: "" });
});
