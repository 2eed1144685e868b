/**
 * What every model must keep, as facts. Each adapter's test runs it on its real self, one that calls a provider against a
 * real server on loopback.
 */
import { afterEach, describe, expect, test } from "vitest";
import { ModelCallError } from "../../host/domain/errors.ts";
import type { Model, ModelCallOptions, ModelStreamPart } from "../../host/ports/model.ts";

export interface ModelHarness {
  readonly model: Model;
  /** A call answered with text in several pieces and no tool call. */
  readonly says: ModelCallOptions;
  /** A call answered with at least one tool call. */
  readonly calls: ModelCallOptions;
  /** A call refused as a whole; a model that refuses nothing says why. */
  readonly refused: ModelCallOptions | { readonly never: string };
  /**
   * A call with an answer far larger than what lies in buffers on the way, and how much of it its source has given so far;
   * where that cannot be seen from outside, the test that proves it instead.
   */
  readonly long: { readonly options: ModelCallOptions; readonly whole: number; given(): number } | { readonly provenBy: string };
  dispose(): Promise<void>;
}

const TEST_TIMEOUT_MS = 10_000;

export function runModelSuite(name: string, makeHarness: () => Promise<ModelHarness>): void {
  describe(`model suite: ${name}`, () => {
    const held: ModelHarness[] = [];
    afterEach(async () => {
      for (const harness of held.splice(0)) await harness.dispose();
    });
    async function stage(): Promise<ModelHarness> {
      const harness = await makeHarness();
      held.push(harness);
      return harness;
    }
    const fact = (title: string, check: () => Promise<void>): void => test(title, check, TEST_TIMEOUT_MS);

    fact("the parts of an answer come in legal order, text in several pieces", async () => {
      const { model, says } = await stage();
      const parts = await collect(model, says);
      expectLegalOrder(parts);
      expect(parts.filter((part) => part.type === "text-delta").length).toBeGreaterThan(1);
      expect(parts.at(-1)).toMatchObject({ type: "finish", finishReason: { unified: "stop" } });
    });

    fact("a tool call is announced, has an id of its own and JSON as input, and ends the step", async () => {
      const { model, calls } = await stage();
      const parts = await collect(model, calls);
      expectLegalOrder(parts);
      const toolCalls = parts.filter((part) => part.type === "tool-call");
      expect(toolCalls.length).toBeGreaterThan(0);
      expect(new Set(toolCalls.map((part) => part.toolCallId)).size).toBe(toolCalls.length);
      for (const part of toolCalls) {
        expect(part.toolCallId).not.toBe("");
        expect(calls.tools?.map((tool) => tool.name)).toContain(part.toolName);
        expect(JSON.parse(part.input)).toBeTypeOf("object");
      }
      expect(parts.at(-1)).toMatchObject({ type: "finish", finishReason: { unified: "tool-calls" } });
    });

    fact("usage is reported in whole numbers that are not negative", async () => {
      const { model, says, calls } = await stage();
      for (const options of [says, calls]) {
        const finish = (await collect(model, options)).find((part) => part.type === "finish");
        const { inputTokens, outputTokens } = finish?.usage ?? {};
        for (const counts of [inputTokens, outputTokens]) {
          expect(counts?.total).toBeGreaterThan(0);
          for (const count of Object.values(counts ?? {})) if (count !== undefined) expect(count).toSatisfy(isCount);
        }
      }
    });

    fact("every part can be sent as JSON", async () => {
      const { model, says, calls } = await stage();
      for (const part of [...(await collect(model, says)), ...(await collect(model, calls))]) {
        const plain = part.type === "response-metadata" ? { ...part, timestamp: part.timestamp?.toISOString() } : part;
        expect(JSON.parse(JSON.stringify(plain))).toEqual(plain);
      }
    });

    fact("calls made at once do not mix, and leave their options as they were", async () => {
      const { model, says, calls } = await stage();
      const before = structuredClone([says, calls]);
      const alone = [textOf(await collect(model, says)), callsOf(await collect(model, calls))];
      const [one, two, three] = await Promise.all([collect(model, says), collect(model, calls), collect(model, says)]);
      expect([textOf(one), callsOf(two)]).toEqual(alone);
      expect(textOf(three)).toBe(alone[0]);
      expect(callsOf(one)).toEqual([]);
      expect([says, calls]).toEqual(before);
    });

    fact("a call whose signal has already fired is not made", async () => {
      const { model, says } = await stage();
      const reason = new Error("too late");
      await expect(model.stream(says, AbortSignal.abort(reason))).rejects.toBe(reason);
    });

    fact("when the signal fires the next read rejects with its reason", async () => {
      const { model, says } = await stage();
      const stop = new AbortController();
      const reason = new Error("enough");
      const reader = (await model.stream(says, stop.signal)).getReader();
      expect((await reader.read()).value).toMatchObject({ type: "stream-start" });
      stop.abort(reason);
      await expect(reader.read()).rejects.toBe(reason);
      await expect(reader.closed).rejects.toBe(reason);
    });

    fact("a signal that fires after the answer changes nothing", async () => {
      const { model, says } = await stage();
      const stop = new AbortController();
      const parts = await collect(model, says, stop.signal);
      stop.abort();
      expectLegalOrder(parts);
      expectLegalOrder(await collect(model, says));
    });

    fact("a reader may walk away at any part, and the model answers the next call", async () => {
      const { model, says } = await stage();
      for (const read of [0, 1, 3]) {
        const reader = (await model.stream(says, new AbortController().signal)).getReader();
        for (let n = 0; n < read; n++) await reader.read();
        await reader.cancel();
      }
      expectLegalOrder(await collect(model, says));
    });

    test("a reader that stops reading holds up the source", { timeout: TEST_TIMEOUT_MS }, async ({ skip }) => {
      const { model, long } = await stage();
      if ("provenBy" in long) return skip(`seen from inside only: ${long.provenBy}`);
      const reader = (await model.stream(long.options, new AbortController().signal)).getReader();
      for (let n = 0; n < 8; n++) await reader.read();
      const settled = await settledValue(long.given);
      expect(settled).toBeLessThan(long.whole / 2);
      await reader.cancel();
    });

    test("a call refused as a whole rejects with what failed and what to do", { timeout: TEST_TIMEOUT_MS }, async ({ skip }) => {
      const { model, refused } = await stage();
      if ("never" in refused) return skip(`refuses nothing: ${refused.never}`);
      const error: unknown = await model.stream(refused, new AbortController().signal).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ModelCallError);
      expect((error as ModelCallError).message).toMatch(/./);
      expect((error as ModelCallError).hint).toMatch(/./);
    });
  });
}

export async function collect(model: Model, options: ModelCallOptions, signal = new AbortController().signal): Promise<ModelStreamPart[]> {
  const parts: ModelStreamPart[] = [];
  for await (const part of await model.stream(options, signal)) parts.push(part);
  return parts;
}

export function textOf(parts: readonly ModelStreamPart[]): string {
  return parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("");
}

function callsOf(parts: readonly ModelStreamPart[]): { toolName: string; input: unknown }[] {
  return parts
    .filter((part) => part.type === "tool-call")
    .map(({ toolName, input }) => ({ toolName, input: JSON.parse(input) as unknown }));
}

function isCount(count: unknown): boolean {
  return typeof count === "number" && Number.isInteger(count) && count >= 0;
}

/** `stream-start` first; blocks begin before they go on, end once, and only then comes the tool call they were for; `finish` last, once. */
export function expectLegalOrder(parts: readonly ModelStreamPart[]): void {
  expect(parts.map((part) => part.type).filter((type) => type === "stream-start" || type === "finish")).toEqual(["stream-start", "finish"]);
  expect(parts[0]?.type).toBe("stream-start");
  expect(parts.at(-1)?.type).toBe("finish");
  const open = new Map<string, string>();
  const ended = new Set<string>();
  for (const part of parts) {
    const [, kind, what] = /^(text|reasoning|tool-input)-(start|delta|end)$/.exec(part.type) ?? [];
    if (kind !== undefined && "id" in part && typeof part.id === "string") {
      if (what === "start") {
        expect(open.has(part.id), `${part.type} ${part.id} while it is open`).toBe(false);
        open.set(part.id, kind);
      } else {
        expect(open.get(part.id), `${part.type} ${part.id}`).toBe(kind);
      }
      if (what === "end") {
        open.delete(part.id);
        ended.add(part.id);
      }
    }
    if (part.type === "tool-call") expect(ended.has(part.toolCallId), `tool-call ${part.toolCallId} after its input`).toBe(true);
    if (part.type === "finish") expect([...open.keys()], "blocks left open").toEqual([]);
  }
}

/** The value once it has stood still over many turns of the event loop. */
async function settledValue(read: () => number): Promise<number> {
  let last = read();
  for (let still = 0; still < 200; still++) {
    await new Promise((resolve) => setImmediate(resolve));
    const now = read();
    if (now !== last) still = 0;
    last = now;
  }
  return last;
}
