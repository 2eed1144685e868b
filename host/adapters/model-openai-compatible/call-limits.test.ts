/** Time limits, the caller's signal and readers that leave: what ends a call, and that nothing of it stays. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { SteppedClock } from "../../../contracts/suites/channel.ts";
import { createOpenAICompatibleModel, type OpenAICompatibleOptions } from "./index.ts";
import {
  asked,
  begin,
  beginStream,
  drain,
  endStream,
  type LoopbackProvider,
  readOne,
  sendDelta,
  sendEvent,
  serveLoopback,
} from "./loopback-fixture.ts";

const never = new AbortController().signal;

let provider: LoopbackProvider;
let clock: SteppedClock;
beforeEach(async () => {
  provider = await serveLoopback();
  clock = new SteppedClock();
});
afterEach(() => provider[Symbol.asyncDispose]());

/** The reason once it has rejected; taken at once, so that no rejection is ever unhandled. */
function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "it did not reject",
    (reason: unknown) => reason,
  );
}

function model(changes: Partial<OpenAICompatibleOptions> = {}) {
  return createOpenAICompatibleModel({ baseURL: provider.baseURL, apiKey: "sk-test", modelId: "m", clock, ...changes });
}

test("a provider that says nothing in time is given up, headers or not", async () => {
  for (const answer of [beginStream, () => undefined]) {
    const call = rejection(model({ firstTokenTimeoutMs: 5_000 }).stream(asked, never));
    const request = await provider.next();
    answer(request.response);
    clock.advance(5_000);
    expect(await call).toMatchObject({ code: "MODEL_UNREACHABLE", retryable: true, message: expect.stringContaining("5 s") });
    await request.gone;
  }
  expect(clock.armed).toBe(0);
});

test("the first word in time lifts the first limit; the limit for the whole ends the answer with an error part", async () => {
  const call = await begin(model({ firstTokenTimeoutMs: 5_000, totalTimeoutMs: 60_000 }), provider);
  clock.advance(59_999);
  sendDelta(call.response, { content: " two" });
  expect((await call.reader.read()).value).toMatchObject({ type: "text-delta" });
  clock.advance(1);
  const rest = await drain(call.reader);
  expect(rest.map((part) => part.type)).toEqual(["text-end", "error", "finish"]);
  expect(rest[1]).toMatchObject({ error: { code: "MODEL_UNREACHABLE", retryable: true, message: expect.stringContaining("60 s") } });
  await call.gone;
  expect(clock.armed).toBe(0);
});

test("a reader that has the last part and asks for no more leaves no timer", async () => {
  const call = await begin(model(), provider);
  endStream(call.response, "stop");
  while ((await readOne(call.reader))[0]?.type !== "finish");
  expect(clock.armed).toBe(0);
});

test("a fault reported inside the stream ends the upstream request, however long the provider would go on", async () => {
  const call = await begin(model(), provider);
  sendEvent(call.response, { error: { message: "overloaded" } });
  await drain(call.reader);
  await call.gone;
  expect(clock.armed).toBe(0);
});

test("a signal that fires while the call is being prepared keeps it from being sent", async () => {
  const stop = new AbortController();
  const call = model().stream(asked, stop.signal);
  stop.abort(new Error("stopped at once"));
  await expect(call).rejects.toThrow("stopped at once");
  expect([provider.requests, clock.armed]).toEqual([0, 0]);
});

test("the signal ends the upstream request before the first word", async () => {
  const stop = new AbortController();
  const reason = new Error("stopped by the owner");
  const call = rejection(model().stream(asked, stop.signal));
  const request = await provider.next();
  stop.abort(reason);
  expect(await call).toBe(reason);
  await request.gone;
  expect(clock.armed).toBe(0);
});

test("the signal ends the upstream request in mid-answer, whether or not anybody is reading", async () => {
  for (const reading of [true, false]) {
    const stop = new AbortController();
    const reason = new Error("stopped by the owner");
    const call = await begin(model(), provider, stop.signal);
    const read = reading ? rejection(call.reader.read()) : undefined;
    stop.abort(reason);
    await call.gone;
    expect(await (read ?? rejection(call.reader.read()))).toBe(reason);
    expect(clock.armed).toBe(0);
  }
});

test("a reader that walks away ends the upstream request, a read under way included", async () => {
  for (const reading of [true, false]) {
    const call = await begin(model(), provider);
    const read = reading ? call.reader.read() : undefined;
    await call.reader.cancel();
    await call.gone;
    if (read !== undefined) expect((await read).done).toBe(true);
    expect(clock.armed).toBe(0);
  }
});
