/** fixtures/chats through the whole host: 5 households' chats, 40 messages each, interleaved as they came in. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { ConsoleLine } from "../../contracts/wire/console.ts";
import { sandboxesOf } from "../harness/engine.ts";
import { buildHermit, runHermit } from "../harness/hermit-process.ts";
import { parseReplies, type RunRecord, TemporaryHome } from "../harness/temporary-home.ts";

const CHATS = join(import.meta.dirname, "..", "..", "fixtures", "chats");
const recording = readFileSync(join(CHATS, "five-chats.jsonl"), "utf8");
const messages = recording
  .trimEnd()
  .split("\n")
  .map((line) => ConsoleLine.parse(JSON.parse(line)));
/** Message id → the whole reply to it, for what the offline model does with a tool. To anything else it answers with the message's start. */
const answers = JSON.parse(readFileSync(join(CHATS, "five-chats.answers.json"), "utf8")) as Record<string, string>;
const chats = [...new Set(messages.map(({ chat }) => chat))];
const QUOTED_CHARACTERS = 60;

/** Few messages a turn, so that each chat needs several and has a chance to overlap with itself. */
const MANY_TURNS = { HERMIT_QUEUE_MAX_BATCH_MESSAGES: "4", HERMIT_TURN_STEPS: "16" };

function startOf(text: string): string {
  return Array.from(text.replace(/\s+/g, " ").trim()).slice(0, QUOTED_CHARACTERS).join("");
}

function overlap(a: RunRecord, b: RunRecord): boolean {
  return a.startedAt < (b.endedAt ?? Infinity) && b.startedAt < (a.endedAt ?? Infinity);
}

beforeAll(buildHermit);

describe("a recording of five chats", () => {
  test("holds forty messages of each chat, interleaved, all of them told apart by their start", () => {
    expect(chats).toHaveLength(5);
    for (const chat of chats) {
      const own = messages.filter((message) => message.chat === chat);
      expect(own).toHaveLength(40);
      expect(new Set(own.map(({ text }) => startOf(text))).size).toBe(40);
    }
    const changes = messages.filter((message, i) => message.chat !== messages[i - 1]?.chat).length;
    expect(changes).toBeGreaterThan(80);
  });

  test("is answered message by message and in order, chats side by side and no chat beside itself; fed again it changes nothing", async () => {
    await using home = new TemporaryHome();
    const feed = () => runHermit({ home: home.path, args: ["run", "--jsonl"], env: MANY_TURNS, input: recording });
    const first = await feed();
    expect(first.stderr).toBe("");
    expect(first.code).toBe(0);

    const replies = parseReplies(first.stdout);
    expect(replies).toEqual(home.journal());
    expect(new Set(replies.map(({ id }) => id)).size).toBe(messages.length);
    for (const chat of chats) {
      const said = replies.filter((reply) => reply.chat === chat).map(({ text }) => text);
      const asked = messages.filter((message) => message.chat === chat);
      expect(said).toEqual(asked.map(({ id, text }) => answers[id] ?? expect.stringContaining(`You said: “${startOf(text)}`)));
    }

    const runs = home.runs();
    expect(new Set(runs.map(({ outcome, turnState }) => `${outcome} ${turnState}`))).toEqual(new Set(["done done"]));
    for (const chat of chats) {
      const own = runs.filter(({ group }) => group === chat);
      expect(own.length, `runs of ${chat}`).toBeGreaterThan(2);
      for (const [i, run] of own.entries()) for (const later of own.slice(i + 1)) expect(overlap(run, later)).toBe(false);
    }
    const sideBySide = runs.flatMap((run, i) => runs.slice(i + 1).filter((other) => overlap(run, other)));
    expect(sideBySide.length).toBeGreaterThan(5);

    const journal = home.journalText();
    const second = await feed();
    expect(second).toMatchObject({ code: 0, stdout: "", stderr: "" });
    expect(home.journalText()).toBe(journal);
    expect(home.runs()).toEqual(runs);
    expect(await sandboxesOf(home.instance() ?? "")).toEqual([]);
  });
});

test("a burst of commands that no single turn has steps for is answered to the last one, over several turns", async () => {
  await using home = new TemporaryHome();
  const numbers = Array.from({ length: 90 }, (_, i) => i + 1);
  const { code, stdout } = await runHermit({ home: home.path, input: numbers.map((n) => `run: echo number ${n}\n`).join("") });
  expect(code).toBe(0);
  expect(stdout).toBe(numbers.map((n) => `number ${n}\n`).join(""));
  expect(home.runs().length).toBeGreaterThan(1);
});
