/** Requests made to cost: as large as may be, in as many pieces or of as many values as fit. What they cost the host is bounded too. */
import { expect, test } from "vitest";
import * as z from "zod";
import { MODEL_ID_HEADER, MODEL_STEP_PATH } from "../../../contracts/wire/model.ts";
import { MAX_FRAME_BYTES } from "../../../contracts/wire/turn.ts";
import { serveLink } from "../../../contracts/suites/served-link.ts";
import { openSocketPair } from "../../../contracts/suites/socket-pair.ts";
import type { TurnDoors } from "../../ports/link.ts";
import { frame, PREFACE, requestFrame, SETTINGS } from "./frames-harness.ts";
import { GatheredBytes } from "./gathered-bytes.ts";
import { createLinkServer } from "./index.ts";
import { modelCallSchema } from "./model-call.ts";
import { listOf, parseUntrusted } from "./untrusted-json.ts";

const MIB = 1024 * 1024;
const MODEL = { [MODEL_ID_HEADER]: "m" };
const COMPAT = "/v1/anthropic/v1/messages";
const SIGNED = { providerOptions: { service: { signature: "s" } } };
const END_OF = (streamId: number) => frame(0, 1, streamId, Buffer.alloc(0));

/** As many of them as fit into a body, after `before`. */
function full(before: string, one: string, after: string): string {
  const count = Math.floor((MAX_FRAME_BYTES - before.length - after.length) / (one.length + 1));
  return `${before}${Array(count).fill(one).join(",")}${after}`;
}

const CALL = '{"step":0,"toolCallId":"c","input":';

test.each([
  ["zeros in the place of messages", MODEL_STEP_PATH, full('{"prompt":[', "0", "]}")],
  ["zeros in the place of a message's parts", MODEL_STEP_PATH, full('{"prompt":[{"role":"user","content":[', "0", "]}]}")],
  ["empty texts in a tool's input, which may be anything", "/v1/tool/get_task", full(`${CALL}[`, '""', "]}")],
  ["empty objects in a message of the other service", COMPAT, full('{"model":"m","messages":[{"role":"user","content":[', "{}", "]}]}")],
  ["fields nobody knows", "/v1/turn/finish", full('{"text":"x",', '"k":0', "}")],
  ["nothing but brackets", "/v1/tool/get_task", "[".repeat(MAX_FRAME_BYTES)],
])("millions of values are refused before they are made, and the link goes on: %s", async (_, path, body) => {
  await using served = await serveLink(createLinkServer(), { anthropic: () => Promise.reject(new Error("was asked")) });
  const before = { at: performance.now(), heap: process.memoryUsage().heapUsed };
  const answer = await served.post(path, body, MODEL);
  expect(answer).toMatchObject({ status: 400, text: expect.stringMatching(/holds more than 50000 values|is nested deeper than 100/) });
  expect(performance.now() - before.at).toBeLessThan(1_000);
  expect(process.memoryUsage().heapUsed - before.heap).toBeLessThan(64 * MIB);
  expect((await served.post("/v1/turn/finish", { text: "x" })).status).toBe(200);
});

test("a list of as many values as pass, all of them wrong, is read up to the first", () => {
  const read: unknown[] = [];
  const nothing = z.unknown().refine((value) => {
    read.push(value);
    return false;
  }, "is nothing");
  const list = Buffer.from(JSON.stringify({ prompt: Array.from({ length: 49_000 }, (_, n) => n) }));
  expect(parseUntrusted(z.object({ prompt: listOf(nothing) }), list)).toEqual({ wrong: "is wrong at `prompt.0`: is nothing" });
  expect(read).toEqual([0]);
});

test("a turn of 64 steps with four calls each, and 64 tools, is far from the most values a body may hold", () => {
  const call = { type: "tool-call", toolCallId: "c", toolName: "exec", input: { command: "x", timeout: 1, cwd: "/" }, ...SIGNED };
  const result = { type: "tool-result", toolCallId: "c", toolName: "exec", output: { type: "text", value: "x" } };
  const step = [
    { role: "assistant", content: [{ type: "reasoning", text: "x", ...SIGNED }, { type: "text", text: "x" }, call, call, call, call] },
    { role: "tool", content: [result, result, result, result] },
  ];
  const properties = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`p${n}`, { type: "string", description: "x" }]));
  const tool = { type: "function", name: "exec", description: "x", inputSchema: { type: "object", properties, required: ["p0"] } };
  const steps = (count: number) => ({ prompt: Array(count).fill(step).flat(), tools: Array(64).fill(tool) });
  const parse = (value: object) => parseUntrusted(modelCallSchema, Buffer.from(JSON.stringify(value)));
  expect(parse(steps(5 * 64))).toHaveProperty("value");
  expect(parse(steps(10 * 64))).toEqual({ wrong: "holds more than 50000 values" });
});

const ZEROS = ",0".repeat(60_000);

test.each([
  ["brackets and commas in a text", `["[[[[,${",".repeat(60_000)}"]`],
  ["what follows an escaped quotation mark", String.raw`["\\\"${",".repeat(60_000)}"]`],
  ["text in other alphabets", `["ä[😀${",".repeat(60_000)}"]`],
  ["a hundred levels", `${"[".repeat(100)}${"]".repeat(100)}`],
  ["as many values as may be", `[${"[],".repeat(24_999)}[]]`],
])("what may be read is read: %s", (_, text) => {
  expect(parseUntrusted(z.unknown(), Buffer.from(text))).toEqual({ value: JSON.parse(text) });
});

test.each([
  ["one level more", `${"[".repeat(101)}${"]".repeat(101)}`, "is nested deeper than 100"],
  ["one value more", `[${"[],".repeat(24_999)}[0]${",0"}]`, "holds more than 50000 values"],
  ["values behind a text that ends in a backslash", String.raw`["\\"${ZEROS}]`, "holds more than 50000 values"],
  ["a text that never ends", `["${ZEROS}`, "is not JSON"],
  ["a text that ends in an escape", `["${ZEROS}\\`, "is not JSON"],
])("what may not be is not: %s", (_, text, wrong) => {
  expect(parseUntrusted(z.unknown(), Buffer.from(text))).toEqual({ wrong });
});

test("200,000 pieces of one byte take the room of 400,000 bytes at most, and never more than may be", () => {
  const gathered = new GatheredBytes(300_000);
  for (let n = 0; n < 200_000; n++) gathered.add(Buffer.from([n % 251]));
  const whole = gathered.take();
  expect(whole.equals(Buffer.from(Array.from({ length: 200_000 }, (_, n) => n % 251)))).toBe(true);
  expect(whole.buffer.byteLength).toBeLessThanOrEqual(300_000);
  expect([gathered.length, gathered.take().length]).toEqual([0, 0]);
});

test("a body and a line that arrive a byte a frame are read whole", async () => {
  await using pair = await openSocketPair();
  pair.sandbox.on("error", () => undefined).resume();
  const [heard, finished] = [Promise.withResolvers<unknown>(), Promise.withResolvers<unknown>()];
  const doors = { event: heard.resolve, finish: finished.resolve } as unknown as TurnDoors;
  const link = createLinkServer().serve(pair.host, doors);
  const request = (id: number, path: string) =>
    requestFrame(id, { ":method": "POST", ":scheme": "http", ":authority": "host", ":path": path });
  const text = "x".repeat(20_000);
  const [event, finish] = [{ type: "text", step: 0, delta: text }, { text }];
  const inBytes = (id: number, value: object) =>
    [...Buffer.from(`${JSON.stringify(value)}\n`)].map((byte) => frame(0, 0, id, Buffer.from([byte])));
  const requests = [request(1, "/v1/turn"), ...inBytes(1, event), request(3, "/v1/turn/finish"), ...inBytes(3, finish), END_OF(3)];
  pair.sandbox.write(Buffer.concat([PREFACE, SETTINGS, ...requests]));
  expect(await Promise.all([heard.promise, finished.promise])).toEqual([event, finish]);
  link.close();
  await link.closed;
});
