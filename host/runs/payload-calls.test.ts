import { expect, test } from "vitest";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { PayloadCalls } from "./payload-calls.ts";

const CALL = { path: "/v1/messages", headers: {}, body: {} } as const;
const never = new AbortController().signal;

function open(most: number) {
  const clock = new FakeClock();
  let activity = 0;
  let made = 0;
  const api = {
    call: async () => {
      made++;
      return { status: 200, contentType: "application/json", body: ReadableStream.from([Buffer.from("a"), Buffer.from("b")]) };
    },
  };
  const calls = new PayloadCalls({ api, clock, most, onActivity: () => activity++ });
  const make = async (): Promise<string> => new Response((await calls.make(CALL, never)).body).text();
  return { clock, make, figures: () => ({ activity, made }) };
}

test("a call and each piece of its answer are signs of life", async () => {
  const { make, figures } = open(10);
  expect(await make()).toBe("ab");
  expect(figures()).toEqual({ activity: 3, made: 1 });
});

test("past the limit of a run every call is refused for good", async () => {
  const { make, figures, clock } = open(2);
  await make();
  await make();
  clock.advance(3_600_000);
  await expect(make()).rejects.toMatchObject({ name: "RefusedError", code: "TURN_LIMIT" });
  expect(figures().made).toBe(2);
});

test("thirty calls may come at once, then one a second; one too early is refused, and costs nothing", async () => {
  const { make, figures, clock } = open(1_000);
  for (let n = 0; n < 30; n++) await make();
  const tooFast = { name: "ModelCallError", code: "MODEL_REFUSED", retryable: true };
  await expect(make()).rejects.toMatchObject(tooFast);
  clock.advance(1_000);
  await make();
  await expect(make()).rejects.toMatchObject(tooFast);
  clock.advance(3_600_000);
  for (let n = 0; n < 30; n++) await make();
  await expect(make()).rejects.toMatchObject(tooFast);
  expect(figures().made).toBe(61);
});
