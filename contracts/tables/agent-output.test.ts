/** What the old agent says between its markers, and how a run of it ended: recorded streams, fed to the compatibility runner. */
import { PassThrough } from "node:stream";
import { beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { OutputMarkers, readOutput } from "../../runner-image/compat/output-markers.ts";
import { followPayload } from "../../runner-image/compat/payload.ts";
import { readTable, wrongRows } from "./table.ts";

const outputs = readTable("agent-output", {
  in: z.strictObject({
    agent: z.array(
      z.union([
        z.strictObject({ out: z.string() }),
        z.strictObject({ outBase64: z.string() }),
        z.strictObject({ err: z.string() }),
        z.strictObject({ wait: z.int() }),
        z.strictObject({ exit: z.int().nullable() }),
      ]),
    ),
    idleTimeoutMs: z.int(),
    containerTimeoutMs: z.int(),
    containerConfig: z.strictObject({ timeout: z.int() }).optional(),
    outputHandlerThrows: z.boolean().optional(),
    noOutputHandler: z.boolean().optional(),
  }),
  out: z.strictObject({
    outputs: z.array(z.json()),
    result: z.strictObject({
      status: z.string(),
      result: z.string().nullable(),
      newSessionId: z.string().optional(),
      error: z.looseObject({ $error: z.string() }).optional(),
    }),
    stopRequested: z.boolean().optional(),
  }),
  correct: z.string(),
});
type Row = (typeof outputs.rows)[number];

/** Rows about what the compatibility runner does not decide, with the reason. */
const ELSEWHERE: Record<string, string> = {
  "agent-output-0047": "an answer ends the turn, so nobody waits for an agent that stays (host/compatibility.test.ts)",
  "agent-output-0049": "how long a turn may take is the host's to say, for every runner (host/host.test.ts)",
  "agent-output-0050": "how long a turn may take is the host's to say, for every runner (host/host.test.ts)",
  "agent-output-0054": "there is always somebody who hears the outputs",
  "agent-output-0056": "there is always somebody who hears the outputs",
};

/** The recorded program, in memory; each chunk arrives by itself. An output is dealt with later, so a failure of that is none of the stream's. */
async function play({ agent }: Row["in"]): Promise<unknown> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const exited = Promise.withResolvers<number | null>();
  const heard: unknown[] = [];
  const following = followPayload({ stdout, stderr, exited: exited.promise, kill() {} }, (output) => void heard.push(output));
  for (const action of agent) {
    if ("out" in action) stdout.write(action.out);
    else if ("outBase64" in action) stdout.write(Buffer.from(action.outBase64, "base64"));
    else if ("err" in action) stderr.write(action.err);
    else if ("exit" in action) {
      stdout.end();
      stderr.end();
      exited.resolve(action.exit);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { code, stderrTail } = await following;
  const session = heard.map((output) => readOutput(output)?.session).findLast((id) => id !== undefined);
  const result =
    code === 0
      ? { status: "success", result: null, ...(session === undefined ? {} : { newSessionId: session }) }
      : { status: "error", result: null, error: { $error: "agent-exit", code, stderrTail } };
  return { outputs: heard, result };
}

let played: ReadonlyMap<string, unknown>;
const rows = outputs.rows.filter(({ id }) => ELSEWHERE[id] === undefined);
beforeAll(async () => {
  played = new Map(await Promise.all(rows.map(async ({ id, in: given }) => [id, await play(given)] as const)));
});

test("recorded streams give the recorded outputs and ends, and characters stay whole across chunks", () => {
  expect(rows.length + Object.keys(ELSEWHERE).length).toBe(outputs.rows.length);
  expect(
    wrongRows({ ...outputs, rows }, (_given, { id, verdict, correct = "" }) => {
      const got = played.get(id) as Row["out"];
      if (verdict !== "defect") return got;
      const [{ result }] = z.tuple([z.looseObject({ result: z.string() })]).parse(got.outputs);
      return correct === `the text arrives unbroken: ${JSON.stringify(result)}` ? correct : got;
    }),
  ).toEqual([]);
});

/** Every output of a stream that comes byte by byte. */
function heardFrom(text: string): unknown[] {
  const heard: unknown[] = [];
  const markers = new OutputMarkers((output) => heard.push(output));
  for (const byte of Buffer.from(text)) markers.push(Buffer.from([byte]));
  markers.end();
  return heard;
}

test("a text that holds both markers is an output like any other", () => {
  const result = "a ---NANOCLAW_OUTPUT_END--- b\n---NANOCLAW_OUTPUT_START--- c";
  const output = { status: "success", result };
  expect(heardFrom(`---NANOCLAW_OUTPUT_START---\n${JSON.stringify(output)}\n---NANOCLAW_OUTPUT_END---`)).toEqual([output]);
});

test("an output beyond all bounds is an error, one without end is none at all; what is between is heard", () => {
  const markers = (body: string): string => `---NANOCLAW_OUTPUT_START---\n${body}\n---NANOCLAW_OUTPUT_END---\n`;
  const heard: unknown[] = [];
  const reader = new OutputMarkers((output) => heard.push(output));
  const flood = Buffer.alloc(1024 * 1024, "x");
  reader.push(Buffer.from("---NANOCLAW_OUTPUT_START---\n"));
  for (let n = 0; n < 64; n++) reader.push(flood);
  reader.push(
    Buffer.from(`\n---NANOCLAW_OUTPUT_END---\n${markers('{"status":"success","result":"next"}')}---NANOCLAW_OUTPUT_START---\n{}`),
  );
  reader.end();
  const tooLarge = { status: "error", error: expect.stringContaining("larger than 1048576 characters") };
  expect(heard).toEqual([tooLarge, { status: "success", result: "next" }]);
});
