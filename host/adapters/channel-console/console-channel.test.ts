import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { afterEach, describe, expect, test } from "vitest";
import { type ChannelHarness, runChannelSuite, ScriptedIntake, SteppedClock } from "../../../contracts/suites/channel.ts";
import { ConsoleReply } from "../../../contracts/wire/console.ts";
import { RefusedError } from "../../domain/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import { type ConsoleChannel, type ConsoleOptions, createConsoleChannel } from "./index.ts";

const releases: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const release of releases.splice(0).toReversed()) await release();
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "hermit-console-"));
  releases.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Bed {
  readonly channel: ConsoleChannel;
  readonly intake: ScriptedIntake;
  readonly clock: SteppedClock;
  readonly input: PassThrough;
  readonly output: PassThrough;
  readonly errors: PassThrough;
  readonly journalPath: string;
  /** Closes the channel; what it has written. */
  finish(): Promise<{ output: string; errors: string }>;
}

async function bed(mode: "lines" | "jsonl", options: Partial<ConsoleOptions> = {}): Promise<Bed> {
  const streams = { input: new PassThrough(), output: new PassThrough(), errors: new PassThrough() };
  const clock = new SteppedClock();
  const journalPath = options.journalPath ?? join(await newFolder(), "home", "delivery.jsonl");
  const channel = createConsoleChannel({
    ...streams,
    mode,
    clock,
    journalPath,
    color: false,
    assistantName: "Andy",
    userName: "Ada",
    ...options,
  });
  releases.push(() => channel.close());
  const intake = new ScriptedIntake();
  const finish = async (): Promise<{ output: string; errors: string }> => {
    await channel.close();
    streams.output.end();
    streams.errors.end();
    return { output: await textOf(streams.output), errors: await textOf(streams.errors) };
  };
  return { channel, intake, clock, journalPath, finish, ...streams };
}

async function journalled(path: string): Promise<ConsoleReply[]> {
  const content = await readFile(path, "utf8").catch(() => "");
  expect(content).toMatch(/^(.+\n)*$/);
  return content
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => ConsoleReply.parse(JSON.parse(line)));
}

function consoleHarness(mode: "lines" | "jsonl", clock: Clock, journalPath: string): ChannelHarness {
  const input = new PassThrough();
  const output = new PassThrough().resume();
  const errors = new PassThrough().resume();
  const channel = createConsoleChannel({
    input,
    output,
    errors,
    mode,
    clock,
    journalPath,
    color: false,
    assistantName: "Andy",
    userName: "Ada",
  });
  let said = 0;
  return {
    channel,
    chat: "console:main",
    say(text) {
      if (input.destroyed) return;
      input.write(mode === "lines" ? `${text}\n` : `${JSON.stringify({ id: `m${said++}`, chat: "main", sender: "Ada", text })}\n`);
    },
    delivered: async () => (await journalled(journalPath)).map((reply) => ({ ...reply, chat: `console:${reply.chat}` })),
    restart: async () => consoleHarness(mode, clock, journalPath),
    dispose: () => channel.close(),
  };
}

for (const mode of ["lines", "jsonl"] as const) {
  runChannelSuite(`console, ${mode}`, async (clock) => consoleHarness(mode, clock, join(await newFolder(), "delivery.jsonl")));
}

describe("plain lines", () => {
  test("every line that is not blank is a message of the main group, the last one without newline too", async () => {
    const { channel, intake, input } = await bed("lines");
    input.end("hello\r\n\n   \n  there\nlast");
    await channel.connect(intake);
    expect(await channel.ended).toEqual({ refused: 0 });
    expect(intake.offers.map((message) => message.text)).toEqual(["hello", "  there", "last"]);
    expect(intake.offers[0]).toMatchObject({ chat: "console:main", sender: "Ada", senderName: "Ada", isFromMe: false });
    for (const options of intake.options) expect(options).toEqual({ register: { folder: "main", name: "main", requiresTrigger: false } });
  });

  test("two hosts started at the same millisecond give their messages different ids", async () => {
    const ids: string[] = [];
    for (let host = 0; host < 2; host++) {
      const { channel, intake, input } = await bed("lines");
      input.end("one\ntwo\n");
      await channel.connect(intake);
      await channel.ended;
      ids.push(...intake.offers.map((message) => message.id));
    }
    expect(new Set(ids).size).toBe(4);
  });

  test("timestamps rise strictly even where the clock stands still or is set back", async () => {
    const { channel, intake, input, clock } = await bed("lines");
    await channel.connect(intake);
    input.write("a\nb\n");
    await intake.accepted(2);
    clock.advance(-60_000);
    input.end("c\n");
    await channel.ended;
    const stamps = intake.offers.map((message) => message.timestamp);
    expect(new Set(stamps).size).toBe(3);
    expect(stamps.toSorted()).toEqual(stamps);
  });

  test("a reply is its text and one newline, control characters included, and nothing else is on the output", async () => {
    const { channel, intake, finish } = await bed("lines");
    await channel.connect(intake);
    await channel.deliver({ id: "1", chat: "console:main", text: "two\nlines" });
    await channel.deliver({ id: "2", chat: "console:main", text: "ends itself\n" });
    await channel.deliver({ id: "3", chat: "console:main", text: "\u001b[31mred" });
    expect(await finish()).toEqual({ output: "two\nlines\nends itself\n\u001b[31mred\n", errors: "" });
  });

  test("a terminal that shows the replies is not driven by them, though the messages came through a pipe", async () => {
    const output = Object.assign(new PassThrough(), { isTTY: true });
    const { channel, intake } = await bed("lines", { output });
    await channel.connect(intake);
    await channel.deliver({ id: "1", chat: "console:main", text: "\u001b]0;owned\u0007\u001b[2J\u009b31mred\tand\nblue" });
    output.end();
    expect(await textOf(output)).toBe("]0;owned[2J31mred\tand\nblue\n");
  });

  test("a line over 16 MiB is dropped and reported by number, its neighbours are accepted", async () => {
    const { channel, intake, input, finish } = await bed("lines");
    await channel.connect(intake);
    input.write("before\n");
    for (let mebibyte = 0; mebibyte < 17; mebibyte++)
      if (!input.write(Buffer.alloc(1024 * 1024, "x"))) await new Promise((resolve) => input.once("drain", resolve));
    input.end("\nafter\n");
    expect(await channel.ended).toEqual({ refused: 1 });
    expect(intake.offers.map((message) => message.text)).toEqual(["before", "after"]);
    expect((await finish()).errors).toBe("console: input line 2 is longer than 16777216 bytes and was dropped\n");
  });
});

describe("JSONL", () => {
  const line = (fields: object): string => `${JSON.stringify({ id: "m1", chat: "family", sender: "Bo", text: "hi", ...fields })}\n`;

  test("a line names its chat, which is registered under that name, the chat main as the main group", async () => {
    const { channel, intake, input } = await bed("jsonl");
    input.end(line({}) + line({ chat: "main" }));
    await channel.connect(intake);
    await channel.ended;
    expect(intake.offers.map((message) => message.chat)).toEqual(["console:family", "console:main"]);
    expect(intake.offers[0]).toMatchObject({ id: "m1", sender: "Bo", senderName: "Bo", text: "hi" });
    expect(intake.options).toEqual([
      { register: { name: "family", requiresTrigger: false } },
      { register: { folder: "main", name: "main", requiresTrigger: false } },
    ]);
  });

  test("times come out in UTC with milliseconds, whatever offset and precision they had", async () => {
    const { channel, intake, input } = await bed("jsonl");
    input.end(
      line({ ts: "2024-02-29T12:00:00+02:00" }) +
        line({ ts: "2024-12-31T23:30:00.5-01:00" }) +
        line({ ts: "2024-01-01T00:00:00.123456789Z" }),
    );
    await channel.connect(intake);
    await channel.ended;
    expect(intake.offers.map((message) => message.timestamp)).toEqual([
      "2024-02-29T10:00:00.000Z",
      "2025-01-01T00:30:00.500Z",
      "2024-01-01T00:00:00.123Z",
    ]);
  });

  const broken: [string, string | Buffer, RegExp][] = [
    ["no JSON", "hello\n", /not valid JSON/],
    ["JSON cut short", '{"id":"1"\n', /not valid JSON: .*position/],
    ["an array", "[]\n", /expected object/],
    ["a missing text", '{"id":"1","chat":"c","sender":"s"}\n', /"text": /],
    ["an empty id", line({ id: "" }), /"id": /],
    ["a number for an id", line({ id: 7 }), /"id": /],
    ["a field nobody knows", line({ admin: true }), /admin/],
    ["a time without offset", line({ ts: "2024-01-01T00:00:00" }), /"ts": /],
    ["a day that never was", line({ ts: "2023-02-29T00:00:00Z" }), /"ts"/],
    ["a time before the year 0", line({ ts: "0000-01-01T00:00:00+01:00" }), /"ts"/],
    ["an id with half a character", '{"id":"\\ud83d","chat":"c","sender":"s","text":"t"}\n', /half a character/],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0xff, 0x7d, 0x0a]), /UTF-8/],
    ["escape sequences in a field name", line({ "\u001b[2J\u009bx": 1 }), /^[^\u001b\u009b]*$/],
  ];
  for (const [what, bytes, report] of broken) {
    test(`a line with ${what} is reported with its number and skipped, the next one is accepted`, async () => {
      const { channel, intake, input, finish } = await bed("jsonl");
      input.write("\n");
      input.write(bytes);
      input.end(line({ text: "sound" }));
      await channel.connect(intake);
      expect(await channel.ended).toEqual({ refused: 1 });
      expect(intake.offers.map((message) => message.text)).toEqual(["sound"]);
      const { errors } = await finish();
      expect(errors).toMatch(/^console: input line 2 [^\n]+\n$/);
      expect(errors.trim()).toMatch(report);
    });
  }

  test("what a broken line says is not repeated in the report", async () => {
    const { channel, intake, input, finish } = await bed("jsonl");
    input.end('{"id":"1","text":secret plan}\n"secret plan" is not valid JSON\nsecret plan\n');
    await channel.connect(intake);
    expect(await channel.ended).toEqual({ refused: 3 });
    expect((await finish()).errors).not.toContain("secret");
  });

  test("replies are one object a line, the chat without our prefix", async () => {
    const { channel, intake, finish } = await bed("jsonl");
    await channel.connect(intake);
    const text = 'a\nb "c" \u2028 🦀';
    await channel.deliver({ id: "1", chat: "console:family", text });
    const { output } = await finish();
    expect(output).toMatch(/^[^\n]+\n$/);
    expect(JSON.parse(output)).toEqual({ id: "1", chat: "family", text });
  });
});

describe("with a group given", () => {
  for (const mode of ["lines", "jsonl"] as const) {
    test(`${mode}: everything is said in that group, answered here, and nothing is registered`, async () => {
      const { channel, intake, input } = await bed(mode, { group: { chat: "123@g.us", folder: "family" } });
      input.end(mode === "lines" ? "hello\n" : '{"id":"1","chat":"other","sender":"s","text":"hello"}\n');
      await channel.connect(intake);
      await channel.ended;
      expect(intake.offers).toMatchObject([{ chat: "123@g.us", text: "hello" }]);
      expect(intake.options).toEqual([{ replyHere: true }]);
    });
  }
});

describe("lines the host does not take", () => {
  test("receipts of refusal and disregard are reported and counted", async () => {
    for (const receipt of ["refused", "ignored"] as const) {
      const { channel, intake, input, finish } = await bed("lines");
      intake.receipt = receipt;
      input.end("hello\n");
      await channel.connect(intake);
      expect(await channel.ended).toEqual({ refused: 1 });
      expect((await finish()).errors).toMatch(new RegExp(`^console: input line 1 was ${receipt}`));
    }
  });

  test("a refusal other than a full inbox is reported with its hint, the next line is offered", async () => {
    const { channel, intake, input, finish } = await bed("lines");
    const accept = intake.accept.bind(intake);
    intake.accept = (message, options) => {
      if (message.text === "bad") throw new RefusedError("MAIN_TAKEN", "Main is another chat.", { hint: "Use --group main." });
      return accept(message, options);
    };
    input.end("bad\ngood\n");
    await channel.connect(intake);
    expect(await channel.ended).toEqual({ refused: 1 });
    expect(intake.offers.map((message) => message.text)).toEqual(["good"]);
    expect((await finish()).errors).toBe("console: input line 1 was refused: Main is another chat. Use --group main.\n");
  });

  test("a broken store rejects the end with its error and stops the reading", async () => {
    const { channel, intake, input } = await bed("lines");
    intake.broken = true;
    input.write("hello\nworld\n");
    await channel.connect(intake);
    await expect(channel.ended).rejects.toMatchObject({ name: "StoreError", code: "STORE_BROKEN" });
    expect(intake.offers).toHaveLength(1);
    expect(input.destroyed).toBe(true);
  });

  test("input that cannot be read rejects the end with what to do", async () => {
    const { channel, intake, input } = await bed("lines");
    await channel.connect(intake);
    input.destroy(new Error("EISDIR: illegal operation on a directory, read"));
    await expect(channel.ended).rejects.toMatchObject({ code: "INPUT_MALFORMED", message: expect.stringContaining("EISDIR") });
  });

  test("the line a full inbox holds when the host stops is reported as left out", async () => {
    const { channel, intake, input, finish } = await bed("lines");
    intake.full = true;
    input.write("held\nbehind it\n");
    await channel.connect(intake);
    await intake.offered(1);
    const { errors } = await finish();
    expect(errors).toMatch(/^console: input line 1 was not accepted before the host stopped/);
    expect(await channel.ended).toEqual({ refused: 1 });
  });

  test("while the inbox is full the input is left unread", async () => {
    const { channel, intake, input, clock } = await bed("lines");
    intake.full = true;
    await channel.connect(intake);
    input.write("first\n");
    await intake.offered(1);
    const total = 50;
    for (let n = 0; n < total; n++) input.write(`${"x".repeat(10_000)}\n`);
    await new Promise((resolve) => setImmediate(resolve));
    expect(input.readableLength + input.writableLength).toBeGreaterThan(400_000);
    intake.full = false;
    input.end();
    await clock.step(100);
    expect(await channel.ended).toEqual({ refused: 0 });
    expect(await intake.accepted(total + 1)).toHaveLength(total + 1);
  });
});

describe("delivery", () => {
  const reply = { id: "1", chat: "console:main", text: "hello" };

  test("a reply is in the journal before it is shown, in files nobody else may read", async () => {
    const output = new PassThrough();
    const { channel, intake, journalPath } = await bed("lines", { output });
    await channel.connect(intake);
    const shown = new Promise<ConsoleReply[]>((resolve) => output.once("data", () => resolve(journalled(journalPath))));
    await channel.deliver(reply);
    expect(await shown).toEqual([{ id: "1", chat: "main", text: "hello" }]);
    expect((await stat(journalPath)).mode & 0o777).toBe(0o600);
    expect((await stat(join(journalPath, ".."))).mode & 0o777).toBe(0o700);
  });

  test("a reply delivered again after a crash is shown again and journalled once", async () => {
    const journalPath = join(await newFolder(), "delivery.jsonl");
    const outputs: string[] = [];
    for (let start = 0; start < 2; start++) {
      const { channel, intake, finish } = await bed("lines", { journalPath });
      await channel.connect(intake);
      await channel.deliver(reply);
      outputs.push((await finish()).output);
    }
    expect(outputs).toEqual(["hello\n", "hello\n"]);
    expect(await journalled(journalPath)).toHaveLength(1);
  });

  test("with nobody reading the output, replies are journalled, deliveries resolve, and it is reported once", async () => {
    const { channel, intake, output, journalPath, errors } = await bed("lines");
    await channel.connect(intake);
    output.destroy(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
    for (const id of ["1", "2", "3"]) await channel.deliver({ ...reply, id });
    await channel.close();
    errors.end();
    expect(await textOf(errors)).toMatch(/^console: nobody reads the replies[^\n]+\n$/);
    expect((await journalled(journalPath)).map((each) => each.id)).toEqual(["1", "2", "3"]);
  });

  test("a reader that goes away in the middle of a write does not leave the delivery hanging", async () => {
    const output = new PassThrough({ highWaterMark: 1 });
    const { channel, intake } = await bed("lines", { output });
    await channel.connect(intake);
    const deliveries = ["1", "2", "3"].map((id) => channel.deliver({ ...reply, id, text: "x".repeat(100_000) }));
    // The first write is stuck here: its text waits to be read.
    await new Promise((resolve) => output.once("readable", resolve));
    output.destroy();
    await Promise.all(deliveries);
  });

  test("a journal that cannot be opened refuses to connect and says what to do", async () => {
    const journalPath = await newFolder();
    const { channel, intake } = await bed("lines", { journalPath });
    await expect(channel.connect(intake)).rejects.toMatchObject({ code: "HOME_UNUSABLE", hint: expect.any(String) });
  });
});
