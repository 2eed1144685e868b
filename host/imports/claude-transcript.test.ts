import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createTranscripts } from "../adapters/transcripts-jsonl/index.ts";
import { convertClaudeTranscript, readClaudeTranscript } from "./claude-transcript.ts";

const AT = "2026-03-01T10:00:00.000Z";
type Block = Record<string, unknown>;
const user = (content: string | Block[], over: object = {}) => ({
  type: "user",
  timestamp: AT,
  message: { role: "user", content },
  ...over,
});
const agent = (content: string | Block[], id?: string, over: object = {}) => ({
  type: "assistant",
  timestamp: AT,
  message: { role: "assistant", ...(id === undefined ? {} : { id }), content },
  ...over,
});
const text = (said: string): Block => ({ type: "text", text: said });
const use = (id: string, name = "Bash"): Block => ({ type: "tool_use", id, name, input: { command: id } });
const answer = (id: string, content: unknown = `did ${id}`, over: object = {}): Block => ({
  type: "tool_result",
  tool_use_id: id,
  content,
  ...over,
});

const convert = (...lines: unknown[]) =>
  convertClaudeTranscript(lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
const entries = (...lines: unknown[]) => convert(...lines).turns.map((turn) => turn.entries);
const asked = (said: string) => ({ kind: "input", text: said });
const step = (n: number, ...content: object[]) => ({ kind: "step", step: n, content });
const call = (id: string, toolName = "Bash") => ({ type: "tool-call", toolCallId: id, toolName, input: { command: id } });
const result = (n: number, id: string, over: object = {}) => ({
  kind: "result",
  step: n,
  toolCallId: id,
  toolName: "Bash",
  text: `did ${id}`,
  isError: false,
  ...over,
});

describe("a conversation", () => {
  test("is a turn for each answer, with the time of its last word", () => {
    const later = { timestamp: "2026-03-01T10:05:00.000Z" };
    expect(convert(user("one"), agent("first", "m1", later), user([text("two")]), agent([text("second")], "m2"))).toEqual({
      turns: [
        { turn: null, at: Date.parse(later.timestamp), entries: [asked("one"), step(0, text("first"))] },
        { turn: null, at: Date.parse(AT), entries: [asked("two"), step(0, text("second"))] },
      ],
      damaged: 0,
      isCut: false,
    });
  });

  test("keeps which tools were used and what they answered, an answer of several lines as one step", () => {
    expect(
      entries(
        user("go"),
        agent([{ type: "thinking", thinking: "hm", signature: "x" }], "m1"),
        agent([text("Let me see.")], "m1"),
        agent([use("a")], "m1"),
        user([answer("a", [text("line 1"), text("line 2"), { type: "image", source: {} }])]),
        agent([use("b")], "m1"),
        user([answer("b", "no such file", { is_error: true })]),
        agent("Done.", "m2"),
      ),
    ).toEqual([
      [
        asked("go"),
        step(0, text("Let me see."), call("a"), call("b")),
        result(0, "a", { text: "line 1\nline 2\n[image]" }),
        result(0, "b", { text: "no such file", isError: true }),
        step(1, text("Done.")),
      ],
    ]);
  });

  test("takes what was said while the agent worked, or before it began, into the same turn", () => {
    expect(
      entries(user("one"), user("two"), agent([use("a")], "m1"), user([answer("a")]), user("three"), agent("all of it", "m2")),
    ).toEqual([[asked("one"), asked("two"), step(0, call("a")), result(0, "a"), asked("three"), step(1, text("all of it"))]]);
  });

  test("ends with its last answer: what was never answered waits in the inbox instead", () => {
    expect(entries(user("one"), agent("first"), user("two"), agent([use("a")], "m2"))).toEqual([[asked("one"), step(0, text("first"))]]);
    expect(entries(user("one"))).toEqual([]);
    expect(entries(agent("to nobody"), user("one"), agent("first"))).toEqual([[asked("one"), step(0, text("first"))]]);
  });

  test("names tools as the wire allows, and leaves out answers nobody asked for", () => {
    const long = `mcp__${"x".repeat(80)}`;
    expect(
      entries(user("go"), agent([use("a", "mcp:odd tool"), use("b", long)], "m1"), user([answer("a"), answer("never")]), agent("ok", "m2")),
    ).toEqual([
      [
        asked("go"),
        step(0, call("a", "mcp_odd_tool"), call("b", long.slice(0, 64))),
        result(0, "a", { toolName: "mcp_odd_tool" }),
        step(1, text("ok")),
      ],
    ]);
  });
});

describe("lines that are no part of it", () => {
  test("are passed over: other kinds, side chains, the program's own words, and repeats", () => {
    expect(
      convert(
        { type: "summary", summary: "Bikes", leafUuid: "x" },
        { type: "file-history-snapshot", snapshot: {} },
        { type: "something-new", message: { content: 5 } },
        user("one", { uuid: "u1" }),
        user("internal", { isMeta: true }),
        user("sub-task", { isSidechain: true }),
        agent("sub-answer", "s1", { isSidechain: true }),
        agent("API Error: 529", "e1", { isApiErrorMessage: true }),
        agent("first", "m1", { uuid: "a1" }),
        user("one", { uuid: "u1" }),
        agent("first", "m1", { uuid: "a1" }),
        "",
      ),
    ).toMatchObject({ turns: [{ entries: [asked("one"), step(0, text("first"))] }], damaged: 0 });
  });

  test("that cannot be read are counted, and cost nothing else", () => {
    const broken = [
      '{"type":"user","mess',
      "\0\0\0\0",
      '{"type":"user"}',
      '{"type":"assistant","message":{"content":7}}',
      "null",
      "[]",
      '"user"',
    ];
    const { turns, damaged } = convert(user("one"), ...broken, agent("first"));
    expect(turns).toMatchObject([{ entries: [asked("one"), step(0, text("first"))] }]);
    // What is JSON of another kind is not damage.
    expect(damaged).toBe(4);
  });

  test("of any kind at all never throw", () => {
    const odd = [
      null,
      7,
      { type: "user" },
      { type: "user", message: null },
      { type: "assistant", message: { id: 5, content: [null, 3, { type: "tool_use" }] } },
    ];
    expect(() => convert(...odd, user([{ type: "tool_result" }]), user([]), agent([]))).not.toThrow();
  });
});

describe("a very long one", () => {
  test("is cut to its newest turns, and says so", () => {
    const words = "word ".repeat(2_000);
    const lines = Array.from({ length: 400 }, (_, n) => [user(`question ${n}`), agent(`${words} ${n}`, `m${n}`)]).flat();
    const { turns, isCut } = convert(...lines);
    expect(isCut).toBe(true);
    expect(turns.at(-1)?.entries[0]).toEqual(asked("question 399"));
    expect(Buffer.byteLength(JSON.stringify(turns))).toBeLessThan(1_100_000);
  });

  test("of one turn keeps what was said, cut in the middle", () => {
    const { turns } = convert(user("go"), agent([use("a")], "m1"), user([answer("a", "x".repeat(2_000_000))]), agent("Done.", "m2"));
    expect(turns).toMatchObject([{ entries: [asked("go"), step(0, call("a")), { kind: "result" }, step(1, text("Done."))] }]);
    expect(JSON.stringify(turns).length).toBeLessThan(300_000);
  });

  test("is read from the end of its file, from a whole line on", () => {
    const folder = mkdtempSync(join(tmpdir(), "hermit-claude-"));
    const path = join(folder, "long.jsonl");
    const filler = JSON.stringify({ type: "progress", data: "é".repeat(4 * 1024 * 1024) });
    writeFileSync(
      path,
      [
        JSON.stringify(user("lost")),
        JSON.stringify(agent("lost")),
        filler,
        filler,
        JSON.stringify(user("kept")),
        JSON.stringify(agent("yes")),
      ].join("\n"),
    );
    expect(readClaudeTranscript(path)).toMatchObject({
      turns: [{ entries: [asked("kept"), step(0, text("yes"))] }],
      damaged: 0,
      isCut: true,
    });
    rmSync(folder, { recursive: true });
  });
});

test("what became a link or a pipe since it was found is not read, and not waited for", () => {
  const folder = mkdtempSync(join(tmpdir(), "hermit-transcript-"));
  const [own, link, pipe] = ["own", "link", "pipe"].map((name) => join(folder, name)) as [string, string, string];
  writeFileSync(own, "");
  symlinkSync(own, link);
  execFileSync("mkfifo", [pipe]);
  expect(() => readClaudeTranscript(link)).toThrow(/ELOOP/);
  expect(() => readClaudeTranscript(pipe)).toThrow(/pipe is no file/);
  rmSync(folder, { recursive: true });
});

test("what comes out is readable as a transcript of ours", async () => {
  const home = mkdtempSync(join(tmpdir(), "hermit-claude-"));
  const { turns } = convert(
    user("go"),
    agent([{ type: "tool_use", id: "a", name: "x y", input: undefined }, use("b")], "m1"),
    user([answer("b", undefined)]),
    agent("Done.", "m2"),
  );
  const transcripts = createTranscripts(home);
  await transcripts.append("fam", "s1", turns);
  expect(await transcripts.read("fam", "s1", 1_000_000)).toEqual({ state: "readable", turns, isWhole: true });
  rmSync(home, { recursive: true });
});
