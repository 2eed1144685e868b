/** What a sandbox sends out, with the help of a service it may reach: a right guess of a secret it was never given looks as a wrong one does. */
import { describe, expect, test } from "vitest";
import { describeError, isHostError } from "../domain/errors.ts";
import type { Route } from "../domain/policy.ts";
import type { PlainRequest } from "../ports/outside.ts";
import { NEVER, openDoor, plain, PUBLIC, settled } from "./egress-door-harness.ts";

/** Lower case, so that it can stand in a name too. */
const SECRET = "sk-live-0x81lmvt0wxyq7r4-93hgq2nd";
const PREFIX = "sk-live-0x81";
const ROUTE: Route = {
  ...{ name: "echo", upstream: { scheme: "https", host: "www.example.org", port: 443 }, secret: "token" },
  ...{ inject: { as: "bearer" }, methods: ["GET"], paths: ["/**"], groups: "all" },
};
type Ask = (guess: string) => { readonly authority: string; readonly request: PlainRequest };

const PLACE = "www.example.org";
const WAYS: readonly (readonly [string, Ask])[] = [
  ["as a name", (guess) => ({ authority: `${guess}.example.org`, request: plain() })],
  ["in a path", (guess) => ({ authority: PLACE, request: plain({ path: `/?q=${guess}` }) })],
  ["in a header", (guess) => ({ authority: PLACE, request: plain({ headers: [["x", guess]] }) })],
  ["in a body", (guess) => ({ authority: PLACE, request: plain({ method: "POST", body: [guess] }) })],
  ["in a body that pauses", (guess) => ({ authority: PLACE, request: plain({ method: "POST", body: pausing(guess) }) })],
  ["to a service by a route, which echoes it", (guess) => ({ authority: "echo.door", request: plain({ path: `/${guess}` }) })],
];

/** So long that its beginning has left before the guess comes. */
async function* pausing(guess: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from("x ".repeat(64 * 1024));
  for (const character of guess) {
    yield Buffer.from(character);
    await settled();
  }
  yield Buffer.from(" end");
}

/** All that comes of it, and how much had come at each moment. */
async function outcome(ask: Ask, guess: string): Promise<string> {
  const stage = openDoor({ allow: ["*.example.org:80"], routes: [ROUTE], secrets: new Map([["token", SECRET]]) });
  const moments: string[] = [];
  stage.outside.names.set(PLACE, () => [PUBLIC]);
  stage.outside.names.set(`${guess}.example.org`, () => [PUBLIC]);
  for (const port of [80, 443]) {
    stage.outside.places.set(`${PUBLIC}:${port}`, {
      answer: async ({ path, body }) => {
        for await (const chunk of body) moments.push(`sent ${chunk.length}`);
        return { status: 200, headers: [["x-echo", path]], body: pausing(path) };
      },
    });
  }
  const { authority, request } = ask(guess);
  try {
    const { status, headers, body } = await stage.door.exchange(authority, request, NEVER);
    let text = "";
    for await (const chunk of body) {
      moments.push(`got ${chunk.length}`);
      text += Buffer.from(chunk).toString();
    }
    moments.push(`${status} ${JSON.stringify(headers)} ${text.slice(-100)}`);
  } catch (error) {
    moments.push(`${isHostError(error) ? error.code : ""} ${describeError(error)}`);
  }
  stage.door.close();
  return [...moments, ...stage.told()].join("\n").replaceAll(guess, "GUESS");
}

describe.each(WAYS)("a guess sent out %s", (_way, ask) => {
  test("tells nothing of the next character, from a known prefix to all but the last", async () => {
    for (let end = PREFIX.length; end < SECRET.length - 1; end += 3) {
      for (const from of [0, end - 11]) {
        const known = SECRET.slice(from, end).replace(/^-/, "a");
        const next = SECRET.charAt(end);
        const told = await outcome(ask, known + (next === "-" ? "a" : next));
        expect(told).toBe(await outcome(ask, `${known}z`));
      }
    }
  });

  test("is stopped or replaced where it is all of the secret, and then the name of it is the owner's alone to read", async () => {
    const [right, wrong] = [await outcome(ask, SECRET), await outcome(ask, `${SECRET.slice(0, -1)}z`)];
    expect(right).not.toBe(wrong);
    const [toSandbox = ""] = right.split("\n").filter((line) => line.startsWith("SECRET_SHOWN"));
    expect(toSandbox).not.toContain("token");
  });
});
