/**
 * A runner that knows how keys begin, or has part of one, and tries to have the screen tell it the next character: whatever it says, with a
 * right guess it sees, causes and leaves behind exactly what it does with a wrong one.
 */
import { describe, expect, test } from "vitest";
import { MemorySecrets } from "../adapters/memory/memory-secrets.ts";
import { describeError, isHostError } from "../domain/errors.ts";
import type { AgentDoors } from "../ports/link.ts";
import { HostScreen } from "./screen.ts";
import { screenDoors } from "./screened-doors.ts";

const KEY = "sk-ant-api03-Zq81LmvT0wXyK5r-93hGq2Nd_pw5TyAB";
const PREFIX = "sk-ant-api03-";
const PIN = "48151623";
const never = new AbortController().signal;

/** Ways in which a sandbox gets words to the host, and to whoever reads them. */
const WAYS: readonly (readonly [way: string, say: (doors: AgentDoors, said: string) => unknown])[] = [
  [
    "streamed, a character at a time",
    (doors, said) => {
      for (const delta of said) doors.event({ type: "text", step: 0, delta });
    },
  ],
  ["as the reason it gives up", (doors, error) => doors.event({ type: "failed", error, retryable: false })],
  ["as the name of a session", (doors, id) => doors.event({ type: "session", id })],
  ["as a result", (doors, text) => doors.result({ step: 0, toolCallId: "c", toolName: "exec", text, isError: false })],
  ["as the name of a call", (doors, toolCallId) => doors.result({ step: 0, toolCallId, toolName: "exec", text: "", isError: false })],
  ["as its answer", (doors, text) => doors.finish({ text })],
  ["to a tool", (doors, said) => doors.tool("send_message", { step: 0, toolCallId: "c", input: { [said]: [said] } })],
  ["as the name of a tool", (doors, said) => doors.tool(said, { step: 0, toolCallId: "c", input: {} })],
  ["to a model", (doors, said) => doors.model("m", { prompt: [{ role: "system", content: said }] }, never)],
  ["as a file to a model", (doors, said) => doors.model("m", filePrompt(said), never)],
  ["as the name of a model", (doors, said) => doors.model(said, { prompt: [] }, never)],
  ["to the service", (doors, said) => doors.anthropic?.({ path: "/v1/messages", headers: {}, body: { system: said } }, never)],
];

function filePrompt(said: string): Parameters<AgentDoors["model"]>[1] {
  const data = { type: "data", data: Uint8Array.from(Buffer.from(said)) } as const;
  return { prompt: [{ role: "user", content: [{ type: "file", mediaType: "image/png", data }] }] };
}

/** All that comes of it: what reaches the turn and in which pieces, what is answered, what the owner hears. The guess itself is left out. */
async function outcome(say: (typeof WAYS)[number][1], guess: string, said: string): Promise<string> {
  const seen: unknown[] = [];
  const note =
    (what: string) =>
    (...args: readonly unknown[]): unknown => {
      seen.push([what, JSON.stringify(args, bytesAsText)]);
      return new ReadableStream();
    };
  const names = ["event", "result", "boundary", "finish", "tool", "model", "anthropic"] as const;
  const inner = Object.fromEntries(names.map((name) => [name, note(name)])) as unknown as AgentDoors;
  const screen = new HostScreen(new MemorySecrets({ pin: PIN }), [{ name: "model key", value: KEY }]).withDecoys([
    { name: "bait", value: "nobody-may-take-it-42" },
  ]);
  const sightings = { onDecoy: note("decoy"), onLeak: note("leak") };
  const doors = screenDoors(inner, screen, sightings);
  try {
    await say(doors, said);
    doors.boundary();
  } catch (error) {
    seen.push([isHostError(error) ? error.code : "", describeError(error)]);
  }
  const pieces = seen.map((one) => JSON.stringify(one));
  const whole = pieces.join("\n");
  // In pieces the guess cannot be left out, but then their lengths say when it waited.
  return `${whole.replaceAll(guess, "GUESS").length} ${whole.includes(guess) ? whole.replaceAll(guess, "GUESS") : pieces.map(({ length }) => length).join(" ")}`;
}

function bytesAsText(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString() : value;
}

const encodings: readonly (readonly [string, (text: string) => string])[] = [
  ["as it is", (text) => text],
  ["in hex", (text) => Buffer.from(text).toString("hex")],
  ["in base64", (text) => Buffer.from(text).toString("base64url")],
  ["in a URL", (text) => [...Buffer.from(text)].map((byte) => `%${byte.toString(16)}`).join("")],
];

describe.each(WAYS)("a guess said %s", (_way, say) => {
  test.each(encodings)("%s tells nothing, from a known prefix to all but the last character", async (_form, encode) => {
    for (let end = PREFIX.length; end < KEY.length - 1; end++) {
      const next = KEY.charAt(end);
      const other = next === "x" ? "y" : "x";
      for (const from of [0, end - 11]) {
        const [right, wrong] = [next, other].map((character) => encode(KEY.slice(from, end) + character));
        const told = await outcome(say, right ?? "", `is it ${right}?`);
        expect(told).toBe(await outcome(say, wrong ?? "", `is it ${wrong}?`));
      }
    }
  });

  test("tells nothing of a secret so short that all of it could be tried out", async () => {
    expect(await outcome(say, PIN, `is it ${PIN}?`)).toBe(await outcome(say, "48151624", "is it 48151624?"));
  });

  test("is seen to be right only where all of it is", async () => {
    expect(await outcome(say, KEY, `it is ${KEY} `)).not.toBe(await outcome(say, `${KEY.slice(0, -1)}x`, `it is ${KEY.slice(0, -1)}x `));
  });
});
