import { type ClientHttp2Stream, constants } from "node:http2";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pacedResets } from "./paced-resets.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A stream that remembers what was done to it. */
function stream(ended: { readableEnded?: boolean; writableEnded?: boolean } = {}) {
  const done: string[] = [];
  const fake = {
    readableEnded: false,
    writableEnded: false,
    ...ended,
    closed: false,
    pause: () => void done.push("held"),
    close: (code: number) => {
      fake.closed = true;
      done.push(`reset ${code}`);
    },
  };
  return { done, fake, asStream: fake as unknown as ClientHttp2Stream };
}

const RESET = `reset ${constants.NGHTTP2_CANCEL}`;

test("streams are broken off at once up to what the link bears, then at its pace, in order, and held until then", () => {
  const breakOff = pacedResets();
  const streams = Array.from({ length: 502 }, () => stream());
  for (const { asStream } of streams) breakOff(asStream);
  const wasReset = (n: number): boolean => streams[n]?.done.includes(RESET) ?? false;
  expect(streams.slice(0, 500).every(({ done }) => done.includes(RESET))).toBe(true);
  expect(streams.slice(500).map(({ done }) => done)).toEqual([["held"], ["held"]]);
  vi.advanceTimersByTime(60);
  expect([wasReset(500), wasReset(501)]).toEqual([true, false]);
  vi.advanceTimersByTime(60);
  expect(wasReset(501)).toBe(true);
});

test("after a while of peace as many may be broken off at once again", () => {
  const breakOff = pacedResets();
  for (let n = 0; n < 600; n++) breakOff(stream().asStream);
  vi.advanceTimersByTime(600 * 60);
  const next = Array.from({ length: 500 }, () => stream());
  for (const { asStream } of next) breakOff(asStream);
  expect(next.every(({ done }) => done.includes(RESET))).toBe(true);
});

test("a stream that is over on both sides, or gone, costs no reset", () => {
  const breakOff = pacedResets();
  const over = stream({ readableEnded: true, writableEnded: true });
  const gone = stream();
  gone.fake.closed = true;
  for (const { asStream } of [over, gone]) breakOff(asStream);
  expect([over.done, gone.done]).toEqual([[], []]);
});
