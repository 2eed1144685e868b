import { once } from "node:events";
import { type Duplex, duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { expect, test } from "vitest";
import { StdioLink } from "./stdio-link.ts";

const STDOUT = 1;
const STDERR = 2;

function frame(output: number, payload: string | Buffer): Buffer {
  const body = Buffer.from(payload);
  const header = Buffer.alloc(8);
  header.writeUInt8(output, 0);
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}

function attached(): { link: StdioLink; engine: Duplex } {
  const [ours, engine] = duplexPair();
  return { link: new StdioLink(ours), engine };
}

test("however the engine cuts its frames, stdout arrives whole and stderr apart", async () => {
  const output = fc.record({ to: fc.constantFrom(STDOUT, STDERR), text: fc.string({ maxLength: 40 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(output, { maxLength: 20 }),
      fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 30 }),
      async (frames, cuts) => {
        const { link, engine } = attached();
        const received = text(link);
        let wire = Buffer.concat(frames.map(({ to, text }) => frame(to, text)));
        for (let n = 0; wire.length > 0; n++) {
          const size = (cuts[n % cuts.length] ?? 0) + 1;
          engine.write(wire.subarray(0, size));
          wire = wire.subarray(size);
        }
        engine.end();
        const said = (to: number): string =>
          frames
            .filter((one) => one.to === to)
            .map((one) => one.text)
            .join("");
        expect(await received).toBe(said(STDOUT));
        expect(link.stderrTail).toBe(said(STDERR));
      },
    ),
    { numRuns: 100 },
  );
});

test("is connected with the first byte of stdout, not with one of stderr", async () => {
  const { link, engine } = attached();
  let connected = false;
  void link.connected.then(() => {
    connected = true;
  });
  engine.write(frame(STDERR, "warming up"));
  await expect.poll(() => link.stderrTail).toBe("warming up");
  expect(connected).toBe(false);
  engine.write(frame(STDOUT, "x"));
  await link.connected;
  link.destroy();
});

test("keeps the last 4 KiB of stderr however much there is", async () => {
  const { link, engine } = attached();
  for (let n = 0; n < 200; n++) engine.write(frame(STDERR, `${n} `.repeat(100)));
  engine.end(frame(STDERR, "last words"));
  await link.detached;
  expect(link.stderrTail).toHaveLength(4096);
  expect(link.stderrTail.endsWith("last words")).toBe(true);
});

test("passes on what is written, and its end", async () => {
  const { link, engine } = attached();
  const received = text(engine);
  link.write("to the ");
  link.end("container");
  expect(await received).toBe("to the container");
  link.destroy();
});

test("a reader that does not read holds the engine back instead of filling memory", async () => {
  const { link, engine } = attached();
  const block = frame(STDOUT, Buffer.alloc(16 * 1024));
  let written = 0;
  while (written < 1_000 && engine.write(block)) written += 1;
  await new Promise(setImmediate);
  while (written < 1_000 && engine.write(block)) written += 1;
  expect(written).toBeLessThan(50);
  expect(link.readableLength).toBeLessThan(256 * 1024);
  link.destroy();
});

test("ends wholly, both ways, when the container ends", async () => {
  const { link, engine } = attached();
  const closed = once(link, "close");
  engine.resume();
  engine.end(frame(STDOUT, "bye"));
  link.resume();
  await closed;
  expect(link.writableEnded).toBe(true);
});

test("an output that does not exist breaks the link instead of being guessed at", async () => {
  const { link, engine } = attached();
  const broken = new Promise((resolve) => link.once("close", resolve));
  engine.write(frame(7, "?"));
  await broken;
  expect(link.errored?.message).toContain("output 7");
});
