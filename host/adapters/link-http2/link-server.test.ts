import { once } from "node:events";
import { expect, test, vi } from "vitest";
import type { TurnFeed } from "../../../contracts/wire/turn.ts";
import { HostError, RefusedError, StoreError } from "../../domain/errors.ts";
import type { TurnDoors } from "../../ports/link.ts";
import { createLinkServer } from "./index.ts";
import { serveLink as serveLinkOn } from "../../../contracts/suites/served-link.ts";
import { openSocketPair } from "../../../contracts/suites/socket-pair.ts";

const serveLink = (doors: Partial<TurnDoors> = {}) => serveLinkOn(createLinkServer(), doors);
const STOP: TurnFeed = { v: 1, type: "stop", reason: "test" };
const RESULT = { step: 0, toolCallId: "c1", toolName: "exec", text: "out", isError: false };
const FEED = { ":path": "/v1/turn" };
const event = (delta: string) => ({ type: "text", step: 0, delta });
const line = (value: unknown) => `${JSON.stringify(value)}\n`;

test("a frame given before the runner opened its feed is the first thing the feed carries", async () => {
  await using served = await serveLink();
  served.link.feed(STOP);
  const { status, stream } = await served.open(FEED);
  await served.link.ready;
  const [chunk] = (await once(stream, "data")) as [Buffer];
  expect(status).toBe(200);
  expect(chunk.toString()).toBe(line(STOP));
});

test("events reach the door in order, wherever the bytes were cut", async () => {
  await using served = await serveLink();
  const { stream } = await served.open(FEED);
  const bytes = Buffer.from(["ä", "b", "c"].map((delta) => line(event(delta))).join(""));
  for (let at = 0; at < bytes.length; at += 7) stream.write(bytes.subarray(at, at + 7));
  await vi.waitFor(() => expect(served.recorded.events).toEqual([event("ä"), event("b"), event("c")]));
});

test("a result is with the door before it is answered 204", async () => {
  await using served = await serveLink();
  const answer = await served.post("/v1/turn/result", RESULT);
  expect(answer).toMatchObject({ status: 204, text: "" });
  expect(served.recorded.results).toEqual([RESULT]);
});

test("boundary, finish and tool answer what the doors return", async () => {
  await using served = await serveLink({ boundary: () => ({ inputs: ["late"] }), finish: () => ({ state: "more", inputs: ["again"] }) });
  expect(JSON.parse((await served.post("/v1/turn/boundary")).text)).toEqual({ inputs: ["late"] });
  expect(JSON.parse((await served.post("/v1/turn/finish", { text: "bye" })).text)).toEqual({ state: "more", inputs: ["again"] });
  const call = { step: 1, toolCallId: "c2", input: { text: "hi" } };
  expect(JSON.parse((await served.post("/v1/tool/send_message", call)).text)).toEqual({ text: "ok", isError: false });
  expect(served.recorded.tools).toEqual([{ name: "send_message", call }]);
});

test("a runner that leaves without a word ends the link without a fault", async () => {
  await using served = await serveLink();
  await served.open(FEED);
  served.sandboxSocket.destroy();
  expect(await served.link.closed).toBeUndefined();
});

test("a link that ends before the feed is open rejects readiness with a retryable error", async () => {
  await using served = await serveLink();
  served.sandboxSocket.destroy();
  await expect(served.link.ready).rejects.toMatchObject({ code: "SANDBOX_LINK_FAILED", retryable: true });
});

test("a stream that is already gone gives a closed link, not an exception", async () => {
  await using pair = await openSocketPair();
  pair.host.destroy();
  const link = createLinkServer().serve(pair.host, {} as never);
  expect(await link.closed).toBeUndefined();
});

test("closing twice is closing once, and no door is called after it, not even for what had arrived", async () => {
  const heard: unknown[] = [];
  await using served = await serveLink({
    event: (one) => {
      heard.push(one);
      served.link.close();
      served.link.close();
    },
  });
  const { stream } = await served.open(FEED);
  stream.write(line(event("first")) + line(event("late")));
  expect(await served.link.closed).toBeUndefined();
  served.link.feed(STOP);
  expect(heard).toEqual([event("first")]);
});

test("a second feed is refused while the first is open, and the first goes on", async () => {
  await using served = await serveLink();
  const { stream } = await served.open(FEED);
  expect(await served.post("/v1/turn")).toMatchObject({ status: 409 });
  stream.write(line(event("on")));
  await vi.waitFor(() => expect(served.recorded.events).toHaveLength(1));
});

test("a path that is no door is refused, with any method and no path at all", async () => {
  await using served = await serveLink();
  for (const path of ["/", "/v1/turn/", "/v1/tool/", "/v1/tool/a/b", "/v1/tool/../turn", "/v1/model/embedding-model", "/v1/turn?x=1"]) {
    expect({ path, status: (await served.post(path, {})).status }).toEqual({ path, status: 404 });
  }
  expect((await served.open({ ...FEED, ":method": "PUT" })).status).toBe(405);
});

test("a body that is not JSON or has the wrong shape is refused and named, and reaches no door", async () => {
  await using served = await serveLink();
  expect(await served.post("/v1/turn/result", "{")).toMatchObject({ status: 400, text: expect.stringContaining("not JSON") });
  const wrong = await served.post("/v1/turn/result", { ...RESULT, step: -1 });
  expect(wrong.status).toBe(400);
  expect(JSON.parse(wrong.text)).toMatchObject({ code: "LINK_PROTOCOL", message: expect.stringContaining("`step`") });
  expect(served.recorded.results).toEqual([]);
});

test("a request that tries to name a turn or group of its own is refused", async () => {
  await using served = await serveLink();
  expect(await served.post("/v1/turn/result", { ...RESULT, turn: 7 })).toMatchObject({ status: 400 });
  expect(await served.post("/v1/turn/finish", { text: "x", group: "main" })).toMatchObject({ status: 400 });
  expect(await served.post("/v1/tool/send_message", { step: 0, toolCallId: "c", input: {}, chat: "other" })).toMatchObject({ status: 400 });
  expect(served.recorded).toMatchObject({ results: [], finishes: [], tools: [] });
});

test("a refusal passes on its code and words; a fault of the host passes on neither", async () => {
  const faults = [
    new RefusedError("INBOX_FULL", "no more"),
    new HostError("TURN_STOPPED", "it is over"),
    new Error("secret /etc/path"),
    new StoreError("STORE_BROKEN", "secret /var/db"),
  ];
  await using served = await serveLink({
    finish: () => {
      throw faults.shift();
    },
  });
  const finish = async () => {
    const { status, text } = await served.post("/v1/turn/finish", { text: "" });
    return { status, ...JSON.parse(text) };
  };
  expect(await finish()).toEqual({ status: 403, code: "INBOX_FULL", message: "no more" });
  expect(await finish()).toEqual({ status: 409, code: "TURN_STOPPED", message: "it is over" });
  for (let left = 2; left > 0; left--) {
    expect(await finish()).toEqual({ status: 500, code: "INTERNAL", message: "The host could not do this." });
  }
});

test("an event door that throws ends the link with that error", async () => {
  const broken = new StoreError("STORE_FULL", "full");
  await using served = await serveLink({
    event: () => {
      throw broken;
    },
  });
  const { stream } = await served.open(FEED);
  stream.write(line(event("x")));
  expect(await served.link.closed).toBe(broken);
});
