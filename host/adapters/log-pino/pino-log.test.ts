import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { HostError } from "../../domain/errors.ts";
import { createRedactor } from "../../domain/redaction.ts";
import { createLog, type LogLevel } from "./index.ts";

const KEY = "correct-horse-battery";

function logged(write: (log: ReturnType<typeof createLog>) => void, level: LogLevel = "debug"): string[] {
  const lines: string[] = [];
  write(createLog(level, createRedactor([KEY]), { write: (line) => void lines.push(line) }));
  return lines;
}

function entryOf(fields: object, message = "said"): Record<string, unknown> {
  const [line = ""] = logged((log) => log.info(fields, message));
  expect(line.endsWith("\n")).toBe(true);
  expect(line.trimEnd()).not.toMatch(/[\0-\x1f\x7f-\x9f\u2028\u2029]/);
  return JSON.parse(line) as Record<string, unknown>;
}

test("a line holds level, time, the fields and the sentence, and nothing else", () => {
  expect(entryOf({ group: "family", turn: 7, ok: true, none: null }, "turn done")).toEqual({
    level: 30,
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
    group: "family",
    turn: 7,
    ok: true,
    none: null,
    msg: "turn done",
  });
});

test("what is below the level costs nothing: its fields are not even looked at", () => {
  const fields = {
    get group(): string {
      throw new Error("looked at");
    },
  };
  expect(logged((log) => log.debug(fields, "x"), "info")).toEqual([]);
  expect(logged((log) => log.error(fields, "x"), "silent")).toEqual([]);
});

describe("a secret reaches no line, given as", () => {
  const ring: { self?: object; key: string } = { key: KEY };
  ring.self = ring;
  const cause = new Error(`before it ${KEY}`, { cause: { token: [KEY] } });
  test.each<readonly [string, object, string]>([
    ["the sentence", {}, `it is ${KEY}`],
    ["a field", { reason: KEY }, "x"],
    ["a field's name", { [KEY]: 1 }, "x"],
    ["a field of a field of a list", { a: [{ b: { c: KEY } }] }, "x"],
    ["the message of an error", { error: new Error(`no access with ${KEY}`) }, "x"],
    ["the message of an error where pino looks for one", { err: new Error(`no access with ${KEY}`) }, "x"],
    ["an error's cause, and the cause's", { error: new HostError("MODEL_REFUSED", "refused", { cause }) }, "x"],
    ["an error's hint", { error: new HostError("MODEL_REFUSED", "refused", { hint: `not ${KEY}` }) }, "x"],
    ["one of several errors", { error: new AggregateError([new Error(KEY)], "several") }, "x"],
    ["an error alone", new Error(KEY), "x"],
    ["a list alone", [KEY], "x"],
    ["base64", { header: Buffer.from(`user:${KEY}`).toString("base64") }, "x"],
    ["JSON in a text", { body: JSON.stringify({ key: KEY }) }, "x"],
    ["what it is in JSON", { secret: { toJSON: () => ({ value: KEY }) } }, "x"],
    ["part of a ring", ring, "x"],
    ["bytes", { body: Buffer.from(KEY), view: new DataView(new ArrayBuffer(3)) }, "x"],
    ["the end of a long text", { text: `${"x".repeat(1_990)}${KEY}` }, "x"],
    ["a key nobody knows but by its shape", { text: `ghp_${"x1".repeat(18)}` }, "x"],
    ["such a key where a long text is cut", { text: `${" ".repeat(1_985)}ghp_${"x1".repeat(18)}` }, "x"],
  ])("%s", (_what, fields, message) => {
    const line = JSON.stringify(entryOf(fields, message));
    expect(line).not.toMatch(/correct-hors|rse-battery|x1x1x1x1x1|Y29ycmVj/);
    expect(line.length).toBeLessThan(20_000);
  });

  test("an error's stack, of which the rest is kept", () => {
    const { error } = entryOf({ error: new RangeError(`no ${KEY}`) }) as { error: { name: string; message: string; stack: string } };
    expect(error).toMatchObject({ name: "RangeError", message: "no [key]" });
    expect(error.stack).toMatch(/^RangeError: no \[key\]\n +at /);
  });
});

describe("what is not made for a log does no harm:", () => {
  test("escape sequences, line ends and turned text show as what they are", () => {
    const { reason, msg } = entryOf({ reason: "\x1b[2J\x9b31m\u202egnp.exe\u2028\r\x07" }, "one\ntwo\tthree\x7f");
    expect(reason).toBe("\\u001b[2J\\u009b31m\\u202egnp.exe\\u2028\\u000d\\u0007");
    expect(msg).toBe("one\ntwo\tthree\\u007f");
  });

  test("a long text is cut where it is marked, never inside a character", () => {
    const { text } = entryOf({ text: "😀".repeat(50_000) }) as { text: string };
    expect(text).toMatch(/^(😀){1000}… \(100000 characters\)$/u);
    expect(entryOf({ text: "x".repeat(2_000) })["text"]).toBe("x".repeat(2_000));
  });

  test("many entries, deep ones and rings end in a mark", () => {
    const many = entryOf({
      list: Array.from({ length: 1_000 }, () => 1),
      table: Object.fromEntries([..."x".repeat(99)].map((_, n) => [`k${n}`, n])),
    });
    expect((many["list"] as unknown[]).at(-1)).toBe("(1000 entries)");
    expect((many["table"] as Record<string, unknown>)["…"]).toBe("(99 entries)");
    const ring: { self?: object } = {};
    ring.self = ring;
    expect(JSON.stringify(entryOf(ring))).toContain("(deeper)");
    const wide = Array.from({ length: 50 }, () => Array.from({ length: 50 }, () => ["a".repeat(3_000)]));
    const [line = ""] = logged((log) => log.info({ wide }, "x"));
    expect(line.length).toBeLessThan(500 * 2_100);
  });

  test("a getter that throws, a function, a number without an end and a bigint", () => {
    const fields = {
      kept: 1,
      broken: {
        get x(): string {
          throw new Error(KEY);
        },
      },
      call: () => KEY,
      big: 10n ** 30n,
      nan: Number.NaN,
    };
    const entry = entryOf(fields);
    expect(entry).toMatchObject({ kept: 1, broken: "(unreadable)", big: "1000000000000000000000000000000", nan: null });
    expect("call" in entry).toBe(false);
  });
});

test("on standard error itself, where lines go if nothing else is said, there is nothing of a key", () => {
  const program = `
    import { createLog } from ${JSON.stringify(join(import.meta.dirname, "index.ts"))};
    const token = "ghp_" + "x1".repeat(18);
    const log = createLog("debug");
    log.error({ error: new Error(token, { cause: new Error(token) }), [token]: { token } }, token);
  `;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    encoding: "utf8",
    timeout: 10_000,
  });
  expect([status, stdout]).toEqual([0, ""]);
  expect(stderr).not.toContain("x1x1x1");
  expect(JSON.parse(stderr)).toMatchObject({ level: 50, error: { message: "[secret]", cause: { message: "[secret]" } }, msg: "[secret]" });
});
