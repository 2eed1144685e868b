/** The sandbox is the adversary: what it says, cut, encoded and hidden as it likes, on its way to the turn's own doors. */
import { describe, expect, test } from "vitest";
import { MemorySecrets } from "../adapters/memory/memory-secrets.ts";
import { HostError, RefusedError } from "../domain/errors.ts";
import type { AgentDoors } from "../ports/link.ts";
import type { ModelCallOptions } from "../ports/model.ts";
import { HostScreen } from "./screen.ts";
import { screenDoors } from "./screened-doors.ts";

const KEY = "correct-horse-battery";
/** Lent to the turn, and redeemed. */
const LENT = "lent-0123456789-abc";
const BAIT = "nobody-may-take-it-42";
const never = new AbortController().signal;

interface Seen {
  readonly doors: AgentDoors;
  readonly secrets: MemorySecrets;
  /** What reached the turn's own doors, in order. */
  readonly calls: unknown[][];
  readonly decoys: string[];
  readonly leaks: string[];
}

function behindScreen(
  kept: Readonly<Record<string, string>> = { key: KEY },
  bait: readonly string[] = [BAIT],
  lent: readonly string[] = [LENT],
): Seen {
  const calls: unknown[][] = [];
  const decoys: string[] = [];
  const leaks: string[] = [];
  const inner: AgentDoors = {
    event: (event) => void calls.push(["event", event]),
    result: (result) => void calls.push(["result", result]),
    boundary: () => {
      calls.push(["boundary"]);
      return { inputs: [] };
    },
    finish: (finish) => {
      calls.push(["finish", finish]);
      return { state: "done" };
    },
    tool: async (name, call) => {
      calls.push(["tool", name, call]);
      return { text: "done", isError: false };
    },
    model: async (modelId, options) => {
      calls.push(["model", modelId, options]);
      return new ReadableStream();
    },
    anthropic: async (call) => {
      calls.push(["anthropic", call]);
      return { status: 200, contentType: "application/json", body: new ReadableStream() };
    },
  };
  const secrets = new MemorySecrets(kept);
  const screen = new HostScreen(secrets, []).withDecoys(
    bait.map((value) => ({ name: "bait", value })),
    lent.map((value) => ({ name: "lent", value })),
  );
  const doors = screenDoors(inner, screen, {
    onDecoy: (where) => decoys.push(where),
    onLeak: (where, names) => leaks.push(`${names.join(", ")} in ${where}`),
  });
  return { doors, secrets, calls, decoys, leaks };
}

const text = (delta: string, step = 0) => ({ type: "text", step, delta }) as const;
const resultOf = (said: string) => ({ step: 0, toolCallId: "c1", toolName: "exec", text: said, isError: false });
const callOf = (input: unknown) => ({ step: 0, toolCallId: "c1", input });
const promptOf = (said: string, data = new Uint8Array(0)): ModelCallOptions => ({
  prompt: [
    { role: "system", content: said },
    {
      role: "user",
      content: [
        { type: "text", text: said },
        { type: "file", mediaType: "image/png", data: { type: "data", data } },
      ],
    },
    {
      role: "tool",
      content: [{ type: "tool-result", toolCallId: "c1", toolName: "exec", output: { type: "json", value: { [said]: [said] } } }],
    },
  ],
});
const anthropicCall = (said: string) =>
  ({
    path: "/v1/messages",
    headers: { "anthropic-beta": "x" },
    body: { system: said, messages: [{ role: "user", content: said }] },
  }) as const;

/** Each way in, with what would reach the turn. */
const WAYS: readonly (readonly [where: string, say: (doors: AgentDoors, said: string) => unknown])[] = [
  ["text it streams", (doors, said) => (doors.event(text(said)), doors.boundary())],
  ["the reason it gives up", (doors, said) => doors.event({ type: "failed", error: said, retryable: false })],
  ["what a tool came to", (doors, said) => doors.result(resultOf(said))],
  ["its answer", (doors, said) => doors.finish({ text: said })],
  ["a call of a tool", (doors, said) => doors.tool("send_message", callOf({ text: said }))],
  ["a call of a model", (doors, said) => doors.model("m", promptOf(said), never)],
  ["a call of a model", (doors, said) => doors.anthropic?.(anthropicCall(said), never)],
];

/** Everything that reached the turn; streamed text may come in any pieces. */
function reached({ calls }: Seen): string {
  const streamed = calls.flatMap(([, event]) => Object(event).delta ?? []);
  return streamed.join("") + JSON.stringify(calls);
}

describe("a secret that comes from the sandbox as", () => {
  test.each(WAYS)("%s is replaced, and told of once", async (where, say) => {
    const seen = behindScreen();
    const { doors, leaks, decoys } = seen;
    for (let time = 0; time < 2; time++) await say(doors, `it is ${KEY}, ok`);
    expect(reached(seen)).toContain("it is [secret], ok");
    expect(reached(seen)).not.toContain("correct-hors");
    expect(leaks).toEqual([`key in ${where}`]);
    expect(decoys).toEqual([]);
  });
});

describe("a decoy that comes from the sandbox as", () => {
  test.each(WAYS)("%s reaches nobody; the owner hears of it, and every door is shut from then on", async (where, say) => {
    const { doors, calls, decoys } = behindScreen();
    const refused = expect.objectContaining({ code: "DECOY_TAKEN" }) as RefusedError;
    await expect(async () => say(doors, `it is ${BAIT}, ok`)).rejects.toEqual(refused);
    expect(JSON.stringify(calls)).not.toContain("nobody");
    expect(decoys).toEqual([where]);
    const before = calls.length;
    for (const [, sayMore] of WAYS) await expect(async () => sayMore(doors, "nothing")).rejects.toEqual(refused);
    expect(() => doors.boundary()).toThrow(RefusedError);
    expect(calls.length).toBe(before);
    expect(decoys).toEqual([where]);
  });

  test("a secret as well is told of as a decoy", () => {
    const { doors, decoys, leaks } = behindScreen();
    expect(() => doors.result(resultOf(`${KEY} ${BAIT}`))).toThrow(RefusedError);
    expect([decoys, leaks]).toEqual([["what a tool came to"], []]);
  });

  test("half in one place and half in another is found in the first", () => {
    const { doors } = behindScreen();
    expect(() => doors.result(resultOf(BAIT.slice(0, 12)))).toThrow(/A decoy secret was in what a tool came to/);
  });
});

describe("hidden as", () => {
  const base64 = (before: number) => Buffer.from(`${"y".repeat(before)}${BAIT}, with more around it`).toString("base64");
  test.each([
    ["the base64 of a longer text", base64(0)],
    ["the same, a byte later", base64(1)],
    ["the same, two bytes later", base64(2)],
    ["hex", Buffer.from(BAIT).toString("hex")],
    ["escapes of a URL", [...Buffer.from(BAIT)].map((byte) => `%${byte.toString(16)}`).join("")],
  ])("%s it is a decoy all the same", async (_what, hidden) => {
    for (const [, say] of WAYS) {
      const { doors, decoys } = behindScreen();
      await expect(async () => say(doors, `x ${hidden} x`)).rejects.toThrow(RefusedError);
      expect(decoys).toHaveLength(1);
    }
  });

  test("the bytes of a file in a call of a model, it is found and replaced", async () => {
    const { doors, calls, leaks } = behindScreen();
    await doors.model("m", promptOf("look", Buffer.from(`\0\x01${KEY}\xff`, "latin1")), never);
    const options = calls[0]?.[2] as ModelCallOptions;
    const content = options.prompt[1]?.content as readonly { readonly data?: { readonly data: Uint8Array } }[];
    expect(Buffer.from(content[1]?.data?.data ?? []).toString("latin1")).toBe("\0\x01[secret]\xff");
    expect(leaks).toEqual(["key in a call of a model"]);
  });
});

describe("text that is streamed", () => {
  const deltas = ({ calls }: Seen): readonly string[] => calls.map(([, event]) => (event as { delta: string }).delta);

  test("in pieces of any size shows nothing of a secret, and all of the rest, in order", () => {
    const said = `first 😀 ${KEY} then ${KEY}.`;
    for (let size = 1; size <= said.length; size++) {
      const seen = behindScreen();
      for (let at = 0; at < said.length; at += size) seen.doors.event(text(said.slice(at, at + size)));
      seen.doors.boundary();
      seen.calls.pop();
      expect(deltas(seen).join("")).toBe("first 😀 [secret] then [secret].");
    }
  });

  test("is passed on before it ends, but for its last word, which may be the start of a find", () => {
    const seen = behindScreen();
    seen.doors.event(text("hello, it is correct-hor"));
    expect(deltas(seen)).toEqual(["hello, it is "]);
    seen.doors.event(text("net! And"));
    expect(deltas(seen)).toEqual(["hello, it is ", "correct-hornet! "]);
  });

  test("waits no longer and no shorter because it is the start of a secret", () => {
    const [right, wrong] = ["say: correct-horse-bat", "say: corrupt-house-bat"].map((said) => {
      const seen = behindScreen();
      return [...said].map((character) => {
        seen.doors.event(text(character));
        return deltas(seen).join("").length;
      });
    });
    expect(right).toEqual(wrong);
  });

  test.each<readonly [string, (doors: AgentDoors) => unknown]>([
    ["another event", (doors: AgentDoors) => doors.event({ type: "tool-started", step: 0, toolCallId: "c", toolName: "exec" })],
    ["the text of another step", (doors: AgentDoors) => doors.event(text("!", 1))],
    ["a result", (doors: AgentDoors) => doors.result(resultOf("x"))],
    ["a boundary", (doors: AgentDoors) => doors.boundary()],
    ["the end", (doors: AgentDoors) => doors.finish({ text: "x" })],
    ["a call of a tool", async (doors: AgentDoors) => doors.tool("list_tasks", callOf({}))],
    ["a call of a model", async (doors: AgentDoors) => doors.model("m", promptOf("x"), never)],
    ["a call of the service", async (doors: AgentDoors) => doors.anthropic?.(anthropicCall("x"), never)],
  ])("and still waits is passed on before %s, as text of its own step", async (_what, say) => {
    const seen = behindScreen();
    seen.doors.event(text("correct-hor"));
    expect(seen.calls).toEqual([]);
    await say(seen.doors);
    expect(seen.calls[0]).toEqual(["event", text("correct-hor")]);
    seen.doors.boundary();
    expect(seen.calls.filter(([name]) => name !== "boundary")).toHaveLength(_what === "a boundary" ? 1 : 2);
  });

  test("with a decoy in it, a character at a time, shows nothing of it", () => {
    const seen = behindScreen();
    expect(() => {
      for (const character of `it is ${BAIT} ok`) seen.doors.event(text(character));
    }).toThrow(RefusedError);
    expect(deltas(seen).join("")).toBe("it is ");
  });

  test("that waited when a decoy was found elsewhere is never passed on", () => {
    const seen = behindScreen();
    seen.doors.event(text("correct-hor"));
    expect(() => seen.doors.event(text(`${BAIT} ok`, 0))).toThrow(RefusedError);
    expect(() => seen.doors.boundary()).toThrow(RefusedError);
    expect(seen.calls).toEqual([]);
  });
});

describe("a name with a secret in it, which no mark could stand for,", () => {
  test("refuses the call it is the name of", async () => {
    const { doors, calls, leaks } = behindScreen();
    const shown = expect.objectContaining({ code: "SECRET_SHOWN" }) as RefusedError;
    expect(() => doors.result({ ...resultOf("x"), toolCallId: KEY })).toThrow(shown);
    await expect(doors.tool(KEY, callOf({}))).rejects.toEqual(shown);
    await expect(doors.tool("x", { ...callOf({}), toolCallId: KEY })).rejects.toEqual(shown);
    await expect(doors.model(KEY, promptOf("x"), never)).rejects.toEqual(shown);
    expect(calls).toEqual([]);
    expect(leaks).toEqual(["key in the name of a tool's call", "key in the name of a model"]);
  });

  test("leaves out the event it is in", () => {
    const { doors, calls, leaks } = behindScreen();
    doors.event({ type: "session", id: KEY });
    doors.event({ type: "tool-started", step: 0, toolCallId: KEY, toolName: "exec" });
    doors.event({ type: "session", id: "fine" });
    expect(calls).toEqual([["event", { type: "session", id: "fine" }]]);
    expect(leaks).toEqual(["key in a name it gives"]);
  });

  test("ends the turn where it is a decoy", () => {
    const { doors, decoys } = behindScreen();
    expect(() => doors.event({ type: "session", id: BAIT })).toThrow(RefusedError);
    expect(decoys).toEqual(["a name it gives"]);
  });
});

test("each place a secret was seen in is told of, and each secret of a place", () => {
  const { doors, secrets, leaks } = behindScreen();
  secrets.set("other", "staple-0123456789");
  doors.result(resultOf(KEY));
  doors.result(resultOf(`${KEY} staple-0123456789`));
  doors.finish({ text: KEY });
  expect(leaks).toEqual(["key in what a tool came to", "other in what a tool came to", "key in its answer"]);
});

test("a secret that cannot be told of stops its call, each time", () => {
  const { doors, calls } = behindScreen();
  const screen = new HostScreen(new MemorySecrets({ key: KEY }), []);
  const unheard = screenDoors(doors, screen, {
    onDecoy() {},
    onLeak() {
      throw new HostError("AUDIT_BROKEN", "The audit log cannot be written.");
    },
  });
  for (let time = 0; time < 2; time++) expect(() => unheard.result(resultOf(KEY))).toThrow(/cannot be written/);
  expect(calls).toEqual([]);
});

test("a secret set while the turn runs is replaced from then on", () => {
  const { doors, secrets, calls } = behindScreen({}, [], []);
  doors.result(resultOf(KEY));
  secrets.set("key", KEY);
  doors.result(resultOf(KEY));
  expect(calls.map(([, result]) => (result as { text: string }).text)).toEqual([KEY, "[secret]"]);
});

describe("what has the shape of a key", () => {
  const shaped = `ghp_${"x1".repeat(18)}`;
  test("stays in answers, results and calls: somebody may have asked for an example", async () => {
    for (const [where, say] of WAYS.filter(([place]) => place !== "the reason it gives up")) {
      const seen = behindScreen();
      await say(seen.doors, shaped);
      expect(reached(seen), where).toContain(shaped);
    }
  });

  test("is replaced in the reason a run failed, which is told and recorded", () => {
    const { doors, calls } = behindScreen();
    doors.event({ type: "failed", error: `no access with ${shaped}`, retryable: false });
    expect(calls).toEqual([["event", { type: "failed", error: "no access with [secret]", retryable: false }]]);
  });
});

describe("where there is nothing to find", () => {
  test.each([
    ["no secret is kept and no decoy laid out", () => behindScreen({}, [], [])],
    ["nothing of one is in it", () => behindScreen()],
  ])("because %s, all is passed on as it came, the same things", async (_what, open) => {
    const { doors, calls } = open();
    const said = {
      text: text("hello \ud83d"),
      ready: { type: "ready", v: 1, pid: 7 } as const,
      result: resultOf("x"),
      finish: { text: "x" },
      call: callOf({ a: ["x"] }),
      prompt: promptOf("x", Uint8Array.of(1)),
      service: anthropicCall("x"),
    };
    doors.event(said.ready);
    doors.result(said.result);
    expect(doors.boundary()).toEqual({ inputs: [] });
    await doors.tool("list_tasks", said.call);
    await doors.model("m", said.prompt, never);
    await doors.anthropic?.(said.service, never);
    expect(doors.finish(said.finish)).toEqual({ state: "done" });
    expect(calls.map((call) => call.at(-1))).toEqual([
      said.ready,
      said.result,
      "boundary",
      said.call,
      said.prompt,
      said.service,
      said.finish,
    ]);
    expect(calls.map((call) => call.at(-1)).filter((one) => Object.values<unknown>(said).includes(one))).toHaveLength(6);
  });

  test("a value no walk could end in is passed on where nothing is looked for, and refused where something is", async () => {
    const deep = callOf(JSON.parse(`${"[".repeat(50_000)}${"]".repeat(50_000)}`));
    const { doors, calls } = behindScreen({}, [], []);
    await doors.tool("list_tasks", deep);
    expect(calls).toHaveLength(1);
    await expect(behindScreen().doors.tool("list_tasks", deep)).rejects.toThrow(/nested more than/);
  });

  test("a turn of our own runner has no door of the service", () => {
    const screen = new HostScreen(new MemorySecrets(), []);
    const { anthropic: _service, ...own } = behindScreen().doors;
    expect("anthropic" in screenDoors(own, screen, { onDecoy() {}, onLeak() {} })).toBe(false);
  });
});
