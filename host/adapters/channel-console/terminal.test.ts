import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, expect, test } from "vitest";
import { ScriptedIntake, SteppedClock } from "../../../contracts/suites/channel.ts";
import { loadHistory, MAX_HISTORY_LINES, saveHistory } from "./command-history.ts";
import { type ConsoleChannel, type ConsoleOptions, createConsoleChannel } from "./index.ts";
import { neutralise, quotable } from "./terminal-text.ts";

const releases: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const release of releases.splice(0).toReversed()) await release();
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "hermit-terminal-"));
  releases.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Session {
  readonly channel: ConsoleChannel;
  readonly intake: ScriptedIntake;
  readonly input: PassThrough;
  /** All that has been written to the terminal. */
  screen(): string;
}

const COLUMNS = 20;

async function session(options: Partial<ConsoleOptions> = {}): Promise<Session> {
  const input = new PassThrough();
  const output = Object.assign(new PassThrough(), { columns: COLUMNS });
  let written = "";
  output.on("data", (chunk: Buffer) => {
    written += chunk.toString("utf8");
  });
  const journalPath = join(await newFolder(), "delivery.jsonl");
  const channel = createConsoleChannel({
    input,
    output,
    errors: new PassThrough().resume(),
    mode: "interactive",
    clock: new SteppedClock(),
    journalPath,
    color: false,
    assistantName: "Andy",
    userName: "Ada",
    ...options,
  });
  releases.push(() => channel.close());
  const intake = new ScriptedIntake();
  await channel.connect(intake);
  return { channel, intake, input, screen: () => written };
}

/** A terminal so many columns wide, as far as readline uses one: what stands on the screen after all that was written. */
function rendered(written: string, columns: number): string[] {
  const rows: string[][] = [[]];
  let [row, column] = [0, 0];
  for (const [token, count, command] of written.matchAll(/\u001b\[(\d*)([A-Za-z])|[^]/gu)) {
    const n = Number(count || 1);
    if (command === "A") row -= n;
    else if (command === "C") column += n;
    else if (command === "D") column -= n;
    else if (command === "G") column = n - 1;
    else if (command === "J") {
      rows.length = row + 1;
      rows[row]?.splice(column);
    } else if (token === "\r") column = 0;
    else if (token === "\n") [row, column] = [row + 1, 0];
    else if (command === undefined) {
      if (column === columns) [row, column] = [row + 1, 0];
      (rows[row] ??= [])[column++] = token;
    }
    if (row < 0) throw new Error("the cursor left the screen");
    for (let above = 0; above <= row; above++) rows[above] ??= [];
  }
  return rows.map((cells) =>
    Array.from(cells, (cell) => cell ?? " ")
      .join("")
      .trimEnd(),
  );
}

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const ARROW_UP = "\u001b[A";

test("typed lines are messages of the main group, and Ctrl-D ends the input after all of them", async () => {
  const { channel, intake, input } = await session();
  input.write(`one\rtwo\r\r${CTRL_D}`);
  expect(await channel.ended).toEqual({ refused: 0 });
  expect(intake.offers.map((message) => message.text)).toEqual(["one", "two"]);
  expect(intake.offers[0]).toMatchObject({ chat: "console:main", senderName: "Ada" });
});

test("Ctrl-C throws away what is typed, and on an empty line ends the input", async () => {
  const { channel, intake, input } = await session();
  input.write(`never sent${CTRL_C}sent\r${CTRL_C}`);
  await channel.ended;
  expect(intake.offers.map((message) => message.text)).toEqual(["sent"]);
});

test("many lines pasted at once while the inbox is full arrive in order", async () => {
  const clock = new SteppedClock();
  const { channel, intake, input } = await session({ clock });
  intake.full = true;
  const lines = Array.from({ length: 3000 }, (_, n) => `line ${n}`);
  input.write(lines.map((line) => `${line}\r`).join(""));
  await intake.offered(1);
  intake.full = false;
  clock.advance(100);
  await intake.accepted(lines.length);
  input.write(CTRL_D);
  await channel.ended;
  const offered = intake.offers.map((message) => message.text);
  expect(offered.slice(offered.lastIndexOf("line 0"))).toEqual(lines);
});

test("a reply names who says it, and a reply to another chat names that too", async () => {
  const { channel, screen } = await session();
  await channel.deliver({ id: "1", chat: "console:main", text: "hello" });
  await channel.deliver({ id: "2", chat: "console:family", text: "dinner" });
  expect(screen()).toContain("Andy: hello\n");
  expect(screen()).toContain("[family] Andy: dinner\n");
});

test("a reply cannot drive the terminal: it looks the same as without its control characters", async () => {
  const attack = "\u001b]0;owned\u0007\u001b[2J\u009b31m\u0000\u0008\u007fred\rover\u0090\u001b\\";
  const screens: string[] = [];
  for (const text of [attack, "]0;owned[2J31mredover\\"]) {
    const { channel, screen } = await session();
    await channel.deliver({ id: "1", chat: `console:${text}`, text });
    await channel.close();
    screens.push(screen());
  }
  expect(screens[0]).toBe(screens[1]);
});

test("no colour is written where none is wanted", async () => {
  const colourful = (screen: string): boolean => /\u001b\[[\d;]*m/.test(screen);
  for (const color of [false, true]) {
    const { channel, screen } = await session({ color });
    channel.typing?.("console:main", true);
    await channel.deliver({ id: "1", chat: "console:main", text: "hello" });
    expect(colourful(screen())).toBe(color);
  }
});

test("the typing indicator appears for the chat typed into, and for no other", async () => {
  const { channel, screen } = await session();
  channel.typing?.("console:family", true);
  expect(screen()).not.toContain("typing");
  channel.typing?.("console:main", true);
  expect(screen()).toContain("… Andy is typing\n");
});

const HALF_TYPED = "half typed, longer than one row of the screen";
const HALF_TYPED_ROWS = ["> half typed, longer", " than one row of the", " screen"];
const HOW_TYPED: [string, (input: PassThrough) => Promise<void>][] = [
  ["pasted", (input) => written(input, HALF_TYPED)],
  [
    "typed key by key",
    async (input) => {
      for (const key of HALF_TYPED) await written(input, key);
    },
  ],
  [
    "pasted and typed on",
    async (input) => {
      await written(input, HALF_TYPED.slice(0, 30));
      for (const key of HALF_TYPED.slice(30)) await written(input, key);
    },
  ],
  ["pasted and gone back in", async (input) => written(input, `${HALF_TYPED}${"\u001b[D".repeat(25)}`)],
];
function written(input: PassThrough, keys: string): Promise<void> {
  return new Promise((resolve) => input.write(keys, () => setImmediate(resolve)));
}

for (const [how, typeIt] of HOW_TYPED) {
  test(`replies and the typing indicator come above a line ${how}, which stays as it is and is sent whole`, async () => {
    const { channel, intake, input, screen } = await session();
    const show = (): string[] => rendered(screen(), COLUMNS);
    await typeIt(input);
    expect(show()).toEqual(HALF_TYPED_ROWS);
    channel.typing?.("console:main", true);
    expect(show()).toEqual(["… Andy is typing", ...HALF_TYPED_ROWS]);
    await channel.deliver({ id: "1", chat: "console:main", text: "a reply that takes two rows" });
    const reply = ["Andy: a reply that t", "akes two rows"];
    expect(show()).toEqual([...reply, ...HALF_TYPED_ROWS]);
    channel.typing?.("console:main", true);
    await written(input, "\r");
    expect(show()).toEqual([...reply, ...HALF_TYPED_ROWS, "… Andy is typing", ">"]);
    expect((await intake.accepted(1))[0]?.text).toBe(HALF_TYPED);
    channel.typing?.("console:main", false);
    expect(show()).toEqual([...reply, ...HALF_TYPED_ROWS, ">"]);
  });
}

test("a word pasted together with Enter into the middle of a line is shown as it is sent", async () => {
  const { intake, input, screen } = await session();
  await written(input, `one three${"\u001b[D".repeat(5)}`);
  await written(input, "two \r");
  expect((await intake.accepted(1))[0]?.text).toBe("one two three");
  expect(rendered(screen(), COLUMNS)).toEqual(["> one two three", ">"]);
});

test("a terminal that hangs up ends the input, and what was half typed is not sent", async () => {
  const hangUps: ((input: PassThrough) => void)[] = [
    (input) => input.end(),
    (input) => input.destroy(new Error("read EIO")),
    // As node:tty does it: leaving raw mode fails too, again and again.
    (input) => {
      Object.assign(input, { setRawMode: () => input.emit("error", new Error("setRawMode EIO")) });
      input.emit("error", new Error("read EIO"));
    },
  ];
  for (const hangUp of hangUps) {
    const { channel, intake, input } = await session();
    await written(input, "sent\rdelete everything exc");
    hangUp(input);
    expect(await channel.ended).toEqual({ refused: 0 });
    expect(intake.offers.map((message) => message.text)).toEqual(["sent"]);
  }
});

test("history survives a restart, in a file of our own", async () => {
  const historyPath = join(await newFolder(), "home", "history");
  const first = await session({ historyPath });
  first.input.write(`remember me\r${CTRL_D}`);
  await first.channel.ended;
  await first.channel.close();
  expect(await readFile(historyPath, "utf8")).toBe("remember me\n");
  expect((await stat(historyPath)).mode & 0o777).toBe(0o600);
  const second = await session({ historyPath });
  second.input.write(`${ARROW_UP}\r`);
  expect((await second.intake.accepted(1))[0]?.text).toBe("remember me");
});

test("history keeps the newest thousand lines, and nothing that would drive the terminal", async () => {
  const path = join(await newFolder(), "history");
  const typed = Array.from({ length: MAX_HISTORY_LINES + 5 }, (_, n) => `line ${n}`).toReversed();
  await saveHistory(path, typed);
  expect(await loadHistory(path)).toEqual(typed.slice(0, MAX_HISTORY_LINES));
  await writeFile(path, "a\u001b[2Jb\n\n");
  expect(await loadHistory(path)).toEqual(["a[2Jb"]);
  expect(await loadHistory(join(path, "not-a-folder"))).toEqual([]);
});

test("neutral text keeps newlines, tabs and every printable character", () => {
  expect(neutralise("a\tb\nc\r\nd – é 🦀 \u00a0")).toBe("a\tb\nc\nd – é 🦀 \u00a0");
  for (let code = 0; code < 0xa0; code++) {
    const isControl = (code < 0x20 && code !== 0x09 && code !== 0x0a) || code >= 0x7f;
    expect(neutralise(String.fromCharCode(code))).toBe(isControl ? "" : String.fromCharCode(code));
  }
  expect(quotable(`x\n${"y".repeat(50)}`, 10)).toBe("x yyyyyyy…");
});
