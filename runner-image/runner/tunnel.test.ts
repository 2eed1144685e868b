/** Tunnels through the forwarder: bytes both ways, and what becomes of one end when the other breaks off. */
import { once } from "node:events";
import { constants } from "node:http2";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { echo, HELLO, openOutside } from "./outside-harness.ts";

/** Waits until a count has begun and no longer grows. */
async function stops(count: () => number): Promise<void> {
  let last = 0;
  await expect
    .poll(() => {
      const hasStopped = count() > 0 && count() === last;
      last = count();
      return hasStopped;
    })
    .toBe(true);
}

test("carries bytes both ways, and each end of it closes by itself", async () => {
  await using outside = await openOutside(echo);
  const { socket, head } = await outside.tunnel("example.org:443");
  expect(head).toBe("HTTP/1.1 200 Connection established\r\n\r\n");
  socket.write(HELLO);
  socket.end("and more");
  const received = await text(socket);
  expect(received).toBe(`${HELLO.toString()}and more`);
  expect(outside.asked).toEqual(["CONNECT example.org:443"]);
});

test("the far end that closes first still gets what the program has to say", async () => {
  const heard = Promise.withResolvers<string>();
  await using outside = await openOutside((stream) => {
    stream.respond({ ":status": 200 });
    stream.end("bye");
    heard.resolve(text(stream));
  });
  const { socket } = await outside.tunnel("example.org:443");
  socket.write(HELLO);
  expect(await text(socket)).toBe("bye");
  socket.end("last words");
  expect(await heard.promise).toBe(`${HELLO.toString()}last words`);
});

test("a far end that is through with both directions leaves no half of it open", async () => {
  await using outside = await openOutside((stream) => {
    stream.respond({ ":status": 200 });
    stream.end("bye", () => stream.close(constants.NGHTTP2_NO_ERROR));
  });
  // Also where it was through before the program had said anything.
  const { socket } = await outside.tunnel("example.org:443");
  socket.write(HELLO);
  expect(await text(socket)).toBe("bye");
  const write = () => new Promise((resolve) => socket.write("to nobody", (error) => resolve(error?.message)));
  await expect.poll(write).toMatch(/EPIPE|ECONNRESET/);
});

test("the bytes that came with the request are not lost", async () => {
  await using outside = await openOutside(echo);
  const socket = await outside.dial();
  socket.end(Buffer.concat([Buffer.from("CONNECT example.org:443 HTTP/1.1\r\n\r\n"), HELLO]));
  expect(await text(socket)).toBe(`HTTP/1.1 200 Connection established\r\n\r\n${HELLO.toString()}`);
});

test("one the host breaks off is reset, not ended, so that nobody takes what came for the whole", async () => {
  await using outside = await openOutside((stream) => {
    stream.respond({ ":status": 200 });
    stream.once("data", () => stream.destroy(new Error("broken off")));
  });
  const { socket } = await outside.tunnel("example.org:443");
  socket.write(HELLO);
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  expect(error.code).toBe("ECONNRESET");
  expect(outside.forwarder.takeRefusals()).toEqual(["[egress failed: The tunnel to example.org:443 was broken off.]"]);
});

test("one the program breaks off is broken off at the host too", async () => {
  const gone = Promise.withResolvers<number>();
  await using outside = await openOutside((stream) => {
    stream.respond({ ":status": 200 });
    stream.on("data", () => stream.write(Buffer.alloc(1024 * 1024)));
    stream.once("close", () => gone.resolve(stream.rstCode));
  });
  const { socket } = await outside.tunnel("example.org:443");
  socket.write(HELLO);
  await once(socket, "data");
  socket.resetAndDestroy();
  expect(await gone.promise).toBe(constants.NGHTTP2_CANCEL);
});

test("a reader that does not read holds the sender back", async () => {
  const chunk = Buffer.alloc(256 * 1024);
  let sent = 0;
  await using outside = await openOutside((stream) => {
    stream.respond({ ":status": 200 });
    const send = (): void => {
      sent += chunk.length;
      stream.write(chunk);
    };
    stream.on("drain", send);
    stream.once("data", send);
  });
  const { socket } = await outside.tunnel("example.org:443");
  socket.pause();
  socket.write(HELLO);
  await stops(() => sent);
  expect(sent).toBeLessThan(64 * chunk.length);
  // And it goes on where it was held.
  const held = sent;
  socket.resume();
  await expect.poll(() => sent).toBeGreaterThan(2 * held);
  socket.destroy();
});
